"""What if an event had come here?  Events put before every step of a unit, and what that would break.

A recording holds only the interrupts that came.  Here each distinct unit is
stepped once more for every step it has, with an event in front of that step,
and whatever breaks a rule that was whole before is a window: a place where the
event must not come, or where its handler must not look.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from pvreplay.errors import UsageError
from pvreplay.machine.context import Context
from pvreplay.machine.machine import Machine
from pvreplay.machine.ops import parse
from pvreplay.machine.policy import Policy
from pvreplay.machine.shape import UNIT_SEQ, UNIT_SWITCH
from pvreplay.machine.watch import Watch
from pvreplay.replay.result import DrawnStep, WhatIf
from pvreplay.replay.window import UnitStep, draw, facts_of, unit_steps
from pvreplay.rules.base import SEVERITY_ORDER, Finding, Verdict

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.machine.backend import Backend
    from pvreplay.replay.histogram import Histogram
    from pvreplay.replay.result import Report

EVENTS: Final[dict[str, tuple[str, ...]]] = {
    "irq": ("irq_enter:vmalloc", "read_pte", "irq_exit"),
    "nmi": ("nmi_enter:gdt+fpu", "nmi_exit"),
    "fault": ("fault_enter:vmalloc+selector", "fault_exit"),
    "preempt": (),
}
"""Kind -> the ops put in: an event whose handler looks at all that handlers have been caught looking at.

irq: CR3 and current (a vmalloc fault in the handler, linux-kernel 2001), page tables (4f06b0436b2d).
nmi: the GDT through CR3 (Xen's 27a9d6d6143f), whose the FPU is (45948d7720e8).  fault: CR3 and current,
a selector and its base (Xen's a711f6f24a71).  preempt: the kernel's own switch away and back.
"""
MEANINGS: Final = {
    "irq": "an interrupt; its handler reads page tables, CR3 and current",
    "nmi": "an NMI; its handler reads descriptors through CR3, the FPU's owner and CR0.TS",
    "fault": "a fault; its handler reads CR3 and current, selectors and their bases",
    "preempt": "a switch to another task and back, where preemption is possible",
}
STEPS_MAX: Final = 256
"""Steps of a unit before which events are put; the work grows with their square."""
_STEP = re.compile(r"\bstep (\d+)")


class _Hit(NamedTuple):
    """A finding that an event at *gap* (before that step) made."""

    finding: Finding
    gap: int
    message: str


class _Window(NamedTuple):
    """Hits of one sort at neighbouring gaps of one unit."""

    first: _Hit
    gaps: list[int]
    after: str
    before: str
    drawn: list[DrawnStep]


def check_kinds(kinds: Iterable[str]) -> list[str]:
    """*kinds* without doubles, "all" and commas resolved; :class:`UsageError` for one that does not exist."""
    asked: dict[str, None] = {}
    for kind in (name for text in kinds for name in text.split(",")):
        if kind not in EVENTS and kind != "all":
            raise UsageError(f"--inject {kind}: no such event", f"Expected {', '.join(EVENTS)} or all.")
        asked.update(dict.fromkeys(EVENTS if kind == "all" else [kind]))
    return list(asked)


def event_ops(kind: str, kernel: Kernel) -> tuple[str, ...]:
    """The ops of one event; a preemption is a switch as *kernel* makes it, out and back in one."""
    if kind != "preempt":
        return EVENTS[kind]
    hooks = kernel.ops()
    if "start_context_switch" in hooks:
        return "begin", "start_context_switch", "end_context_switch", "end"
    if "enter_lazy_cpu" in hooks:
        return "begin", "enter_lazy_cpu", "leave_lazy_cpu", "end"
    return "begin", "end"


def inject_order(
    tokens: Sequence[str],
    kernel: Kernel,
    backends: Sequence[Backend],
    kinds: Sequence[str],
    *,
    policy: Policy,
    context: Context,
    watch: Watch,
) -> list[WhatIf]:
    """The windows of an order written by hand."""
    steps: list[UnitStep] = [(token, "", 1, context) for token in tokens]
    found = _Found()
    for backend in backends:
        stepper = _Stepper(backend, policy, watch, lazy_mmu=True, simulated=False)
        for kind in kinds:
            found.add(kind, backend.name, stepper.windows(steps, event_ops(kind, kernel), kind), 1, "")
    return found.what_if()


def inject_units(
    hist: Histogram,
    kernel: Kernel,
    backends: Sequence[Backend],
    kinds: Sequence[str],
    *,
    policy: Policy,
    watch: Watch,
) -> tuple[list[WhatIf], int]:
    """The windows of every distinct unit of *hist*, and how many units were longer than :data:`STEPS_MAX`.

    Baselines (unbatched, nolazy) among *backends* are left out.
    """
    from pvreplay.replay.price import shape_key

    counts: dict[tuple[int, int], int] = {}
    for row in hist.rows:
        unit = row.unit_type, row.payload
        counts[unit] = counts.get(unit, 0) + row.count
    found = _Found()
    cut = set()
    for backend in backends:
        if backend.form:
            continue
        stepper = _Stepper(backend, policy, watch, lazy_mmu=kernel.lazy_mmu, simulated=True)
        for (unit_type, payload), count in counts.items():
            steps = list(
                unit_steps(
                    kernel,
                    backend,
                    facts_of(payload) if unit_type == UNIT_SWITCH else {},
                    unit_type=unit_type,
                    items=hist.sequences[payload] if unit_type == UNIT_SEQ else (),
                    ops=hist.meta.ops,
                )
            )
            if len(steps) > STEPS_MAX:
                cut.add((unit_type, payload))
            shape = shape_key(payload) if unit_type == UNIT_SWITCH else ""
            for kind in kinds:
                windows = stepper.windows(steps, event_ops(kind, kernel), kind)
                found.add(kind, backend.name, windows, count, shape)
    return found.what_if(), len(cut)


def inject_report(
    report: Report,
    hist: Histogram,
    kernel: Kernel,
    backends: Sequence[Backend],
    kinds: Sequence[str],
    policy: Policy,
) -> None:
    """Fill ``report.what_if``, and note what was put in."""
    from pvreplay.rules import watch_all

    report.what_if, cut = inject_units(hist, kernel, backends, kinds, policy=policy, watch=watch_all())
    for kind in kinds:
        report.notes.append(f"--inject {kind}: {MEANINGS[kind]}.")
    if "irq" in kinds:
        report.notes.append(
            "The scheduler keeps interrupts off in a switch: an irq window there is one of paths that do not."
        )
    if cut:
        report.notes.append(f"{cut} units have more than {STEPS_MAX} steps: events were put before those.")


class _Stepper:
    """Steps units of one backend with events in them."""

    def __init__(
        self, backend: Backend, policy: Policy, watch: Watch, *, lazy_mmu: bool, simulated: bool
    ) -> None:
        self._backend = backend
        self._policy = policy
        self._watch = watch
        self._lazy_mmu = lazy_mmu
        self._simulated = simulated

    def windows(self, steps: Sequence[UnitStep], ops: tuple[str, ...], kind: str) -> list[_Window]:
        """What *ops*, an event of *kind*, would break."""
        whole = self._run(steps)
        before = {(one.rule.code, one.op, one.step) for one in _errors(whole)}
        whole.forget()
        runs: dict[tuple[str, str], _Window] = {}
        done: list[_Window] = []
        for gap in _gaps(steps, kind):
            machine = self._run([*steps[:gap], *_placed(ops, steps, gap), *steps[gap:]])
            hits = _hits(machine, before, gap, len(ops))
            for key in [key for key in runs if key not in hits]:
                done.append(runs.pop(key))
            for key, hit in hits.items():
                if key in runs:
                    runs[key].gaps.append(gap)
                    runs[key] = runs[key]._replace(before=steps[gap][0])
                else:
                    picture = _drawn(machine, hit, gap, len(ops))
                    runs[key] = _Window(hit, [gap], steps[gap - 1][0], steps[gap][0], picture)
            machine.forget()
        return done + list(runs.values())

    def _run(self, steps: Iterable[UnitStep]) -> Machine:
        machine = Machine(
            self._backend,
            policy=self._policy,
            rules=self._watch,
            lazy_mmu=self._lazy_mmu,
            simulated=self._simulated,
        )
        first = True
        for text, place, repeat, context in steps:
            if context is not None:
                machine.context = context
                if first:
                    machine.effective = dict(context.hw)
            first = False
            machine.step(text, place, repeat)
        machine.finish()
        return machine


def _gaps(steps: Sequence[UnitStep], kind: str) -> list[int]:
    """The steps before which an event of *kind* can come."""
    window = irq = nmi = 0
    gaps = []
    for number, (text, _, _, _) in enumerate(steps[:STEPS_MAX]):
        free = {
            "irq": not irq and not nmi,
            "nmi": not nmi,
            "fault": True,
            "preempt": not window and not irq and not nmi,
        }
        if number and free[kind]:
            gaps.append(number)
        name = parse(text).op.name
        if name in ("begin", "end"):
            window = name == "begin"
        elif name in ("irq_enter", "irq_exit"):
            irq = max(irq + (1 if name == "irq_enter" else -1), 0)
        elif name in ("nmi_enter", "nmi_exit"):
            nmi = max(nmi + (1 if name == "nmi_enter" else -1), 0)
    return gaps


def _placed(ops: Sequence[str], steps: Sequence[UnitStep], gap: int) -> list[UnitStep]:
    """*ops* as steps before step *gap*; a switch among them knows nothing of the order's context."""
    context = next((step[3] for step in reversed(steps[:gap]) if step[3] is not None), None)
    if ops[0] != "begin":
        return [(op, "", 1, context) for op in ops]
    return [(op, "", 1, Context()) for op in ops]


def _errors(machine: Machine) -> list[Finding]:
    found: list[Finding] = machine.found  # type: ignore[assignment]
    return [one for one in found if one.rule.severity != "perf"]


def _hits(
    machine: Machine, before: set[tuple[str, str, int]], gap: int, length: int
) -> dict[tuple[str, str], _Hit]:
    """(rule, message without numbers) -> what the event at *gap*, *length* ops long, newly broke.

    What happens at the event itself goes before what follows from it later.
    """
    new = [
        one
        for one in _errors(machine)
        if gap <= one.step < gap + length
        or (one.rule.code, one.op, _renumbered(one.step, gap, length)) not in before
    ]
    new.sort(key=lambda one: (one.seen, SEVERITY_ORDER[one.rule.severity]))
    here = [one for one in new if gap <= one.step < gap + length]
    hits: dict[tuple[str, str], _Hit] = {}
    for one in here or new[:1]:
        message = _STEP.sub(lambda match: f"step {_renumbered(int(match[1]), gap, length)}", one.message)
        hits.setdefault((one.rule.code, _STEP.sub("step", message)), _Hit(one, gap, message))
    return hits


def _renumbered(index: int, gap: int, length: int) -> int:
    """The unit's own number of a step: put-in ops have that of the step they precede."""
    return index if index < gap else max(index - length, gap)


def _drawn(machine: Machine, hit: _Hit, gap: int, length: int) -> list[DrawnStep]:
    steps = draw(machine, Verdict(hit.finding, ()))
    for step in steps:
        if gap <= step.index < gap + length:
            step.disposition = "put in"
        step.index = _renumbered(step.index, gap, length)
    return steps


class _Found:
    """Windows summed over units, and merged over backends."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], WhatIf] = {}

    def add(self, kind: str, backend: str, windows: Sequence[_Window], count: int, shape: str) -> None:
        """Count the windows of one unit that occurred *count* times on *backend*; each sort once."""
        told: set[tuple[str, ...]] = set()
        for window in windows:
            rule = window.first.finding.rule
            message = _STEP.sub("step", window.first.message)
            key = backend, kind, rule.code, window.after, window.before, message
            row = self._rows.get(key)
            if row is None:
                self._rows[key] = WhatIf(
                    rule=rule.code,
                    name=rule.name,
                    severity=rule.severity,
                    event=kind,
                    backends=[backend],
                    count=count,
                    units=1,
                    steps=window.gaps,
                    after=window.after,
                    before=window.before,
                    message=window.first.message,
                    advice=rule.advice,
                    shape=shape,
                    drawn=window.drawn,
                )
            elif key not in told:
                row.count += count
                row.units += 1
            told.add(key)

    def what_if(self) -> list[WhatIf]:
        """Rows that agree but for the backend become one; worst first, then the most frequent."""
        merged: dict[tuple[object, ...], WhatIf] = {}
        for key, row in self._rows.items():
            same = (*key[1:], row.count, row.units)
            if same in merged:
                merged[same].backends += row.backends
            else:
                merged[same] = row
        return sorted(
            merged.values(),
            key=lambda row: (SEVERITY_ORDER[row.severity], -row.count, row.rule, row.event, row.steps[0]),
        )

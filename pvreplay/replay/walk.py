"""One unit walked through on one backend: every step of the path, and what the machine did at it.

What :func:`pvreplay.replay.window.run_window` sums up is spread out here: the
steps that were skipped with the guard that skipped them, and after each op the
queue, what is pending and what has been paid so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pvreplay.machine import resources as res
from pvreplay.machine.backend import MODE_NAMES
from pvreplay.machine.policy import DEFAULT_POLICY, POLICIES, Policy
from pvreplay.machine.shape import ITEM_SHIFT, UNIT_LEAVE_MM, UNIT_NM, UNIT_SEQ, UNIT_SWITCH
from pvreplay.replay.result import Totals
from pvreplay.replay.window import facts_of, run_window
from pvreplay.trace.events import Kind

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.machine.backend import Backend
    from pvreplay.machine.view import View
    from pvreplay.rules.base import Verdict


class Broken(msgspec.Struct, kw_only=True):
    """A rule broken at a step, with the rules that fired because of it."""

    rule: str
    name: str
    severity: str
    message: str
    advice: str
    consequences: list[str]


class WalkStep(msgspec.Struct, kw_only=True):
    """One op, or a step of the path that had none or was skipped.

    *index* is the op's number in the sequence, as violations give it, None when
    there was no op.  *step*, *guard* and *because* are the path's: its name for
    the step, what it depends on, and the names that decided with their values;
    empty outside a path.  *became* is what the backend made of the op;
    *hypercalls* ... *rom_calls* are this op's own, *sums* all so far.  *queue*
    (entries), *pending* (resources with a queued write) and *mode* hold after
    the op.
    """

    index: int | None = None
    step: str = ""
    guard: str = ""
    because: dict[str, int] = {}
    taken: bool = True
    op: str = ""
    repeat: int = 1
    became: str = ""
    detail: str = ""
    hypercalls: int = 0
    entries: int = 0
    traps: int = 0
    rom_calls: int = 0
    flush: str = ""
    flushed: int = 0
    queue: int = 0
    pending: list[str] = []
    mode: str = ""
    sums: Totals = msgspec.field(default_factory=Totals)
    broken: list[Broken] = []
    place: tuple[int, int, int] = (0, 0, 0)
    """Where in the path: item of the sequence, step of the path, op of the step.  Equal on every backend."""


class Walk(msgspec.Struct, kw_only=True):
    """A unit on one backend.  *totals* are of the whole unit; *forgotten* ops are not in *steps*."""

    backend: str
    steps: list[WalkStep]
    totals: Totals
    forgotten: int = 0


class _Planned(NamedTuple):
    """A step of the path or an item of a sequence before it is stepped; *ops* is how many ops it has."""

    item: int
    number: int
    ops: int
    step: str = ""
    guard: str = ""
    because: tuple[tuple[str, int], ...] = ()
    taken: bool = True


def walk(
    kernel: Kernel,
    backend: Backend,
    *,
    unit_type: int,
    shape: int = 0,
    items: Sequence[int] = (),
    ops: Sequence[str] = (),
    policy: Policy = POLICIES[DEFAULT_POLICY],
) -> Walk:
    """Step one unit on *backend* and tell everything; arguments as the fields of ``locate.Located``."""
    facts = facts_of(shape) if unit_type == UNIT_SWITCH else {}
    outcome = run_window(
        kernel, backend, facts, unit_type=unit_type, items=items, ops=ops, policy=policy, keep=True
    )
    assert outcome.machine is not None
    views = {view.index: view for view in outcome.machine.steps}
    broken = _broken(outcome.verdicts)
    totals = Totals(**dict(zip(_COUNTS, outcome.totals, strict=True)))
    steps: list[WalkStep] = []
    sums = Totals()
    index = forgotten = 0
    for planned in _plan(kernel, backend, unit_type, facts, items):
        if planned.ops == 0:
            steps.append(_without_op(planned, sums, steps[-1] if steps else None))
            continue
        for number in range(planned.ops):
            view = views.get(index)
            if view is None:
                forgotten += 1
            else:
                # The machine forgets the middle of what is too long, never its counts: the last op has all.
                sums = totals if forgotten else _added(sums, view)
                steps.append(_with_op(planned, number, view, sums, broken.get(index, [])))
            index += 1
    return Walk(backend=backend.name, steps=steps, totals=totals, forgotten=forgotten)


_COUNTS = ("hypercalls", "entries", "traps", "rom_calls")


def _plan(
    kernel: Kernel, backend: Backend, unit_type: int, facts: Mapping[str, int], items: Sequence[int]
) -> Iterator[_Planned]:
    """What :func:`run_window` steps, in its order."""
    if unit_type == UNIT_SWITCH:
        yield from _path(kernel, backend, facts, 0)
    elif unit_type == UNIT_NM:
        yield _Planned(0, 0, len(kernel.nm_ops), "nm")
    elif unit_type == UNIT_LEAVE_MM:
        yield _Planned(0, 0, len(kernel.leave_mm_ops), "leave_mm")
    else:
        assert unit_type == UNIT_SEQ, unit_type
        for number, item in enumerate(items):
            if item >> ITEM_SHIFT == Kind.SWITCH:
                shape = item & ((1 << ITEM_SHIFT) - 1)
                yield from _path(kernel, backend, facts_of(shape), number)
            else:
                yield _Planned(number, 0, 1)


def _path(kernel: Kernel, backend: Backend, facts: Mapping[str, int], item: int) -> Iterator[_Planned]:
    judged = kernel.steps_with_guards({**facts, **backend.traits})
    yield _Planned(item, 0, 1)  # begin
    for number, (step, taken, because) in enumerate(judged, 1):
        ops = len(step.ops) if taken else 0
        yield _Planned(item, number, ops, step.name, step.when, because, taken)
    yield _Planned(item, len(judged) + 1, 1)  # end


def _broken(verdicts: Sequence[Verdict]) -> dict[int, list[Broken]]:
    """Index of an op -> the rules broken at it."""
    found: dict[int, list[Broken]] = {}
    for finding, consequences in verdicts:
        rule = finding.rule
        found.setdefault(finding.step, []).append(
            Broken(
                rule=rule.code,
                name=rule.name,
                severity=rule.severity,
                message=finding.message,
                advice=rule.advice,
                consequences=list(consequences),
            )
        )
    return found


def _added(sums: Totals, view: View) -> Totals:
    return Totals(
        hypercalls=sums.hypercalls + view.hypercalls,
        entries=sums.entries + view.entries,
        traps=sums.traps + view.traps,
        rom_calls=sums.rom_calls + view.rom_calls,
    )


def _without_op(planned: _Planned, sums: Totals, before: WalkStep | None) -> WalkStep:
    """A step of the path that is not taken, or does nothing a machine could see."""
    return WalkStep(
        step=planned.step,
        guard=planned.guard,
        because=dict(planned.because),
        taken=planned.taken,
        queue=before.queue if before else 0,
        pending=list(before.pending) if before else [],
        mode=before.mode if before else MODE_NAMES[0],
        sums=sums,
        place=(planned.item, planned.number, 0),
    )


def _with_op(planned: _Planned, number: int, view: View, sums: Totals, broken: list[Broken]) -> WalkStep:
    return WalkStep(
        index=view.index,
        step=planned.step,
        guard=planned.guard,
        because=dict(planned.because),
        op=view.op,
        repeat=view.repeat,
        became=view.how,
        detail=view.detail(),
        hypercalls=view.hypercalls,
        entries=view.entries,
        traps=view.traps,
        rom_calls=view.rom_calls,
        flush=view.flush,
        flushed=view.flushed,
        queue=view.queue,
        pending=res.names(view.pending),
        mode=MODE_NAMES[view.mode_after],
        sums=sums,
        broken=broken,
        place=(planned.item, planned.number, number),
    )

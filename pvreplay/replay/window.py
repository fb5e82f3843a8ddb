"""One unit stepped through the machine: a switch, a #NM, a leave_mm(), a folded sequence.

Nothing is cached here: the step engine calls :func:`run_window` for every
event, :func:`pvreplay.replay.price.price` once per distinct unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pvreplay.errors import ConfigError, TraceError
from pvreplay.machine import resources as res
from pvreplay.machine.machine import Context, Machine, Watch
from pvreplay.machine.ops import parse
from pvreplay.machine.policy import DEFAULT_POLICY, POLICIES, Policy
from pvreplay.machine.shape import (
    GUARDS,
    ITEM_PARK,
    ITEM_RESUME,
    ITEM_SHIFT,
    UNIT_LEAVE_MM,
    UNIT_NM,
    UNIT_SEQ,
    UNIT_SWITCH,
    tls_changed,
)
from pvreplay.replay.result import DrawnStep
from pvreplay.rules import watch_all
from pvreplay.rules.base import Verdict, verdicts
from pvreplay.trace.events import Kind

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.machine.backend import Backend

_ITEM_MASK = (1 << ITEM_SHIFT) - 1
_ITEM_OPS: dict[int, str] = {
    Kind.ENTER_MMU: "enter_lazy_mmu",
    Kind.LEAVE_MMU: "leave_lazy_mmu",
    Kind.READ_PTE: "read_pte",
    Kind.IRQ_ENTER: "irq_enter",
    Kind.IRQ_EXIT: "irq_exit",
    Kind.NMI_ENTER: "nmi_enter",
    Kind.NMI_EXIT: "nmi_exit",
    Kind.FAULT_ENTER: "fault_enter",
    Kind.FAULT_EXIT: "fault_exit",
    Kind.SLEEP: "sleep",
    Kind.USER: "user",
    Kind.FLUSH: "flush",
    Kind.BEGIN: "begin",
    Kind.END: "end",
    ITEM_PARK: "park",
    ITEM_RESUME: "resume",
}
UnitStep = tuple[str, str, int, Context | None]
"""An op, the kernel's name for the step it belongs to, how often, and the context from here on (None:
as before)."""
DRAWN_MAX = 48
"""Steps of a drawing; a longer sequence is drawn around the steps that matter."""


class Outcome:
    """What one unit costs on one backend, and what it breaks.

    *totals* is (hypercalls, entries, traps, rom_calls); *switches* the same
    four for each switch in it; *by_op* name -> those four and how often.
    """

    __slots__ = (
        "batch_sizes",
        "by_op",
        "flushes",
        "machine",
        "switches",
        "totals",
        "undeferrable",
        "unit_type",
        "verdicts",
    )

    def __init__(self, unit_type: int, machine: Machine, keep: bool = False) -> None:
        self.unit_type = unit_type
        self.totals = (machine.hypercalls, machine.entries, machine.traps, machine.rom_calls)
        self.switches = machine.switches
        self.flushes = machine.flushes
        self.batch_sizes = machine.batch_sizes
        self.by_op = machine.by_op
        self.undeferrable = machine.undeferrable
        self.verdicts: list[Verdict] = verdicts(machine) if machine.found else []
        self.machine: Machine | None = machine
        if not (self.verdicts or keep):
            self.forget()

    def forget(self) -> None:
        """Let go of the steps; drawings must have been made."""
        if self.machine is not None:
            self.machine.forget()
            self.machine = None

    def drawn(self, verdict: Verdict) -> list[DrawnStep]:
        """The steps around a verdict's finding, the one at fault marked."""
        assert self.machine is not None, "forgotten"
        return draw(self.machine, verdict)


def facts_of(shape: int) -> dict[str, int]:
    """The guards of a shape by name, and ``tls``."""
    facts = {name: shape >> bit & 1 for name, bit in GUARDS.items()}
    facts["tls"] = tls_changed(shape)
    return facts


def run_window(
    kernel: Kernel,
    backend: Backend,
    facts: Mapping[str, int],
    *,
    unit_type: int = UNIT_SWITCH,
    items: Sequence[int] = (),
    ops: Sequence[str] = (),
    rules: Watch | None = None,
    policy: Policy = POLICIES[DEFAULT_POLICY],
    keep: bool = False,
) -> Outcome:
    """Step one unit.

    *facts* are the guards of a switch (empty for the other units); *items* a
    sequence's, *ops* the op table its OP items index.  *rules* default to all.
    *keep* keeps the machine with its steps although no rule was broken.
    """
    watch = watch_all() if rules is None else rules
    machine = Machine(backend, policy=policy, rules=watch, lazy_mmu=kernel.lazy_mmu, simulated=True)
    step = machine.step
    for text, place, repeat, context in unit_steps(
        kernel, backend, facts, unit_type=unit_type, items=items, ops=ops
    ):
        if context is not None:
            machine.context = context
        step(text, place, repeat)
    machine.finish()
    return Outcome(unit_type, machine, keep)


def unit_steps(
    kernel: Kernel,
    backend: Backend,
    facts: Mapping[str, int],
    *,
    unit_type: int = UNIT_SWITCH,
    items: Sequence[int] = (),
    ops: Sequence[str] = (),
) -> Iterator[UnitStep]:
    """What a unit is, op by op; arguments as those of :func:`run_window`."""
    if unit_type == UNIT_SWITCH:
        yield from _switch(kernel, backend, facts)
    elif unit_type == UNIT_NM:
        for op in kernel.nm_ops:
            yield op, "nm", 1, None
    elif unit_type == UNIT_LEAVE_MM:
        for op in kernel.leave_mm_ops:
            yield op, "leave_mm", 1, None
    else:
        assert unit_type == UNIT_SEQ, unit_type
        yield from _sequence(kernel, backend, items, ops)


def _switch(kernel: Kernel, backend: Backend, facts: Mapping[str, int]) -> Iterator[UnitStep]:
    yield "begin", "", 1, switch_context(kernel, backend, facts)
    for place, op, operand, _ in kernel.expand({**facts, **backend.traits}):
        yield f"{op}:{operand}" if operand else op, place, 1, None
    yield "end", "", 1, None


def switch_context(kernel: Kernel, backend: Backend, facts: Mapping[str, int]) -> Context:
    """What the shape says about the state the next task needs."""
    differs = same = live = 0
    if facts["tls"]:
        differs |= res.GDT_TLS
    else:
        same |= res.GDT_TLS
    if facts["mm_differs"] and facts["ldt_differs"]:
        differs |= res.LDT
    if facts["mm_differs"] or facts["lazy_tlb_reload"]:
        differs |= res.CR3
    # From 5.5 iopl() is a special I/O bitmap: EFLAGS.IOPL is always 0 (c8137ace5638).
    if facts["iopl_differs"] and kernel.version < (5, 5):
        differs |= res.IOPL
    if facts["prev_notsc"] != facts["next_notsc"]:
        differs |= res.CR4_TSD
    # TS is clear while prev's registers are live, and must be when next's are restored.
    if kernel.fpu.model == "lazy" and facts["prev_fpu"] != facts["next_eager"]:
        differs |= res.CR0_TS
    if facts["prev_gs"] or facts["next_gs"]:
        differs |= res.BITS[kernel.user_segment]
    # On x86-64 the entry stack is the CPU's own, except under Xen PV.
    if kernel.arch == "i386" or backend.traits["kernel_rpl"]:
        differs |= res.TSS_ESP0
    # After 2.6.32 debug registers are perf's business, before and after the switch.
    if facts["next_dr"] and kernel.version < (2, 6, 33):
        differs |= res.DR
    # A back end that clears a selector in load_tls clears the one that its kernels need cleared.
    if facts["prev_gs"] and backend.reloads_selectors and not backend.table["load_tls"].clears:
        live |= res.BITS[kernel.user_segment]
    return Context(
        differs=differs,
        same=same,
        live=live,
        tls_slots=facts["tls"],
        to_user=not facts["next_kernel"],
        in_irq=bool(facts["in_irq"]),
    )


def _sequence(
    kernel: Kernel, backend: Backend, items: Sequence[int], ops: Sequence[str]
) -> Iterator[UnitStep]:
    outer = Context()
    for item in items:
        kind, payload = item >> ITEM_SHIFT, item & _ITEM_MASK
        if kind == Kind.SET_PTE:
            yield "set_pte", "", payload, outer
        elif kind == Kind.OP:
            yield _token(ops[payload & 0xFFFF], payload >> 16), "", 1, outer
        elif kind == Kind.SWITCH:
            yield from _switch(kernel, backend, facts_of(payload))
        else:
            yield _ITEM_OPS[kind], "", 1, outer


def _token(name: str, operand: int) -> str:
    """An OP event's op: its name in the trace's op table, and the number the event adds."""
    text = f"{name}:{operand}" if operand and ":" not in name else name
    try:
        token = parse(text)
    except ConfigError as error:
        raise TraceError(f"op table of the trace: {error.message}", error.hint) from None
    if token.op.name in ("begin", "end"):
        raise TraceError(f"op table of the trace: {text!r}", "A switch window is a begin and an end event.")
    return text


def draw(machine: Machine, verdict: Verdict) -> list[DrawnStep]:
    """The steps of a sequence as data, the one at fault marked."""
    finding = verdict.finding
    steps = machine.steps
    if len(steps) > DRAWN_MAX:
        wanted = {finding.step, *finding.related}
        near = DRAWN_MAX // (2 * len(wanted)) - 1
        steps = [view for view in steps if any(abs(view.index - at) <= near for at in wanted)]
    return [
        DrawnStep(
            index=view.index,
            op=view.op if view.repeat == 1 else f"{view.op} x{view.repeat}",
            disposition=view.how,
            detail=view.detail(),
            mark=view.index == finding.step,
        )
        for view in steps
    ]

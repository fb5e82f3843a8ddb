"""P7 window: an interrupt, NMI or fault between two writes that must agree

What it does
    Fires for an interrupt, NMI or fault whose handler reads two resources that
    belong together, when one of them has taken effect in this switch and the
    other is written only later, or is still queued. The pairs: CR3 and current,
    CR3 and the GDT, FPU.owner (the flag that says whose registers the FPU holds)
    and CR0.TS, a selector and its base. What a handler reads is its operand:
    vmalloc (CR3 and current), gdt (CR3 and GDT), fpu (FPU.owner and CR0.TS),
    selector (fs, gs and their bases), resources, or several joined by "+":
    fault:vmalloc, nmi:gdt+fpu, irq_enter:CR3+current.

Why it is bad
    The handler sees a state that never existed for any task.

Example that fires
    pvreplay check 'begin write_cr3 fault:vmalloc set_current end' --backend native
      fires at step 2
    pvreplay check 'begin write_cr3 nmi:gdt nmi_exit load_gdt end' --backend native
      fires at step 2
    pvreplay check 'begin fpu_save nmi:fpu nmi_exit set_ts end' --backend native
      fires at step 2
    pvreplay check 'begin enter_cpu write_cr3 set_current fault:vmalloc leave_cpu end' --backend xen
      fires at step 4

Example that stays silent
    pvreplay check 'begin write_cr3 set_current fault:vmalloc end' --backend native
    pvreplay check 'begin enter_cpu write_cr3 set_current fault:vmalloc leave_cpu end' --backend native
    pvreplay check 'begin enter_cpu write_cr3 fault:vmalloc leave_cpu set_current end' --backend xen

What it cannot see
    What a handler without an operand reads. A window nothing happened to fall
    into: --inject looks for those.

Bugs it would have caught
    vmalloc faults using current->mm (2001). Xen's 27a9d6d6143f ("Fix NMI race
    with context switch", 2005) and a711f6f24a71 (2017, hypervisor). 45948d7720e8
    ("x86_64: save FPU context slightly later", v2.6.17-rc1).

Sources
    linux-kernel, 2001 (B. Gerst); the commits named.
"""

from __future__ import annotations

from pvreplay.machine import resources as res
from pvreplay.machine.view import View
from pvreplay.rules.base import Rule

PAIRS = (
    (res.CR3, res.CURRENT),
    (res.CR3, res.BITS["GDT"]),
    (res.FPU_OWNER, res.CR0_TS),
    (res.BITS["fs"], res.BITS["fs.base"]),
    (res.BITS["gs"], res.BITS["gs.base"]),
)
CLASSES = {
    "vmalloc": res.CR3 | res.CURRENT,
    "gdt": res.CR3 | res.BITS["GDT"],
    "fpu": res.FPU_OWNER | res.CR0_TS,
    "selector": sum(res.BITS[name] for name in ("fs", "fs.base", "gs", "gs.base")),
}
EVENTS = frozenset({"irq_enter", "nmi_enter", "fault_enter"})
_SECONDS = frozenset(
    {
        "set_current",
        "load_gdt",
        "write_cr3",
        "write_cr0",
        "clts",
        "fpu_save",
        "fpu_restore",
        "loadsegment",
        "load_gs_index",
        "write_msr",
    }
)


class Window(Rule):
    code = "P7"
    name = "window"
    severity = "error"
    summary = "an interrupt, NMI or fault between two writes that must agree"
    advice = "Make both writes take effect with nothing in between, or have the handler read only one."
    ops = EVENTS | _SECONDS
    needs = ("irq",)

    def check(self, view: View) -> None:
        machine = view.machine
        if not machine.interrupted or not view.in_window:
            return
        if view.name in EVENTS:
            for one, other in _pairs_of(view):
                self._judge_queued(view, one, other)
            return
        for event in machine.steps[machine.window_start + 1 : -1]:
            if event.name in EVENTS:
                for one, other in _pairs_of(event):
                    if view.disposition.writes & other:
                        self._judge(event, view, one, other)

    def _judge(self, event: View, second: View, one: int, other: int) -> None:
        """*second* writes *other* after *event*: had *one* taken effect by then, and *other* not?"""
        written = _written_before(event, one)
        if written and not event.pending & one and not _written_before(second, other):
            self.report(
                event,
                f"{res.text(one)} is next's since step {written[-1].index}, "
                f"{res.text(other)} only from step {second.index}",
                key=res.text(one | other),
                related=(written[-1].index, second.index),
            )

    def _judge_queued(self, event: View, one: int, other: int) -> None:
        """Has *one* taken effect while the write of *other* is still queued?"""
        written = _written_before(event, one)
        if written and event.pending & other and not event.pending & one:
            at = event.machine.since[other]
            self.report(
                event,
                f"{res.text(one)} is next's since step {written[-1].index}, "
                f"{res.text(other)} is queued since step {at}",
                key=res.text(one | other),
                related=(written[-1].index, at),
            )


def _written_before(event: View, resource: int) -> list[View]:
    """The steps of the switch before *event* that write *resource*, queued or not."""
    machine = event.machine
    steps = machine.steps[machine.window_start + 1 : event.index]
    return [step for step in steps if step.disposition.writes & resource]


def _pairs_of(event: View) -> list[tuple[int, int]]:
    """The pairs that the handler of *event* reads both halves of, either half first."""
    reads = handler_reads(event.disposition.token.operand)
    both = [pair for pair in PAIRS if reads & pair[0] and reads & pair[1]]
    return [pair for one, other in both for pair in ((one, other), (other, one))]


def handler_reads(operand: str) -> int:
    """What the handler of an event with this operand reads; 0 when nothing is known."""
    mask = 0
    for name in operand.split("+"):
        mask |= _read(name) or 0
    return mask


def unknown_reads(operand: str) -> list[str]:
    """The names in an event's operand that are neither a class of handlers nor a resource."""
    return [name for name in operand.split("+") if operand and _read(name) is None]


def _read(name: str) -> int | None:
    return CLASSES.get(name) or res.lookup(name)


def reads_alone(operand: str) -> int:
    """What the handler of such an event reads beside the pairs that it reads both halves of."""
    reads = handler_reads(operand)
    paired = sum({half for pair in PAIRS if reads & pair[0] and reads & pair[1] for half in pair})
    return reads & ~paired

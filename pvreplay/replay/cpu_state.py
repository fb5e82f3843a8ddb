"""What the step engine knows of a CPU and of a task: plain objects.

A CPU's :class:`Recorder` records sequences of ops item by item.  A sequence
opens with the first item that belongs to one, and closes when the CPU is in no
lazy MMU section, no interrupt or fault and no begin..end window (a window
keeps it open after its end until the return to user mode, or the next begin).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pvreplay.errors import TraceError
from pvreplay.machine.shape import ITEM_SHIFT
from pvreplay.trace.events import Kind

MAX_ITEMS = 1 << 16
"""Items of one sequence, neighbours of SET_PTE being one."""

ENTERS = {Kind.IRQ_ENTER: "irq", Kind.NMI_ENTER: "nmi", Kind.FAULT_ENTER: "fault"}
EXITS = {Kind.IRQ_EXIT: "irq", Kind.NMI_EXIT: "nmi", Kind.FAULT_EXIT: "fault"}
IDLE_KINDS = {*ENTERS, *EXITS, Kind.USER}
"""A sequence of nothing else is dropped: nothing happened in it."""
_MAX_PAYLOAD = (1 << ITEM_SHIFT) - 1


class Recorder:
    """The lazy MMU, interrupt and window state of one CPU, and its open sequence."""

    def __init__(self) -> None:
        self.items: list[int] | None = None
        self.opened_event = 0
        self.opened_time_ns = 0
        self.opened_task = 0
        self.lazy_mmu = 0
        self.switched_in_section = False
        self.in_window = False
        self.after_window = False
        self.depth = {"irq": 0, "nmi": 0, "fault": 0}

    @property
    def in_interrupt(self) -> bool:
        """Whether an interrupt or NMI is being handled (a fault may sleep and switch: it does not count)."""
        return self.depth["irq"] > 0 or self.depth["nmi"] > 0

    @property
    def busy(self) -> bool:
        """Whether the CPU is inside anything that has an end of its own."""
        return self.lazy_mmu > 0 or self.in_window or any(self.depth.values())

    @property
    def complete(self) -> bool:
        """Whether the open sequence ends here."""
        return self.items is not None and not self.busy and not self.after_window

    def push(self, kind: int, payload: int, event: int, time_ns: int, task: int) -> None:
        """Add an item, opening a sequence if none is open."""
        if self.items is None:
            self.items = []
            self.opened_event, self.opened_time_ns, self.opened_task = event, time_ns, task
        if kind == Kind.SET_PTE and self.items and self.items[-1] >> ITEM_SHIFT == Kind.SET_PTE:
            both = (self.items[-1] & _MAX_PAYLOAD) + payload
            if both <= _MAX_PAYLOAD:
                self.items[-1] = kind << ITEM_SHIFT | both
                return
        self.items.append(kind << ITEM_SHIFT | payload)
        if len(self.items) > MAX_ITEMS:
            raise TraceError(
                f"a lazy MMU section or op window of more than {MAX_ITEMS} operations on one CPU"
            )

    def close(self) -> tuple[int, ...]:
        """End the open sequence; its items, () when nothing but interrupts came and went."""
        items = tuple(self.items or ())
        self.items = None
        self.in_window = self.after_window = self.switched_in_section = False
        if all(item >> ITEM_SHIFT in IDLE_KINDS for item in items):
            return ()
        return items

    def forget_interrupts(self) -> None:
        """The next task, or user mode, is in no interrupt or fault."""
        for name in self.depth:
            self.depth[name] = 0

    def enter_lazy_mmu(self) -> None:
        """Nesting is counted, until a switch left the mode of another task on: then it is on or off."""
        self.lazy_mmu = 1 if self.switched_in_section else self.lazy_mmu + 1

    def switch_in_section(self) -> None:
        """Somebody else runs now, the mode stays on."""
        self.lazy_mmu = 1
        self.switched_in_section = True


@dataclass(slots=True)
class TaskState:
    """A task; the idle task of a CPU has id 0."""

    id: int
    mm: int = 0
    tls: list[int] = field(default_factory=lambda: [0, 0, 0])
    iopl: int = 0
    io_bitmap: bool = False
    dr: bool = False
    notsc: bool = False
    gs: bool = False
    blockstep: bool = False
    ts_usedfpu: bool = False
    used_math: bool = False
    fpu_counter: int = 0
    parked: bool = False
    user: bool = False
    """No kernel thread.  A user task that has given up its mm still has FPU registers to save."""


class CpuState:
    """A CPU: who runs there, and what it holds of an mm."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.idle = self.current = TaskState(0)
        self.active_mm = 0
        self.tlb: Literal["init", "ok", "lazy"] = "init"
        self.in_mask = False
        self.started = False
        self.target: TaskState | None = None
        self.last_time_ns = 0
        self.rec = Recorder()

    def use_mm(self, mm: int) -> None:
        """The page tables of a user task: TLBSTATE_OK, own bit in the mm's mask."""
        self.active_mm, self.tlb, self.in_mask = mm, "ok", True

    def enter_lazy_tlb(self) -> None:
        """Run without an mm on the page tables that are there."""
        if self.tlb == "ok":
            self.tlb = "lazy"

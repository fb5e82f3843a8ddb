"""The machine: one CPU, its lazy mode, the backend's queue and the scoreboard, stepped one op at a time.

A queued write is *pending* until the queue is flushed.  Every step compares
what its op reads and writes with what is pending, and hands a :class:`View` to
the rules that asked for steps of that sort.
"""

from __future__ import annotations

from typing import Final

from pvreplay.machine import backend as be
from pvreplay.machine import view as vw
from pvreplay.machine.backend import MODE_CPU, MODE_MMU, MODE_NONE, Backend
from pvreplay.machine.context import Context
from pvreplay.machine.execution import Execution
from pvreplay.machine.policy import DEFAULT_POLICY, POLICIES, Policy
from pvreplay.machine.queue import Flush
from pvreplay.machine.view import View
from pvreplay.machine.watch import Watch

__all__ = ["HISTORY_MAX", "Context", "Machine", "Watch"]

_SECTION_ENDS: Final = ("enter_lazy_mmu", "leave_lazy_mmu")
HISTORY_MAX: Final = 4096
"""Steps remembered for drawings; a longer sequence forgets its middle, never its counts."""


class Machine(Execution):
    """One CPU on *backend*.

    Counts are attributes: *hypercalls*, *entries*, *traps*, *rom_calls*,
    *flushes*, *batch_sizes*, *by_op* (hypercalls, entries, traps, ROM calls,
    how often), *switches* (the four counts of each begin..end).  *steps* is the
    history, *found* the findings.  The policy changes what an order does only
    where the order breaks another policy: a section inside a section, CPU mode
    inside a section.  *simulated*: a kernel is; what its modes do is then the
    kernel's business (none counts sections, only start_context_switch parks one)
    and the policy does no more than judge.  *lazy_mmu* False: the kernel has no
    lazy MMU mode, its sections are bookkeeping only.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        policy: Policy = POLICIES[DEFAULT_POLICY],
        rules: Watch | None = None,
        context: Context | None = None,
        lazy_mmu: bool = True,
        simulated: bool = False,
    ) -> None:
        super().__init__(backend, context or Context(), lazy_mmu)
        self.policy = policy
        self._counts_sections = policy.nesting == "counted" and not simulated
        self._suspends = policy.suspends and not simulated
        self._watch = rules
        # The lazy mode's section inside sections, and what a switch has set aside.
        self.depth = 0
        self.parked = False
        self.flag: bool | None = None
        self.window = 0
        self.window_start = -1
        self.window_mmu = False
        self.interrupted = False
        self.switches: list[tuple[int, int, int, int]] = []
        self._at_begin = (0, 0, 0, 0)
        self.index = 0
        self.steps: list[View] = []
        self.found: list[object] = []

    # --- one step --------------------------------------------------------------------------------

    def step(self, text: str, place: str = "", repeat: int = 1) -> View:
        """Step the op *text*, *repeat* times; *place* is the kernel's name for the step it belongs to."""
        op = self._table[text]
        index = self.index
        view = View(self, index, op, place, repeat)
        self.index = index + 1
        if self.irq_depth:
            view.flags = vw.IN_IRQ
        kind = op.kind
        if kind == be.MARK:
            self._mark(view, op.name)
        else:
            if kind == be.MODE:
                self._transition(view, op.name)
            else:
                self._perform(view, op, kind, repeat)
            self._account(view, op.name, repeat)
        view.mode_after = self.mode
        view.queue = self.queue.length
        view.pending = self.pending
        if index < HISTORY_MAX:
            self.steps.append(view)
        else:
            self.steps[-1] = view
        if self._watch is not None:
            for check in self._watch.of(op.name, view.flags):
                check(view)
        if kind == be.MARK:
            self._after_mark(op.name)
        return view

    def finish(self) -> None:
        """The sequence is over: close a window that has no end, let the rules look at what is left."""
        self._close_window()
        if self._watch is not None:
            for judge in self._watch.at_end:
                judge(self)

    def forget(self) -> None:
        """Let go of the steps, which know the machine: nothing is left for the garbage collector."""
        self.steps.clear()
        self.early.clear()

    # --- lazy modes -------------------------------------------------------------------------------

    def _transition(self, view: View, name: str) -> None:
        if self.irq_depth and self._counts_sections and name in _SECTION_ENDS:
            view.how = "nothing"  # generic2025: no effect in interrupt context
            return
        view.flags |= vw.MODE
        view.how = "mode"
        if name == "leave_lazy_cpu" or name == "end_context_switch":
            self._leave(view, MODE_CPU)
            if self.parked:
                self.parked = False
                self._enter(view, MODE_MMU)
        elif name == "enter_lazy_cpu" or name == "start_context_switch":
            if self.mode == MODE_MMU and (self._suspends or name == "start_context_switch"):
                view.flags |= vw.PARKED
                self._leave(view, MODE_MMU, reason="park")
                self.parked = True
            self._enter(view, MODE_CPU)
        elif name == "enter_lazy_mmu" or name == "resume":
            self._enter(view, MODE_MMU)
        elif name == "leave_lazy_mmu":
            self._leave(view, MODE_MMU)
        elif name == "park":
            self._leave(view, MODE_MMU, reason="park")
        else:
            self._flush_op(view)

    def _enter(self, view: View, mode: int) -> None:
        if mode == MODE_MMU and self.mode == MODE_NONE and not self.in_window:
            self.window += 1
        if mode == MODE_MMU and self.mode == MODE_MMU and self._counts_sections:
            self.depth += 1
            return
        if self._lazy[mode]:
            row = self.backend.modes.get("enter_cpu" if mode == MODE_CPU else "enter_mmu")
            if row is not None:
                view.rom_calls += row.rom_calls
                if row.flush != "never":
                    self._drain(view, "enter")
                if row.rom_calls and self.backend.enter_crosses and not self._unbatched:
                    view.hypercalls += row.rom_calls
        if self.mode == MODE_NONE:
            self.section_ops = 0
        if self.mode != mode:
            self.entered = view.index
        self.mode = mode
        if mode == MODE_CPU and self.in_window:
            self.window_used_cpu = True

    def _leave(self, view: View, mode: int, reason: str = "") -> None:
        reason = reason or ("leave_cpu" if mode == MODE_CPU else "leave_mmu")
        view.deferred = self.section_ops
        if self._lazy[mode]:
            row = self.backend.modes.get("leave_cpu" if mode == MODE_CPU else "leave_mmu")
            if row is not None:
                self._mode_flush(view, row, reason)
        if mode == MODE_MMU and self.depth:
            self.depth -= 1  # an inner level flushes, the mode stays on
            return
        if mode == MODE_MMU:
            self.window_mmu = False
        self.mode = MODE_NONE
        self.entered = -1

    def _flush_op(self, view: View) -> None:
        row = self.backend.modes.get("flush")
        if row is not None and (
            self._lazy[self.mode] or (row.any_mode and not self.mode and self._lazy[MODE_MMU])
        ):
            self._mode_flush(view, row, "explicit")

    def _mode_flush(self, view: View, row: be.ModeRow, reason: str) -> None:
        view.rom_calls += row.rom_calls
        if self._unbatched or row.flush == "never":
            return
        if row.flush == "always" and not self.queue.length:
            self._flushed(view, Flush(reason, 0, 1), 1)
        else:
            self._drain(view, reason)
        view.how = "flush" if view.flush else view.how

    # --- events -------------------------------------------------------------------------------------

    def _close_window(self) -> None:
        if not self.in_window:
            return
        before = self._at_begin
        self.switches.append(
            (
                self.hypercalls - before[0],
                self.entries - before[1],
                self.traps - before[2],
                self.rom_calls - before[3],
            )
        )
        self.in_window = False

    def _mark(self, view: View, name: str) -> None:
        view.flags |= vw.MARK
        view.how = "event"
        if name == "begin":
            self._close_window()
            self.window += 1
            self.in_window = True
            self.window_start = view.index
            self.window_used_cpu = self.mode == MODE_CPU
            self.window_mmu = self.mode == MODE_MMU
            self.early.clear()
            self.interrupted = False
            self.issued = self.clobbered = 0
            self._at_begin = (self.hypercalls, self.entries, self.traps, self.rom_calls)
        elif name == "irq_enter" or name == "nmi_enter":
            self.irq_depth += 1
            self.interrupted = True
        elif name == "fault_enter":
            self.interrupted = True
        elif name == "flag_en":
            self.flag = True
        elif name == "flag_dis":
            self.flag = False

    def _after_mark(self, name: str) -> None:
        if name == "end":
            self._close_window()
        elif name == "begin":
            self.irq_depth = 0  # whoever runs next is in no interrupt
        elif (name == "irq_exit" or name == "nmi_exit") and self.irq_depth:
            self.irq_depth -= 1

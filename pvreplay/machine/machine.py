"""The machine: one CPU, its lazy mode, the backend's queue and the scoreboard, stepped one op at a time.

A queued write is *pending* until the queue is flushed.  Every step compares
what its op reads and writes with what is pending, and hands a :class:`View` to
the rules that asked for steps of that sort.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from pvreplay.machine import backend as be
from pvreplay.machine import resources as res
from pvreplay.machine import view as vw
from pvreplay.machine.backend import MODE_CPU, MODE_MMU, MODE_NONE, Backend, Disposition
from pvreplay.machine.policy import DEFAULT_POLICY, POLICIES, Policy
from pvreplay.machine.queue import Flush, make_queue
from pvreplay.machine.view import View

HISTORY_MAX: Final = 4096
"""Steps remembered for drawings; a longer sequence forgets its middle, never its counts."""


class Watcher(Protocol):
    """What the machine knows of a rule: when to call it, and how."""

    flags: int
    ops: frozenset[str]

    def check(self, view: View) -> None:
        """Look at one step; findings go to ``view.machine.found``."""
        ...

    def at_end(self, machine: Machine) -> None:
        """Look at the state when the sequence is over."""
        ...


class Watch:
    """Rules, and for each sort of step those that want to see it; shared by many machines."""

    __slots__ = ("_by_step", "rules")

    def __init__(self, rules: Sequence[Watcher]) -> None:
        self.rules = tuple(rules)
        self._by_step: dict[tuple[str, int], tuple[Callable[[View], None], ...]] = {}

    def of(self, name: str, flags: int) -> tuple[Callable[[View], None], ...]:
        """The checks that want a step of the op *name* with these *flags*."""
        key = (name, flags)
        checks = self._by_step.get(key)
        if checks is None:
            checks = tuple(rule.check for rule in self.rules if rule.flags & flags or name in rule.ops)
            self._by_step[key] = checks
        return checks


class Context:
    """What an order of ops needs to know beyond the ops.

    *want* and *hw* give the value a resource must have for the next task and
    the one it has.  *differs* is the mask of resources whose value for next is
    known to differ from what the hardware holds, *same* of those known to be
    equal.  *live*: selectors that name a TLS entry and are not cleared by the
    backend.  *volatile*: resources others can change behind a shadow.
    *scrub*: residue without an owner that must not outlive the switch.
    *tls_slots*: how many TLS slots change.  *to_user*: the order is a whole
    switch to a task that goes on to user mode.  *no_resident*: no other task's
    registers may be left behind a trap bit.
    """

    __slots__ = (
        "differs",
        "hw",
        "live",
        "no_resident",
        "same",
        "scrub",
        "tls_slots",
        "to_user",
        "volatile",
        "want",
    )

    def __init__(
        self,
        *,
        want: Mapping[int, str] | None = None,
        hw: Mapping[int, str] | None = None,
        differs: int = 0,
        same: int = 0,
        live: int = 0,
        volatile: int = 0,
        scrub: int = 0,
        tls_slots: int | None = None,
        to_user: bool = False,
        no_resident: bool = False,
    ) -> None:
        self.want = dict(want or {})
        self.hw = dict(hw or {})
        self.differs = differs
        self.same = same
        for bit, value in self.want.items():
            if bit in self.hw:
                if self.hw[bit] == value:
                    self.same |= bit
                else:
                    self.differs |= bit
        self.live = live
        self.volatile = volatile
        self.scrub = scrub
        self.tls_slots = tls_slots if tls_slots is not None else 0 if self.same & res.GDT_TLS else 3
        self.to_user = to_user
        self.no_resident = no_resident


class Machine:
    """One CPU on *backend*.

    Counts are attributes: *hypercalls*, *entries*, *traps*, *rom_calls*,
    *flushes*, *batch_sizes*, *by_op* (hypercalls, entries, traps, ROM calls,
    how often), *switches* (the four counts of each begin..end).  *steps* is the
    history, *found* the findings.  The policy changes what an order does only
    where the order breaks another policy: a section inside a section, CPU mode
    inside a section.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        policy: Policy = POLICIES[DEFAULT_POLICY],
        rules: Watch | None = None,
        context: Context | None = None,
    ) -> None:
        self.backend = backend
        self.policy = policy
        self._watch = rules
        self.context = context or Context()
        self._table = backend.table
        self._unbatched = backend.form == "unbatched"
        self._lazy = backend.form != "nolazy"
        self._defers = not backend.form
        self.queue = make_queue(backend.queue)
        # The lazy mode as the callers see it, the step it was entered at, sections inside it.
        self.mode = MODE_NONE
        self.entered = -1
        self.depth = 0
        self.section_ops = 0
        self.parked = False
        self.flag: bool | None = None
        self.irq_depth = 0
        self.in_window = False
        self.window = 0
        self.window_start = -1
        self.window_used_cpu = False
        self.window_mmu = False
        self.early: list[View] = []
        self.issued = 0
        """Resources written since the window began, queued or not."""
        # Scoreboard: resources with a queued write, and the step that queued it.
        self.pending = 0
        self.since: dict[int, int] = {}
        self.vias: dict[str, int] = {}
        self.values: dict[int, str] = {}
        self.effective: dict[int, str] = dict(self.context.hw)
        self.clobbered = 0
        """Selectors an op of this window cleared on its own account."""
        # Counts.
        self.index = 0
        self.hypercalls = self.entries = self.traps = self.rom_calls = 0
        self.flushes: dict[str, int] = {}
        self.batch_sizes: dict[int, int] = {}
        self.by_op: dict[str, list[int]] = {}
        self.undeferrable: dict[str, int] = {}
        self.switches: list[tuple[int, int, int, int]] = []
        self._at_begin = (0, 0, 0, 0)
        self.steps: list[View] = []
        self.found: list[object] = []

    # --- one step --------------------------------------------------------------------------------

    def step(self, text: str, place: str = "", repeat: int = 1) -> View:
        """Step the op *text*, *repeat* times; *place* is the kernel's name for the step it belongs to."""
        op = self._table[text]
        view = View(self, self.index, op, place, repeat)
        self.index += 1
        if self.irq_depth:
            view.flags = vw.IN_IRQ
        kind = op.kind
        if kind == be.MODE:
            self._transition(view, op)
        elif kind == be.MARK:
            self._mark(view, op)
        else:
            self._perform(view, op, kind, repeat)
        view.finish(self)
        if kind != be.MARK:
            self._account(view, op.name, repeat)
        if len(self.steps) < HISTORY_MAX:
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
            for rule in self._watch.rules:
                rule.at_end(self)

    # --- ops ----------------------------------------------------------------------------------------

    def _perform(self, view: View, op: Disposition, kind: int, repeat: int) -> None:
        mode = self.mode
        lazy = mode if self._lazy and not (self.irq_depth and self.backend.irq_ignores_lazy) else MODE_NONE
        if self.in_window:
            self.issued |= op.writes
            if mode != MODE_CPU and op.modes >> MODE_CPU & 1 and self._defers:
                view.flags |= vw.OUTSIDE
                if not self.window_used_cpu:
                    self.early.append(view)
            elif mode == MODE_CPU and (kind == be.HYPERCALL or kind == be.TRAP):
                self.undeferrable[op.name] = self.undeferrable.get(op.name, 0) + repeat
        if mode and op.modes:
            self.section_ops += repeat
        if op.per_slot:
            slots = self.context.tls_slots
            if not slots:
                view.how = "skipped"
                return
        else:
            slots = 1
        if kind == be.QUEUE:
            if op.modes >> lazy & 1:
                self._enqueue(view, op, op.entries * slots, repeat)
            else:
                self._outside(view, op, op.entries * slots, lazy, repeat)
        elif kind == be.ROM:
            self._rom(view, op, slots, lazy, repeat)
        elif kind == be.PLAIN:
            self._hazards(view, op)
        elif kind == be.HYPERCALL:
            self._hypercall(view, op, repeat)
        elif kind == be.TRAP:
            self._trap(view, op, repeat)
        else:
            view.how = "nothing"
        if op.clears and lazy == MODE_CPU:
            self.clobbered |= op.clears
        if op.token.value and not view.flags & vw.QUEUED:
            self.effective[op.writes] = op.token.value

    def _hazards(self, view: View, op: Disposition) -> None:
        """An op takes effect now: what of its resources is still queued?"""
        pending = self.pending
        if pending:
            if pending & op.reads:
                view.raw = pending & op.reads
                view.flags |= vw.RAW
            if pending & op.writes:
                view.waw = pending & op.writes
                view.flags |= vw.WAW
            if view.raw | view.waw:
                view.since = {bit: at for bit, at in self.since.items() if bit & (view.raw | view.waw)}

    def _trap(self, view: View, op: Disposition, repeat: int) -> None:
        self._hazards(view, op)
        view.how = "trap"
        view.flags |= vw.TRAPPED
        view.traps += repeat

    def _hypercall(self, view: View, op: Disposition, repeat: int) -> None:
        view.how = "immediate"
        if op.drains:
            self._drain(view, "forced")
        if self.backend.hypercall_drains and self.queue.length:
            # The host takes the queue along with the first of the calls: one crossing for both.
            self._drain(view, "immediate_op", crossings=0)
        self._hazards(view, op)
        view.hypercalls += repeat

    def _enqueue(self, view: View, op: Disposition, entries: int, repeat: int) -> None:
        view.how = "queued"
        view.flags |= vw.QUEUED
        index = view.index
        if self._unbatched:
            total = entries * repeat
            view.hypercalls += total
            view.entries += total
            self._count_flush(view, "unbatched", 1, total)
            return
        dead = self.pending & op.writes & ~res.PTE
        if dead:
            view.since = {bit: at for bit, at in self.since.items() if bit & dead}
        put = self.queue.put
        arg_bytes, call, extend, callbacks = op.arg_bytes, op.call, op.extend, op.callbacks
        if repeat > 1:
            self._enqueue_run(view, op, entries, repeat)
        else:
            for number in range(entries):
                new, flush = put(arg_bytes, call, extend, callbacks if number == 0 else 0)
                view.entries += new
                if flush is not None:
                    self._flushed(view, flush, 1)
        if dead and not view.flush:
            view.dead = dead
            view.flags |= vw.DEAD
        if not self.queue.length:
            return  # a full ring: the call itself went out, after everything queued
        writes = op.writes
        self.pending |= writes
        while writes:
            low = writes & -writes
            self.since[low] = index
            writes ^= low
        if op.token.via:
            self.vias[op.token.via] = index
        if op.token.value:
            self.values[op.writes] = op.token.value

    def _enqueue_run(self, view: View, op: Disposition, entries: int, repeat: int) -> None:
        """*repeat* equal ops: step until the queue has flushed itself twice, then jump by whole periods.

        Right after a flush of its own the queue holds that one op and nothing
        else, so from the second flush on every period is like the one before.
        """
        put = self.queue.put
        size, call, extend, callbacks = op.arg_bytes, op.call, op.extend, op.callbacks
        done = 0
        last = -1
        entries_last = 0
        while done < repeat:
            flushes = []
            for number in range(entries):
                new, flush = put(size, call, extend, callbacks if number == 0 else 0)
                view.entries += new
                if flush is not None:
                    flushes.append(flush)
            done += 1
            if not flushes:
                continue
            for flush in flushes:
                self._flushed(view, flush, 1)
            if last >= 0 and len(flushes) == 1 and entries == 1:
                period = done - last
                jumps = (repeat - done) // period
                if jumps:
                    view.entries += jumps * (view.entries - entries_last)
                    self._flushed(view, flushes[0], jumps)
                    done += jumps * period
            last = done
            entries_last = view.entries

    def _outside(self, view: View, op: Disposition, entries: int, lazy: int, repeat: int) -> None:
        """A queueable op while its mode is not on."""
        outside = op.outside
        if outside == be.OUT_TRAP:
            self._trap(view, op, repeat)
        elif outside == be.OUT_PLAIN:
            self._hazards(view, op)
        elif outside == be.OUT_HYPERCALL:
            self._hypercall(view, op, repeat)
        elif self._unbatched:
            view.how = "immediate"
            view.hypercalls += entries * repeat
            view.entries += entries * repeat
            self._count_flush(view, "unbatched", 1, entries * repeat)
        else:
            # Appended to what is queued, and everything flushed in order: no hazard.
            reason = "other_class" if lazy else "irq" if self.mode and self.irq_depth else "immediate_op"
            view.how = "immediate"
            for _ in range(min(repeat, 2)):
                for number in range(entries):
                    new, flush = self.queue.put(
                        op.arg_bytes, op.call, op.extend, op.callbacks if number == 0 else 0
                    )
                    view.entries += new
                    if flush is not None:
                        self._flushed(view, flush, 1)
                last = self._drain(view, reason)
            if repeat > 2:
                view.entries += (repeat - 2) * last.entries
                self._flushed(view, last, repeat - 2)

    def _rom(self, view: View, op: Disposition, slots: int, lazy: int, repeat: int) -> None:
        times = slots * repeat
        view.rom_calls += op.rom_calls * times
        deferred = op.deferred[lazy] * slots
        crossing = op.rom_crossing[lazy] * times
        if crossing:
            if (op.drains or self.backend.hypercall_drains) and self.queue.length:
                self._drain(view, "forced" if op.drains else "immediate_op", crossings=0)
            self._hazards(view, op)
            view.how = "rom-call"
            view.hypercalls += crossing
            if self.in_window and self.mode == MODE_CPU:
                self.undeferrable[op.name] = self.undeferrable.get(op.name, 0) + crossing
        elif not deferred:
            self._hazards(view, op)
            view.how = "rom-local" if op.rom_calls else "plain"
        if deferred:
            self._enqueue(view, op, deferred, repeat)

    # --- flushing -------------------------------------------------------------------------------

    def _drain(self, view: View, reason: str, crossings: int | None = None) -> Flush:
        """Empty the queue now.  *crossings* overrides what that takes (0: it rides on another call)."""
        length, needed = self.queue.take()
        if crossings is not None:
            needed = crossings
        flush = Flush(reason, length, needed)
        if length:
            self._flushed(view, flush, 1)
            if view.disposition.kind < be.MODE and (length > view.entries or crossings == 0):
                view.flags |= vw.DRAINED
        return flush

    def _flushed(self, view: View, flush: Flush, times: int) -> None:
        view.hypercalls += flush.crossings * times
        self._count_flush(view, flush.reason, flush.entries, times)
        self.pending = 0
        self.since.clear()
        self.vias.clear()
        if self.values:
            self.effective.update(self.values)
            self.values.clear()

    def _count_flush(self, view: View, reason: str, entries: int, times: int) -> None:
        view.flush = reason
        view.flushed += entries * times
        self.flushes[reason] = self.flushes.get(reason, 0) + times
        self.batch_sizes[entries] = self.batch_sizes.get(entries, 0) + times

    def _account(self, view: View, name: str, repeat: int) -> None:
        self.hypercalls += view.hypercalls
        self.entries += view.entries
        self.traps += view.traps
        self.rom_calls += view.rom_calls
        view.cost = (self.hypercalls, self.entries, self.traps, self.rom_calls)
        row = self.by_op.get(name)
        if row is None:
            row = self.by_op[name] = [0, 0, 0, 0, 0]
        row[0] += view.hypercalls
        row[1] += view.entries
        row[2] += view.traps
        row[3] += view.rom_calls
        row[4] += repeat

    # --- lazy modes -------------------------------------------------------------------------------

    def _transition(self, view: View, op: Disposition) -> None:
        view.flags |= vw.MODE
        view.how = "mode"
        name = op.name
        if name == "flush":
            self._flush_op(view)
        elif name == "enter_lazy_mmu":
            self._enter(view, MODE_MMU)
        elif name == "leave_lazy_mmu":
            self._leave(view, MODE_MMU)
        elif name == "park":
            self._leave(view, MODE_MMU, reason="park")
        elif name == "resume":
            self._enter(view, MODE_MMU)
        elif name == "leave_lazy_cpu" or name == "end_context_switch":
            self._leave(view, MODE_CPU)
            if self.parked:
                self.parked = False
                self._enter(view, MODE_MMU)
        else:  # enter_lazy_cpu, start_context_switch
            if self.mode == MODE_MMU and (self.policy.suspends or name == "start_context_switch"):
                view.flags |= vw.PARKED
                self._leave(view, MODE_MMU, reason="park")
                self.parked = True
            self._enter(view, MODE_CPU)

    def _enter(self, view: View, mode: int) -> None:
        if mode == MODE_MMU and self.mode == MODE_NONE and not self.in_window:
            self._open_window()
        if mode == MODE_MMU and self.mode == MODE_MMU and self.policy.nesting == "counted":
            self.depth += 1
            return
        if self._lazy:
            row = self.backend.modes.get("enter_cpu" if mode == MODE_CPU else "enter_mmu")
            if row is not None:
                view.rom_calls += row.rom_calls
                if row.flush != "never":
                    self._drain(view, "enter")
        if self.mode == MODE_NONE:
            self.section_ops = 0
        if self.mode != mode:
            self.entered = view.index
        self.mode = mode
        if mode == MODE_CPU and self.in_window:
            self.window_used_cpu = True

    def _leave(self, view: View, mode: int, reason: str = "") -> None:
        reason = reason or ("leave_cpu" if mode == MODE_CPU else "leave_mmu")
        if self._lazy:
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
        if row is not None and self._lazy and (self.mode or row.any_mode):
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

    def _open_window(self) -> None:
        self.window += 1

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

    def _mark(self, view: View, op: Disposition) -> None:
        view.flags |= vw.MARK
        view.how = "event"
        name = op.name
        if name == "begin":
            self._close_window()
            self._open_window()
            self.in_window = True
            self.window_start = view.index
            self.window_used_cpu = self.mode == MODE_CPU
            self.window_mmu = self.mode == MODE_MMU
            self.early.clear()
            self.issued = self.clobbered = 0
            self._at_begin = (self.hypercalls, self.entries, self.traps, self.rom_calls)
        elif name == "irq_enter" or name == "nmi_enter":
            self.irq_depth += 1
        elif name == "flag_en":
            self.flag = True
        elif name == "flag_dis":
            self.flag = False

    def _after_mark(self, name: str) -> None:
        if name == "end":
            self._close_window()
        elif (name == "irq_exit" or name == "nmi_exit") and self.irq_depth:
            self.irq_depth -= 1

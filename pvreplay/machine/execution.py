"""The effect of ops on one CPU: done at once or queued, what that costs, what is pending."""

from __future__ import annotations

from pvreplay.machine import backend as be
from pvreplay.machine import view as vw
from pvreplay.machine.backend import MODE_CPU, MODE_NONE, Backend, Disposition
from pvreplay.machine.context import Context
from pvreplay.machine.queue import Flush, Rom, make_queue
from pvreplay.machine.view import View


class Execution:
    """Queue, scoreboard and counts of one CPU; :class:`Machine` adds modes, events and rules."""

    def __init__(self, backend: Backend, context: Context, lazy_mmu: bool) -> None:
        self.backend = backend
        self.context = context
        self.queue = make_queue(backend.queue)
        self._table = backend.table
        self._unbatched = backend.form == "unbatched"
        # Whether a mode does anything: none, MMU, CPU.
        modes = backend.form != "nolazy"
        self._lazy = (False, modes and lazy_mmu, modes)
        self._defers = not backend.form
        # The lazy mode as the callers see it, and the step it was entered at.
        self.mode = MODE_NONE
        self.entered = -1
        self.irq_depth = 0
        self.section_ops = 0
        """Deferrable ops since the mode was entered."""
        # The switch window.
        self.in_window = False
        self.window_used_cpu = False
        self.early: list[View] = []
        """Deferrable ops of the window before lazy CPU mode was entered."""
        self.issued = 0
        """Resources written since the window began, queued or not."""
        self.clobbered = 0
        """Selectors an op of this window cleared on its own account."""
        # Scoreboard: resources with a queued write, and the step that queued it.
        self.pending = 0
        self.since: dict[int, int] = {}
        self.vias: dict[str, int] = {}
        self.values: dict[int, str] = {}
        self.effective: dict[int, str] = dict(context.hw)
        # Counts.
        self.hypercalls = self.entries = self.traps = self.rom_calls = 0
        self.flushes: dict[str, int] = {}
        self.batch_sizes: dict[int, int] = {}
        self.by_op: dict[str, list[int]] = {}
        self.undeferrable: dict[str, int] = {}

    # --- ops ----------------------------------------------------------------------------------------

    def _perform(self, view: View, op: Disposition, kind: int, repeat: int) -> None:
        mode = self.mode
        lazy = (
            mode if self._lazy[mode] and not (self.irq_depth and self.backend.irq_ignores_lazy) else MODE_NONE
        )
        if self.in_window:
            # The guest has done its part even where the backend makes nothing of it.
            self.issued |= op.token.writes
            if mode != MODE_CPU and op.modes >> MODE_CPU & 1 and self._defers:
                view.flags |= vw.OUTSIDE
                if not self.window_used_cpu:
                    self.early.append(view)
            elif mode == MODE_CPU and (kind == be.HYPERCALL or kind == be.TRAP) and op.writes:
                self.undeferrable[op.name] = self.undeferrable.get(op.name, 0) + repeat
        if mode and op.modes:
            self.section_ops += repeat
        if op.per_slot:
            slots = self.context.tls_slots if op.slots < 0 else op.slots
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
            self._hypercall(view, op, op.entries * repeat)
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

    def _hypercall(self, view: View, op: Disposition, times: int) -> None:
        view.how = "immediate"
        if op.drains:
            self._drain(view, "forced")
        if self.backend.hypercall_drains and self.queue.length:
            # The host takes the queue along with the first of the calls: one crossing for both.
            self._drain(view, "immediate_op", crossings=0)
        self._hazards(view, op)
        view.hypercalls += times

    def _enqueue(self, view: View, op: Disposition, entries: int, repeat: int) -> None:
        if self._unbatched:
            self._one_by_one(view, entries * repeat)
            return
        view.how = "queued"
        view.flags |= vw.QUEUED
        index = view.index
        dead = self.pending & op.overwrites
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
        if not self.queue.length:  # a full ring: the call itself went out, after everything queued
            if op.token.value:
                self.effective[op.writes] = op.token.value
            return
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
        # Without a limit it would be stepped to the end.
        if isinstance(self.queue, Rom) and self.queue.put_many(entries * repeat):
            view.entries += entries * repeat
            return
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
            self._one_by_one(view, entries * repeat)
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

    def _one_by_one(self, view: View, entries: int) -> None:
        """The unbatched baseline: every entry is a hypercall of its own, at once."""
        view.how = "immediate"
        view.hypercalls += entries
        view.entries += entries
        self._count_flush(view, "unbatched", 1, entries)

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
            if self.in_window and self.mode == MODE_CPU and op.writes:
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
        row = self.by_op.get(name)
        if row is None:
            row = self.by_op[name] = [0, 0, 0, 0, 0]
        row[4] += repeat
        if view.hypercalls:
            self.hypercalls += view.hypercalls
            row[0] += view.hypercalls
        if view.entries:
            self.entries += view.entries
            row[1] += view.entries
        if view.traps:
            self.traps += view.traps
            row[2] += view.traps
        if view.rom_calls:
            self.rom_calls += view.rom_calls
            row[3] += view.rom_calls

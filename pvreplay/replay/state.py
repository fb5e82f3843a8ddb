"""The arrays the loop works on: made here, grown here, read out here.

They are anonymous memory mappings: page-aligned, zero, and free until touched,
so that room for every CPU and mm number costs address space and no memory.
"""

from __future__ import annotations

import contextlib
import mmap
from array import array
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from pvreplay.errors import TraceError, UsageError
from pvreplay.machine.shape import UNIT_LEAVE_MM, UNIT_NM, UNIT_SEQ, UNIT_SWITCH
from pvreplay.replay import _tables_cy as tables
from pvreplay.replay.histogram import Row
from pvreplay.trace.events import CPU_MAX, MM_MAX, TASK_MAX

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.trace.model import Task

MAX_ITEMS: Final = 1 << 16
"""Items of one sequence, after folding; a longer one is refused."""
MAX_SEQUENCES: Final = (1 << 26) - 3
MAX_EVENTS: Final = 1 << 40
"""Events of one trace: first_event has 40 bits (16 TiB of events)."""
EVER: Final = (0, 1 << 64)

# What the loop returns.
MORE_TABLE, MORE_BUF, MORE_ARENA = 1, 2, 3
BAD_CPU, BAD_TASK, BAD_KIND, BAD_MM, BAD_SLOT, BAD_ARG, BAD_OP = 10, 11, 12, 13, 14, 15, 16

# Parameters, in st.
P_CPUS, P_TASKS, P_OPS, P_BITS, P_LIMIT, P_CAP, P_ARENA, P_SEQUENCES, P_SEQBITS = range(32, 41)
P_LAZY_FPU, P_EAGER_FROM, P_ANY_MATH, P_RESET_ON_EXEC, P_PARKS, P_FROM, P_SPAN, P_BASE, P_KEPT = range(41, 50)
P_DROPPED = 50

# Totals, in st too.
S_ROWS, S_SEQUENCES, S_ITEMS, S_SWITCHES, S_SELF, S_DISORDER, S_LOST, S_LOST_UNKNOWN = range(8)
S_UNMATCHED, S_NEXT, S_EARLIEST, S_LATEST, S_HIGHEST_CPU, S_UNFINISHED, S_ANY_LDT, S_TIGHT = range(8, 16)

_SUMS: Final = (S_SWITCHES, S_SELF, S_DISORDER, S_LOST, S_LOST_UNKNOWN, S_UNMATCHED, S_UNFINISHED)
"""The totals that add up; the others are the least, the greatest, or no totals."""

HASH: Final = 0x1E3779B97F4A7C15
_LARGE_BITS = 16
_CPU_WORDS = 32
_HUGE = 8 << 20
_PART = 1 << 16
_MASK64 = (1 << 64) - 1
_NO_MM = 1 << 3
_USEDFPU = 1 << 5
_ANY_IOPL = 1 << 7
_FLAG_BITS = {"used_math": 2, "gs": 9, "dr": 11, "io_bitmap": 13, "notsc": 15, "blockstep": 17}
_SPECIAL, _STARTED = 2, 15
_FOR_PENDING, _NEW, _WINDOWED = 1, 4, 8
_IN_LAZY_TLB = 1 << 30
_SPECIAL_UNITS = {0: UNIT_NM, 1: UNIT_LEAVE_MM}


class Room(NamedTuple):
    """How large the arrays are at first; they grow by factors.  Small values are for tests."""

    table_bits: int = 12
    items: int = 64
    arena: int = 16384
    sequences: int = 1023
    tasks: int = 1024


def _memory(size_bytes: int, *, dense: bool = False) -> memoryview:
    """Zeroed bytes that cost nothing until touched; *dense* ones, mostly used, are there at once."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return memoryview(mmap.mmap(-1, size_bytes))
    # the default is shared memory, which is slower to touch
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    if dense and size_bytes < _HUGE:
        flags |= getattr(mmap, "MAP_POPULATE", 0)
    memory = mmap.mmap(-1, size_bytes, flags=flags)
    if size_bytes >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def _words(count: int, form: Literal["I", "Q"], *, dense: bool = False) -> memoryview:
    return _memory(max(count, 1) * (8 if form == "Q" else 4), dense=dense).cast(form)


class State:
    """The state of one replay: CPUs, tasks, mms, and what was counted so far.

    *nr_cpus* is 1 .. CPU_MAX.  *window_ns* is (from, until): an event counts
    when from <= its time < until; the state follows every event.
    :class:`UsageError` when that is empty.
    """

    def __init__(
        self,
        kernel: Kernel,
        nr_cpus: int,
        *,
        room: Room | None = None,
        window_ns: tuple[int, int] | None = None,
    ) -> None:
        room = room or Room()
        self.nr_cpus = nr_cpus
        self.nr_tasks = 1
        self.at = 0
        self._mms_told: set[int] = set()
        self._task_room = room.tasks
        cpu_memory = _memory(nr_cpus * _CPU_WORDS * 4)
        self.cpus = cpu_memory.cast("I")
        self.clocks = cpu_memory.cast("Q")
        self.tasks = _words(8 * (CPU_MAX + self._task_room), "I")
        self.ldt = _words(MM_MAX, "I")
        self.st = _words(64, "Q")
        self.st[S_EARLIEST] = _MASK64
        for cpu in range(nr_cpus):
            self.cpus[cpu * _CPU_WORDS] = cpu * 8
            self.cpus[cpu * _CPU_WORDS + _SPECIAL] = _NEW | (_WINDOWED if window_ns else 0)
            self.tasks[cpu * 8] = _NO_MM
        self._kernel(kernel)
        start, until = window_ns if window_ns is not None else EVER
        if not 0 <= start < until <= 1 << 64:
            raise UsageError(f"a time window from {start} to {until} ns", "Its start comes before its end.")
        self.st[P_CPUS] = nr_cpus
        self.st[P_TASKS] = self.nr_tasks
        self.st[P_FROM], self.st[P_SPAN] = start, until - start - 1
        self._table(room.table_bits)
        self.buf = _words(nr_cpus * room.items, "Q")
        self.st[P_CAP] = room.items
        self.arena = _words(room.arena, "Q")
        self._sequence_at: list[int] = []
        self.st[P_ARENA], self.st[P_SEQUENCES] = room.arena, room.sequences
        self._seqtab()
        self._room_left()

    def _kernel(self, kernel: Kernel) -> None:
        fpu = kernel.fpu
        lazy = fpu.model == "lazy"
        self.st[P_LAZY_FPU] = lazy
        # the counter has 8 bits: from 256 on means never
        self.st[P_EAGER_FROM] = min(max(fpu.eager_above + 1, 0), 256) if lazy else 256
        self.st[P_ANY_MATH] = not fpu.eager_needs_used_math
        self.st[P_RESET_ON_EXEC] = fpu.reset_on_exec
        self.st[P_PARKS] = kernel.parks
        # what a switch leaves of prev's flags, besides the counter when the FPU was live
        self.st[P_KEPT] = 0xFFFFFF & ~_USEDFPU if lazy else 0xFFFFFF
        # the flags that exit takes away besides those it always does
        self.st[P_DROPPED] = _USEDFPU if not lazy and fpu.drop_on_exit else 0

    # --- what a chunk brings before its events --------------------------------

    def define(self, task: Task) -> None:
        """Take a new task; :class:`TraceError` (without a place) when a number is out of range."""
        _check_task(task, self.nr_tasks)
        if self.nr_tasks >= self._task_room:
            self._task_room *= 4
            self.tasks = _copied(self.tasks, _words(8 * (CPU_MAX + self._task_room), "I"))
        at = 8 * (CPU_MAX + task.id)
        flags = task.iopl | task.fpu_counter << 24
        for name, bit in _FLAG_BITS.items():
            flags |= bool(getattr(task, name)) << bit
        flags |= _ANY_IOPL if task.iopl else 0
        flags |= _USEDFPU if (task.fpu if self.st[P_LAZY_FPU] else task.mm) else 0
        if task.mm == 0:
            flags |= _NO_MM
        elif task.mm not in self._mms_told:
            self._mms_told.add(task.mm)
            if task.ldt:
                self.ldt[task.mm] = task.ldt
                self.st[S_ANY_LDT] = 1
        self.tasks[at], self.tasks[at + 1] = flags, task.mm
        self.tasks[at + 2], self.tasks[at + 3], self.tasks[at + 4] = task.tls
        self.tasks[at + 5] = task.id
        self.nr_tasks += 1
        self.st[P_TASKS] = self.nr_tasks

    def runs_on(self, cpu: int, task: int) -> None:
        """Task *task* (0 is idle) runs on *cpu* before the first event."""
        if not 0 <= cpu < self.nr_cpus:
            raise TraceError(f"task {task} runs on CPU {cpu} in a trace of {self.nr_cpus} CPUs")
        if not 0 <= task < self.nr_tasks:
            raise TraceError(f"task {task} runs on CPU {cpu}, but {self.nr_tasks - 1} tasks are defined")
        self.st[S_HIGHEST_CPU] = max(self.st[S_HIGHEST_CPU], cpu)
        row = 8 * (CPU_MAX + task if task else cpu)
        at = cpu * _CPU_WORDS
        self.cpus[at] = row
        mm = self.tasks[row + 1]
        if mm:
            self.cpus[at + 1] = mm
        else:
            self.cpus[at + 1] |= _IN_LAZY_TLB
        self.cpus[at + _STARTED] = 1

    def allow_ops(self, number: int) -> None:
        """The op table has *number* entries now."""
        self.st[P_OPS] = number

    # --- running ---------------------------------------------------------------

    def run(self, loop: Any, events: memoryview, base: int) -> int:
        """Replay *events*, the first being number *base* of the trace, growing what is too small.

        0, or BAD_* when event ``self.at`` cannot be.
        """
        self.st[P_BASE] = base
        return self._through(loop.run, events)

    def scout(self, loop: Any, events: memoryview) -> int:
        """Follow *events* for who runs where, fast; what is counted means nothing afterwards.

        0, or BAD_* when event ``self.at`` cannot be.
        """
        return self._through(loop.scout, events)

    def scouted(self) -> None:
        """No CPU on which something happened is new: to be told between :meth:`scout` and :meth:`run`."""
        for cpu in range(self.nr_cpus):
            if self.clocks[cpu * _CPU_WORDS // 2 + 2]:
                self.cpus[cpu * _CPU_WORDS + _SPECIAL] &= ~_NEW
                self.cpus[cpu * _CPU_WORDS + _STARTED] = 1

    def _through(self, step: Any, events: memoryview) -> int:
        arrays = self.cpus, self.clocks, self.tasks, self.ldt
        while True:
            status: int = step(events, self.at, len(events) // 2, *arrays, *self._counts())
            self.at = self.st[S_NEXT]
            if status not in (MORE_TABLE, MORE_BUF, MORE_ARENA):
                return status
            self._grow(status)

    def finish(self, loop: Any) -> None:
        """End the sequences that are still open after the last event."""
        self.st[S_NEXT] = 0
        while status := loop.finish(self.cpus, self.clocks, self.tasks, *self._counts()):
            self._grow(status)

    def _counts(self) -> tuple[memoryview, ...]:
        return self.table, self.buf, self.seqtab, self.arena, self.st

    def _grow(self, what: int) -> None:
        if what == MORE_TABLE:
            old, old_bits = self.table, self.st[P_BITS]
            self._table(old_bits + (2 if old_bits < _LARGE_BITS else 1))
            tables.move(old, old_bits, self.table, self.st[P_BITS], self.st[S_ROWS])
        elif what == MORE_BUF:
            self._more_items()
        else:
            self._more_sequences()
        self._room_left()

    def _more_items(self) -> None:
        old, cap = self.buf, self.st[P_CAP]
        if cap >= MAX_ITEMS:
            raise TraceError(
                f"a lazy MMU section or op window of more than {MAX_ITEMS} operations on one CPU",
                "Is its end missing from the trace? It must be left, or its window closed, somewhere.",
            )
        self.st[P_CAP] = new = min(cap * 4, MAX_ITEMS)
        self.buf = _words(self.nr_cpus * new, "Q")
        for cpu in range(self.nr_cpus):
            used = self.cpus[cpu * _CPU_WORDS + 13]
            if used:
                self.buf[cpu * new : cpu * new + used] = old[cpu * cap : cpu * cap + used]

    def _more_sequences(self) -> None:
        items = self.st[P_ARENA] * 2 + self.st[P_CAP] + 5
        self.arena = _copied(self.arena, _words(items, "Q", dense=True))
        self.st[P_ARENA] = items
        if self.st[S_SEQUENCES] + 3 > self.st[P_SEQUENCES]:
            room = min(self.st[P_SEQUENCES] * 4 + 3, MAX_SEQUENCES)
            if room == self.st[P_SEQUENCES]:
                raise TraceError(f"more than {room - 3} different sequences of operations")
            self.st[P_SEQUENCES] = room
            self._seqtab()
            tables.rehash(self.seqtab, self.arena, self.st[P_SEQBITS], self.st[S_ITEMS])

    def _room_left(self) -> None:
        """Tell the loop which tables may not hold what one event can add: 1 rows, 2 sequences."""
        st = self.st
        rows = st[S_ROWS] + 3 > st[P_LIMIT]
        sequences = st[S_ITEMS] + st[P_CAP] + 4 > st[P_ARENA] or st[S_SEQUENCES] + 3 > st[P_SEQUENCES]
        st[S_TIGHT] = rows | sequences << 1

    def _table(self, bits: int) -> None:
        """A hash table of 2**bits slots, a quarter full at most; three where memory counts."""
        limit = (1 << bits) // 4 * (1 if bits < _LARGE_BITS else 3)
        self.table = _words((2 << bits) + 3 * limit, "Q", dense=True)
        self.st[P_BITS], self.st[P_LIMIT] = bits, limit

    def _seqtab(self) -> None:
        """An empty table that the sequences there is room for fill half at most."""
        bits = (2 * self.st[P_SEQUENCES]).bit_length()
        self.seqtab = _words(1 << bits, "Q", dense=True)
        self.st[P_SEQBITS] = bits

    # --- two halves of a trace -----------------------------------------------------

    def picture(self) -> tuple[object, ...]:
        """Everything that what happens next depends on: equal pictures, equal counts from here on."""
        cpus = array("I", self.cpus.tobytes())
        sequences = []
        for at in range(0, len(cpus), _CPU_WORDS):
            if not cpus[at + _SPECIAL] & _FOR_PENDING:
                cpus[at + 3] = 0
            used = cpus[at + 13]
            if used:
                first = at // _CPU_WORDS * self.st[P_CAP]
                sequences.append(self.buf[first : first + used].tobytes())
            else:  # what is known of the sequence before
                cpus[at + 14] = 0
                cpus[at + 16 : at + 20] = array("I", bytes(16))
        tasks = self.tasks[: 8 * (CPU_MAX + self.nr_tasks)].tobytes()
        any_ldt = self.st[S_ANY_LDT] != 0
        return self.nr_tasks, cpus, sequences, tasks, any_ldt and _not_zero(self.ldt)

    def forget_counts(self) -> None:
        """Count from here on, with the state that there is."""
        any_ldt = self.st[S_ANY_LDT]
        self.st[: S_TIGHT + 1] = memoryview(bytes(8 * (S_TIGHT + 1))).cast("Q")
        self.st[S_EARLIEST], self.st[S_ANY_LDT] = _MASK64, any_ldt
        self._table(self.st[P_BITS])
        self._seqtab()
        self._sequence_at = []
        self._room_left()

    def absorb(self, other: State) -> None:
        """Add what *other* counted, which went on from the state that this one is in.

        Both are finished.  Raises :class:`TraceError` when there are too many sequences.
        """
        renumbered = self._take_sequences(other)
        while self.st[S_ROWS] + other.st[S_ROWS] > self.st[P_LIMIT]:
            self._grow(MORE_TABLE)
        tables.absorb(self.table, self.st, other.table, other.st[P_BITS], other.st[S_ROWS], renumbered)
        for total in _SUMS:
            self.st[total] += other.st[total]
        self.st[S_EARLIEST] = min(self.st[S_EARLIEST], other.st[S_EARLIEST])
        self.st[S_LATEST] = max(self.st[S_LATEST], other.st[S_LATEST])
        self.st[S_HIGHEST_CPU] = max(self.st[S_HIGHEST_CPU], other.st[S_HIGHEST_CPU])
        self._room_left()

    def _take_sequences(self, other: State) -> memoryview:
        """Number the sequences of *other* as here, new ones after the others; number there -> here."""
        count = other.st[S_SEQUENCES]
        renumbered = _words(count, "Q")
        known = {self.sequence(number): number for number in range(self.st[S_SEQUENCES] if count else 0)}
        for number in range(count):
            items = other.sequence(number)
            mine = known.get(items, self.st[S_SEQUENCES])
            renumbered[number] = mine
            if mine == self.st[S_SEQUENCES]:
                at = self.st[S_ITEMS]
                while at + len(items) + self.st[P_CAP] + 5 > self.st[P_ARENA] or self.st[S_TIGHT] & 2:
                    self._more_sequences()
                    self._room_left()
                self.arena[at] = mine << 32 | len(items)
                for place, item in enumerate(items, at + 1):
                    self.arena[place] = item
                self.st[S_SEQUENCES], self.st[S_ITEMS] = mine + 1, at + 1 + len(items)
                self._room_left()
        if count:
            self._seqtab()
            tables.rehash(self.seqtab, self.arena, self.st[P_SEQBITS], self.st[S_ITEMS])
        return renumbered

    # --- reading out -----------------------------------------------------------

    def sequence(self, number: int) -> tuple[int, ...]:
        """The items of sequence *number*."""
        while len(self._sequence_at) <= number:
            last = self._sequence_at[-1] if self._sequence_at else -1
            self._sequence_at.append(last + 1 + (self.arena[last] & 0xFFFFFFFF if last >= 0 else 0))
        at = self._sequence_at[number]
        return tuple(self.arena[at + 1 : at + 1 + (self.arena[at] & 0xFFFFFFFF)])

    def rows(self) -> list[Row]:
        """Everything counted, in the order of first occurrence."""
        count, start = self.st[S_ROWS], 2 << self.st[P_BITS]
        counts = _words(count, "Q")
        tables.counts(self.table, self.st[P_BITS], count, counts)
        # an array gives its numbers faster than a view of memory does
        words = array("Q", self.table[start : start + 3 * count].tobytes())
        found = []
        for key, event_prev, time_ns, times in zip(
            words[::3], words[1::3], words[2::3], counts, strict=False
        ):
            unit, payload = UNIT_SWITCH, key & 0x7FFFFFF
            if payload >> 26:
                payload &= 0x3FFFFFF
                unit = _SPECIAL_UNITS.get(payload, UNIT_SEQ)
                payload = max(payload - 2, 0)
            cpu, first = key >> 27 & 0x1FFF, event_prev & (MAX_EVENTS - 1)
            found.append(Row(unit, payload, cpu, key >> 40, times, first, time_ns, event_prev >> 40))
        if any(one.first_event >= other.first_event for one, other in pairwise(found)):
            found.sort(key=row_order)
        return found


def row_order(row: Row) -> tuple[int, int, int, int, int]:
    """Rows in the order of first occurrence, whatever the engine."""
    return row.first_event, row.unit_type, row.cpu, row.task, row.payload


def _copied(old: memoryview, new: memoryview) -> memoryview:
    new[: len(old)] = old
    return new


def _not_zero(words: memoryview) -> dict[int, bytes]:
    """The parts of a large array that are not all zero, by place."""
    zero = bytes(_PART)
    parts = words.cast("B")
    return {
        at: bytes(parts[at : at + _PART])
        for at in range(0, len(parts), _PART)
        if parts[at : at + _PART] != zero
    }


def _check_task(task: Task, expected: int) -> None:
    if task.id != expected:
        raise TraceError(f"task {task.id} is defined where task {expected} is next")
    if expected >= TASK_MAX:
        raise TraceError(f"more than {TASK_MAX - 1} tasks")
    limits = {"mm": MM_MAX, "ldt": 1 << 32, "iopl": 4, "fpu_counter": 256}
    for name, limit in limits.items():
        if not 0 <= getattr(task, name) < limit:
            raise TraceError(
                f"task {task.id} has {name} {getattr(task, name)}", f"{name} is 0 to {limit - 1}."
            )
    if len(task.tls) != 3 or not all(0 <= word < 1 << 32 for word in task.tls):
        raise TraceError(f"task {task.id} has TLS slots {task.tls}", "Three words of 32 bits are expected.")

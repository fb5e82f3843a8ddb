"""One switch of a trace, found by number, time or task, with the state it met.

The compiled loop follows the trace up to the switch, so that a trace of any
size costs what a replay of that much costs, and no memory.  A switch inside a
lazy MMU section or an op-level window is stepped with the whole of it, so the
search goes on to the end of that sequence.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pvreplay.errors import TraceError, UsageError
from pvreplay.machine.shape import ITEM_SHIFT, UNIT_SEQ, UNIT_SWITCH
from pvreplay.replay import peek
from pvreplay.replay import state as st
from pvreplay.replay._find_cy import next_on_cpu, nth, of_task, since
from pvreplay.replay.build import loop_module
from pvreplay.replay.price import task_label
from pvreplay.replay.run import bad_event, where_is
from pvreplay.trace.events import CPU_MAX, Kind, unpack

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.replay.histogram import Histogram, Row
    from pvreplay.replay.result import Violation
    from pvreplay.trace.model import Chunk, Task, Trace

_SWITCHES = frozenset({Kind.SWITCH, Kind.BEGIN})
IDLE_NAMES = frozenset({"0", "idle", "swapper"})


class TaskThen(msgspec.Struct, kw_only=True):
    """The state of a task right before the switch; *mm* 0 is a kernel thread."""

    mm: int
    tls: tuple[int, int, int]
    iopl: int
    fpu_counter: int
    used_math: bool
    fpu: bool
    """TS_USEDFPU: its registers are live."""
    gs: bool
    dr: bool
    io_bitmap: bool
    notsc: bool
    blockstep: bool
    parked: bool
    ldt: int
    """Identity of the LDT of its mm, 0 for none."""


class Located(msgspec.Struct, kw_only=True):
    """One unit (a switch, #NM, leave_mm() or a sequence) at one place of a trace.

    *shape* is that of a switch, *items* those of a sequence, whose OP items
    index *ops*.  *event*, *time_ns*, *prev* and *next* are of the switch asked
    for; *number* is that switch's, from 0 (None when not counted).  A sequence
    began at *began*, the event's number, and *ordinal* says which of its
    switches it is, from 0.  *prev* and *next* are names as reports give them,
    hostile.  *prev_then* and *next_then* are None when not asked for.
    """

    unit_type: int
    shape: int = 0
    items: tuple[int, ...] = ()
    ops: tuple[str, ...] = ()
    cpu: int
    event: int
    time_ns: int
    prev: str
    next: str
    number: int | None = None
    began: int | None = None
    ordinal: int | None = None
    prev_then: TaskThen | None = None
    next_then: TaskThen | None = None


class Target(NamedTuple):
    """What to look for: one of *number* (from 0), *time_ns* or *task* (name, pid or NAME-PID)."""

    number: int | None = None
    time_ns: int | None = None
    task: str | None = None


def locate(
    trace: Trace,
    kernel: Kernel,
    target: Target,
    *,
    progress: Callable[[int], None] | None = None,
    interpreted: bool = False,
) -> Located:
    """The first switch of *trace* that *target* names, replayed as *kernel* would.

    Raises :class:`UsageError` when there is none, telling how many switches
    there are, and :class:`TraceError` for an event that cannot be or a trace
    without a switch.
    """
    search = _Search(trace, kernel, target, interpreted)
    for chunk in trace.chunks():
        found = search.chunk(chunk)
        if found is not None:
            return found
        if progress is not None:
            progress(search.events)
    return search.end()


def located_violation(hist: Histogram, violation: Violation) -> Located:
    """The unit in which *violation* occurred first; *hist* is what it was priced from."""
    first = violation.first
    assert first is not None
    (row,) = (
        row
        for row in hist.rows
        if row.first_event == first.event
        and row.cpu == first.cpu
        and (row.unit_type == UNIT_SWITCH) == bool(violation.shape)
    )
    is_seq = row.unit_type == UNIT_SEQ
    return Located(
        unit_type=row.unit_type,
        shape=row.payload if row.unit_type == UNIT_SWITCH else 0,
        items=hist.sequences[row.payload] if is_seq else (),
        ops=hist.meta.ops,
        cpu=row.cpu,
        event=row.first_event,
        time_ns=row.first_time_ns,
        prev=first.prev,
        next=first.next,
        began=row.first_event if is_seq else None,
    )


class _Search:
    """A replay that stops at the switch it looks for."""

    def __init__(self, trace: Trace, kernel: Kernel, target: Target, interpreted: bool) -> None:
        path = trace.meta.path
        if trace.meta.cpus > CPU_MAX:
            raise TraceError(f"{path}: {trace.meta.cpus} CPUs", f"At most {CPU_MAX} are possible on x86.")
        self.trace = trace
        self.target = target
        self.events = 0
        self._loop = loop_module(interpreted=interpreted)
        self._state = st.State(kernel, trace.meta.cpus or CPU_MAX)
        self._tasks: list[Task] = []
        self._wanted = bytearray([target.task in IDLE_NAMES])
        self._current = array("I", bytes(4 << 16))
        self._seen = 0
        self._found: Located | None = None
        """A switch inside a sequence that has not ended yet."""

    # --- following the trace -------------------------------------------------------

    def chunk(self, chunk: Chunk) -> Located | None:
        """Follow one chunk; what was looked for, once it is complete."""
        state = self._state
        state.at = 0
        base = self.events
        try:
            for task in chunk.tasks:
                state.define(task)
                self._tasks.append(task)
                self._wanted.append(is_named(task, self.target.task))
            for cpu, task_id in chunk.on:
                state.runs_on(cpu, task_id)
                self._current[cpu] = task_id
            state.allow_ops(len(self.trace.meta.ops))
            found = self._in(chunk.events, base)
        except TraceError as error:
            where = where_is(self.trace, chunk, state.at, base)
            raise TraceError(f"{self.trace.meta.path}: {where}: {error.message}", error.hint) from None
        self.events = base + len(chunk.events) // 2
        return found

    def _in(self, words: memoryview, base: int) -> Located | None:
        at = 0
        if self._found is None:
            at = self._find(words)
            if at < 0:
                self._run(words, len(words) // 2, base)
                return None
            self._run(words, at, base)
            found = self._switch(words, at, base)
            if found is not None:
                return found
            at += 1
        return self._rest_of_sequence(words, at, base)

    def _run(self, words: memoryview, until: int, base: int) -> None:
        """Replay up to event *until* of the chunk."""
        if status := self._state.run(self._loop, words[: 2 * until], base):
            raise bad_event(self._state, status, words)

    def _find(self, words: memoryview) -> int:
        number, time_ns, _ = self.target
        if number is not None:
            at = nth(words, number - self._seen)
            if at < 0:
                self._seen += -1 - at
            return at
        if time_ns is not None:
            return since(words, time_ns)
        return of_task(words, memoryview(self._wanted), self._current)

    # --- the switch ----------------------------------------------------------------

    def _switch(self, words: memoryview, at: int, base: int) -> Located | None:
        """Replay the switch itself; None when it is part of a sequence that goes on."""
        state = self._state
        time_ns, cpu, _, arg, _ = unpack(words[2 * at], words[2 * at + 1])
        number = state.st[st.S_SWITCHES]
        before = _counts(state)
        prev = peek.current(state, cpu)
        then = self._then(cpu, prev), self._then(cpu, arg)
        self._run(words, at + 1, base)
        located = Located(
            unit_type=UNIT_SWITCH,
            ops=self.trace.meta.ops,
            cpu=cpu,
            event=base + at,
            time_ns=time_ns,
            prev=self._name(prev),
            next=self._name(arg),
            number=number,
            prev_then=then[0],
            next_then=then[1],
        )
        for counted in _increments(before, state):
            if counted.unit_type == UNIT_SWITCH:
                located.shape = counted.payload
                return located
        located.unit_type = UNIT_SEQ
        opened = peek.open_sequence(state, cpu)
        assert opened is not None
        located.began, items = opened
        located.ordinal = sum(item >> ITEM_SHIFT in _SWITCHES for item in items) - 1
        self._found = located
        return None

    def _rest_of_sequence(self, words: memoryview, at: int, base: int) -> Located | None:
        """Replay on, event by event of its CPU, until the sequence is closed."""
        found, state = self._found, self._state
        assert found is not None
        while at >= 0:
            at = next_on_cpu(words, at, found.cpu)
            if at < 0:
                break
            self._run(words, at, base)
            before = _counts(state) if self._may_close(words, at) else None
            self._run(words, at + 1, base)
            if before is not None:
                opened = peek.open_sequence(state, found.cpu)
                if opened is None or opened[0] != found.began:
                    return self._closed(before)
            at += 1
        self._run(words, len(words) // 2, base)
        return None

    def _may_close(self, words: memoryview, at: int) -> bool:
        """Whether the event can end a sequence: most of a long one's cannot, and need no snapshot."""
        return (words[2 * at + 1] >> 48 & 0xFF) not in (Kind.OP, Kind.SET_PTE, Kind.READ_PTE, Kind.ENTER_MMU)

    def _closed(self, before: dict[tuple[int, int, int, int], int]) -> Located:
        assert self._found is not None
        for row in _increments(before, self._state):
            if row.unit_type == UNIT_SEQ and row.cpu == self._found.cpu:
                self._found.items = self._state.sequence(row.payload)
        return self._found

    def end(self) -> Located:
        """The trace is over: what was looked for is in a sequence without an end, or nowhere."""
        state = self._state
        if self._found is not None:
            before = _counts(state)
            state.finish(self._loop)
            return self._closed(before)
        raise self._nothing(state.st[st.S_SWITCHES])

    # --- tasks ---------------------------------------------------------------------

    def _name(self, task: int) -> str:
        return task_label(self._tasks[task - 1]) if task else "idle"

    def _then(self, cpu: int, task: int) -> TaskThen | None:
        told = peek.task_state(self._state, cpu, task)
        if told is None:
            return None
        return TaskThen(
            mm=told["mm"],
            ldt=told["ldt"],
            tls=(told["tls0"], told["tls1"], told["tls2"]),
            iopl=told["iopl"],
            fpu_counter=told["fpu_counter"],
            **{name: bool(told[name]) for name in (*peek.FLAGS, "used_math")},
        )

    # --- nothing found -------------------------------------------------------------

    def _nothing(self, switches: int) -> Exception:
        path, damage = self.trace.meta.path, self.trace.damage
        if switches == 0:
            return TraceError(
                f"{path}: no switch in {self.events:,} events" + (f"; {damage}" if damage else ""),
                "A replay needs sched_switch (or switch) events: record with -e sched:sched_switch.",
            )
        number, time_ns, task = self.target
        if number is not None:
            found = f"no switch {number:,}, there are {switches:,}"
            hint = f"They are counted from 0: 0 to {switches - 1:,}."
        elif time_ns is not None:
            last = self._state.st[st.S_LATEST] / 1e9
            found = f"no switch at or after {time_ns / 1e9:.9f} s, there are {switches:,}"
            hint = f"The last event is at {last:.9f} s."
        else:
            assert task is not None
            found = f"no switch to or from {task!r}, there are {switches:,}"
            hint = self._near(task)
        if damage:
            return TraceError(f"{path}: {found} in what can be read; {damage}", hint)
        return UsageError(f"{path}: {found}", hint)

    def _near(self, wanted: str) -> str:
        import difflib

        if any(self._wanted):
            return f"A task {wanted!r} is there, but never switched to."
        names = list(dict.fromkeys(task.comm for task in self._tasks if task.comm))
        near = difflib.get_close_matches(wanted, names, n=3) or names[:5]
        return f"A name or a pid is expected, as in: {', '.join(near)}." if near else "No task has a name."


def is_named(task: Task, wanted: str | None) -> bool:
    """Whether *wanted* is the task's name, its pid, or both as reports write them."""
    return wanted is not None and wanted in (task.comm, str(task.pid), task_label(task))


def _counts(state: st.State) -> dict[tuple[int, int, int, int], int]:
    return {(row.unit_type, row.payload, row.cpu, row.task): row.count for row in state.rows()}


def _increments(before: dict[tuple[int, int, int, int], int], state: st.State) -> list[Row]:
    """The rows that were counted since *before*."""
    return [
        row
        for row in state.rows()
        if row.count != before.get((row.unit_type, row.payload, row.cpu, row.task), 0)
    ]

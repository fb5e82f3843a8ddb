"""Trace -> Histogram: the events of a trace through the replay loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pvreplay.errors import TraceError
from pvreplay.replay.build import COMPILED, loop_module
from pvreplay.replay.histogram import Histogram, replay_rules
from pvreplay.trace.events import CPU_MAX

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.replay.split import Second
    from pvreplay.replay.state import Room, State
    from pvreplay.trace.model import Chunk, Task, Trace

__all__ = ["COMPILED", "replay"]

WORTH_BYTES: Final = 32 << 20
"""Smaller traces are replayed by one thread: 2 million events take 25 ms."""


def replay(
    trace: Trace,
    kernel: Kernel,
    *,
    progress: Callable[[int], None] | None = None,
    interpreted: bool = False,
    window_ns: tuple[int, int] | None = None,
    room: Room | None = None,
    jobs: Callable[[], int] | None = None,
) -> Histogram:
    """Count the units of *trace* as *kernel* would run it.

    *progress* is told the number of events replayed so far, once a chunk.
    *interpreted* runs the loop's Python source instead of its compiled form,
    with the same result.  *window_ns* = (from, until) counts only what happens
    at from <= time < until; the state follows the whole trace (events, lost
    events and doubts are always those of the whole trace).  *room* sets how
    large the arrays are at first.  *jobs* tells how many threads may work at
    once: a second one replays the later part of a large trace.bin
    (:mod:`pvreplay.replay.split`), with the same result.

    Raises :class:`TraceError` naming the place of an event that cannot be: a
    CPU, task, mm, op or kind that does not exist.  A trace without a switch is
    no error here.
    """
    from pvreplay.replay.state import State

    loop = loop_module(interpreted=interpreted)
    path = trace.meta.path
    if trace.meta.cpus > CPU_MAX:
        raise TraceError(f"{path}: {trace.meta.cpus} CPUs", f"At most {CPU_MAX} are possible on x86.")

    def fresh() -> State:
        return State(kernel, trace.meta.cpus or CPU_MAX, room=room, window_ns=window_ns)

    second = None
    if jobs is not None and getattr(trace, "size_bytes", int)() >= WORTH_BYTES and jobs() > 1:
        from pvreplay.replay.split import second_thread

        second = second_thread(trace, fresh(), loop)
    if second is None:
        return _replay(trace, kernel, fresh(), loop, progress, None)
    try:
        return _replay(trace, kernel, fresh(), loop, progress, second)
    finally:
        second.end()


def _replay(
    trace: Trace,
    kernel: Kernel,
    state: State,
    loop: Any,
    progress: Callable[[int], None] | None,
    second: Second | None,
) -> Histogram:
    from pvreplay.replay.state import MAX_EVENTS

    path = trace.meta.path
    tasks: list[Task] = []
    events = 0
    for chunk in trace.chunks():
        if second is not None and second.is_due(chunk.offset):
            if second.joined(chunk.offset, state, progress):
                state.absorb(second.state)
                return _histogram(trace, kernel, state, second.tasks, second.events)
            second = None
        state.at = 0
        try:
            for task in chunk.tasks:
                state.define(task)
            for cpu, task_id in chunk.on:
                state.runs_on(cpu, task_id)
            count = len(chunk.events) // 2
            if events + count > MAX_EVENTS:
                raise TraceError(f"more than {MAX_EVENTS} events")
            state.allow_ops(len(trace.meta.ops))
            if status := state.run(loop, chunk.events, events):
                raise bad_event(state, status, chunk.events)
        except TraceError as error:
            where = where_is(trace, chunk, state.at, events)
            raise TraceError(f"{path}: {where}: {error.message}", error.hint) from None
        tasks += chunk.tasks
        events += count
        if progress is not None:
            progress(events if second is None else events + second.counted)
    state.finish(loop)
    return _histogram(trace, kernel, state, tasks, events)


def _histogram(trace: Trace, kernel: Kernel, state: State, tasks: list[Task], events: int) -> Histogram:
    from pvreplay.replay import state as names

    st = state.st
    rows = state.rows()
    doubts = {
        "lost_unknown": st[names.S_LOST_UNKNOWN],
        "unmatched": st[names.S_UNMATCHED],
        "out_of_order": st[names.S_DISORDER],
        "self_switch": st[names.S_SELF],
        "unfinished": st[names.S_UNFINISHED],
    }
    for name, number in trace.doubts.items():
        doubts[name] = doubts.get(name, 0) + number
    occurring = {row.task for row in rows} | {row.first_prev for row in rows}
    return Histogram(
        kernel=kernel.name,
        meta=trace.meta,
        rows=rows,
        sequences=[state.sequence(number) for number in range(st[names.S_SEQUENCES])],
        tasks={number: tasks[number - 1] for number in sorted(occurring) if number},
        nr_tasks=len(tasks),
        nr_cpus=trace.meta.cpus or st[names.S_HIGHEST_CPU] + 1,
        events=events,
        switches=st[names.S_SWITCHES],
        lost_events=st[names.S_LOST],
        first_time_ns=st[names.S_EARLIEST] if events else 0,
        last_time_ns=st[names.S_LATEST],
        doubts=doubts,
        damage=trace.damage,
        rules=replay_rules(kernel),
    )


def where_is(trace: Trace, chunk: Chunk, index: int, before: int) -> str:
    """The place of event *index* of *chunk*: the source's words for it, or its number in the trace."""
    tell = getattr(trace, "where", None)
    return str(tell(chunk, index)) if tell is not None else f"event {before + index}"


def bad_event(state: State, status: int, events: memoryview) -> TraceError:
    """What is wrong with the event the loop stopped at."""
    from pvreplay.replay import state as names
    from pvreplay.trace.events import MM_MAX, Kind, unpack

    _, cpu, kind, arg, flags = unpack(events[2 * state.at], events[2 * state.at + 1])
    told = Kind(kind).name.lower() if kind in Kind._value2member_map_ else str(kind)
    last_task = state.nr_tasks - 1
    if status == names.BAD_CPU:
        return TraceError(
            f"CPU {cpu} in a trace of {state.nr_cpus} CPUs",
            "The trace's own header counts its CPUs: whoever wrote it is wrong; record or convert it again.",
        )
    if status == names.BAD_TASK:
        if arg == 0:
            return TraceError(f"{told} names task 0, the idle task", f"Tasks here are 1 to {last_task}.")
        return TraceError(
            f"{told} names task {arg}, but {last_task} tasks are defined",
            "A task's definition comes before its first event.",
        )
    if status == names.BAD_MM:
        return TraceError(f"{told} names mm {arg}", f"mm numbers are 1 to {MM_MAX - 1}.")
    if status == names.BAD_SLOT:
        return TraceError(f"TLS slot {flags}", "TLS slots are 0, 1 and 2.")
    if status == names.BAD_ARG:
        limit = 3 if kind == Kind.IOPL else 1
        return TraceError(f"{told} has the value {arg}", f"It is 0 to {limit}.")
    if status == names.BAD_OP:
        known = state.st[names.P_OPS]
        return TraceError(
            f"op {arg & 0xFFFF} in a trace whose op table has {known} entries",
            "The op table (meta ops) comes with the trace: whoever wrote it is wrong.",
        )
    return TraceError(
        f"event kind {kind}",
        f"Kinds 1 to {max(Kind)} are known here; a newer pvreplay may know it.",
    )

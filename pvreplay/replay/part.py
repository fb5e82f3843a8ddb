"""What a part of a trace holds, in numbers: as ``trace/summary.py``, for what a filter keeps.

An event belongs to the CPU it happens on and to the task that runs there; a switch to the task switched
to.  A task's name may change up to the end, so events are counted for every task and chosen then.
"""

from __future__ import annotations

from typing import Final

from pvreplay.errors import UsageError
from pvreplay.replay.filter import Filter
from pvreplay.trace.events import Kind
from pvreplay.trace.model import Task, Trace
from pvreplay.trace.names import kind_name
from pvreplay.trace.summary import Summary

_EVER: Final = 1 << 64


class _Counts:
    """Of one task on one CPU: events by kind, and when the first and the last was."""

    __slots__ = ("first_ns", "kinds", "last_ns")

    def __init__(self) -> None:
        self.kinds: dict[int, int] = {}
        self.first_ns = _EVER
        self.last_ns = 0


def summarise_part(trace: Trace, part: Filter) -> Summary:
    """Read *trace* to its end and count what *part* keeps; losses, doubts and damage stay the whole's.

    Raises what reading raises; UsageError when there are events and none is kept, and for a
    recording in which no task runs.
    """
    if hasattr(trace, "survey"):
        raise UsageError(
            f"{trace.meta.path}: no task is in this recording", "Leave --cpu, --task and --time out."
        )
    summary = Summary(trace.meta)
    tasks: dict[int, Task] = {}
    counts: dict[int, dict[int, _Counts]] = {}
    running: dict[int, int] = {}
    cpus, (start, end) = part.cpus, part.window_ns or (0, _EVER)
    total = unknown = 0
    for chunk in trace.chunks():
        summary.chunks += 1
        tasks.update((task.id, task) for task in chunk.tasks)
        events = chunk.events
        total += len(events) // 2
        for at in range(0, len(events), 2):
            word = events[at + 1]
            cpu, kind = word >> 32 & 0xFFFF, word >> 48 & 0xFF
            if kind in (Kind.SWITCH, Kind.ON, Kind.BEGIN):
                running[cpu] = word & 0xFFFFFFFF
            elif kind == Kind.LOST:
                summary.lost_events += word & 0xFFFFFFFF
                unknown += not word & 0xFFFFFFFF
            if (cpus is not None and cpu not in cpus) or not start <= events[at] < end:
                continue
            of_task = counts.setdefault(running.get(cpu, 0), {})
            found = of_task.get(cpu)
            if found is None:
                found = of_task[cpu] = _Counts()
            found.kinds[kind] = found.kinds.get(kind, 0) + 1
            found.first_ns = min(found.first_ns, events[at])
            found.last_ns = max(found.last_ns, events[at])
    kept = part.tasks(tasks)
    chosen = {task: of_task for task, of_task in counts.items() if kept is None or task in kept}
    if total and not chosen:
        asked = " ".join(f"--{name} {value}" for name, value in part.told().items())
        raise UsageError(
            f"{trace.meta.path}: no event that {asked} keeps", "pvreplay info without it tells what there is."
        )
    _add_up(summary, chosen)
    summary.doubts = {name: count for name, count in trace.doubts.items() if count}
    if unknown:
        summary.doubts["lost_unknown"] = unknown
    summary.damage = trace.damage
    return summary


def _add_up(summary: Summary, chosen: dict[int, dict[int, _Counts]]) -> None:
    """Let *summary* have the sums of the counts chosen."""
    parts = [found for of_task in chosen.values() for found in of_task.values()]
    kinds: dict[int, int] = {}
    for found in parts:
        for kind, count in found.kinds.items():
            kinds[kind] = kinds.get(kind, 0) + count
    summary.events = sum(kinds.values())
    summary.kinds = {kind_name(kind): kinds[kind] for kind in sorted(kinds)}
    summary.tasks = len(chosen.keys() - {0})
    summary.cpus = len({cpu for of_task in chosen.values() for cpu in of_task})
    summary.first_time_ns = min((found.first_ns for found in parts), default=0)
    summary.last_time_ns = max((found.last_ns for found in parts), default=0)

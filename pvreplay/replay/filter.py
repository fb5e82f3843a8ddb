"""What of a trace a report is about: some CPUs, a task, a span of time.

A filter cuts the report, never the state: the whole trace is replayed, and only
what the filter keeps is counted.  So the parts that complementary filters keep
add up to the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pvreplay.errors import UsageError
from pvreplay.machine.shape import ITEM_SHIFT, UNIT_SEQ, UNIT_SWITCH
from pvreplay.replay.locate import IDLE_NAMES, is_named
from pvreplay.trace.events import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pvreplay.replay.histogram import Histogram, Row
    from pvreplay.trace.model import Task

_SWITCHES = frozenset({Kind.SWITCH, Kind.BEGIN})
_NAMED = 5
"""Tasks that a message names."""
_EVER = 1 << 64


class Filter(NamedTuple):
    """*cpus*; *task*: a name, a pid or NAME-PID; *window_ns*: (from, until).  None is everything.

    A switch belongs to the task switched to, and everything else that costs to
    the task that runs; both to the CPU they happen on.
    """

    cpus: frozenset[int] | None = None
    task: str | None = None
    window_ns: tuple[int, int] | None = None

    def told(self) -> dict[str, str]:
        """Option -> what it keeps, for reports; empty when nothing is filtered."""
        told = {}
        if self.cpus is not None:
            told["cpu"] = _ranges(self.cpus)
        if self.task is not None:
            told["task"] = self.task
        if self.window_ns is not None:
            start, end = self.window_ns
            told["time"] = f"{_seconds(start) if start else ''},{_seconds(end) if end < _EVER else ''}"
        return told

    def tasks(self, tasks: Mapping[int, Task]) -> set[int] | None:
        """The task numbers that are kept, of *tasks* and idle; None for all."""
        if self.task is None:
            return None
        kept = {number for number, task in tasks.items() if is_named(task, self.task)}
        return kept | {0} if self.task in IDLE_NAMES else kept

    def cut(self, hist: Histogram) -> Histogram:
        """*hist* with the rows kept and their switches; events, losses and doubts stay the whole's."""
        if self.cpus is None and self.task is None:
            return hist
        tasks = self.tasks(hist.tasks)
        rows = [
            row
            for row in hist.rows
            if (self.cpus is None or row.cpu in self.cpus) and (tasks is None or row.task in tasks)
        ]
        named = {row.task for row in rows} | {row.first_prev for row in rows}
        return msgspec.structs.replace(
            hist,
            rows=rows,
            switches=sum(row.count * _switches_in(row, hist.sequences) for row in rows),
            tasks={number: task for number, task in hist.tasks.items() if number in named},
        )

    def cut_some(self, hist: Histogram) -> Histogram:
        """As :meth:`cut`; UsageError, with what there is, when no switch of a trace that has some is left."""
        part = self.cut(hist)
        if not part.switches and hist.events and (hist.switches or self.window_ns is not None):
            raise self._nothing(hist)
        return part

    def _nothing(self, hist: Histogram) -> UsageError:
        """The error for a filter that keeps no switch of *hist*, with what there is."""
        asked = " ".join(f"--{name} {value}" for name, value in self.told().items())
        if self.task is not None and self.tasks(hist.tasks) == set():
            counts: dict[int, int] = {}
            for row in hist.rows:
                counts[row.task] = counts.get(row.task, 0) + row.count
            most = sorted(set(counts) & set(hist.tasks), key=lambda task: (-counts[task], task))[:_NAMED]
            there = "In this trace ran most often: " + ", ".join(
                hist.tasks[task].comm or str(task) for task in most
            )
        elif self.cpus is not None:
            there = f"CPUs with switches in this trace: {_ranges({row.cpu for row in hist.rows})}"
        else:
            times = _seconds(hist.first_time_ns), _seconds(hist.last_time_ns)
            there = f"In this trace times go from {times[0]} to {times[1]} s"
        return UsageError(f"{hist.meta.path}: no switch that {asked} keeps", f"{there}.")


def _switches_in(row: Row, sequences: list[tuple[int, ...]]) -> int:
    if row.unit_type == UNIT_SWITCH:
        return 1
    if row.unit_type == UNIT_SEQ:
        return sum(item >> ITEM_SHIFT in _SWITCHES for item in sequences[row.payload])
    return 0


def _ranges(cpus: Iterable[int]) -> str:
    """``0-3,5``."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][1] + 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts) or "none"


def _seconds(time_ns: int) -> str:
    return f"{time_ns // 10**9}.{time_ns % 10**9:09}".rstrip("0").rstrip(".")

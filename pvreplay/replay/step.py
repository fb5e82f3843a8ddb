"""The step engine: every switch of a trace, one by one, with no shape and no cache.

It is slow on purpose.  Its state tracking (:mod:`pvreplay.replay.track`) and
its accounting share nothing with the compiled loop, and must give the same
answer to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pvreplay.errors import TraceError
from pvreplay.machine.shape import UNIT_SEQ, UNIT_SWITCH
from pvreplay.replay.histogram import Histogram, Row
from pvreplay.replay.track import Occurrence, Tracker, shape_of
from pvreplay.trace.events import CPU_MAX, unpack

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.trace.model import Task, Trace


class Steps:
    """A trace followed slowly: iterate once for its occurrences, then ask for the totals."""

    def __init__(
        self,
        trace: Trace,
        kernel: Kernel,
        *,
        progress: Callable[[int], None] | None = None,
        window_ns: tuple[int, int] | None = None,
    ) -> None:
        self.trace = trace
        self.kernel = kernel
        self.tasks: list[Task] = []
        self.tracker = Tracker(kernel, trace.meta.cpus or CPU_MAX, window_ns)
        self._progress = progress

    def __iter__(self) -> Iterator[Occurrence]:
        tracker = self.tracker
        for chunk in self.trace.chunks():
            try:
                for task in chunk.tasks:
                    tracker.define(task)
                    self.tasks.append(task)
                for cpu, task_id in chunk.on:
                    tracker.runs_on(cpu, task_id)
                tracker.nr_ops = len(self.trace.meta.ops)
                words = chunk.events
                for at in range(0, len(words), 2):
                    yield from tracker.event(*unpack(words[at], words[at + 1]))
            except TraceError as error:
                where = f"{self.trace.meta.path}: event {tracker.events}"
                raise TraceError(f"{where}: {error.message}", error.hint) from None
            if self._progress is not None:
                self._progress(tracker.events)
        yield from tracker.finish()

    def totals(self) -> Histogram:
        """A histogram without rows: what is known of the trace after the iteration."""
        tracker, trace = self.tracker, self.trace
        doubts = dict(tracker.doubts)
        for name, number in trace.doubts.items():
            doubts[name] = doubts.get(name, 0) + number
        return Histogram(
            kernel=self.kernel.name,
            meta=trace.meta,
            nr_tasks=len(self.tasks),
            nr_cpus=trace.meta.cpus or tracker.highest_cpu + 1,
            events=tracker.events,
            switches=tracker.switches,
            lost_events=tracker.lost_events,
            first_time_ns=tracker.first_time_ns if tracker.events else 0,
            last_time_ns=tracker.last_time_ns,
            doubts=doubts,
            damage=trace.damage,
            engine="step",
        )


def step_rows(trace: Trace, kernel: Kernel, *, window_ns: tuple[int, int] | None = None) -> Histogram:
    """The histogram that :func:`pvreplay.replay.run.replay` gives, made the slow way (``engine`` says so)."""
    steps = Steps(trace, kernel, window_ns=window_ns)
    rows: dict[tuple[int, int, int, int], Row] = {}
    numbers: dict[tuple[int, ...], int] = {}
    for done in steps:
        payload = 0
        if done.unit_type == UNIT_SWITCH:
            payload = shape_of(done.facts)
        elif done.unit_type == UNIT_SEQ:
            payload = numbers.setdefault(done.items, len(numbers))
        key = done.unit_type, payload, done.cpu, done.task
        if key in rows:
            rows[key].count += 1
        else:
            rows[key] = Row(
                *key, count=1, first_event=done.event, first_time_ns=done.time_ns, first_prev=done.prev
            )
    hist = steps.totals()
    hist.rows = sorted(
        rows.values(), key=lambda row: (row.first_event, row.unit_type, row.cpu, row.task, row.payload)
    )
    hist.sequences = list(numbers)
    named = {row.task for row in hist.rows} | {row.first_prev for row in hist.rows}
    hist.tasks = {task.id: task for task in steps.tasks if task.id in named}
    return hist

"""The step engine: every switch of a trace, one by one, with no shape and no cache.

It is slow on purpose.  Its state tracking (:mod:`pvreplay.replay.track`) and
its accounting share nothing with the compiled loop, and must give the same
answer to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pvreplay.errors import TraceError
from pvreplay.machine.machine import Watch
from pvreplay.machine.policy import DEFAULT_POLICY, Policy, get_policy
from pvreplay.machine.shape import GUARDS, UNIT_SEQ, UNIT_SWITCH
from pvreplay.replay.filter import Filter
from pvreplay.replay.histogram import Histogram, Row, replay_rules
from pvreplay.replay.price import report_of
from pvreplay.replay.tally import Tally
from pvreplay.replay.track import Occurrence, Tracker, shape_of
from pvreplay.replay.window import run_window
from pvreplay.rules import all_rules, watch_all
from pvreplay.trace.events import CPU_MAX, unpack

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.machine.backend import Backend
    from pvreplay.replay.result import Report
    from pvreplay.rules.base import Rule
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
            rules=replay_rules(self.kernel),
        )


class Rows:
    """Occurrences collected into what a histogram holds."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int, int, int], Row] = {}
        self.numbers: dict[tuple[int, ...], int] = {}

    def add(self, done: Occurrence) -> None:
        """Count one occurrence."""
        payload = 0
        if done.unit_type == UNIT_SWITCH:
            payload = shape_of(done.facts)
        elif done.unit_type == UNIT_SEQ:
            payload = self.numbers.setdefault(done.items, len(self.numbers))
        key = done.unit_type, payload, done.cpu, done.task
        if key in self.rows:
            self.rows[key].count += 1
        else:
            self.rows[key] = Row(*key, 1, done.event, done.time_ns, done.prev)

    def into(self, hist: Histogram, tasks: list[Task]) -> Histogram:
        """*hist* with the rows, the sequences and the tasks that occur in them."""
        hist.rows = sorted(
            self.rows.values(),
            key=lambda row: (row.first_event, row.unit_type, row.cpu, row.task, row.payload),
        )
        hist.sequences = list(self.numbers)
        named = {row.task for row in hist.rows} | {row.first_prev for row in hist.rows}
        hist.tasks = {task.id: task for task in tasks if task.id in named}
        return hist


def step_rows(trace: Trace, kernel: Kernel, *, window_ns: tuple[int, int] | None = None) -> Histogram:
    """The histogram that :func:`pvreplay.replay.run.replay` gives, made the slow way (``engine`` says so)."""
    steps = Steps(trace, kernel, window_ns=window_ns)
    rows = Rows()
    for done in steps:
        rows.add(done)
    return rows.into(steps.totals(), steps.tasks)


def step_trace(
    trace: Trace,
    kernel: Kernel,
    backends: Sequence[Backend],
    *,
    policy: str | Policy = DEFAULT_POLICY,
    rules: Sequence[Rule] | None = None,
    progress: Callable[[int], None] | None = None,
    keep: Filter | None = None,
) -> Report:
    """The report of :func:`pvreplay.replay.price.price`, every single occurrence stepped through the machine.

    Arguments as there and in :func:`pvreplay.replay.run.replay`; *keep* says what is counted.
    """
    keep = keep or Filter()
    contract = get_policy(policy) if isinstance(policy, str) else policy
    judged = all_rules() if rules is None else rules
    watch = watch_all() if rules is None else Watch(rules)
    # Which tasks a name means is known at the end: until then every task has its own sums.
    by_task: dict[int, list[Tally]] = {}
    steps = Steps(trace, kernel, progress=progress, window_ns=keep.window_ns)
    rows = Rows()
    for done in steps:
        rows.add(done)
        if keep.cpus is not None and done.cpu not in keep.cpus:
            continue
        who = done.task if keep.task is not None else 0
        if who not in by_task:
            by_task[who] = [Tally(backend) for backend in backends]
        row = Row(done.unit_type, 0, done.cpu, done.task, 1, done.event, done.time_ns, done.prev)
        told = _told(done.facts) if done.unit_type == UNIT_SWITCH else ""
        for tally in by_task[who]:
            outcome = run_window(
                kernel,
                tally.backend,
                done.facts,
                unit_type=done.unit_type,
                items=done.items,
                ops=trace.meta.ops,
                rules=watch,
                policy=contract,
            )
            tally.add(outcome, 1, done.cpu, done.task, told, row)
    hist = rows.into(steps.totals(), steps.tasks)
    wanted = keep.tasks(hist.tasks)
    tallies = [Tally(backend) for backend in backends]
    for who, theirs in by_task.items():
        if wanted is None or who in wanted:
            for tally, other in zip(tallies, theirs, strict=True):
                tally.absorb(other)
    return report_of(keep.cut_some(hist), kernel, tallies, judged, contract)


def _told(facts: dict[str, int]) -> str:
    """The guards that were true, as reports join them."""
    true = [name for name, value in facts.items() if value and name != "tls"]
    true.sort(key=list(GUARDS).index)
    if facts["tls"]:
        true.append(f"tls={facts['tls']}")
    return "+".join(true) or "-"

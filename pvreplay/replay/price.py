"""Histogram -> Report: every distinct unit stepped once per backend, times its count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from pvreplay import __version__
from pvreplay.machine.machine import Watch
from pvreplay.machine.policy import DEFAULT_POLICY, Policy, get_policy
from pvreplay.machine.shape import UNIT_SEQ, UNIT_SWITCH, names
from pvreplay.replay.build import COMPILED
from pvreplay.replay.charge import charge
from pvreplay.replay.checked import not_checked
from pvreplay.replay.result import Report
from pvreplay.replay.tally import Tally, merge_violations
from pvreplay.replay.window import Outcome, facts_of, run_window
from pvreplay.rules import all_rules, watch_all
from pvreplay.rules.base import Rule

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.machine.backend import Backend
    from pvreplay.replay.histogram import Histogram, Row
    from pvreplay.trace.model import Task

__all__ = ["Outcome", "Tally", "facts_of", "price", "report_of", "run_window", "shape_key", "unit_outcome"]


Priced = tuple[Tally, list[tuple[int, ...]]]
"""The sums of one backend; and for each unit its four totals and how many switches are in it."""


def shape_key(shape: int) -> str:
    """The names of a shape joined by "+", "-" for none."""
    return "+".join(names(shape)) or "-"


def unit_outcome(
    hist: Histogram,
    kernel: Kernel,
    backend: Backend,
    unit_type: int,
    payload: int,
    rules: Watch,
    policy: Policy,
) -> Outcome:
    """Step the unit that (*unit_type*, *payload*) names in *hist*."""
    return run_window(
        kernel,
        backend,
        facts_of(payload) if unit_type == UNIT_SWITCH else {},
        unit_type=unit_type,
        items=hist.sequences[payload] if unit_type == UNIT_SEQ else (),
        ops=hist.meta.ops,
        rules=rules,
        policy=policy,
    )


def price(
    hist: Histogram,
    kernel: Kernel,
    backends: Sequence[Backend],
    *,
    policy: str | Policy = DEFAULT_POLICY,
    rules: Sequence[Rule] | None = None,
    jobs: Callable[[], int] | None = None,
) -> Report:
    """What every backend pays for *hist*, and which rules break.

    *policy* is the contract the rules enforce; *rules* default to all.  *jobs*
    tells how many processes may share the backends when there is much to step
    (default: this one alone); the report is the same.
    """
    contract = get_policy(policy) if isinstance(policy, str) else policy
    judged = all_rules() if rules is None else rules
    watch = watch_all() if rules is None else Watch(rules)
    counts, firsts, units = _units(hist)
    keys = [shape_key(first.payload) if first.unit_type == UNIT_SWITCH else "" for first in firsts]

    def priced(backend: Backend) -> Priced:
        tally = Tally(backend)
        paid: list[tuple[int, ...]] = []
        for count, first, key in zip(counts, firsts, keys, strict=True):
            outcome = unit_outcome(hist, kernel, backend, first.unit_type, first.payload, watch, contract)
            tally.add_unit(outcome, count, key, first)
            outcome.forget()
            paid.append((*outcome.totals, len(outcome.switches)))
        return tally, paid

    results = _all_priced(priced, backends, len(firsts), jobs if rules is None else None)
    tallies = [tally for tally, _ in results]
    if backends:
        prices = [
            list(chain.from_iterable(unit)) for unit in zip(*(paid for _, paid in results), strict=True)
        ]
        by_task, by_cpu = charge(hist.rows, units, prices)
        for at, tally in enumerate(tallies):
            tally.charge(by_task, by_cpu, at)
    return report_of(hist, kernel, tallies, judged, contract)


def _all_priced(
    priced: Callable[[Backend], Priced],
    backends: Sequence[Backend],
    units: int,
    jobs: Callable[[], int] | None,
) -> list[Priced]:
    """``priced`` of every backend."""
    if jobs is not None and len(backends) > 1:
        from pvreplay.replay.processes import can_share, share_out

        if can_share(units * len(backends)) and (count := jobs()) > 1:
            return share_out(priced, backends, count)
    return [priced(backend) for backend in backends]


def _units(hist: Histogram) -> tuple[list[int], list[Row], list[int]]:
    """The distinct units in order of appearance: how often each, the row of its first occurrence; and
    which of them each row of *hist* is."""
    known: dict[tuple[int, int], int] = {}
    counts: list[int] = []
    firsts: list[Row] = []
    units: list[int] = []
    for row in hist.rows:
        unit = row.unit_type, row.payload
        at = known.get(unit)
        if at is None:
            at = known[unit] = len(firsts)
            firsts.append(row)
            counts.append(row.count)
        else:
            counts[at] += row.count
            if row.first_event < firsts[at].first_event:
                firsts[at] = row
        units.append(at)
    return counts, firsts, units


def report_of(
    hist: Histogram, kernel: Kernel, tallies: Sequence[Tally], rules: Sequence[Rule], policy: Policy
) -> Report:
    """The report of finished tallies; what the step engine ends with too."""
    results = [tally.result(hist.switches) for tally in tallies]
    priced = {result.name: result for result in results}
    for result in results:
        baseline = priced.get(f"{result.name}-unbatched")
        if baseline is not None:
            result.unbatched_hypercalls = baseline.hypercalls
    labels = {number: task_label(task) for number, task in hist.tasks.items()}
    labels[0] = "idle"
    meta = hist.meta
    notes = [f"{kernel.name}: {note}" for note in kernel.uncertain]
    if meta.level == "op":
        notes.append(
            f"The pv ops are recorded, nothing is simulated: of {kernel.name} only its backend rows count."
        )
    if policy.name != DEFAULT_POLICY:
        notes.append(f"Rules enforce the policy {policy.name}: {policy.title}.")
    return Report(
        kernel=kernel.name,
        kernel_source=kernel.title,
        path=meta.path,
        format=meta.format,
        events=hist.events,
        switches=hist.switches,
        cpus=hist.nr_cpus,
        tasks=hist.nr_tasks,
        lost_events=hist.lost_events,
        duration_ns=hist.duration_ns,
        state={key: (origin.how, origin.source, origin.option) for key, origin in meta.state.items()},
        doubts=dict(hist.doubts),
        damage=hist.damage,
        backends=results,
        violations=merge_violations(tallies, lambda task: labels.get(task, f"task {task}")),
        task_names=labels,
        engine=hist.engine,
        compiled=COMPILED,
        version=__version__,
        not_checked=not_checked(hist, rules),
        notes=notes,
    )


def task_label(task: Task) -> str:
    """A task as reports name it; hostile until a renderer has escaped it."""
    name = task.comm or f"task {task.id}"
    return f"{name}-{task.pid}" if task.pid >= 0 else name

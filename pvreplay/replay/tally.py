"""Outcomes times how often they occurred: the sums of one backend, and its violations."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pvreplay.machine.shape import UNIT_LEAVE_MM, UNIT_NM, UNIT_SWITCH
from pvreplay.replay.result import BackendResult, First, Totals, Violation
from pvreplay.rules.base import SEVERITY_ORDER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pvreplay.machine.backend import Backend
    from pvreplay.replay.charge import Sums
    from pvreplay.replay.histogram import Row
    from pvreplay.replay.window import Outcome
    from pvreplay.rules.base import Verdict

K = TypeVar("K")

OUTSIDE_NAMES = {UNIT_NM: "nm", UNIT_LEAVE_MM: "leave_mm"}
SECTION_OPS = frozenset({"enter_lazy_mmu", "leave_lazy_mmu", "resume", "park", "set_pte"})


NO_SUMS: tuple[int, ...] = (0, 0, 0, 0)


class _Seen:
    """One violation of one backend while it is being counted; *row* is where it was first."""

    __slots__ = ("count", "drawn", "row", "shape", "verdict")

    def __init__(self) -> None:
        self.count = 0

    def first(self, outcome: Outcome, verdict: Verdict, row: Row, shape: str) -> None:
        self.drawn = outcome.drawn(verdict)
        self.verdict = verdict
        self.row = row
        self.shape = shape


class _Key(NamedTuple):
    """What makes two findings the same violation, whatever shape they occur in."""

    rule: str
    op: str
    place: str
    key: str


class Tally:
    """The sums of one backend over all units."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._totals = [0, 0, 0, 0]
        self._in_switch = [0, 0, 0, 0, 0]
        self._outside: dict[str, list[int]] = {}
        self._flushes: dict[str, int] = {}
        self._batches: dict[int, int] = {}
        self._by_op: dict[str, list[int]] = {}
        self._histogram: dict[int, int] = {}
        self._by_task: dict[int, list[int]] = {}
        self._by_cpu: dict[int, list[int]] = {}
        self._charged: tuple[dict[int, Totals], ...] = ()
        self._by_shape: dict[str, list[int]] = {}
        self._undeferrable: dict[str, int] = {}
        self._seen: dict[_Key, _Seen] = {}

    def add(self, outcome: Outcome, count: int, cpu: int, task: int, shape_key: str, row: Row) -> None:
        """Add *count* occurrences of *outcome* on *cpu*, for *task*.

        *shape_key* is the joined names of a switch's shape ("" for the other
        units); *row* tells where the first of them happened.
        """
        self.add_unit(outcome, count, shape_key, row)
        _add_to(self._by_task, task, outcome.totals, len(outcome.switches), count)
        _add_to(self._by_cpu, cpu, outcome.totals, len(outcome.switches), count)
        outcome.forget()

    def charge(self, by_task: Sums, by_cpu: Sums, at: int) -> None:
        """What tasks and CPUs pay, instead of adding it up: the *at*-th five of their sums, in order."""
        part = slice(5 * at, 5 * at + 5)
        self._charged = tuple(
            {place: _totals(values[part]) for place, values in sums.items()} for sums in (by_task, by_cpu)
        )

    def add_unit(self, outcome: Outcome, count: int, shape_key: str, row: Row) -> None:
        """Add *count* occurrences of *outcome* to everything but CPUs and tasks."""
        totals = outcome.totals
        for place, value in enumerate(totals):
            self._totals[place] += value * count
        inside = NO_SUMS
        if outcome.switches:
            inside = (
                outcome.switches[0]
                if len(outcome.switches) == 1
                else tuple(map(sum, zip(*outcome.switches, strict=True)))
            )
            for place, value in enumerate(inside):
                self._in_switch[place] += value * count
            self._in_switch[4] += len(outcome.switches) * count
            for switch in outcome.switches:
                self._histogram[switch[0]] = self._histogram.get(switch[0], 0) + count
        if outcome.unit_type == UNIT_SWITCH:
            _add_to(self._by_shape, shape_key, totals, 1, count)
        else:
            name = OUTSIDE_NAMES.get(outcome.unit_type) or _outside_name(outcome)
            rest = tuple(total - part for total, part in zip(totals, inside, strict=True))
            _add_to(self._outside, name, rest, 1, count)
        for reason, times in outcome.flushes.items():
            self._flushes[reason] = self._flushes.get(reason, 0) + times * count
        for size, times in outcome.batch_sizes.items():
            self._batches[size] = self._batches.get(size, 0) + times * count
        for op, values in outcome.by_op.items():
            _add_to(self._by_op, op, values, values[4], count)
        for op, times in outcome.undeferrable.items():
            self._undeferrable[op] = self._undeferrable.get(op, 0) + times * count
        for verdict in outcome.verdicts:
            self._violation(outcome, verdict, count, row, shape_key)

    def absorb(self, other: Tally) -> None:
        """Add the sums of *other*, of the same backend, made from other occurrences."""
        for mine, theirs in ((self._totals, other._totals), (self._in_switch, other._in_switch)):
            mine[:] = [a + b for a, b in zip(mine, theirs, strict=True)]
        _absorb_rows(self._outside, other._outside)
        _absorb_rows(self._by_op, other._by_op)
        _absorb_rows(self._by_task, other._by_task)
        _absorb_rows(self._by_cpu, other._by_cpu)
        _absorb_rows(self._by_shape, other._by_shape)
        _absorb_counts(self._flushes, other._flushes)
        _absorb_counts(self._batches, other._batches)
        _absorb_counts(self._histogram, other._histogram)
        _absorb_counts(self._undeferrable, other._undeferrable)
        for key, theirs_seen in other._seen.items():
            seen = self._seen.setdefault(key, theirs_seen)
            if seen is not theirs_seen:
                first = min(seen, theirs_seen, key=lambda one: one.row.first_event)
                first.count = seen.count + theirs_seen.count
                self._seen[key] = first

    def _violation(self, outcome: Outcome, verdict: Verdict, count: int, row: Row, shape: str) -> None:
        finding = verdict.finding
        key = _Key(finding.rule.code, finding.op, finding.place, finding.key)
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = _Seen()
            seen.first(outcome, verdict, row, shape)
        elif row.first_event < seen.row.first_event:
            seen.first(outcome, verdict, row, shape)
        seen.count += count

    def result(self, switches: int) -> BackendResult:
        """The sums as data; *switches* is the number the rate is per."""
        hypercalls, entries, traps, rom_calls = self._totals
        by_task, by_cpu = self._charged or (
            {place: _totals(values) for place, values in sorted(table.items())}
            for table in (self._by_task, self._by_cpu)
        )
        notes = list(self.backend.notes)
        if self._undeferrable:
            what = ", ".join(f"{op} ({times:,})" for op, times in sorted(self._undeferrable.items()))
            notes.append(f"{self.backend.name} cannot defer, and did at once inside lazy CPU mode: {what}.")
        return BackendResult(
            name=self.backend.name,
            hypercalls=hypercalls,
            hypercalls_per_switch=hypercalls / switches if switches else 0.0,
            entries=entries,
            traps=traps,
            rom_calls=rom_calls,
            flushes=dict(sorted(self._flushes.items())),
            batch_sizes=dict(sorted(self._batches.items())),
            by_op={op: _totals(values) for op, values in sorted(self._by_op.items())},
            histogram=dict(sorted(self._histogram.items())),
            in_switch=_totals(self._in_switch),
            outside={name: _totals(values) for name, values in sorted(self._outside.items())},
            by_task=by_task,
            by_cpu=by_cpu,
            by_shape={shape: _totals(values) for shape, values in sorted(self._by_shape.items())},
            notes=notes,
        )


def _add_to(table: dict[K, list[int]], key: K, values: Sequence[int], number: int, count: int) -> None:
    row = table.get(key)
    if row is None:
        row = table[key] = [0, 0, 0, 0, 0]
    row[0] += values[0] * count
    row[1] += values[1] * count
    row[2] += values[2] * count
    row[3] += values[3] * count
    row[4] += number * count


def _absorb_rows(mine: dict[K, list[int]], theirs: dict[K, list[int]]) -> None:
    for key, values in theirs.items():
        mine[key] = [a + b for a, b in zip(mine.get(key, [0] * 5), values, strict=True)]


def _absorb_counts(mine: dict[K, int], theirs: dict[K, int]) -> None:
    for key, count in theirs.items():
        mine[key] = mine.get(key, 0) + count


def _totals(values: Sequence[int]) -> Totals:
    return Totals(
        hypercalls=values[0], entries=values[1], traps=values[2], rom_calls=values[3], count=values[4]
    )


def _outside_name(outcome: Outcome) -> str:
    """What a sequence's cost outside its switches is called: a section's, or that of recorded ops."""
    return "ops" if SECTION_OPS.isdisjoint(outcome.by_op) else "lazy_mmu"


def merge_violations(tallies: Sequence[Tally], who: Callable[[int], str]) -> list[Violation]:
    """The violations of all backends; those that agree in rule, op, count and first place become one.

    Its step and drawing are those of the first of these backends.  *who* gives
    a task's name.  Sorted by severity, then count, then rule.
    """
    found: dict[tuple[object, ...], Violation] = {}
    for tally in tallies:
        for key, seen in tally._seen.items():
            finding = seen.verdict.finding
            row = seen.row
            same = (key, seen.count, row.first_event)
            if same in found:
                found[same].backends.append(tally.backend.name)
                continue
            found[same] = Violation(
                rule=finding.rule.code,
                name=finding.rule.name,
                severity=finding.rule.severity,
                backends=[tally.backend.name],
                count=seen.count,
                step=finding.step,
                first=First(
                    event=row.first_event,
                    time_ns=row.first_time_ns,
                    cpu=row.cpu,
                    prev=who(row.first_prev),
                    next=who(row.task),
                ),
                op=finding.op,
                message=finding.message,
                advice=finding.rule.advice,
                drawn=seen.drawn,
                shape=seen.shape,
                consequences=list(seen.verdict.consequences),
            )
    return sorted(
        found.values(),
        key=lambda one: (SEVERITY_ORDER[one.severity], -one.count, one.rule, one.op, one.backends),
    )

"""Two sides of a comparison as data: metrics, ops by contribution, violations on one side only.

The structures are the schema ``pvreplay.diff/1`` of docs/diff-json.md: fields
are written in their order.  A key is only ever added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pvreplay.replay.fate import fate as fate
from pvreplay.replay.result import BackendResult, Report, Totals, Violation
from pvreplay.report import order

if TYPE_CHECKING:
    from pvreplay.gate.entry import PathStep

SCHEMA = "pvreplay.diff/1"
METRICS = ("hypercalls", "entries", "traps", "rom_calls")


class Change(msgspec.Struct, kw_only=True):
    """A number on both sides; *ratio* is b / a, None when a is 0."""

    a: float
    b: float
    difference: float
    ratio: float | None


class OpChange(msgspec.Struct, kw_only=True):
    """One op on both sides; *how* says what becomes of it, ``direct -> queued``.

    *why* names the steps of the switch path that perform it and differ.
    """

    op: str
    how: str
    a: Totals
    b: Totals
    why: str = ""


class Side(msgspec.Struct, kw_only=True):
    """What stands on one side of a pair."""

    label: str
    backend: str
    kernel: str
    path: str
    switches: int


class Pair(msgspec.Struct, kw_only=True):
    """One backend result against another.

    *equal* is about cost and broken rules: an op that runs more often and costs
    the same is in *by_op* and makes no difference.  *by_op* has the ops that
    differ, the largest difference in hypercalls first.
    *batching_induced* are the rules among *only_a* or *only_b* that are silent on
    native and fire on the other side.
    """

    a: Side
    b: Side
    equal: bool
    metrics: dict[str, Change]
    by_op: list[OpChange]
    only_a: list[Violation]
    only_b: list[Violation]
    batching_induced: list[str]


class Comparison(msgspec.Struct, kw_only=True):
    """All pairs of a diff.

    *path* is what differs in the switch path from *a* to *b*, step by step, when
    two kernels are compared whose paths are at hand.
    """

    schema: str
    a: str
    b: str
    equal: bool
    pairs: list[Pair]
    notes: list[str]
    version: str
    path: dict[str, str] = {}


class Paths(NamedTuple):
    """The switch paths of the two sides."""

    a: Sequence[PathStep]
    b: Sequence[PathStep]


def compare(
    label_a: str,
    label_b: str,
    pairs: Sequence[tuple[Report, BackendResult, Report, BackendResult]],
    notes: Sequence[str],
    version: str,
    paths: Paths | None = None,
) -> Comparison:
    """Compare every (report, backend) of *pairs* with its counterpart; *paths* if their kernels differ."""
    compared = [_pair(*pair) for pair in pairs]
    changes = _explain(compared, paths) if paths is not None else {}
    return Comparison(
        schema=SCHEMA,
        a=label_a,
        b=label_b,
        equal=all(pair.equal for pair in compared),
        pairs=compared,
        notes=list(notes),
        version=version,
        path=changes,
    )


def _explain(pairs: Sequence[Pair], paths: Paths) -> dict[str, str]:
    """What differs in the path; each op that differs is told the steps it is due to."""
    from pvreplay.gate.paths import step_changes, steps_of

    changes = step_changes(paths.a, paths.b)
    for pair in pairs:
        for op in pair.by_op:
            steps = dict.fromkeys(step.step for path in paths for step in steps_of(op.op, path))
            op.why = "; ".join(f"{step}: {changes[step]}" for step in steps if step in changes)
    return changes


def _pair(report_a: Report, a: BackendResult, report_b: Report, b: BackendResult) -> Pair:
    metrics = {
        "hypercalls": change(a.hypercalls, b.hypercalls),
        "hypercalls_per_switch": change(a.hypercalls_per_switch, b.hypercalls_per_switch),
        **{name: change(getattr(a, name), getattr(b, name)) for name in METRICS[1:]},
    }
    found_a, found_b = (_violations(report_a, a), _violations(report_b, b))
    only_a = [found for key, found in found_a.items() if key not in found_b]
    only_b = [found for key, found in found_b.items() if key not in found_a]
    by_op = _by_op(a, b)
    induced = set()
    if _is_native(a) != _is_native(b):
        induced = {found.rule for found in (only_b if _is_native(a) else only_a)}
    return Pair(
        a=_side(report_a, a, report_b, b),
        b=_side(report_b, b, report_a, a),
        equal=not (only_a or only_b)
        and all(changed.difference == 0 for changed in metrics.values())
        and all(getattr(op.a, name) == getattr(op.b, name) for op in by_op for name in METRICS),
        metrics=metrics,
        by_op=by_op,
        only_a=order.violations(only_a),
        only_b=order.violations(only_b),
        batching_induced=sorted(induced),
    )


def change(a: float, b: float) -> Change:
    """The change from *a* to *b*."""
    return Change(a=a, b=b, difference=b - a, ratio=b / a if a else None)


def _by_op(a: BackendResult, b: BackendResult) -> list[OpChange]:
    nothing = Totals()
    changes = []
    for op in {*a.by_op, *b.by_op}:
        one, other = a.by_op.get(op, nothing), b.by_op.get(op, nothing)
        if one != other:
            changes.append(OpChange(op=op, how=f"{fate(one)} -> {fate(other)}", a=one, b=other))
    return sorted(
        changes,
        key=lambda c: (*(-abs(getattr(c.b, name) - getattr(c.a, name)) for name in METRICS), c.op),
    )


def _violations(report: Report, result: BackendResult) -> dict[tuple[str, str], Violation]:
    """What fires on this backend, by rule and op: step numbers move when a path changes."""
    return {
        (v.rule, v.op): v for v in reversed(order.violations(report.violations)) if result.name in v.backends
    }


def _is_native(result: BackendResult) -> bool:
    return result.name.startswith("native")


def _side(report: Report, result: BackendResult, other_report: Report, other: BackendResult) -> Side:
    differs = []
    if report.kernel != other_report.kernel:
        differs.append(report.kernel)
    if report.path != other_report.path:
        differs.append(report.path)
    if result.name != other.name or not differs:
        differs[:0] = [result.name]
    return Side(
        label=" ".join(differs),
        backend=result.name,
        kernel=report.kernel,
        path=report.path,
        switches=report.switches,
    )

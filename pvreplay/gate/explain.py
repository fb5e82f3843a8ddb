"""Why a metric changed: what each op, shape and task adds to the change, and what moved in the path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from pvreplay.gate.entry import OTHERS, BackendEntry, PathStep, costs, plus
from pvreplay.gate.paths import step_changes, steps_of
from pvreplay.gate.verdict import Cause, Contribution
from pvreplay.replay.fate import fate
from pvreplay.replay.result import Totals

Value = Callable[[Totals], Fraction]
Note = Callable[[str, Totals, Totals], str]


def explain(
    metric: str,
    old: BackendEntry,
    new: BackendEntry,
    *,
    switches: tuple[int, int] | None,
    old_path: Sequence[PathStep],
    new_path: Sequence[PathStep],
) -> list[Contribution]:
    """The contributions to the change of *metric* from *old* to *new*, each kind the largest first.

    *switches* of both sides when *metric* is a rate, else None.  Ops first, then
    what changed in the switch path, then shapes and what is paid outside a switch, then tasks.
    """
    changes = step_changes(old_path, new_path)
    steps = [Contribution(kind="step", name=name, note=note) for name, note in changes.items()]
    if metric.startswith("violations."):
        return _rules(metric.removeprefix("violations."), old, new) + steps
    counter = metric.removesuffix("_per_switch")
    of = (
        (lambda totals: Fraction(getattr(totals, counter), switches[0])) if switches else _counter(counter),
        (lambda totals: Fraction(getattr(totals, counter), switches[1])) if switches else _counter(counter),
    )

    def op_note(op: str, before: Totals, after: Totals) -> str:
        return _op_note(op, before, after, old_path, new_path, changes)

    return [
        *_contributions("op", old.op, new.op, of, op_note),
        *steps,
        *_contributions("shape", old.shape, new.shape, of, _shape_note),
        *_contributions("outside", old.outside, new.outside, of, _count_note),
        *_contributions("task", old.task, new.task, of, _count_note),
    ]


def top_op(metric: str, old: BackendEntry, new: BackendEntry) -> str:
    """The op, or broken rule, that adds the most to the change of *metric*; "" when none does."""
    if metric.startswith("violations."):
        found = _rules(metric.removeprefix("violations."), old, new)
    else:
        counter = _counter(metric.removesuffix("_per_switch"))
        found = _contributions("op", old.op, new.op, (counter, counter), lambda *_: "")
    return found[0].name if found else ""


def _counter(name: str) -> Value:
    return lambda totals: Fraction(getattr(totals, name))


def _contributions(
    kind: Cause,
    old: Mapping[str, Totals],
    new: Mapping[str, Totals],
    of: tuple[Value, Value],
    note: Note,
) -> list[Contribution]:
    if OTHERS in old:
        new = _folded(new, old)
    nothing = Totals()
    found: list[tuple[Fraction, Contribution]] = []
    for name in {*old, *new}:
        before, after = old.get(name, nothing), new.get(name, nothing)
        a, b = of[0](before), of[1](after)
        if a != b:
            line = Contribution(
                kind=kind,
                name=name or "all others",
                baseline=plain(a),
                current=plain(b),
                difference=plain(b - a),
                note=note(name, before, after),
            )
            found.append((abs(b - a), line))
    return [line for _, line in sorted(found, key=lambda pair: (-pair[0], pair[1].name))]


def _folded(table: Mapping[str, Totals], listed: Mapping[str, Totals]) -> dict[str, Totals]:
    """*table* with what *listed* does not list summed up as it does."""
    folded: dict[str, Totals] = {}
    for name, totals in table.items():
        key = name if name in listed else OTHERS
        folded[key] = plus(folded.get(key, Totals()), totals)
    return folded


def _rules(severity: str, old: BackendEntry, new: BackendEntry) -> list[Contribution]:
    found = []
    for key in {*old.violation, *new.violation}:
        either = new.violation.get(key) or old.violation[key]
        a = old.violation[key].count if key in old.violation else 0
        b = new.violation[key].count if key in new.violation else 0
        if either.severity == severity and a != b:
            found.append(
                Contribution(kind="rule", name=key, baseline=a, current=b, difference=b - a, note=either.name)
            )
    return sorted(found, key=lambda line: (-abs(line.difference), line.name))


def _op_note(
    op: str,
    before: Totals,
    after: Totals,
    old_path: Sequence[PathStep],
    new_path: Sequence[PathStep],
    changes: Mapping[str, str],
) -> str:
    """``queued -> hypercall; step set_iopl (when iopl_differs): moved ...``."""
    told = []
    fates = (fate(before) if costs(before) else "free", fate(after) if costs(after) else "free")
    if fates[0] != fates[1]:
        told.append(f"{fates[0]} -> {fates[1]}")
    steps = {step.step: step for step in (*steps_of(op, old_path), *steps_of(op, new_path))}
    for name, step in steps.items():
        when = f" (when {step.when})" if step.when else ""
        what = f": {changes[name]}" if name in changes else ""
        told.append(f"step {name}{when}{what}")
    return "; ".join(told)


def _shape_note(_name: str, before: Totals, after: Totals) -> str:
    times = after.count or before.count
    return f"{times:,} {'switch' if times == 1 else 'switches'}"


def _count_note(_name: str, before: Totals, after: Totals) -> str:
    times = after.count or before.count
    return f"{times:,} {'time' if times == 1 else 'times'}" if times else ""


def plain(value: Fraction) -> float:
    """*value* as an int when it is one, else as a float."""
    return value.numerator if value.denominator == 1 else float(value)

"""A gate's verdict as a page: what failed and by how much, why, and what to type next."""

from __future__ import annotations

from collections.abc import Iterable

from pvreplay.gate.verdict import Check, Contribution, Outcome, Verdict, figure
from pvreplay.report.blocks import Block, Cell, Fold, Heading, Items, PageData, Para, Span, Table, cut
from pvreplay.report.context import Context
from pvreplay.report.figures import count
from pvreplay.report.gate_view import Group, finding_line, groups, told
from pvreplay.report.run_page import STYLE, violation

WORDS: dict[Outcome, Span] = {
    "pass": ("pass", "good"),
    "updated": ("baseline updated", "good"),
    "fail": ("FAIL", "bad"),
    "damaged": ("DAMAGED", "bad"),
    "not-comparable": ("NOT COMPARABLE", "warn"),
}
MARKS: dict[str, Span] = {
    "fail": ("FAIL", "bad"),
    "improved": ("better", "good"),
    "not-comparable": ("?", "warn"),
    "pass": ("", ""),
}
CAUSES = 8
"""Contributions of one kind."""


def page(verdict: Verdict, context: Context) -> PageData:
    """*verdict* as a page."""
    word, style = WORDS[verdict.outcome]
    blocks: list[Block] = [Heading(2, [("pvreplay gate:", ""), (word, style)])]
    for group in groups(verdict):
        blocks += _trace(group, alone=len(verdict.traces) == 1)
    if verdict.notes:
        blocks.append(Items([[(note, "")] for note in verdict.notes]))
    blocks += _commands(verdict)
    blocks.append(Para(_source(verdict)))
    return PageData(f"pvreplay gate: {word}", blocks)


def _trace(group: Group, *, alone: bool) -> Iterable[Block]:
    trace = group.trace
    title: list[Span] = [(trace.name, "name"), ("on kernel", ""), (trace.kernel, "name")]
    events = f"{count(trace.switches, 'switch', 'switches')} in {count(trace.events, 'event')}"
    yield Heading(3, title if alone else [*title, WORDS[trace.outcome]])
    if trace.damage:
        yield Para([("Damaged trace:", "bad"), (trace.damage, "")])
    if trace.reasons:
        yield Items([[(reason, "warn")] for reason in trace.reasons])
    yield Para([(f"{events}; {', '.join(trace.backends)}", "")])
    changed = [one for one in group.checks if one.status in ("fail", "improved") or _moved(one)]
    if changed:
        yield _table(changed)
    rest = [check for check in group.checks if check not in changed]
    if rest:
        yield Fold([(f"{count(len(rest), 'check')} without a change", "")], [_table(rest)])
    steps = {line.name: line.note for check in changed for line in check.explain if line.kind == "step"}
    if steps:
        items: list[list[Span]] = [[(name, "name"), (note, "")] for name, note in steps.items()]
        yield Fold([("The switch path changed", "strong")], [Items(items)], open=True)
    for check in changed:
        if check.explain:
            yield _explanation(check)
    for one in group.findings:
        if told(one) or one.standing in ("fewer", "gone"):
            summary: list[Span] = [
                (f"{one.rule} {one.name}", "strong"),
                (one.severity, STYLE[one.severity]),
                (one.op, "name"),
                (finding_line(one), ""),
            ]
            yield Fold(summary, violation(one.violation) if one.violation else [], open=one.fails)
    if trace.notes:
        yield Items([[(note, "dim")] for note in trace.notes])


def _moved(check: Check) -> bool:
    return bool(check.difference) and check.status == "pass"


def _table(checks: list[Check]) -> Table:
    rows: list[list[Cell]] = []
    for check in checks:
        change = "-"
        if check.baseline is not None and check.status != "not-comparable":
            change = figure(check.difference, signed=True) if check.difference else "0"
            if check.baseline and check.difference:
                change += f" ({100 * check.difference / check.baseline:+.1f} %)"
        rows.append(
            [
                (check.backend, "name"),
                check.metric.replace("_", " "),
                _figure(check.baseline),
                figure(check.current),
                change,
                _figure(check.limit),
                MARKS[check.status],
            ]
        )
    return Table(["backend", "metric", "baseline", "now", "change", "allowed", ""], rows, (0, 1, 6))


def _figure(value: float | None) -> str:
    return "-" if value is None else figure(value)


def _explanation(check: Check) -> Fold:
    metric = check.metric.replace("_", " ")
    summary: list[Span] = [
        ("Why", ""),
        (f"{check.backend} {metric}", "strong"),
        (figure(check.difference, signed=True), "bad" if check.difference > 0 else "good"),
    ]
    inside: list[Block] = []
    if check.reason:
        inside.append(Para([(f"{check.reason}.", "")]))
    for kind in dict.fromkeys(line.kind for line in check.explain if line.kind != "step"):
        lines = [line for line in check.explain if line.kind == kind]
        rows = [_cause(line) for line in lines]
        inside.append(Table([kind, "baseline", "now", "change", "why"], cut(rows, CAUSES, 5), (0, 4)))
    return Fold(summary, inside, open=check.status == "fail")


def _cause(line: Contribution) -> list[Cell]:
    change = figure(line.difference, signed=True)
    return [(line.name, "name"), figure(line.baseline), figure(line.current), change, line.note]


def _commands(verdict: Verdict) -> Iterable[Block]:
    failing = [check for check in verdict.checks if check.status == "fail"]
    better = any(check.status == "improved" for check in verdict.checks)
    if verdict.outcome == "fail" and not verdict.explained and any(c.baseline is not None for c in failing):
        yield Para([("To see why:", ""), (verdict.explain_command, "name")])
    if verdict.outcome == "pass" and better:
        yield Para([("To lock the improvement in:", ""), (verdict.update_command, "name")])
    elif verdict.outcome == "fail":
        yield Para([("If that is meant to be:", ""), (verdict.update_command, "name")])
    elif verdict.outcome == "not-comparable":
        yield Para([("To make this run the baseline:", ""), (verdict.update_command, "name")])


def _source(verdict: Verdict) -> list[Span]:
    spans: list[Span] = [(f"pvreplay {verdict.version}, model {verdict.model}", "dim")]
    if verdict.baseline:
        spans += [("baseline", "dim"), (verdict.baseline, "name")]
    if verdict.config:
        spans += [("budgets", "dim"), (verdict.config, "name")]
    return spans

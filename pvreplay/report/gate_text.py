"""A gate's verdict as text: what fails and by how much, what got better, what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pvreplay.gate.verdict import (
    BASELINE_RULE,
    Check,
    Contribution,
    Finding,
    Outcome,
    TraceVerdict,
    Verdict,
    figure,
)
from pvreplay.report import text_findings
from pvreplay.report.figures import count
from pvreplay.report.page import Page

WORDS: dict[Outcome, tuple[str, str]] = {
    "pass": ("pass", "good"),
    "updated": ("updated", "good"),
    "fail": ("FAIL", "bad"),
    "damaged": ("DAMAGED", "bad"),
    "not-comparable": ("NOT COMPARABLE", "warn"),
}
KINDS = {
    "op": ("op", "ops"),
    "rule": ("rule", "rules"),
    "shape": ("shape", "shapes"),
    "outside": ("outside a switch", "outside a switch"),
    "task": ("task", "tasks"),
}


def render_gate(
    verdict: Verdict,
    *,
    width: int = 80,
    color: bool = False,
    ascii: bool = False,
    top: int = 5,
    verbose: int = 0,
) -> str:
    """*verdict* as text; *top* limits the lists of an explanation, *verbose* shows what passed too."""
    page = Page(width, ascii)
    for trace in verdict.traces:
        page.blank()
        _trace(page, verdict, trace, top=top, verbose=verbose)
    page.blank()
    _summary(page, verdict)
    return page.text(color)


def _trace(page: Page, verdict: Verdict, trace: TraceVerdict, *, top: int, verbose: int) -> None:
    page.flow(
        WORDS[trace.outcome],
        (trace.name, "title"),
        ("on kernel", "dim"),
        (trace.kernel, "title"),
        indent=2,
        first=0,
    )
    events = count(trace.events, "event")
    page.flow(
        f"{count(trace.switches, 'switch', 'switches')} in {events}; {', '.join(trace.backends)}", indent=2
    )
    if trace.damage:
        page.flow(("damaged:", "bad"), trace.damage, indent=2)
    for reason in trace.reasons:
        page.flow((reason, "warn"), indent=4, first=2)
    for note in trace.notes:
        page.flow("note:", note, indent=8, first=2)
    checks = [check for check in verdict.checks if (check.trace, check.kernel) == (trace.name, trace.kernel)]
    _table(page, checks, trace, verbose)
    _explanations(page, checks, top, verbose)
    found = [one for one in verdict.findings if (one.trace, one.kernel) == (trace.name, trace.kernel)]
    _rules(page, found, trace, verbose)


# --- numbers -----------------------------------------------------------------------------------


def _table(page: Page, checks: Sequence[Check], trace: TraceVerdict, verbose: int) -> None:
    """The checks that say something: over a limit, changed; all of them when *verbose*."""
    told = ("fail", "improved", "pass")
    shown = [check for check in checks if verbose or (check.difference and check.status in told)]
    shown += [check for check in checks if check.status == "fail" and check not in shown]
    if not shown and trace.outcome in ("not-comparable", "updated", "damaged"):
        shown = [check for check in checks if check.current and check.metric.startswith("hypercalls")]
    if shown:
        page.table(
            ["backend", "metric", "baseline", "now", "change", "allowed", ""],
            [_row(check) for check in shown],
            indent=2,
            text=(0, 1, 6),
            styles=["name"],
        )
    passed = sum(check.status in ("pass", "improved") for check in checks)
    if passed and trace.outcome != "updated":
        rest = "" if len(checks) == passed else f" of {len(checks)}"
        page.line((f"  {passed}{rest} checks passed", "dim"))
    blamed: dict[str, list[str]] = {}
    for check in shown:
        if check.status == "fail" and check.mostly and not check.explain:
            blamed.setdefault(check.mostly, []).append(f"{check.backend} {check.metric.replace('_', ' ')}")
    for op, metrics in blamed.items():
        page.flow((op, "bad"), f"makes most of {', '.join(metrics)}", indent=4, first=2)
    budgets = dict.fromkeys(check.rule for check in shown if check.rule != BASELINE_RULE)
    for rule in budgets:
        page.flow(("allowed by", "dim"), (rule, "dim"), indent=4, first=2)


def _row(check: Check) -> list[str | int]:
    change = "-"
    if check.baseline is not None and check.status != "not-comparable":
        change = figure(check.difference, signed=True) if check.difference else "0"
        if check.baseline and check.difference:
            change += f" ({100 * check.difference / check.baseline:+.1f} %)"
    return [
        check.backend,
        check.metric.replace("_", " "),
        _figure(check.baseline),
        figure(check.current),
        change,
        _figure(check.limit),
        {"fail": "FAIL", "improved": "better", "not-comparable": "?", "pass": ""}[check.status],
    ]


def _figure(value: float | None) -> str:
    return "-" if value is None else figure(value)


# --- why ---------------------------------------------------------------------------------------


def _explanations(page: Page, checks: Sequence[Check], top: int, verbose: int) -> None:
    told = [check for check in checks if check.explain]
    steps = {line.name: line for check in told for line in check.explain if line.kind == "step"}
    if steps:
        page.blank()
        page.line(("  the switch path changed", "head"))
        for line in steps.values():
            page.flow((line.name, "name"), f" {line.note}", indent=6, first=4)
    for check in told:
        page.blank()
        page.flow(
            (check.backend, "name"),
            (check.metric.replace("_", " "), "head"),
            (figure(check.difference, signed=True), "bad" if check.difference > 0 else "good"),
            "comes from",
            indent=4,
            first=2,
        )
        for kind in KINDS:
            lines = [line for line in check.explain if line.kind == kind]
            _contributions(page, kind, lines, len(lines) if verbose else top)


def _contributions(page: Page, kind: str, lines: Sequence[Contribution], top: int) -> None:
    singular, plural = KINDS[kind]
    for line in lines[:top]:
        change = figure(line.difference, signed=True)
        numbers = f" {figure(line.baseline)} -> {figure(line.current)}"
        short = line.note if kind in ("shape", "outside", "task", "rule") else ""
        page.flow(
            (change, "bad" if line.difference > 0 else "good"),
            (f" {singular}", "dim"),
            (line.name, "name"),
            f"{numbers}{', ' if short else ''}{short}",
            indent=16,
            first=max(2, 12 - len(change)),
        )
        for part in line.note.split("; ") if line.note and not short else ():
            page.flow((part, "dim"), indent=18, first=16)
    rest = lines[top:]
    if rest:
        change = figure(sum(line.difference for line in rest), signed=True)
        what = singular if len(rest) == 1 else plural
        page.line((f"{change:>12}  {len(rest)} more {what}", "dim"))


# --- rules -------------------------------------------------------------------------------------


def _rules(page: Page, found: Sequence[Finding], trace: TraceVerdict, verbose: int) -> None:
    """Broken rules that are not as they were, those that fail drawn; all of them when *verbose*."""
    for one in found:
        if not verbose and not one.fails and one.standing in ("known", "unknown"):
            continue
        page.blank()
        word, style = _standing(one)
        if one.violation is not None and (one.fails or verbose):
            page.line((word, style))
            text_findings.violation_lines(page, one.violation, trace.backends, verbose)
            continue
        page.flow(
            (word.split(",")[0].rstrip(":") + ":", style),
            (one.rule, "title"),
            one.name,
            (f" {one.severity}", text_findings.STYLE[one.severity]),
            f" {', '.join(one.backends)}",
            f" at {one.op}:",
            f"{one.baseline:,} -> {one.current:,} times",
            indent=4,
            first=2,
        )


def _standing(one: Finding) -> tuple[str, str]:
    words = {
        "new": "new:",
        "more": f"more often, {one.baseline:,} -> {one.current:,}:",
        "known": "known:",
        "fewer": "less often:",
        "gone": "no longer broken:",
        "unknown": "broken:",
    }
    style = "bad" if one.fails else "good" if one.standing in ("fewer", "gone") else ""
    return words[one.standing], style


# --- the end -----------------------------------------------------------------------------------


def _summary(page: Page, verdict: Verdict) -> None:
    failed = sum(check.status == "fail" for check in verdict.checks)
    broken = sum(one.fails for one in verdict.findings)
    better = sum(check.status == "improved" for check in verdict.checks)
    parts = []
    if failed:
        parts.append(f"{failed} of {count(len(verdict.checks), 'check')} over the limit")
    if broken:
        parts.append(count(broken, "rule newly broken", "rules newly broken"))
    if better:
        parts.append(f"{count(better, 'metric')} better")
    if verdict.outcome == "updated":
        parts = [f"{verdict.baseline} holds what was measured now"]
    word, style = WORDS[verdict.outcome]
    page.flow((f"gate: {word}{',' if parts else ''}", style), ", ".join(parts), indent=2, first=0)
    for note in verdict.notes:
        page.flow("note:", note, indent=6, first=0)
    if (
        verdict.outcome == "fail"
        and not verdict.explained
        and any(check.status == "fail" and check.baseline is not None for check in verdict.checks)
    ):
        _command(page, "to see why:", verdict.explain_command)
    if verdict.outcome == "pass" and better:
        _command(page, "to lock the improvement in:", verdict.update_command)
    elif verdict.outcome == "fail" and _update_helps(verdict):
        _command(page, "if that is meant to be:", verdict.update_command)
    elif verdict.outcome == "not-comparable":
        _command(page, "to make this run the baseline:", verdict.update_command)
    source = [f"baseline {verdict.baseline}"] if verdict.baseline else []
    source += [f"budgets {verdict.config}"] if verdict.config else []
    page.flow((f"pvreplay {verdict.version}, model {verdict.model}; {', '.join(source)}".rstrip("; "), "dim"))


def _update_helps(verdict: Verdict) -> bool:
    """Whether anything fails because of the baseline: a budget of its own stays exceeded."""
    over = any(check.status == "fail" and check.rule.startswith(BASELINE_RULE) for check in verdict.checks)
    return bool(verdict.baseline) and (over or any(one.fails for one in verdict.findings))


def _command(page: Page, why: str, command: str) -> None:
    """A command to paste, broken with backslashes where it is too long."""
    page.line((why, "dim"))
    lines = [""]
    for word in map(shlex.quote, shlex.split(command)):
        if lines[-1] and len(lines[-1]) + len(word) + 5 > page.width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    for number, line in enumerate(lines):
        end = " \\" if number < len(lines) - 1 else ""
        page.lines.append([(f"  {'  ' if number else ''}{page.safe(line)}{end}", "name")])

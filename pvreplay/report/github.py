"""Annotations of GitHub Actions: one workflow command a finding; docs/outputs.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from pvreplay.gate.verdict import Finding, Verdict, improved
from pvreplay.replay.result import Report, Violation
from pvreplay.report.cases import also, grouped, headline, steps, total, windows
from pvreplay.report.context import PLAIN, Context
from pvreplay.report.escape import github, github_log, github_property
from pvreplay.report.figures import count
from pvreplay.report.gate_view import (
    Group,
    check_lines,
    check_target,
    check_title,
    finding_line,
    finding_target,
    groups,
    target,
    told,
)
from pvreplay.report.text_findings import where

LIMIT: Final = 10
"""Annotations of one level that GitHub shows of one step."""
Level = Literal["error", "warning", "notice"]
LEVELS: Final[tuple[Level, ...]] = ("error", "warning", "notice")


class Annotation(NamedTuple):
    """One finding; *file* is relative to the repository, empty when it has none."""

    level: Level
    title: str
    lines: list[str]
    file: str = ""
    line: int = 1

    def command(self) -> str:
        """The workflow command."""
        where_told = f"file={github_property(self.file)},line={self.line}," if self.file else ""
        message = "%0A".join(map(github, self.lines))
        return f"::{self.level} {where_told}title={github_property(self.title)}::{message}"


def commands(found: Iterable[Annotation], verdict: str, context: Context) -> str:
    """What goes to the log: *verdict* for people, then ten annotations a level at most.

    A notice says how many were left out, and where they are.
    """
    annotations = list(found)
    lines = [f"pvreplay: {github_log(verdict)}"]
    left = []
    for level in LEVELS:
        of_level = [one for one in annotations if one.level == level]
        lines += [one.command() for one in of_level[: LIMIT - (level == "notice")]]
        if len(of_level) > LIMIT:
            left.append(count(len(of_level) - LIMIT, level))
    if left:
        rest = "are in the job summary" if context.summary else "are in the output of --format text -v"
        words = f"{' and '.join(left)} beyond the {LIMIT} that GitHub shows {rest}"
        lines.append(Annotation("notice", "pvreplay", [words]).command())
    return "\n".join(lines) + "\n"


def render(report: Report, context: Context = PLAIN) -> str:
    """*report* as workflow commands.

    An error fails the run, a warning does not: performance findings are warnings unless --strict.
    """
    file = context.file(report.path)
    verdict = f"{report.path} on kernel {report.kernel}: {total(report.violations)}"
    return commands(_annotations(report, file, context), verdict, context)


def _annotations(report: Report, file: str, context: Context) -> Iterable[Annotation]:
    if report.damage:
        yield Annotation("warning" if context.lenient else "error", "damaged trace", [report.damage], file)
    if report.lost_events:
        lost = f"{count(report.lost_events, 'event')} lost: the counts are lower bounds"
        yield Annotation("warning", "lost events", [lost], file)
    priced = [result.name for result in report.backends]
    for first, *rest in grouped(report):
        level: Level = "error" if context.fails(first.severity) else "warning"
        lines = [*_lines(first), *(also(one, priced) for one in rest)]
        line = context.place(report.path, first).line
        yield Annotation(level, _title(first, priced), lines, file, line)
    for window in windows(report):
        level = "error" if context.strict else "notice"
        yield Annotation(level, _title(window, priced), _lines(window), file)


def _title(violation: Violation, priced: list[str]) -> str:
    return f"{violation.rule} {violation.name} ({where(violation.backends, priced)})"


def _lines(violation: Violation) -> list[str]:
    return [headline(violation), *steps(violation)]


def render_gate(verdict: Verdict, context: Context = PLAIN) -> str:
    """*verdict* as workflow commands; improvements are one notice, with the command that keeps them."""
    words = f"gate: {verdict.outcome}"
    failing = sum(check.status == "fail" for check in verdict.checks)
    broken = sum(one.fails for one in verdict.findings)
    parts = [
        *([f"{count(failing, 'check')} over the limit"] if failing else []),
        *([f"{count(broken, 'rule')} broken"] if broken else []),
    ]
    return commands(_judged(verdict, context), ", ".join([words, *parts]), context)


def _judged(verdict: Verdict, context: Context) -> Iterable[Annotation]:
    for group in groups(verdict):
        yield from _trace(group, verdict, context)
        for check in group.checks:
            if check.status == "fail":
                file, place = check_target(group, check, context)
                lines = [group.title, *check_lines(check)]
                yield Annotation("error", check_title(check), lines, file, place.line)
        for one in group.findings:
            if told(one):
                yield _rule(one, group, context)
    better = improved(verdict)
    if better and verdict.outcome == "pass":
        lines = [check.reason or check_title(check) for check in better[:LIMIT]]
        lines.append(f"to lock it in: {verdict.update_command}")
        yield Annotation("notice", f"{count(len(better), 'metric')} better", lines)
    if verdict.outcome in ("fail", "not-comparable"):
        yield Annotation("notice", "if that is meant to be", [verdict.update_command])


def _trace(group: Group, verdict: Verdict, context: Context) -> Iterable[Annotation]:
    trace = group.trace
    file, place = target(group, (), context)
    if trace.damage:
        level: Level = "error" if trace.outcome == "damaged" else "warning"
        yield Annotation(level, "damaged trace", [group.title, trace.damage], context.file(trace.path))
    if trace.outcome == "not-comparable":
        yield Annotation("error", "not comparable", [group.title, *trace.reasons], file, place.line)


def _rule(one: Finding, group: Group, context: Context) -> Annotation:
    file, place = finding_target(group, one, context)
    drawn = _lines(one.violation) if one.violation else []
    title = f"{one.rule} {one.name} ({', '.join(one.backends)})"
    lines = [group.title, finding_line(one), *drawn]
    return Annotation("error" if one.fails else "warning", title, lines, file, place.line)

"""Annotations of GitHub Actions: one workflow command a finding; docs/outputs.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from pvreplay.replay.result import Report, Violation
from pvreplay.report import order
from pvreplay.report.cases import headline, steps, total
from pvreplay.report.context import PLAIN, Context
from pvreplay.report.escape import github, github_log, github_property
from pvreplay.report.figures import count
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
    for violation in order.violations(report.violations):
        yield finding(violation, priced, file, context.place(report.path, violation).line, context)


def finding(violation: Violation, priced: list[str], file: str, line: int, context: Context) -> Annotation:
    """A violation: what and how often, then the steps."""
    return Annotation(
        "error" if context.fails(violation.severity) else "warning",
        f"{violation.rule} {violation.name} ({where(violation.backends, priced)})",
        [headline(violation), *steps(violation)],
        file,
        line,
    )

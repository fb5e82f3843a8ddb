"""GitLab's code quality report: a JSON array of findings; docs/outputs.md.

The fields GitLab reads of the Code Climate format; a finding without one of them is dropped,
as is the second of two with the same fingerprint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from pvreplay.gate.verdict import Verdict
from pvreplay.replay.result import Report, Severity, Violation
from pvreplay.report import escape, order
from pvreplay.report.cases import headline, windows
from pvreplay.report.context import PLAIN, Context
from pvreplay.report.figures import count
from pvreplay.report.fingerprint import Fingerprints
from pvreplay.report.gate_view import (
    check_target,
    check_title,
    finding_line,
    finding_target,
    groups,
    target,
    told,
)
from pvreplay.report.text_findings import where

Importance = Literal["info", "minor", "major", "critical", "blocker"]
SEVERITY: Final[Mapping[Severity, Importance]] = {
    "security": "blocker",
    "error": "critical",
    "perf": "minor",
}


class Lines(msgspec.Struct):
    """Where a finding begins, from 1."""

    begin: int


class Location(msgspec.Struct):
    """The file, relative to the repository."""

    path: str
    lines: Lines


class Finding(msgspec.Struct):
    """One finding."""

    description: str
    check_name: str
    fingerprint: str
    severity: Importance
    location: Location


def document(findings: Iterable[Finding]) -> str:
    """The whole file."""
    encoded = msgspec.json.format(msgspec.json.encode(list(findings)))
    return escape.json_bytes(encoded).decode() + "\n"


def render(report: Report, context: Context = PLAIN) -> str:
    """*report* as a code quality report."""
    prints = Fingerprints()
    priced = [result.name for result in report.backends]
    file = context.file(report.path)
    found = []
    if report.damage:
        importance: Importance = "minor" if context.lenient else "blocker"
        found.append(plain(prints, "damaged trace", report.damage, importance, file))
    if report.lost_events:
        lost = f"{count(report.lost_events, 'event')} lost: the counts are lower bounds"
        found.append(plain(prints, "lost events", lost, "info", file))
    for violation in order.violations(report.violations):
        line = context.place(report.path, violation).line
        found.append(broken(prints, violation, priced, file, line, report.kernel, context))
    for window in windows(report):
        words = f"{headline(window)} ({where(window.backends, priced)}). {window.advice}"
        importance = "major" if context.strict else "info"
        print_ = prints.of(window, file, report.kernel)
        found.append(_finding(f"{window.rule} {window.name}", words, print_, importance, file, 1))
    return document(found)


def plain(
    prints: Fingerprints, name: str, words: str, importance: Importance, file: str, line: int = 1
) -> Finding:
    """A finding that is no broken rule; *name* and *file* identify it."""
    return _finding(name, words, prints.next(file, name), importance, file, line)


def _finding(name: str, words: str, print_: str, importance: Importance, file: str, line: int) -> Finding:
    return Finding(
        description=escape.terminal(words),
        check_name=escape.terminal(name),
        fingerprint=print_,
        severity=importance,
        location=Location(escape.terminal(file), Lines(line)),
    )


def broken(
    prints: Fingerprints,
    violation: Violation,
    priced: list[str],
    file: str,
    line: int,
    kernel: str,
    context: Context,
) -> Finding:
    """A broken rule; a performance finding that fails (--strict) is a major one."""
    importance = SEVERITY[violation.severity]
    if violation.severity == "perf" and context.strict:
        importance = "major"
    on = f"{where(violation.backends, priced)}, {count(violation.count, 'time')}, kernel {kernel}"
    words = f"{headline(violation)} ({on}). {violation.advice}"
    name = f"{violation.rule} {violation.name}"
    return _finding(name, words, prints.of(violation, file, kernel), importance, file, line)


def render_gate(verdict: Verdict, context: Context = PLAIN) -> str:
    """*verdict* as a code quality report: checks over their limit, rules broken newly or more often."""
    prints = Fingerprints()
    found = []
    for group in groups(verdict):
        trace = group.trace
        file, place = target(group, (), context)
        if trace.damage:
            importance: Importance = "blocker" if trace.outcome == "damaged" else "minor"
            words = f"{group.title}: {trace.damage}"
            found.append(plain(prints, "damaged trace", words, importance, context.file(trace.path)))
        if trace.outcome == "not-comparable":
            words = f"{group.title}: {'; '.join(trace.reasons)}"
            found.append(plain(prints, "not comparable", words, "major", file, place.line))
        for check in group.checks:
            if check.status == "fail":
                file, place = check_target(group, check, context)
                title = check_title(check)
                words = f"{group.title}, {check.backend}: {check.reason}"
                print_ = prints.next(file, trace.name, trace.kernel, title)
                found.append(_finding(title, words, print_, "critical", file, place.line))
        for one in group.findings:
            if told(one):
                file, place = finding_target(group, one, context)
                key = (file, trace.name, trace.kernel, one.rule, one.op, *one.backends)
                advice = f" {one.violation.advice}" if one.violation else ""
                words = f"{group.title}: {one.op}, {finding_line(one)}.{advice}"
                importance = SEVERITY[one.severity]
                name = f"{one.rule} {one.name}"
                found.append(_finding(name, words, prints.next(*key), importance, file, place.line))
    return document(found)

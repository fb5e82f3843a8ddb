"""A run as test cases: every rule on every backend, broken, kept or not checked."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from pvreplay.replay.result import Report, Violation
from pvreplay.report import order
from pvreplay.report.figures import count
from pvreplay.report.page import Page
from pvreplay.report.text_findings import joined, violation_lines, where
from pvreplay.report.what_if_text import ranges

WIDTH = 120
"""Columns of what is drawn for a log or a browser."""


class Case(NamedTuple):
    """One rule on one backend; *found* is empty when it is kept, *skipped* says why it was not checked."""

    rule: str
    name: str
    summary: str
    found: list[Violation]
    skipped: str

    @property
    def title(self) -> str:
        """``H1 raw-queued``."""
        return f"{self.rule} {self.name}"


def cases(report: Report) -> dict[str, list[Case]]:
    """Backend -> its cases, in the order of the rules' table.

    A rule that only a saved report knows comes after those known here.  A baseline
    (unbatched, nolazy) of a backend that is there has no cases, unless a rule is
    broken on baselines alone.
    """
    from pvreplay.rules import all_rules

    known = {rule.code: (rule.name, rule.summary) for rule in all_rules()}
    ranked = order.violations(report.violations)
    for violation in ranked:
        known.setdefault(violation.rule, (violation.name, ""))
    names = [result.name for result in report.backends]
    plain = order.without_baselines(names)
    alone = [one.backends for one in ranked if not set(one.backends) & set(plain)]
    return {
        backend: [
            Case(
                code,
                name,
                summary,
                [one for one in ranked if one.rule == code and backend in one.backends],
                report.not_checked.get(code, ""),
            )
            for code, (name, summary) in known.items()
        ]
        for backend in names
        if backend in plain or any(backend in backends for backends in alone)
    }


def grouped(report: Report) -> list[list[Violation]]:
    """The violations, worst first; those of one rule and op stand together, whatever backend they are on."""
    groups: dict[tuple[str, str], list[Violation]] = {}
    for found in order.violations(report.violations):
        groups.setdefault((found.rule, found.op), []).append(found)
    return list(groups.values())


def also(violation: Violation, priced: list[str]) -> str:
    """A violation of a group after the one that is drawn, unescaped."""
    first = f" (first: event {violation.first.event:,})" if violation.first else ""
    told = f"{where(violation.backends, priced)}, {count(violation.count, 'time')}{first}"
    return f"also on {told}: {violation.message}"


def windows(report: Report) -> list[Violation]:
    """What events put in would break (``--inject``), as findings that fail under --strict only."""
    return [
        Violation(
            rule=window.rule,
            name=window.name,
            severity="perf",
            backends=window.backends,
            count=window.count,
            step=window.steps[0],
            op=f"{window.event} before {window.before}",
            message=f"had it come before {ranges(window.steps)}: {window.message}",
            advice=window.advice,
            drawn=window.drawn,
            shape=window.shape,
        )
        for window in report.what_if or ()
    ]


def drawing(violation: Violation, priced: list[str]) -> list[str]:
    """*violation* drawn in full, as lines of plain text that a terminal may show."""
    page = Page(WIDTH)
    violation_lines(page, violation, priced, 1)
    return page.text().splitlines()


def steps(violation: Violation) -> list[str]:
    """As :func:`drawing`, without the line that names rule, backends and count."""
    nameless = msgspec.structs.replace(violation, backends=[])
    return drawing(nameless, [])[1:]


def headline(violation: Violation) -> str:
    """``loadsegment:gs: GDT.TLS still queued since step 3``, unescaped."""
    return f"{violation.op}: {violation.message}"


def total(violations: list[Violation]) -> str:
    """What a run found, in words, as the text report counts it: ``2 violations, 1 performance finding``."""
    broken = [found for found in violations if found.severity != "perf"]
    dear = joined([found for found in violations if found.severity == "perf"])
    return ", ".join(told for _, told in order.counted([*broken, *dear])) or "no rule broken"

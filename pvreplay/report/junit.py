"""JUnit XML: a suite a backend, a case a rule; docs/outputs.md.

Within the schema of Jenkins' xunit plug-in (junit-10.xsd), the strictest of those in use:
no attribute is written that it does not know.
"""

from __future__ import annotations

from pvreplay.gate.verdict import Verdict
from pvreplay.replay.result import BackendResult, Report
from pvreplay.report.cases import Case, cases, drawing, headline, windows
from pvreplay.report.context import PLAIN, Context
from pvreplay.report.escape import xml
from pvreplay.report.gate_view import Group, check_lines, finding_line, finding_title, groups

METRICS = ("hypercalls", "hypercalls_per_switch", "entries", "traps", "rom_calls")


class Suite:
    """A ``<testsuite>`` being written; counts its cases."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tests = self.failures = self.errors = self.skipped = 0
        self.properties: list[tuple[str, str]] = []
        self._cases: list[str] = []

    def case(
        self,
        name: str,
        *,
        failure: str = "",
        error: str = "",
        skipped: str = "",
        type: str = "",
        text: list[str] | None = None,
    ) -> None:
        """Add a case: at most one of *failure*, *error* and *skipped* says how it did.

        *text* are the lines of the failure, or what a passing case has to say.
        """
        body = "\n".join(map(xml, text or []))
        self.tests += 1
        inside = f"<system-out>{body}\n</system-out>" if body else ""
        if failure:
            self.failures += 1
            inside = f'<failure type="{xml(type)}" message="{xml(failure)}">{body}\n</failure>'
        elif error:
            self.errors += 1
            inside = f'<error type="{xml(type)}" message="{xml(error)}">{body}\n</error>'
        elif skipped:
            self.skipped += 1
            inside = f'<skipped message="{xml(skipped)}"/>'
        head = f'    <testcase classname="{xml(self.name)}" name="{xml(name)}" time="0"'
        self._cases.append(f"{head}>{inside}</testcase>" if inside else f"{head}/>")

    def lines(self) -> list[str]:
        """The element."""
        out = [
            f'  <testsuite name="{xml(self.name)}" tests="{self.tests}" failures="{self.failures}"'
            f' errors="{self.errors}" skipped="{self.skipped}" time="0">'
        ]
        if self.properties:
            out.append("    <properties>")
            out += [
                f'      <property name="{xml(name)}" value="{xml(value)}"/>'
                for name, value in self.properties
            ]
            out.append("    </properties>")
        return [*out, *self._cases, "  </testsuite>"]


def document(suites: list[Suite]) -> str:
    """The whole file."""
    failures, errors = (sum(getattr(suite, key) for suite in suites) for key in ("failures", "errors"))
    tests = sum(suite.tests for suite in suites)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name="pvreplay" tests="{tests}" failures="{failures}" errors="{errors}" time="0">',
        *(line for suite in suites for line in suite.lines()),
        "</testsuites>",
    ]
    return "\n".join(lines) + "\n"


def render(report: Report, context: Context = PLAIN) -> str:
    """*report* as JUnit XML.

    A broken rule of severity security or error is a failure, a performance finding
    one under --strict and the output of a passing case otherwise.
    """
    table = cases(report)
    priced = [result.name for result in report.backends]
    suites = [_trace(report, context)]
    for result in report.backends:
        if result.name not in table:
            continue
        suite = Suite(f"pvreplay.{result.name}")
        suite.properties = [("kernel", report.kernel), *_figures(result)]
        for case in table[result.name]:
            _rule(suite, case, priced, context)
        suites.append(suite)
    if report.what_if is not None:
        suites.append(_windows(report, priced, context))
    return document(suites)


def _windows(report: Report, priced: list[str], context: Context) -> Suite:
    suite = Suite("pvreplay.what-if")
    for found in windows(report):
        title = f"{found.rule} {found.name}: {found.op} on {', '.join(found.backends)}"
        failure = headline(found) if context.strict else ""
        suite.case(title, failure=failure, type="what-if", text=drawing(found, priced))
    return suite


def _trace(report: Report, context: Context) -> Suite:
    suite = Suite("pvreplay.trace")
    suite.properties = [
        ("path", report.path),
        ("format", report.format),
        ("kernel", report.kernel),
        ("switches", str(report.switches)),
        ("events", str(report.events)),
        ("lost_events", str(report.lost_events)),
        *((f"doubts.{name}", str(count)) for name, count in sorted(report.doubts.items()) if count),
        ("version", report.version),
    ]
    damaged = report.damage and not context.lenient
    suite.case(
        f"{context.file(report.path)} is whole",
        error=report.damage if damaged else "",
        type="damage",
        text=[f"{report.path}: {report.damage}"] if report.damage else [],
    )
    return suite


def _figures(result: BackendResult) -> list[tuple[str, str]]:
    return [(name, str(getattr(result, name))) for name in METRICS]


def _rule(suite: Suite, case: Case, priced: list[str], context: Context) -> None:
    text = [line for found in case.found for line in (*drawing(found, priced), "")][:-1]
    failing = [found for found in case.found if context.fails(found.severity)]
    if failing:
        more = f" and {len(failing) - 1} more" if len(failing) > 1 else ""
        suite.case(case.title, failure=headline(failing[0]) + more, type=failing[0].severity, text=text)
    else:
        suite.case(case.title, skipped="" if case.found else case.skipped, text=text)


def render_gate(verdict: Verdict, context: Context = PLAIN) -> str:
    """*verdict* as JUnit XML: a suite a trace, a case a check.

    What is not comparable, and a damaged trace, is an error: neither pass nor failure.
    """
    return document([_gate_suite(group) for group in groups(verdict)])


def _gate_suite(group: Group) -> Suite:
    trace = group.trace
    suite = Suite(f"pvreplay.gate.{trace.name}@{trace.kernel}")
    suite.properties = [
        ("path", trace.path),
        ("kernel", trace.kernel),
        ("outcome", trace.outcome),
        ("switches", str(trace.switches)),
        ("events", str(trace.events)),
        ("lost_events", str(trace.lost_events)),
        ("digest", trace.digest),
    ]
    damaged = trace.damage if trace.outcome == "damaged" else ""
    suite.case("trace is whole", error=damaged, type="damaged", text=[trace.damage] if trace.damage else [])
    reasons = trace.reasons if trace.outcome == "not-comparable" else []
    suite.case("comparable", error="; ".join(reasons), type="not-comparable", text=reasons + trace.notes)
    for check in group.checks:
        suite.case(
            f"{check.backend} {check.metric}",
            failure=check.reason if check.status == "fail" else "",
            skipped=(check.reason or "not comparable") if check.status == "not-comparable" else "",
            type=check.metric,
            text=check_lines(check, len(check.explain)),
        )
    for one in group.findings:
        drawn = drawing(one.violation, trace.backends) if one.violation else []
        suite.case(
            finding_title(one),
            failure=finding_line(one) if one.fails else "",
            type=one.severity,
            text=[finding_line(one), *drawn],
        )
    return suite

"""KTAP version 1, the kernel's Test Anything Protocol: a test a backend, a subtest a rule; docs/outputs.md.

Documentation/dev-tools/ktap.rst of the kernel: subtests are indented by two spaces and come
before the result line of their test, a description holds no ``#``.
"""

from __future__ import annotations

from pvreplay.gate.verdict import Verdict
from pvreplay.replay.result import Report
from pvreplay.report.cases import Case, cases, drawing, windows
from pvreplay.report.context import PLAIN, Context
from pvreplay.report.escape import ktap
from pvreplay.report.figures import count
from pvreplay.report.gate_view import Group as Judged
from pvreplay.report.gate_view import check_lines, finding_line, finding_title, groups

INDENT = "  "


class Group:
    """The results of one level: a version line, a plan, then tests and their subtests."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.tests = 0
        self.failed = 0

    def test(
        self,
        name: str,
        ok: bool,
        *,
        skip: str = "",
        error: str = "",
        said: list[str] | None = None,
        inside: Group | None = None,
    ) -> None:
        """Add a test: *said* are diagnostic lines, *inside* its subtests, *error* why it could not be run."""
        self.tests += 1
        self.failed += not ok
        if inside is not None:
            self._lines += [INDENT + line for line in inside.lines()]
        self._lines += [f"# {ktap(line)}".rstrip() for line in said or ()]
        directive = f" # SKIP {ktap(skip)}" if skip else f" # ERROR {ktap(error)}" if error else ""
        self._lines.append(f"{'ok' if ok else 'not ok'} {self.tests} {ktap(name)}{directive}")

    def lines(self) -> list[str]:
        """The level's lines."""
        return ["KTAP version 1", f"1..{self.tests}", *self._lines]


def document(group: Group) -> str:
    """The whole output."""
    return "\n".join(group.lines()) + "\n"


def render(report: Report, context: Context = PLAIN) -> str:
    """*report* as KTAP; the trace itself is the first test.

    A broken rule of severity security or error is ``not ok``, a performance finding
    under --strict only.
    """
    table = cases(report)
    priced = [result.name for result in report.backends]
    whole = Group()
    damaged = bool(report.damage) and not context.lenient
    whole.test(
        f"trace {context.file(report.path)}",
        not damaged,
        error=report.damage if damaged else "",
        said=[
            f"kernel {report.kernel}, {count(report.switches, 'switch', 'switches')} in"
            f" {count(report.events, 'event')}",
            *(
                [f"{count(report.lost_events, 'event')} lost: counts are lower bounds"]
                if report.lost_events
                else []
            ),
            *([report.damage] if report.damage else []),
        ],
    )
    for result in report.backends:
        if result.name not in table:
            continue
        rules = Group()
        for case in table[result.name]:
            _rule(rules, case, priced, context)
        whole.test(
            result.name,
            not rules.failed,
            said=[
                f"hypercalls {result.hypercalls}, {result.hypercalls_per_switch:.4f} per switch,"
                f" entries {result.entries}, traps {result.traps}, ROM calls {result.rom_calls}"
            ],
            inside=rules,
        )
    if report.what_if:
        inside = Group()
        for found in windows(report):
            title = f"{found.rule} {found.name}: {found.op} on {', '.join(found.backends)}"
            inside.test(title, not context.strict, said=drawing(found, priced))
        whole.test("what-if", not inside.failed, inside=inside)
    return document(whole)


def _rule(group: Group, case: Case, priced: list[str], context: Context) -> None:
    said = [line for found in case.found for line in drawing(found, priced)]
    ok = not any(context.fails(found.severity) for found in case.found)
    group.test(case.title, ok, skip="" if case.found else case.skipped, said=said)


def render_gate(verdict: Verdict, context: Context = PLAIN) -> str:
    """*verdict* as KTAP: a test a trace, a subtest a check or broken rule."""
    whole = Group()
    for group in groups(verdict):
        trace = group.trace
        error = {"damaged": trace.damage, "not-comparable": "; ".join(trace.reasons)}.get(trace.outcome, "")
        checks = _checks(group)
        whole.test(
            group.title,
            not error and not checks.failed,
            error=error,
            said=[*trace.notes, *([trace.damage] if trace.damage else [])],
            inside=checks,
        )
    return document(whole)


def _checks(group: Judged) -> Group:
    inside = Group()
    for check in group.checks:
        unsure = check.status == "not-comparable"
        inside.test(
            f"{check.backend} {check.metric}",
            check.status != "fail",
            skip=(check.reason or "not comparable") if unsure else "",
            said=[] if unsure else check_lines(check, len(check.explain)),
        )
    for one in group.findings:
        drawn = drawing(one.violation, group.trace.backends) if one.violation and one.fails else []
        inside.test(finding_title(one), not one.fails, said=[finding_line(one), *drawn])
    return inside

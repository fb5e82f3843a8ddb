"""KTAP version 1, the kernel's Test Anything Protocol: a test a backend, a subtest a rule; docs/outputs.md.

Documentation/dev-tools/ktap.rst of the kernel: subtests are indented by two spaces and come
before the result line of their test, a description holds no ``#``.
"""

from __future__ import annotations

from pvreplay.replay.result import Report
from pvreplay.report.cases import Case, cases, drawing
from pvreplay.report.context import PLAIN, Context
from pvreplay.report.escape import ktap

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
            f"kernel {report.kernel}, {report.switches} switches, {report.events} events",
            *([f"{report.lost_events} events lost: counts are lower bounds"] if report.lost_events else []),
            *([report.damage] if report.damage else []),
        ],
    )
    for result in report.backends:
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
    return document(whole)


def _rule(group: Group, case: Case, priced: list[str], context: Context) -> None:
    said = [line for found in case.found for line in drawing(found, priced)]
    ok = not any(context.fails(found.severity) for found in case.found)
    group.test(case.title, ok, skip="" if case.found else case.skipped, said=said)

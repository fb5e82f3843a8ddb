"""What a rule is: a code, a name, when to be called, and what it reports.

The docstring of a rule's module is its documentation, with the headings of
:data:`HEADINGS`.  An example is a command line; the tests run every one::

    pvreplay check 'begin enter_cpu load_tls loadsegment:fs leave_cpu end' --backend xen
      fires at step 3
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from pvreplay.machine.machine import Machine
    from pvreplay.machine.view import View

Severity = Literal["security", "error", "perf"]
SEVERITY_ORDER: Final[dict[Severity, int]] = {"security": 0, "error": 1, "perf": 2}

HEADINGS: Final = (
    "What it does",
    "Why it is bad",
    "Example that fires",
    "Example that stays silent",
    "What it cannot see",
    "Bugs it would have caught",
    "Sources",
)

Needs = Literal[
    "sleep",
    "irq",
    "switch_in_section",
    "flag",
    "state",
    "volatile",
    "resident",
    "shadow",
    "mask",
    "operand",
    "scrub",
]
"""What must occur in a trace (or be told of an order) before a rule can be broken there."""


class Finding(NamedTuple):
    """A rule broken at one step of one sequence.

    *key* tells findings of one rule and op apart; *seen* is the step at which
    it became certain, *related* are steps a drawing must show.
    """

    rule: Rule
    step: int
    op: str
    place: str
    message: str
    key: str
    window: int
    seen: int
    related: tuple[int, ...]


class Rule:
    """Base of all rules: subclasses set the class attributes and override ``check``.

    *flags* (of :mod:`pvreplay.machine.view`) and *ops* (names) say which steps
    the rule wants to see; *judges_end* that it has an ``at_end``.  *advice* is
    what to do about it, in one sentence.
    """

    code: str = ""
    name: str = ""
    severity: Severity = "error"
    summary: str = ""
    advice: str = ""
    flags: int = 0
    ops: frozenset[str] = frozenset()
    needs: tuple[Needs, ...] = ()
    judges_end: bool = False

    def check(self, view: View) -> None:
        """Look at one step the rule asked for."""

    def at_end(self, machine: Machine) -> None:
        """Look at what is left when the sequence is over."""

    @property
    def doc(self) -> str:
        """The rule's page."""
        return (sys.modules[type(self).__module__].__doc__ or "").strip() + "\n"

    def report(self, view: View, message: str, *, key: str = "", related: tuple[int, ...] = ()) -> None:
        """Note a finding at *view*, which may be an earlier step than the one being looked at."""
        machine = view.machine
        machine.found.append(
            Finding(
                self, view.index, view.op, view.place, message, key, machine.window, machine.index, related
            )
        )

    def __repr__(self) -> str:
        return f"{self.code} {self.name}"


class Verdict(NamedTuple):
    """A finding and the rules that fired after it in its window because of it."""

    finding: Finding
    consequences: tuple[str, ...]


def verdicts(machine: Machine) -> list[Verdict]:
    """One mistake is reported once: in a window the first error, with what follows from it attached.

    Performance findings stand for themselves unless an error came first; one
    rule and op is told once a window.
    """
    windows: dict[int, list[Finding]] = {}
    for finding in machine.found:
        windows.setdefault(finding.window, []).append(finding)  # type: ignore[attr-defined,arg-type]
    told: list[Verdict] = []
    for findings in windows.values():
        findings.sort(key=lambda one: (one.seen, SEVERITY_ORDER[one.rule.severity]))
        first = next((one for one in findings if one.rule.severity != "perf"), None)
        seen: set[tuple[str, str, str]] = set()
        attached: dict[str, None] = {}
        alone: list[Verdict] = []
        for one in findings:
            if one is first:
                continue
            if first is not None and one.seen >= first.seen:
                if one.rule.code != first.rule.code:
                    attached.setdefault(one.rule.code)
            elif (what := (one.rule.code, one.op, one.key)) not in seen:
                seen.add(what)
                alone.append(Verdict(one, ()))
        told += alone
        if first is not None:
            told.append(Verdict(first, tuple(attached)))
    return told

"""The verdict of a gate as data: what judging gives and every renderer takes.

The structures are the schema ``pvreplay.gate/1`` of docs/gate.md: fields are
written in their order.  A key is only ever added.  Names of tasks, traces and
files in it are hostile until a renderer has escaped them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pvreplay.replay.result import Severity, Violation

SCHEMA = "pvreplay.gate/1"

Status = Literal["pass", "improved", "fail", "not-comparable"]
"""Of one check.  *improved* passes, and a command locks it in."""
Outcome = Literal["pass", "fail", "not-comparable", "damaged", "updated"]
"""Of a trace and of the whole gate; exit codes 0, 1, 4, 3, 0."""
Standing = Literal["new", "more", "known", "fewer", "gone", "unknown"]
"""Of a broken rule against the baseline; *new* and *more* fail when it is security or error.

*unknown*: the baseline is not comparable.  Without any baseline every broken rule is *new*.
"""
Cause = Literal["op", "rule", "step", "shape", "outside", "task"]

METRICS = ("hypercalls", "hypercalls_per_switch", "entries", "traps", "rom_calls")
SEVERITIES: tuple[Severity, ...] = ("security", "error", "perf")
VIOLATION_METRICS = tuple(f"violations.{severity}" for severity in SEVERITIES)
"""Occurrences of broken rules of one severity, e.g. ``violations.error``."""


BASELINE_RULE = "no increase over the baseline"
"""The *rule* of a check without tolerance and budget."""


class Contribution(msgspec.Struct, kw_only=True):
    """One line of an explanation: what one op, shape or task adds to the change of a metric.

    *difference* = *current* - *baseline*, in the unit of the check's metric;
    the contributions of one *kind* add up to the change.  *note* says why, if
    that is known: the step of the switch path, its guard, where it stood in the
    baseline.  A *step* has no numbers: it is a change of the switch path itself.
    """

    kind: Cause
    name: str
    baseline: float = 0
    current: float = 0
    difference: float = 0
    note: str = ""


class Check(msgspec.Struct, kw_only=True):
    """One metric of one backend on one trace against its limit.

    *metric* is one of :data:`METRICS` or :data:`VIOLATION_METRICS`; when another trace than the
    baseline's was accepted, all of them are rates (``entries_per_switch``).
    *baseline* is None when there is nothing to compare with; *limit* is the
    highest value that passes, None when that cannot be said.  *rule* says where
    the limit comes from (``baseline``, ``baseline +2%``,
    ``pyproject.toml: budget.xen.hypercalls``).  *explain* is filled for a check
    that failed or improved, when an explanation was asked for.
    """

    trace: str
    kernel: str
    backend: str
    metric: str
    status: Status
    current: float
    baseline: float | None = None
    limit: float | None = None
    rule: str = ""
    reason: str = ""
    """One sentence for people; the numbers are in it."""
    mostly: str = ""
    """The op, or the rule and op, that adds the most to the change."""
    explain: list[Contribution] = []

    @property
    def difference(self) -> float:
        """*current* - *baseline*; 0 without a baseline."""
        return 0 if self.baseline is None else self.current - self.baseline


class Finding(msgspec.Struct, kw_only=True):
    """A broken rule at one op, on the backends where it stands the same way.

    *baseline* and *current* are occurrences.  *violation* is the report's own,
    drawn steps and place included; None when the rule is no longer broken.
    """

    trace: str
    kernel: str
    rule: str
    name: str
    severity: Severity
    op: str
    backends: list[str]
    standing: Standing
    fails: bool
    baseline: int
    current: int
    violation: Violation | None = None


class TraceVerdict(msgspec.Struct, kw_only=True):
    """One trace on one kernel: what it is and how it did.

    A baseline may hold a trace on several kernels; *name* and *kernel* together
    are what *trace* and *kernel* of checks and findings refer to.
    """

    name: str
    """What the baseline calls it."""
    path: str
    """As named on the command line, ``-`` for standard input."""
    outcome: Outcome
    kernel: str
    kernel_path: str
    """The file of the kernel: where an annotation of a changed switch path can point to."""
    backends: list[str]
    events: int
    switches: int
    lost_events: int
    digest: str
    damage: str = ""
    reasons: list[str] = []
    """Why it cannot be compared, one sentence each; or what was accepted by an option."""
    notes: list[str] = []


class Verdict(msgspec.Struct, kw_only=True):
    """A whole gate."""

    schema: str = SCHEMA
    outcome: Outcome
    exit_code: int
    baseline: str
    """Path of the baseline file; empty when only budgets were checked."""
    config: str
    """Path of the file the budgets come from; empty when there is none."""
    traces: list[TraceVerdict]
    checks: list[Check]
    findings: list[Finding]
    update_command: str
    """The command that makes this run the baseline, quoted for a shell."""
    explained: bool = False
    """Whether --explain was given; if not, a renderer may point to it."""
    explain_command: str = ""
    notes: list[str] = []
    version: str = ""
    model: int = 0


def failed(verdict: Verdict) -> list[Check]:
    """The checks that failed, the largest relative increase first."""
    return sorted((check for check in verdict.checks if check.status == "fail"), key=_by_size)


def improved(verdict: Verdict) -> list[Check]:
    """The checks that improved, the largest relative decrease first."""
    return sorted((check for check in verdict.checks if check.status == "improved"), key=_by_size)


def _by_size(check: Check) -> tuple[float, str, str, str, str]:
    change = abs(check.difference) / check.baseline if check.baseline else float("inf")
    return -change, check.trace, check.kernel, check.backend, check.metric


def explain_line(cause: Contribution) -> str:
    """A contribution as one unescaped line: ``op set_iopl_mask  +500 (0 -> 500): step set_iopl ...``."""
    note = f": {cause.note}" if cause.note else ""
    if cause.kind == "step":
        return f"step {cause.name}{note}"
    change = f"{figure(cause.difference, signed=True)} ({figure(cause.baseline)} -> {figure(cause.current)})"
    return f"{cause.kind} {cause.name}  {change}{note}"


def figure(value: float, *, signed: bool = False) -> str:
    """A count with separators, a rate with four decimals at most."""
    sign = "+" if signed and value > 0 else ""
    if value == int(value):
        return f"{sign}{int(value):,}"
    return f"{sign}{value:,.4f}".rstrip("0").rstrip(".")

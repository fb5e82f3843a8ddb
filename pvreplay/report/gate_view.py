"""A gate's verdict for those who point at files: what failed, and where a reader should look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pvreplay.gate.verdict import Check, Finding, TraceVerdict, Verdict, explain_line
from pvreplay.report.context import Context, Place

EXPLAINED = 6
"""Lines of an explanation that an annotation shows."""


class Group(NamedTuple):
    """One trace on one kernel with what belongs to it."""

    trace: TraceVerdict
    checks: list[Check]
    findings: list[Finding]

    @property
    def title(self) -> str:
        """``trace.bin on kernel 2.6.21``, unescaped."""
        return f"{self.trace.name} on kernel {self.trace.kernel}"


class Target(NamedTuple):
    """A file of the repository and the place in it."""

    file: str
    place: Place


def groups(verdict: Verdict) -> Iterator[Group]:
    """The traces of *verdict*, in its order."""
    for trace in verdict.traces:
        key = (trace.name, trace.kernel)
        yield Group(
            trace,
            [check for check in verdict.checks if (check.trace, check.kernel) == key],
            [one for one in verdict.findings if (one.trace, one.kernel) == key],
        )


def told(finding: Finding, *, strict: bool = False) -> bool:
    """Whether a broken rule is news: it fails, or stands otherwise than in the baseline."""
    return finding.fails or strict or finding.standing in ("new", "more")


def target(group: Group, names: Sequence[str], context: Context) -> Target:
    """Where to point: the kernel's own file in the repository, else the trace.

    In the kernel's file the line that first holds one of *names* (steps or ops) in quotes.
    """
    trace = group.trace
    file = context.inside(trace.kernel_path) if trace.kernel_path.endswith(".toml") else ""
    if not file:
        return Target(context.file(trace.path), Place())
    lines = [context.lines.get((trace.kernel_path, name), 0) for name in names]
    return Target(file, Place(next((line for line in lines if line), 1)))


def check_target(group: Group, check: Check, context: Context) -> Target:
    """Where a check that failed points to: what changed in the switch path, then what costs more."""
    causes = [line for line in check.explain if line.kind == "step"]
    causes += [line for line in check.explain if line.kind == "op"]
    return target(group, [line.name for line in causes], context)


def finding_target(group: Group, finding: Finding, context: Context) -> Target:
    """Where a broken rule points to: its op in the kernel's own file, or its first place in the trace."""
    steps = [line.name for check in group.checks for line in check.explain if line.kind == "step"]
    found = target(group, [finding.op, finding.op.partition(":")[0], *steps], context)
    if found.file != context.file(group.trace.path) or finding.violation is None:
        return found
    return Target(found.file, context.place(group.trace.path, finding.violation))


def check_title(check: Check) -> str:
    """``xen: hypercalls per switch``, unescaped."""
    return f"{check.backend}: {check.metric.replace('_', ' ')}"


def check_lines(check: Check, most: int = EXPLAINED) -> list[str]:
    """Why a check stands as it does: the sentence, the limit's origin, the explanation."""
    lines = [check.reason] if check.reason else []
    if check.rule and check.status == "fail":
        lines.append(f"allowed by: {check.rule}")
    lines += [explain_line(line) for line in check.explain[:most]]
    if len(check.explain) > most:
        lines.append(f"{len(check.explain) - most} more causes")
    return lines


def finding_title(finding: Finding) -> str:
    """``H1 raw-queued at loadsegment:gs``, unescaped."""
    return f"{finding.rule} {finding.name} at {finding.op}"


def finding_line(finding: Finding) -> str:
    """``new on vmi, xen: 0 -> 23 times``, unescaped."""
    words = {
        "new": "new",
        "more": "more often",
        "known": "known",
        "fewer": "less often",
        "gone": "no longer broken",
        "unknown": "broken",
    }
    return (
        f"{words[finding.standing]} on {', '.join(finding.backends)}:"
        f" {finding.baseline:,} -> {finding.current:,} times"
    )

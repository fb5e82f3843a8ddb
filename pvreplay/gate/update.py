"""The baseline after --update: this gate's runs in it, everything else as it was."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pvreplay.gate.baseline import Baseline
from pvreplay.gate.entry import Entry
from pvreplay.gate.judge import Terms
from pvreplay.gate.match import Measured
from pvreplay.gate.verdict import Verdict

_IDENTITY = ("digest", "model", "rules", "kernel_base", "settings", "path")
"""What must be the same for backends measured before to stay beside those measured now."""


def updated(baseline: Baseline | None, runs: Sequence[Measured]) -> tuple[Baseline, list[str]]:
    """The new baseline, and what a user should know about it.

    A backend that was not measured this time stays if trace, model and kernel
    are what they were, and goes otherwise.
    """
    traces = {name: dict(kernels) for name, kernels in (baseline.trace if baseline else {}).items()}
    notes = []
    for run in runs:
        kernels = traces.setdefault(run.name, {})
        old = kernels.get(run.kernel)
        entry = run.entry
        if old is not None and old.backend.keys() - entry.backend.keys():
            entry, dropped = _with_others(old, entry)
            if dropped:
                notes.append(
                    f"{run.name}: backend {', '.join(dropped)} left the baseline: it was measured "
                    "on something else; name it with --backend to have it measured"
                )
        kernels[run.kernel] = entry
        broken = any(
            one.count and one.severity != "perf"
            for back in entry.backend.values()
            for one in back.violation.values()
        )
        if broken:
            notes.append(f"{run.name}: the baseline now accepts broken rules; pvreplay run shows them")
    return Baseline(trace=traces), notes


def _with_others(old: Entry, new: Entry) -> tuple[Entry, list[str]]:
    others = old.backend.keys() - new.backend.keys()
    if any(getattr(old, key) != getattr(new, key) for key in _IDENTITY):
        return new, sorted(others)
    kept = {name: old.backend[name] for name in others}
    return msgspec.structs.replace(new, backend={**kept, **new.backend}), []


def accept(verdict: Verdict, terms: Terms, notes: Sequence[str]) -> None:
    """Make *verdict*, found against the old baseline, that of a gate that has just written a new one.

    Checks keep the values they had, so that a reader sees what was accepted; nothing fails any
    more, and a budget that is exceeded nevertheless is a note.
    """
    verdict.notes = list(notes)
    for check in verdict.checks:
        if check.status == "fail" and not terms.budgets.of(check.backend, check.metric).relative:
            verdict.notes.append(f"{check.trace}, {check.backend}, still over a budget: {check.reason}")
        check.status = "pass"
    for finding in verdict.findings:
        finding.fails = False
    for trace in verdict.traces:
        trace.outcome = "updated"
        if verdict.baseline:
            trace.notes += [f"before: {reason}" for reason in trace.reasons]
        trace.reasons = []
    verdict.outcome, verdict.exit_code, verdict.baseline = "updated", 0, terms.baseline_path

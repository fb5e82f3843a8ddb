"""Measured runs against a baseline and budgets: the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import msgspec

from pvreplay.gate import match as matching
from pvreplay.gate.baseline import Baseline
from pvreplay.gate.budget import STRICT_METRICS, Budgets
from pvreplay.gate.entry import BackendEntry, Entry
from pvreplay.gate.explain import explain, plain, top_op
from pvreplay.gate.findings import findings
from pvreplay.gate.match import Difference, Match, Measured
from pvreplay.gate.verdict import (
    BASELINE_RULE,
    SEVERITIES,
    VIOLATION_METRICS,
    Check,
    Finding,
    Outcome,
    Status,
    TraceVerdict,
    Verdict,
    figure,
)

EXIT_CODES: dict[Outcome, int] = {"pass": 0, "updated": 0, "fail": 1, "damaged": 3, "not-comparable": 4}
COUNTERS = ("hypercalls", "entries", "traps", "rom_calls")


class Terms(msgspec.Struct, kw_only=True):
    """What a gate goes by.

    *baseline* is None when there is no file; *allow* has the kinds of
    :data:`pvreplay.gate.match.OPTIONS` that are compared nevertheless; *lenient* accepts
    damaged traces.
    """

    baseline: Baseline | None
    baseline_path: str
    budgets: Budgets = Budgets()
    allow: frozenset[str] = frozenset()
    lenient: bool = False
    explain: bool = False


def judge(runs: Sequence[Measured], terms: Terms) -> tuple[list[TraceVerdict], list[Check], list[Finding]]:
    """Every run against *terms*."""
    traces: list[TraceVerdict] = []
    checks: list[Check] = []
    found: list[Finding] = []
    for run in runs:
        trace, its_checks, its_findings = judge_one(run, terms)
        traces.append(trace)
        checks += its_checks
        found += its_findings
    return traces, checks, found


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of all: damaged, then fail, then not-comparable."""
    seen = set(outcomes)
    for outcome in ("damaged", "fail", "not-comparable"):
        if outcome in seen:
            return outcome
    return "pass"


def judge_one(run: Measured, terms: Terms) -> tuple[TraceVerdict, list[Check], list[Finding]]:
    """One run against *terms*."""
    against, reasons, notes = _against(run, terms)
    comparison = Comparison(run, terms, against, reasons)
    checks = [check for backend in run.entry.backend for check in comparison.checks(backend)]
    broken = findings(
        run,
        against.entry if not reasons else None,
        terms.budgets,
        unknown=bool(reasons),
        rates=comparison.rates,
    )
    missing = sorted(set(against.entry.backend if against.entry else ()) - set(run.entry.backend))
    if missing:
        notes.append(f"in the baseline and not checked: backend {', '.join(missing)}")
    outcome: Outcome = "pass"
    if run.report.damage and not terms.lenient:
        outcome = "damaged"
    elif any(check.status == "fail" for check in checks) or any(one.fails for one in broken):
        outcome = "fail"
    elif reasons or any(check.status == "not-comparable" for check in checks):
        outcome = "not-comparable"
    if outcome == "not-comparable" and not reasons:
        reasons = list(dict.fromkeys(check.reason for check in checks if check.status == "not-comparable"))
    report = run.report
    trace = TraceVerdict(
        name=run.name,
        path=run.path,
        outcome=outcome,
        kernel=run.kernel,
        kernel_path=run.kernel_path,
        backends=list(run.entry.backend),
        events=report.events,
        switches=report.switches,
        lost_events=report.lost_events,
        digest=run.entry.digest,
        damage=report.damage,
        reasons=reasons,
        notes=notes,
    )
    return trace, checks, broken


def _against(run: Measured, terms: Terms) -> tuple[Match, list[str], list[str]]:
    """What to compare with, the reasons not to, and the notes about reasons that were waived."""
    differences: list[Difference] = matching.lost(run)
    against = Match("", None, [])
    if terms.baseline is not None:
        against = matching.match(run, terms.baseline)
        differences += against.differences
    elif not terms.budgets.absolute():
        differences.append(Difference("absent", f"there is no baseline {terms.baseline_path}"))
    reasons, notes = [], []
    for kind, text in differences:
        if kind in terms.allow:
            notes.append(f"{text} (accepted by {matching.OPTIONS[kind]})")
        elif kind in matching.OPTIONS:
            reasons.append(f"{text} ({matching.OPTIONS[kind]} accepts that)")
        else:
            reasons.append(text)
    if against.entry is not None and against.kernel != run.kernel and not reasons:
        notes.append(f"kernel {run.kernel} is compared with the baseline's {against.kernel}")
    return against, reasons, notes


class Comparison:
    """One run beside the entry it is compared with.

    *rates*: it is another trace, so everything is compared per switch.
    """

    def __init__(self, run: Measured, terms: Terms, against: Match, reasons: Sequence[str]) -> None:
        self.run = run
        self.terms = terms
        self.entry = against.entry
        self.reasons = reasons
        self.rates = self.entry is not None and self.entry.digest != run.entry.digest and not reasons
        self.lower_bounds = any(one.kind not in terms.allow for one in matching.lost(run)) or (
            bool(run.report.damage) and not terms.lenient
        )

    def checks(self, backend: str) -> list[Check]:
        """Every metric of *backend* that has a limit."""
        budgets = self.terms.budgets
        found = []
        for metric in self._metrics(backend):
            relative = budgets.of(backend, metric).relative
            if (
                self.terms.baseline is None
                and budgets.absolute()
                and relative
                and metric not in STRICT_METRICS
            ):
                continue  # there is nothing to hold it against
            found.append(self._check(backend, metric))
        return found

    def _metrics(self, backend: str) -> list[str]:
        own = self.terms.budgets.has
        if self.rates:
            metrics = [f"{counter}_per_switch" for counter in COUNTERS]
            return metrics + [name for name in (*COUNTERS, *VIOLATION_METRICS) if own(backend, name)]
        metrics = list(COUNTERS)
        if own(backend, "hypercalls_per_switch"):
            metrics.insert(1, "hypercalls_per_switch")
        return [*metrics, *VIOLATION_METRICS]

    def _check(self, backend: str, metric: str) -> Check:
        budget = self.terms.budgets.of(backend, metric)
        now = self.run.entry.backend[backend]
        then = self.entry.backend.get(backend) if self.entry is not None else None
        current = value(metric, now, self.run.entry)
        known = value(metric, then, self.entry) if then is not None and self.entry is not None else None
        why_not = self._why_not(backend, then, now)
        limit = None
        if not budget.relative or not why_not:
            nothing = Fraction(0) if self.terms.baseline is None else None  # then every violation is new
            limit = budget.limit(known if known is not None else nothing)
        if limit is not None and budget == self.terms.budgets.general and then is not None:
            limit += self._saved(metric, then, now)
        if limit is not None and not metric.endswith("_per_switch"):
            limit = Fraction(limit.numerator // limit.denominator)
        status: Status = "pass"
        reason = ""
        if limit is None:
            status, reason = "not-comparable", why_not
        elif current > limit:
            status = "fail"
        elif self.lower_bounds:
            status, reason = "not-comparable", "; ".join(self.reasons) or "the trace is damaged"
        elif known is not None and current < known and not why_not:
            status = "improved"
        check = Check(
            trace=self.run.name,
            kernel=self.run.kernel,
            backend=backend,
            metric=metric,
            status=status,
            current=plain(current),
            baseline=None if known is None else plain(known),
            limit=None if limit is None else plain(limit),
            rule=_rule(budget.where, budget.relative),
            reason=reason,
        )
        if status in ("fail", "improved"):
            comparable = known is not None and known != current and not why_not
            self._say_why(check, now, then if comparable else None, absolute=not budget.relative)
        return check

    def _saved(self, metric: str, then: BackendEntry, now: BackendEntry) -> Fraction:
        """How many more entries are no loss: as many as there are fewer hypercalls and traps.

        An op that crossed by itself and is queued now made the one from the other.
        """
        if metric.partition("_per_")[0] != "entries" or self.entry is None:
            return Fraction(0)
        rate = metric.removeprefix("entries")
        fell = [
            value(f"{counter}{rate}", then, self.entry) - value(f"{counter}{rate}", now, self.run.entry)
            for counter in ("hypercalls", "traps")
        ]
        return max(sum(fell, Fraction(0)), Fraction(0))

    def _say_why(self, check: Check, now: BackendEntry, then: BackendEntry | None, *, absolute: bool) -> None:
        if then is None or self.entry is None:
            check.reason = sentence(check, absolute=absolute)
            return
        check.mostly = top_op(check.metric, then, now)
        check.reason = sentence(check, absolute=absolute)
        if self.terms.explain:
            rate = check.metric.endswith("_per_switch")
            check.explain = explain(
                check.metric,
                then,
                now,
                switches=(self.entry.switches, self.run.entry.switches) if rate else None,
                old_path=self.entry.path,
                new_path=self.run.entry.path,
            )

    def _why_not(self, backend: str, then: BackendEntry | None, now: BackendEntry) -> str:
        """Why this backend cannot be compared with the baseline, "" if it can."""
        if self.reasons:
            return "; ".join(self.reasons)
        if self.entry is None:
            return ""
        if then is None:
            return f"the baseline has no backend {backend}"
        base_now, base_then = (one.kernel_base.partition(" ")[0] for one in (self.run.entry, self.entry))
        if base_now != base_then:
            return ""  # its rows are those of another kernel, and that was accepted
        if then.model != now.model and "model_change" not in self.terms.allow:
            return f"backend {backend} is not what it was ({matching.OPTIONS['model_change']} accepts that)"
        return ""


def value(metric: str, backend: BackendEntry, entry: Entry) -> Fraction:
    """The value of *metric*, exactly; a rate of a trace without a switch is 0."""
    if metric.startswith("violations."):
        severity = metric.removeprefix("violations.")
        assert severity in SEVERITIES
        return Fraction(sum(one.count for one in backend.violation.values() if one.severity == severity))
    if metric.endswith("_per_switch"):
        counter = metric.removesuffix("_per_switch")
        return Fraction(getattr(backend, counter), entry.switches) if entry.switches else Fraction(0)
    return Fraction(getattr(backend, metric))


def sentence(check: Check, *, absolute: bool) -> str:
    """What a failed or improved check says, numbers and all."""
    name = check.metric.replace("_", " ")
    verb = "rose" if check.difference > 0 else "fell"
    told = f"{name}: {figure(check.current)}"
    if check.baseline is not None and check.difference:
        share = f", {100 * check.difference / check.baseline:+.1f} %" if check.baseline else ""
        told = (
            f"{name} {verb} from {figure(check.baseline)} to {figure(check.current)} "
            f"({figure(check.difference, signed=True)}{share})"
        )
    if check.status == "fail" and check.limit is not None:
        told += f", {figure(check.limit)} allowed"
        told += f" by {check.rule}" if absolute else ""
    return f"{told}; mostly {check.mostly}" if check.mostly else told


def _rule(where: str, relative: bool) -> str:
    if not where:
        return BASELINE_RULE
    return f"{BASELINE_RULE} but {where}" if relative else where


def verdict_of(
    judged: tuple[list[TraceVerdict], list[Check], list[Finding]],
    terms: Terms,
    *,
    config: str,
    update_command: str,
    explain_command: str,
    version: str,
    model: int,
) -> Verdict:
    """What :func:`judge` found as one verdict; what can be locked in or looked at is in its notes."""
    traces, checks, found = judged
    outcome = worst(trace.outcome for trace in traces)
    notes = []
    if terms.baseline is not None:
        here = {trace.name for trace in traces}
        rest = sorted(set(terms.baseline.trace) - here)
        if rest:
            notes.append(f"in the baseline and not checked: {', '.join(rest)}")
    return Verdict(
        outcome=outcome,
        exit_code=EXIT_CODES[outcome],
        baseline=terms.baseline_path if terms.baseline is not None else "",
        config=config,
        traces=traces,
        checks=checks,
        findings=found,
        update_command=update_command,
        explained=terms.explain,
        explain_command=explain_command,
        notes=notes,
        version=version,
        model=model,
    )

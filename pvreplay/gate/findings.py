"""Broken rules against the baseline: which are new, which occur more often, which are gone."""

from __future__ import annotations

from pvreplay.gate.budget import Budgets
from pvreplay.gate.entry import Broken, Entry
from pvreplay.gate.match import Measured
from pvreplay.gate.verdict import SEVERITIES, Finding, Standing

_ORDER = {"new": 0, "more": 1, "unknown": 2, "known": 3, "fewer": 4, "gone": 5}


def findings(
    run: Measured, then: Entry | None, budgets: Budgets, *, unknown: bool, rates: bool
) -> list[Finding]:
    """The broken rules of *run* and of *then*, its baseline, backends that agree in one finding.

    *unknown*: there is a baseline that is not comparable.  *rates*: it is of
    another trace, so how often a rule is broken says nothing, only whether.
    Without a baseline every broken rule is new.
    """
    found: dict[tuple[str, int, int], Finding] = {}
    for backend, now in run.entry.backend.items():
        old = then.backend[backend].violation if then is not None and backend in then.backend else {}
        for key in {**old, **now.violation}:
            broken = now.violation.get(key) or old[key]
            a, b = _count(old, key), _count(now.violation, key)
            if (key, a, b) in found:
                found[key, a, b].backends.append(backend)
                continue
            rule, _, op = key.partition(" ")
            standing = "unknown" if unknown else _standing(a, b, rates)
            found[key, a, b] = Finding(
                trace=run.name,
                kernel=run.kernel,
                rule=rule,
                name=broken.name,
                severity=broken.severity,
                op=op,
                backends=[backend],
                standing=standing,
                fails=standing in ("new", "more") and broken.severity != "perf",
                baseline=a,
                current=b,
                violation=next(
                    (
                        one
                        for one in run.report.violations
                        if b and one.rule == rule and one.op == op and backend in one.backends
                    ),
                    None,
                ),
            )
    for finding in found.values():
        metric = f"violations.{finding.severity}"
        if all(budgets.has(backend, metric) for backend in finding.backends):
            finding.fails = False  # the budget decides
    return sorted(
        found.values(),
        key=lambda one: (
            not one.fails,
            SEVERITIES.index(one.severity),
            _ORDER[one.standing],
            one.rule,
            one.op,
            one.backends,
        ),
    )


def _count(table: dict[str, Broken], key: str) -> int:
    return table[key].count if key in table else 0


def _standing(baseline: int, current: int, rates: bool) -> Standing:
    if current == 0:
        return "gone"
    if baseline == 0:
        return "new"
    if rates or baseline == current:
        return "known"
    return "more" if current > baseline else "fewer"

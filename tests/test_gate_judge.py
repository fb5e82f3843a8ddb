"""Judging: what passes, what fails, what cannot be compared, and what is said about it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvreplay.gate.baseline import Baseline
from pvreplay.gate.budget import NO_INCREASE, Budget, Budgets, parse_budget, parse_increase
from pvreplay.gate.entry import OTHERS, BackendEntry, Broken, Entry
from pvreplay.gate.explain import explain
from pvreplay.gate.judge import Terms, judge_one, worst
from pvreplay.gate.match import guess, names_for
from pvreplay.gate.verdict import Check, Contribution, explain_line, figure
from pvreplay.replay.result import Totals
from tests.gate_tools import backend, changed, entry, measured
from tests.report_samples import report, violation

MAX = 10**9


def judged(then: Entry | None, now: Entry, terms: dict[str, Any] | None = None, **run: Any) -> Any:
    """(trace verdict, checks by backend and metric, findings)."""
    baseline = Baseline(trace={"trace.bin": {"2.6.21": then}}) if then is not None else None
    settings = Terms(baseline=baseline, baseline_path="b.toml", **(terms or {}))
    trace, checks, found = judge_one(measured(now, **run), settings)
    return trace, {(check.backend, check.metric): check for check in checks}, found


def with_xen(**changes: Any) -> Entry:
    return entry(backend={"xen": backend(**changes)})


def budgets(**table: object) -> Budgets:
    """xen's budgets; ``_`` stands for the dot of violations."""
    return Budgets(
        {
            ("xen", name.replace("violations_", "violations.")): parse_budget(value, f"here.{name}")
            for name, value in table.items()
        }
    )


# --- against a baseline --------------------------------------------------------------------------


def test_equal_runs_pass_and_say_nothing() -> None:
    trace, checks, found = judged(entry(), entry())
    assert trace.outcome == "pass" and not trace.reasons and not found
    assert {check.status for check in checks.values()} == {"pass"} and not any(
        c.reason for c in checks.values()
    )


@pytest.mark.parametrize("metric", ["hypercalls", "entries", "traps", "rom_calls"])
def test_one_more_of_anything_fails(metric: str) -> None:
    more = with_xen(**{metric: getattr(backend(), metric) + 1})
    trace, checks, _ = judged(entry(), more)
    assert trace.outcome == "fail"
    assert [name for name, check in checks.items() if check.status == "fail"] == [("xen", metric)]
    assert checks["xen", metric].difference == 1


@pytest.mark.parametrize("metric", ["hypercalls", "entries"])
def test_one_less_is_an_improvement(metric: str) -> None:
    less = with_xen(**{metric: getattr(backend(), metric) - 1})
    trace, checks, _ = judged(entry(), less)
    assert trace.outcome == "pass" and checks["xen", metric].status == "improved"
    assert "fell from" in checks["xen", metric].reason


def test_entries_may_rise_by_what_hypercalls_and_traps_fell() -> None:
    queued = with_xen(hypercalls=90, entries=310)
    assert judged(entry(), queued)[0].outcome == "pass"
    assert judged(entry(), with_xen(hypercalls=90, entries=311))[0].outcome == "fail"
    fewer_traps = judged(with_xen(traps=5), with_xen(traps=0, entries=305))
    assert fewer_traps[0].outcome == "pass"
    assert judged(entry(), with_xen(hypercalls=101, entries=299))[0].outcome == "fail"
    own = {"budgets": budgets(entries="+0")}
    assert judged(entry(), queued, own)[0].outcome == "fail"


@given(st.integers(0, MAX), st.integers(0, MAX), st.integers(0, 1000))
def test_a_percentage_is_exact_to_the_last_hypercall(base: int, now: int, per_mille: int) -> None:
    general = parse_increase(f"{per_mille / 10}%", "--max-increase")
    _, checks, _ = judged(
        with_xen(hypercalls=base), with_xen(hypercalls=now), {"budgets": Budgets(general=general)}
    )
    check = checks["xen", "hypercalls"]
    assert (check.status == "fail") == (1000 * now > base * (1000 + per_mille))
    assert (check.status == "fail") == (now > check.limit)


def test_the_general_tolerance_does_not_cover_broken_rules() -> None:
    then = with_xen(violation={"H1 x": Broken(severity="error", name="n", count=100)})
    now = with_xen(violation={"H1 x": Broken(severity="error", name="n", count=101)})
    terms = {"budgets": Budgets(general=parse_increase("50%", ""))}
    trace, checks, found = judged(then, now, terms)
    assert trace.outcome == "fail" and checks["xen", "violations.error"].status == "fail"
    assert found[0].standing == "more" and found[0].fails
    perf = [
        with_xen(violation={"W1 x": Broken(severity="perf", name="n", count=count)}) for count in (100, 101)
    ]
    assert judged(*perf, terms)[0].outcome == "pass" and judged(*perf)[0].outcome == "fail"


def test_a_new_rule_fails_although_another_one_is_broken_less_often() -> None:
    then = with_xen(violation={"H1 x": Broken(severity="error", name="n", count=100)})
    now = with_xen(violation={"H2 y": Broken(severity="security", name="m", count=1)})
    trace, checks, found = judged(then, now)
    assert trace.outcome == "fail"
    assert checks["xen", "violations.error"].status == "improved"
    assert [(one.rule, one.standing, one.fails) for one in found] == [
        ("H2", "new", True),
        ("H1", "gone", False),
    ]


def test_backends_that_break_a_rule_alike_share_a_finding_with_its_drawing() -> None:
    broken = backend(
        violation={"H1 loadsegment:gs": Broken(severity="error", name="raw-queued", count=182044)}
    )
    now = entry(backend={"vmi": broken, "xen": broken})
    then = entry(backend={"vmi": backend(), "xen": backend()})
    _, _, found = judged(then, now, report=report(violations=[violation()]))
    assert [one.backends for one in found] == [["vmi", "xen"]]
    assert found[0].violation is not None and found[0].violation.drawn and found[0].current == 182044


# --- budgets -------------------------------------------------------------------------------------


def test_budgets_alone_need_no_baseline() -> None:
    terms = {"budgets": budgets(hypercalls_per_switch=1.0, entries=299)}
    trace, checks, _ = judged(None, entry(), terms)
    assert trace.outcome == "fail" and not trace.reasons
    assert checks["xen", "hypercalls_per_switch"].status == "pass"
    assert checks["xen", "entries"].status == "fail"
    assert checks["xen", "entries"].reason == "entries: 300, 299 allowed by here.entries"
    assert ("xen", "hypercalls") not in checks and ("xen", "violations.error") in checks


def test_without_a_baseline_any_error_fails_unless_a_budget_covers_it() -> None:
    now = with_xen(violation={"H1 x": Broken(severity="error", name="n", count=3)})
    trace, _, found = judged(None, now, {"budgets": budgets(hypercalls=100)})
    assert trace.outcome == "fail" and found[0].fails
    terms = {"budgets": budgets(hypercalls=100, violations_error=3)}
    assert judged(None, now, terms)[0].outcome == "pass"
    terms = {"budgets": budgets(hypercalls=100, violations_error=2)}
    assert judged(None, now, terms)[0].outcome == "fail"


def test_a_budget_of_its_own_goes_before_the_baseline() -> None:
    more = with_xen(hypercalls=110)
    assert judged(entry(), more, {"budgets": budgets(hypercalls=110)})[0].outcome == "pass"
    assert judged(entry(), more, {"budgets": budgets(hypercalls="+10%")})[0].outcome == "pass"
    assert judged(entry(), more, {"budgets": budgets(hypercalls="+9")})[0].outcome == "fail"
    everyone = Budgets({("*", "hypercalls"): parse_budget("+10", "")})
    assert judged(entry(), more, {"budgets": everyone})[0].outcome == "pass"


def test_neither_baseline_nor_budget_is_not_comparable() -> None:
    trace, checks, found = judged(
        None, with_xen(violation={"H1 x": Broken(severity="error", name="n", count=3)})
    )
    assert trace.outcome == "not-comparable" and trace.reasons == ["there is no baseline b.toml"]
    assert {check.status for check in checks.values()} == {"not-comparable"}
    assert [one.standing for one in found] == ["unknown"]


@pytest.mark.parametrize(
    ("text", "limit"), [("2%", 102), ("+2%", 102), ("0.5%", 100), ("7", 107), ("+7", 107)]
)
def test_increases(text: str, limit: int) -> None:
    found = parse_increase(text, "x").limit(Fraction(100))
    assert found is not None and int(found) == limit


@pytest.mark.parametrize(
    "text", ["", "%", "-1", "-2%", "nan", "inf", "2%%", "two", "1e999999999", "1e-999999999"]
)
def test_what_is_no_increase_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_increase(text, "x")


@pytest.mark.parametrize("value", [True, None, [], -1, float("nan")])
def test_what_is_no_budget_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        parse_budget(value, "x")


def test_a_relative_budget_without_a_baseline_has_no_limit() -> None:
    assert NO_INCREASE.limit(None) is None
    assert Budget(Fraction(3), False, False, "").limit(None) == 3


# --- not comparable ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"digest": "xxh3:1"}, "trace_change"),
        ({"model": 2}, "model_change"),
        ({"rules": "r1"}, "model_change"),
        ({"kernel_base": "2.6.21 k1"}, "model_change"),
        ({"settings": {"iopl": "posted"}}, "model_change"),
    ],
)
def test_each_difference_is_a_reason_and_has_an_option(change: dict[str, Any], option: str) -> None:
    trace, checks, _ = judged(entry(), entry(**change))
    assert trace.outcome == "not-comparable" and len(trace.reasons) == 1
    assert f"--allow-{option.replace('_', '-')} accepts that" in trace.reasons[0]
    assert all(check.status == "not-comparable" and check.reason for check in checks.values())
    trace, _, _ = judged(entry(), entry(**change), {"allow": frozenset({option})})
    assert trace.outcome == "pass" and "accepted by" in trace.notes[0]


def test_lost_events_make_a_pass_not_comparable_and_leave_a_failed_budget_failed() -> None:
    lost = entry(lost_events=5)
    trace, checks, _ = judged(None, lost, {"budgets": budgets(hypercalls=99, entries=1000)})
    assert trace.outcome == "fail"
    assert checks["xen", "hypercalls"].status == "fail"
    assert checks["xen", "entries"].status == "not-comparable"
    trace, _, _ = judged(entry(lost_events=5), lost)
    assert trace.outcome == "not-comparable" and "5 events were lost" in trace.reasons[0]
    assert judged(entry(lost_events=5), lost, {"allow": frozenset({"lost"})})[0].outcome == "pass"


def test_events_lost_in_unknown_number_count_as_lost() -> None:
    trace, _, _ = judged(entry(), entry(), report=report(doubts={"lost_unknown": 1}))
    assert trace.outcome == "not-comparable" and "lost" in trace.reasons[0]


def test_damage_is_told_before_anything_else() -> None:
    damaged = report(damage="cut at 0x10")
    trace, _, _ = judged(entry(), with_xen(hypercalls=1000), report=damaged)
    assert trace.outcome == "damaged"
    assert judged(entry(), entry(), {"lenient": True}, report=damaged)[0].outcome == "pass"


def test_the_worst_outcome_decides() -> None:
    assert worst(["pass", "not-comparable", "fail", "damaged"]) == "damaged"
    assert worst(["pass", "not-comparable", "fail"]) == "fail"
    assert worst(["not-comparable", "pass"]) == "not-comparable"
    assert worst(["pass"]) == "pass"


# --- which trace ---------------------------------------------------------------------------------


def test_content_goes_before_name_and_folders_tell_equal_names_apart() -> None:
    known = Baseline(trace={"a.bin": {"k": entry(digest="1")}, "sub/b.bin": {"k": entry(digest="2")}})
    assert names_for([("x/renamed.bin", "1")], known) == ["a.bin"]
    assert names_for([("a.bin", "2"), ("x/sub/b.bin", "1")], known) == ["sub/b.bin", "a.bin"]
    assert names_for([("elsewhere/a.bin", "9")], known) == ["a.bin"]
    assert names_for([("new.bin", "9")], known) == ["new.bin"]
    assert names_for([("x/t.bin", "3"), ("y/t.bin", "4")], None) == ["x/t.bin", "y/t.bin"]
    assert names_for([("x/t.bin", "3"), ("-", "4")], None) == ["t.bin", "stdin"]
    assert names_for([("one.bin", "1"), ("two.bin", "1")], None) == ["one.bin", "two.bin"]
    assert guess("x/sub/b.bin", known) == ["sub/b.bin"] and guess("b.bin", known) == []


# --- explaining ----------------------------------------------------------------------------------


def _explained(old: BackendEntry, new: BackendEntry, metric: str = "hypercalls") -> list[Contribution]:
    return explain(metric, old, new, switches=None, old_path=[], new_path=[])


def test_tasks_that_the_baseline_summed_up_are_summed_up_again() -> None:
    old = backend(task={"a": Totals(hypercalls=90), OTHERS: Totals(hypercalls=10)}, op={}, shape={})
    new = backend(
        task={"a": Totals(hypercalls=95), "b": Totals(hypercalls=9), "c": Totals(hypercalls=3)},
        op={},
        shape={},
    )
    assert [(one.name, one.difference) for one in _explained(old, new)] == [("a", 5), ("all others", 2)]


def test_contributions_are_sorted_by_size_with_their_sign() -> None:
    names = {"small": (5, 4), "large": (5, 50), "gone": (7, 0), "same": (9, 9)}
    old = backend(op={name: Totals(hypercalls=a) for name, (a, _) in names.items()}, shape={}, task={})
    new = backend(op={name: Totals(hypercalls=b) for name, (_, b) in names.items()}, shape={}, task={})
    found = [(one.name, one.difference) for one in _explained(old, new)]
    assert found == [("large", 45), ("gone", -7), ("small", -1)]


def test_an_explanation_is_a_line_for_whoever_writes_one() -> None:
    cause = Contribution(kind="op", name="x", baseline=1000, current=1500.5, difference=500.5, note="why")
    assert explain_line(cause) == "op x  +500.5 (1,000 -> 1,500.5): why"
    assert explain_line(Contribution(kind="step", name="s", note="moved")) == "step s: moved"
    assert (figure(0.12345), figure(-3, signed=True), figure(2.0)) == ("0.1235", "-3", "2")


def test_a_check_without_a_baseline_has_no_difference() -> None:
    assert Check(trace="t", kernel="k", backend="b", metric="m", status="pass", current=3).difference == 0


def test_a_backend_whose_rows_changed_is_not_comparable_alone() -> None:
    then = entry(backend={"vmi": backend(), "xen": backend()})
    now = entry(backend={"vmi": backend(), "xen": changed(backend(), model="b1")})
    trace, checks, _ = judged(then, now)
    assert trace.outcome == "not-comparable"
    assert checks["vmi", "hypercalls"].status == "pass"
    assert checks["xen", "hypercalls"].status == "not-comparable"

"""Comparing two sides: what differs, what makes the difference, what fires on one side only."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pvreplay.replay.result import BackendResult, Report, Totals
from pvreplay.report import diff_json, diff_text
from pvreplay.report.compare import Comparison, compare, fate
from tests.report_samples import HOSTILE, native, report, violation, xen

DOC = Path(__file__).parent.parent / "docs" / "diff-json.md"


def compared(made: Report | None = None, b: BackendResult | None = None) -> Comparison:
    """Native against xen on one report."""
    shared = made or report(violations=[violation()])
    return compare("native", "xen", [(shared, native(), shared, b or xen())], ["a note"], "0.1.0")


def test_a_difference_and_a_ratio_are_told_for_every_metric() -> None:
    (pair,) = compared().pairs
    hypercalls = pair.metrics["hypercalls"]
    assert (hypercalls.a, hypercalls.b, hypercalls.difference, hypercalls.ratio) == (0, 30, 30, None)
    same = compare("xen", "xen", [(report(), xen(), report(), xen())], [], "0.1.0")
    assert same.pairs[0].metrics["entries"].ratio == 1.0
    assert same.equal and same.pairs[0].equal and same.pairs[0].by_op == []


def test_ops_are_sorted_by_what_they_contribute() -> None:
    (pair,) = compared().pairs
    assert [change.op for change in pair.by_op] == ["leave_lazy_cpu", "clts", "write_cr3", "load_tls"]
    assert [change.how for change in pair.by_op][2] == "direct -> queued"


def test_an_op_that_only_runs_on_one_side_says_so() -> None:
    assert fate(Totals()) == "not run"
    assert fate(Totals(count=3)) == "direct"
    assert fate(Totals(count=3, traps=1, hypercalls=2)) == "trap"
    assert fate(Totals(count=3, hypercalls=3, entries=3)) == "hypercall"
    assert fate(Totals(count=3, hypercalls=1, entries=2)) == "hypercall or queued"
    assert fate(Totals(count=3, hypercalls=1)) == "hypercall or direct"
    assert fate(Totals(count=3, rom_calls=3)) == "ROM call"


def test_a_rule_silent_on_native_is_batching_induced() -> None:
    (pair,) = compared().pairs
    assert [v.rule for v in pair.only_b] == ["H1"] and pair.only_a == []
    assert pair.batching_induced == ["H1"]
    assert not compared().equal


def test_a_rule_that_fires_on_both_sides_is_not_a_difference() -> None:
    both = report(violations=[violation(backends=["native", "xen"])])
    (pair,) = compared(both).pairs
    assert pair.only_a == pair.only_b == [] and pair.batching_induced == []


def test_between_two_paravirt_backends_nothing_is_called_batching_induced() -> None:
    made = report(violations=[violation(backends=["xen"])])
    vmi = BackendResult(name="vmi")
    (pair,) = compare("vmi", "xen", [(made, vmi, made, xen())], [], "0").pairs
    assert [v.rule for v in pair.only_b] == ["H1"] and pair.batching_induced == []


def test_a_step_that_moved_is_the_same_violation() -> None:
    one, other = report(violations=[violation(step=4)]), report(violations=[violation(step=6)], kernel="mine")
    (pair,) = compare("2.6.21", "mine", [(one, xen(), other, xen())], [], "0").pairs
    assert pair.only_a == pair.only_b == [] and pair.equal
    assert pair.a.label == "2.6.21" and pair.b.label == "mine"


def test_an_op_that_runs_more_often_at_no_cost_is_told_and_makes_no_difference() -> None:
    other = native()
    other.by_op = {"write_cr3": Totals(count=21)}
    (pair,) = compare("a", "b", [(report(), native(), report(), other)], [], "0").pairs
    assert pair.equal and [change.op for change in pair.by_op] == ["write_cr3"]


def test_the_text_puts_the_sides_side_by_side() -> None:
    out = diff_text.render(compared())
    assert out.startswith("native vs xen\n")
    assert re.search(r"^hypercalls +0 +30 +\+30 +-$", out, re.MULTILINE)
    assert re.search(r"^leave_lazy_cpu +\+25 +0 +0 +not run -> hypercall$", out, re.MULTILINE)
    assert "H1 raw-queued  error  182,044 times  at loadsegment:gs  batching-induced" in out
    assert "note: a note" in out


def test_the_text_of_equal_sides_says_no_difference() -> None:
    same = compare("xen", "xen", [(report(), xen(), report(), xen())], [], "0.1.0")
    assert "no difference" in diff_text.render(same)
    assert "no difference" not in diff_text.render(compared())


def test_several_pairs_begin_with_a_summary_and_hide_what_is_equal() -> None:
    cheaper = xen()
    cheaper.hypercalls = 20
    pairs = [(report(), native(), report(), native()), (report(), xen(), report(kernel="mine"), cheaper)]
    out = diff_text.render(compare("2.6.21", "mine", pairs, [], "0"))
    assert re.search(r"^native +0 +0 +0 +-$", out, re.MULTILINE)
    assert re.search(r"^xen +30 +20 +-10 +0\.67x$", out, re.MULTILINE)
    assert out.count("metric") == 1


def test_no_line_is_wider_than_the_page_even_with_hostile_labels() -> None:
    made = report(path=HOSTILE * 5, violations=[violation(op=HOSTILE)])
    other = report(path=HOSTILE * 9)
    out = diff_text.render(
        compare(HOSTILE, HOSTILE * 3, [(made, native(), other, xen())], [HOSTILE], "0"), verbose=1
    )
    assert all(len(line) <= 80 and line.isprintable() for line in out.splitlines())


def test_every_json_key_is_documented_and_every_documented_key_exists() -> None:
    document = json.loads(diff_json.render(compared()))
    assert document["schema"] == "pvreplay.diff/1"
    for heading, example in (("## Top level", document), ("## `pairs[]`", document["pairs"][0])):
        table = DOC.read_text().split(heading)[1].split("\n## ")[0]
        rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        assert [key for row in rows for key in re.findall(r"`(\w+)`", row)] == list(example)


def test_counts_stay_whole_numbers_in_json() -> None:
    assert b'"a": 0,' in diff_json.render(compared()) and b"30.0" not in diff_json.render(compared())

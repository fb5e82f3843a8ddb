"""KTAP, read back by a parser of the kernel's page (Documentation/dev-tools/ktap.rst) and by tap.py."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from tap.parser import Parser

from pvreplay.report import ktap
from pvreplay.report.context import Context
from tests.output_samples import COMMS, hostile_report, hostile_verdict, names
from tests.report_samples import report, violation

RESULT = re.compile(r"(ok|not ok) (\d+) ([^#]*?)(?: # (SKIP|ERROR) ?(.*))?")


class Test(NamedTuple):
    """A result line with the results and diagnostics before it."""

    __test__ = False

    ok: bool
    name: str
    directive: str
    reason: str
    said: list[str]
    inside: list[Test]


def parse(text: str) -> list[Test]:
    """The tests of *text*; every line has to be of one of the kinds the page names."""
    assert text.endswith("\n")
    lines = text[:-1].split("\n")
    tests = _level(lines, 0)
    assert not lines
    return tests


def _level(lines: list[str], depth: int) -> list[Test]:
    indent = "  " * depth
    assert lines.pop(0) == f"{indent}KTAP version 1"
    plan = re.fullmatch(rf"{indent}1\.\.(\d+)", lines.pop(0))
    assert plan is not None
    tests: list[Test] = []
    said: list[str] = []
    inside: list[Test] = []
    while lines and lines[0].startswith(indent):
        if lines[0] == f"{indent}  KTAP version 1":
            inside = _level(lines, depth + 1)
            continue
        line = lines.pop(0).removeprefix(indent)
        if line.startswith("#"):
            said.append(line[2:])
            continue
        result = RESULT.fullmatch(line)
        assert result is not None, line
        assert int(result[2]) == len(tests) + 1
        tests.append(Test(result[1] == "ok", result[3], result[4] or "", result[5] or "", said, inside))
        if inside:
            assert tests[-1].ok == all(one.ok for one in inside)
        said, inside = [], []
    assert len(tests) == int(plan[1])
    return tests


def test_a_backend_is_a_test_and_its_rules_are_subtests() -> None:
    tests = parse(ktap.render(report(not_checked={"P4": "no sleep"})))
    assert [one.name for one in tests] == ["trace pingpong.bin", "native", "xen"]
    rules = {one.name: one for one in tests[2].inside}
    assert rules["H1 raw-queued"].ok
    assert (rules["P4 sleep"].directive, rules["P4 sleep"].reason) == ("SKIP", "no sleep")


def test_a_broken_rule_is_not_ok_and_drawn_before_its_line() -> None:
    tests = parse(ktap.render(report(violations=[violation(backends=["xen"])])))
    assert [one.ok for one in tests] == [True, True, False]
    broken = next(one for one in tests[2].inside if not one.ok)
    assert broken.name == "H1 raw-queued"
    assert any("<--" in line and "loadsegment:gs" in line for line in broken.said)


def test_a_performance_finding_is_not_ok_only_when_strict() -> None:
    found = report(violations=[violation(rule="W4", name="redundant", severity="perf", backends=["xen"])])
    assert all(one.ok for one in parse(ktap.render(found)))
    assert not parse(ktap.render(found, Context(strict=True)))[2].ok


def test_a_damaged_trace_is_an_error_unless_lenient() -> None:
    damaged = report(damage="cut at offset 0x40")
    first = parse(ktap.render(damaged))[0]
    assert (first.ok, first.directive, first.reason) == (False, "ERROR", "cut at offset 0x40")
    assert parse(ktap.render(damaged, Context(lenient=True)))[0].ok


def test_a_tap_reader_that_knows_no_subtests_sees_the_same_top_level() -> None:
    text = ktap.render(report(violations=[violation(backends=["xen"])]))
    top = "\n".join(line for line in text.splitlines() if not line.startswith("  "))
    results = [line for line in Parser().parse_text(top) if line.category == "test"]
    assert [(one.ok, one.description.strip()) for one in results] == [
        (True, "trace pingpong.bin"),
        (True, "native"),
        (False, "xen"),
    ]


def test_a_gates_checks_are_subtests_of_its_trace() -> None:
    (trace,) = parse(ktap.render_gate(hostile_verdict("t")))
    assert trace.name == "t on kernel t" and not trace.ok
    assert [(one.name, one.ok) for one in trace.inside] == [
        ("xen hypercalls", False),
        ("H1 raw-queued at t", False),
    ]


def test_a_gate_that_cannot_compare_is_not_ok_and_says_why() -> None:
    verdict = hostile_verdict("t")
    verdict.findings.clear()
    verdict.traces[0].outcome = "not-comparable"
    verdict.traces[0].reasons = ["5 events lost"]
    verdict.checks[0].status = "not-comparable"
    text = ktap.render_gate(verdict)
    assert "  ok 1 xen hypercalls # SKIP t\n" in text
    assert text.endswith("not ok 1 t on kernel t # ERROR 5 events lost\n")


@pytest.mark.parametrize("name", COMMS)
def test_hostile_names_do_not_change_the_results(name: str) -> None:
    def results(tests: list[Test]) -> list[object]:
        return [(one.ok, one.directive, results(one.inside)) for one in tests]

    assert results(parse(ktap.render(hostile_report(name)))) == results(
        parse(ktap.render(hostile_report("harmless")))
    )


@settings(max_examples=60, deadline=None)
@given(names)
def test_any_name_reads_back(name: str) -> None:
    parse(ktap.render(hostile_report(name)))
    parse(ktap.render_gate(hostile_verdict(name)))

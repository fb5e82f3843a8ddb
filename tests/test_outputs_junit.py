"""JUnit XML, read back by xml.etree and by junitparser."""

from __future__ import annotations

from xml.etree import ElementTree

import junitparser
import pytest
from hypothesis import given, settings

from pvreplay.replay.result import BackendResult
from pvreplay.report import junit
from pvreplay.report.context import Context
from pvreplay.report.escape import terminal
from tests.output_samples import COMMS, hostile_report, hostile_verdict, names
from tests.report_samples import report, violation

INSIDE = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "property": set(),
    "testcase": {"failure", "error", "skipped", "system-out"},
    "failure": set(),
    "error": set(),
    "skipped": set(),
    "system-out": set(),
}
"""Element -> elements it may hold, of what Jenkins' schema allows."""
ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"message"},
}
"""All attributes of an element here; Jenkins' schema knows no others but optional ones."""


def tree(text: str) -> ElementTree.Element:
    """The document, held to the schema above."""
    root = ElementTree.fromstring(text.encode())
    for element in root.iter():
        assert {child.tag for child in element} <= INSIDE[element.tag]
        assert set(element.attrib) == ATTRIBUTES.get(element.tag, set())
        outcomes = [child.tag for child in element if element.tag == "testcase"]
        assert len(outcomes) <= 1
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases)
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[key]) == sum(case.find(tag) is not None for case in cases)
    for key in ("tests", "failures", "errors"):
        assert int(root.attrib[key]) == sum(int(suite.attrib[key]) for suite in root)
    return root


def case(root: ElementTree.Element, backend: str, rule: str) -> ElementTree.Element:
    """The case of *rule* on *backend*."""
    found = root.findall(f"testsuite[@name='pvreplay.{backend}']/testcase")
    return next(one for one in found if one.attrib["name"].startswith(rule))


def test_every_rule_is_a_case_of_every_backend() -> None:
    root = tree(junit.render(report()))
    suites = {suite.attrib["name"]: len(suite.findall("testcase")) for suite in root}
    from pvreplay.rules import TABLE

    assert suites == {"pvreplay.trace": 1, "pvreplay.native": len(TABLE), "pvreplay.xen": len(TABLE)}
    assert root.attrib["failures"] == root.attrib["errors"] == "0"


def test_baselines_have_a_suite_only_when_a_rule_is_broken_there_alone() -> None:
    backends = [BackendResult(name=name) for name in ("xen", "xen-unbatched", "xen-nolazy")]
    for where, suites in (
        (["xen", "xen-nolazy"], ["trace", "xen"]),
        (["xen-nolazy"], ["trace", "xen", "xen-nolazy"]),
    ):
        root = tree(junit.render(report(backends=backends, violations=[violation(backends=where)])))
        assert [suite.attrib["name"] for suite in root] == [f"pvreplay.{name}" for name in suites]
        assert root.attrib["failures"] == "1"


def test_a_broken_rule_fails_on_the_backends_where_it_is_broken_and_shows_the_steps() -> None:
    root = tree(junit.render(report(violations=[violation(backends=["xen"])])))
    failure = case(root, "xen", "H1").find("failure")
    assert failure is not None and failure.attrib["type"] == "error"
    assert failure.attrib["message"] == "loadsegment:gs: reads GDT.TLS, still queued since step 3"
    marked = [line for line in (failure.text or "").splitlines() if "<--" in line]
    assert len(marked) == 1 and "loadsegment:gs" in marked[0]
    assert len(case(root, "native", "H1")) == 0
    assert root.attrib["failures"] == "1"


def test_a_performance_finding_fails_only_when_strict() -> None:
    found = report(violations=[violation(rule="W4", name="redundant", severity="perf")])
    assert case(tree(junit.render(found)), "xen", "W4")[0].tag == "system-out"
    assert case(tree(junit.render(found, Context(strict=True))), "xen", "W4")[0].tag == "failure"


def test_a_rule_that_was_not_checked_is_skipped_with_the_reason() -> None:
    root = tree(junit.render(report(not_checked={"P4": "no sleep events"})))
    skipped = case(root, "xen", "P4").find("skipped")
    assert skipped is not None and skipped.attrib["message"] == "no sleep events"


def test_a_damaged_trace_is_an_error_unless_lenient() -> None:
    damaged = report(damage="cut at offset 0x40")
    error = tree(junit.render(damaged)).find(".//error")
    assert error is not None and error.attrib["message"] == "cut at offset 0x40"
    assert tree(junit.render(damaged, Context(lenient=True))).find(".//error") is None


def test_the_figures_of_a_backend_are_properties_of_its_suite() -> None:
    suite = tree(junit.render(report())).findall("testsuite")[2]
    figures = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
    assert figures["hypercalls"] == "30" and figures["entries"] == "71" and figures["traps"] == "3"


def test_junitparser_reads_the_same_results() -> None:
    text = junit.render(report(violations=[violation(backends=["xen"])], not_checked={"P4": "no sleep"}))
    read = junitparser.JUnitXml.fromstring(text.encode())
    results = {
        (suite.name, one.name): [type(result).__name__ for result in one.result]
        for suite in read
        for one in suite
    }
    assert results["pvreplay.xen", "H1 raw-queued"] == ["Failure"]
    assert results["pvreplay.native", "H1 raw-queued"] == []
    assert results["pvreplay.xen", "P4 sleep"] == ["Skipped"]


def test_a_gates_checks_and_rules_are_cases() -> None:
    root = tree(junit.render_gate(hostile_verdict("t")))
    outcomes = {one.attrib["name"]: [child.tag for child in one] for one in root.iter("testcase")}
    assert outcomes["xen hypercalls"] == ["failure"] and outcomes["H1 raw-queued at t"] == ["failure"]
    assert outcomes["comparable"] == ["system-out"]


def test_a_gate_that_cannot_compare_is_an_error_and_no_failure() -> None:
    verdict = hostile_verdict("t")
    verdict.traces[0].outcome = "not-comparable"
    verdict.traces[0].reasons = ["5 events lost"]
    verdict.checks[0].status = "not-comparable"
    verdict.findings.clear()
    root = tree(junit.render_gate(verdict))
    assert [one.attrib["message"] for one in root.iter("error")] == ["5 events lost"]
    assert root.attrib["failures"] == "0"


@pytest.mark.parametrize("name", COMMS)
def test_hostile_names_are_text_and_nothing_else(name: str) -> None:
    root = tree(junit.render(hostile_report(name)))
    plain = tree(junit.render(hostile_report("harmless")))
    assert [element.tag for element in root.iter()] == [element.tag for element in plain.iter()]
    failure = case(root, "xen", "H1").find("failure")
    assert failure is not None and failure.attrib["message"] == terminal(f"{name}: {name}")


@settings(max_examples=60, deadline=None)
@given(names)
def test_any_name_reads_back(name: str) -> None:
    tree(junit.render(hostile_report(name)))
    root = tree(junit.render_gate(hostile_verdict(name)))
    suite = root.find("testsuite")
    assert suite is not None and suite.attrib["name"] == terminal(f"pvreplay.gate.{name}@{name}")

"""Windows that injected events found, in every form: told always, failing only when strict."""

from __future__ import annotations

import pytest

from pvreplay.report import csv, github, gitlab, html, junit, ktap, markdown, sarif
from pvreplay.report.context import Context
from tests import (
    test_outputs_csv,
    test_outputs_github,
    test_outputs_gitlab,
    test_outputs_html,
    test_outputs_junit,
    test_outputs_ktap,
    test_outputs_markdown,
    test_outputs_sarif,
)
from tests.report_samples import report, window

FOUND = report(what_if=[window()])
STRICT = pytest.mark.parametrize("context", [Context(), Context(strict=True)], ids=["plain", "strict"])


@STRICT
def test_junit_has_a_suite_of_windows(context: Context) -> None:
    root = test_outputs_junit.tree(junit.render(FOUND, context))
    suite = root.findall("testsuite")[-1]
    (case,) = suite.findall("testcase")
    assert suite.attrib["name"] == "pvreplay.what-if"
    assert case.attrib["name"] == "P7 window: nmi before write_cr0 on xen"
    assert case[0].tag == ("failure" if context.strict else "system-out")
    assert "nmi_enter:gdt+fpu" in (case[0].text or "")


@STRICT
def test_ktap_has_a_test_of_windows(context: Context) -> None:
    last = test_outputs_ktap.parse(ktap.render(FOUND, context))[-1]
    assert last.name == "what-if" and last.ok is not context.strict
    assert [one.name for one in last.inside] == ["P7 window: nmi before write_cr0 on xen"]


@STRICT
def test_github_has_a_notice_or_an_error(context: Context) -> None:
    _, (command,) = test_outputs_github.log(github.render(FOUND, context))
    assert command.level == ("error" if context.strict else "notice")
    assert command.message.startswith("nmi before write_cr0: had it come before steps 3 to 4: ")


@STRICT
def test_gitlab_and_sarif_have_a_finding(context: Context) -> None:
    (finding,) = test_outputs_gitlab.findings(gitlab.render(FOUND, context))
    assert finding["severity"] == ("major" if context.strict else "info")
    (result,) = test_outputs_sarif.run_of(sarif.render(FOUND, context))["results"]
    assert (result["ruleId"], result["level"]) == ("P7", "error" if context.strict else "note")


def test_csv_has_a_row() -> None:
    rows = [row for row in test_outputs_csv.rows(csv.render(FOUND)) if row["part"] == "what if"]
    assert [(row["backend"], row["name"], row["count"]) for row in rows] == [
        ("xen", "P7 window nmi before write_cr0", "577")
    ]


def test_pages_have_a_section_and_say_when_nothing_was_found() -> None:
    text = markdown.render(FOUND)
    assert "### What if an event had come: 1 window" in text
    test_outputs_markdown.blocks(text)
    page = test_outputs_html.shown(test_outputs_html.tree(html.render(FOUND)))
    assert "nmi_enter:gdt+fpu  put in   <--" in page
    assert "What if an event had come: no window found" in markdown.render(report(what_if=[]))
    assert "What if" not in markdown.render(report())

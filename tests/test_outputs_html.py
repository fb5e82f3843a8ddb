"""HTML, read back by a strict parser: no script, nothing from elsewhere, names are only text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

import html5lib
import pytest
from hypothesis import given, settings

from pvreplay.report import diff_html, html, text
from pvreplay.report.escape import terminal
from tests.output_samples import (
    COMMS,
    hostile_comparison,
    hostile_report,
    hostile_verdict,
    names,
)
from tests.report_samples import report, violation

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "ul", "li"),
    *("div", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre"),
    *("code", "b", "span", "i", "mark"),
}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "scope", "style", "open"}


def tree(page: str) -> Element:
    """The document; the parser raises on the first error, and every element is a plain one."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    root = parser.parse(page.encode("utf-8"), transport_encoding="utf-8")
    for element in root.iter():
        assert element.tag in TAGS, element.tag
        assert set(element.attrib) <= ATTRIBUTES
        if style := element.get("style"):
            assert re.fullmatch(r"width:\d+\.\d%", style)
    return root


def shown(element: Element) -> str:
    """The text of an element."""
    return "".join(element.itertext())


def rows(root: Element) -> Iterator[list[str]]:
    """The cells of every row."""
    for row in root.iter("tr"):
        yield [shown(cell) for cell in row]


def test_the_page_holds_what_the_text_report_says() -> None:
    found = report(violations=[violation(backends=["xen"])], lost_events=3, not_checked={"P4": "no sleep"})
    root = tree(html.render(found))
    page = shown(root)
    assert ["xen", "30", "1.30", "94", "68.1 %", "71", "3"] in list(rows(root))
    for words in ("3 events lost:", "H1 raw-queued", "make", "P4", "no sleep", "--assume fpu=always"):
        assert words in page and words in text.render(found, verbose=1)
    (mark,) = root.iter("mark")
    assert "loadsegment:gs" in shown(mark) and "<--" in shown(mark)


def test_bars_are_as_long_as_their_share() -> None:
    root = tree(html.render(report()))
    assert [bar.get("style") for bar in root.iter("i")] == ["width:100.0%", "width:9.5%"]  # 21 and 2 switches


def test_nothing_is_loaded_and_no_script_runs() -> None:
    page = html.render(report(violations=[violation()]))
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|url\(|@import|<script|javascript:|\son\w+=", page)


def test_light_and_dark_are_both_told() -> None:
    page = html.render(report())
    assert "prefers-color-scheme: dark" in page and 'content="light dark"' in page


def test_what_fails_is_open_and_performance_findings_are_folded() -> None:
    root = tree(html.render(report(violations=[violation(), violation(rule="W4", severity="perf")])))
    folds = {shown(fold[0])[:2]: "open" in fold.attrib for fold in root.iter("details")}
    assert folds["H1"] and not folds["W4"]


def test_a_gate_and_a_diff_are_pages_too() -> None:
    gate = tree(html.render_gate(hostile_verdict("t")))
    assert ["xen", "hypercalls", "3", "7", "+4 (+133.3 %)", "3", "FAIL"] in list(rows(gate))
    diff = tree(diff_html.render(hostile_comparison("t")))
    assert ["hypercalls", "7", "9", "+2", "1.29x"] in list(rows(diff))


@pytest.mark.parametrize("name", COMMS)
def test_hostile_names_are_text_and_nothing_else(name: str) -> None:
    root = tree(html.render(hostile_report(name)))
    assert any(shown(code) == terminal(name) for code in root.iter("code"))
    if name:
        plain = tree(html.render(hostile_report("harmless")))
        assert [one.tag for one in root.iter()] == [one.tag for one in plain.iter()]


@settings(max_examples=40, deadline=None)
@given(names)
def test_any_name_reads_back(name: str) -> None:
    tree(html.render(hostile_report(name)))
    tree(html.render_gate(hostile_verdict(name)))
    tree(diff_html.render(hostile_comparison(name)))

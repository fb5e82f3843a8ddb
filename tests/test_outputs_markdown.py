"""Markdown, read back by markdown-it: the same blocks whatever the names, no link, no mention, no markup."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt
from markdown_it.token import Token

from pvreplay.report import diff_markdown, markdown
from pvreplay.report import text as text_report
from pvreplay.report.context import PLAIN, Context
from pvreplay.report.escape import terminal
from tests.output_samples import (
    COMMS,
    hostile_comparison,
    hostile_report,
    hostile_verdict,
    names,
)
from tests.report_samples import report, violation

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
INLINE = {"text", "code_inline", "html_inline", "strong_open", "strong_close", "text_special"}
OURS = re.compile(r"</?(code|b)>|<details( open)?><summary>.*</summary>|</details>")


def blocks(text: str) -> list[Token]:
    """The block tokens; every inline token and every piece of HTML is one that is meant."""
    tokens = READER.parse(text)
    for token in tokens:
        if token.type == "html_block":
            for line in token.content.splitlines():
                inside = re.sub(r"</?(b|code)>", "", line.removeprefix("<details>"))
                assert OURS.fullmatch(line), line
                bare = re.sub(r"</?(details( open)?|summary)>", "", inside)
                assert "<" not in bare and ">" not in bare, line
        for child in token.children or ():
            assert child.type in INLINE, (child.type, token.content)
            if child.type == "html_inline":
                assert child.content in ("<code>", "</code>")
    return tokens


def shape(text: str) -> list[tuple[str, int]]:
    """What the page is made of."""
    return [(token.type, token.nesting) for token in blocks(text) if token.type != "inline"]


def words(text: str) -> list[str]:
    """What each paragraph, cell and heading shows."""
    shown = []
    for token in blocks(text):
        if token.type == "inline":
            shown.append(
                "".join(child.content for child in token.children or () if child.type != "html_inline")
            )
    return shown


def prose(text: str) -> str:
    """What is shown outside code, where GitHub and GitLab look for mentions and links."""
    out = []
    for token in blocks(text):
        depth = 0
        for child in token.children or ():
            if child.type == "html_inline":
                depth += 1 if child.content == "<code>" else -1
            elif child.type != "code_inline" and not depth:
                out.append(child.content)
        if token.type == "html_block":
            out.append(html.unescape(re.sub(r"<code>.*?</code>|<[^>]*>", "", token.content)))
    return "\n".join(out)


def test_the_page_says_the_verdict_then_the_backends_then_draws_what_is_broken() -> None:
    text = markdown.render(report(violations=[violation(backends=["xen"])]))
    lines = [line for line in text.splitlines() if line]
    assert lines[:2] == ["## pvreplay: `pingpong.bin` on kernel `2.6.21`", "**1 violation.**"]
    assert "| `xen` | 30 | 1.30 | 94 | 68.1 % | 71 | 3 |" in lines
    assert any("<--" in line and "loadsegment:gs" in line for line in lines)
    (fence,) = [token for token in blocks(text) if token.type == "fence"]
    assert len(fence.content.splitlines()) == 4


def test_what_fails_is_open_and_what_does_not_is_folded() -> None:
    text = markdown.render(report(violations=[violation(), violation(rule="W4", severity="perf")]))
    assert [line[:24] for line in text.splitlines() if "<b>H1" in line or "<b>W4" in line] == [
        "<details open><summary><",
        "<details><summary><b>W4 ",
    ]
    strict = markdown.render(report(violations=[violation(rule="W4", severity="perf")]), Context(strict=True))
    assert "<details open><summary><b>W4" in strict


def test_every_fold_is_closed() -> None:
    for text in (
        markdown.render(report(violations=[violation()])),
        markdown.render_gate(hostile_verdict("t")),
        diff_markdown.render(hostile_comparison("t")),
    ):
        assert text.count("<details") == text.count("</details>") > 0


def test_a_page_that_would_be_too_long_is_cut_at_folds_and_says_so() -> None:
    many = report(violations=[violation(op=f"op{number}") for number in range(40)])
    whole = markdown.render(many)
    short = markdown.render(many, PLAIN, limit=9000)
    assert len(short.encode()) <= 9000 < len(whole.encode())
    assert re.search(r"^\*\d+ sections are left out", short, re.MULTILINE)
    assert short.count("<details") == short.count("</details>")


def test_a_diff_shows_metrics_ops_and_one_sided_rules() -> None:
    text = diff_markdown.render(hostile_comparison("t"))
    assert "| hypercalls | 7 | 9 | +2 | 1.29x |" in text
    assert "Only on the second side: 1 violation." in text


@pytest.mark.parametrize("name", COMMS)
def test_hostile_names_change_no_block_and_are_shown_as_they_are(name: str) -> None:
    text = markdown.render(hostile_report(name))
    if name:
        assert shape(text) == shape(markdown.render(hostile_report("harmless")))
    shown = words(text)
    assert any(terminal(name).strip() in line for line in shown)
    assert any(line == terminal(name or "task 1") or line.strip() == terminal(name).strip() for line in shown)


@pytest.mark.parametrize("name", COMMS)
def test_nobody_is_mentioned_and_nothing_is_linked(name: str) -> None:
    for text in (
        markdown.render(hostile_report(name)),
        markdown.render_gate(hostile_verdict(name)),
        diff_markdown.render(hostile_comparison(name)),
    ):
        assert not re.search(r"@\w|#\d|![\w\d]|www\.|://|\$", prose(text))


@settings(max_examples=60, deadline=None)
@given(names)
def test_any_name_reads_back(name: str) -> None:
    blocks(markdown.render(hostile_report(name)))
    blocks(markdown.render_gate(hostile_verdict(name)))
    blocks(diff_markdown.render(hostile_comparison(name)))


def test_findings_that_text_tells_in_one_line_are_counted_once() -> None:
    """A trapped read in the switch and the same one in #NM."""
    twice = report()
    twice.violations = [
        violation(rule="W6", name="trap-read", severity="perf", op="read_cr0", message="trapped", shape=shape)
        for shape in ("prev_fpu", "")
    ]
    assert "**1 performance finding.**" in markdown.render(twice, PLAIN)
    assert "1 performance finding\n" in text_report.render(twice)

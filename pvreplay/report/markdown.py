"""Markdown as GitHub and GitLab read it, for a job summary or a comment; docs/outputs.md."""

from __future__ import annotations

import re

from pvreplay.gate.verdict import Verdict
from pvreplay.replay.result import Report
from pvreplay.report import escape, gate_page, run_page
from pvreplay.report.blocks import (
    Bars,
    Block,
    Cell,
    Drawing,
    Fold,
    Heading,
    Items,
    PageData,
    Para,
    Span,
    Table,
)
from pvreplay.report.context import PLAIN, Context
from pvreplay.report.figures import number

LIMIT = 60_000
"""Bytes that fit in a comment: GitHub takes 65,536 characters."""
SUMMARY_LIMIT = 1_000_000
"""Bytes that fit in the summary of a job's step: GitHub takes 1 MiB."""
BAR = 30


def render(report: Report, context: Context = PLAIN, *, limit: int = LIMIT) -> str:
    """*report* as Markdown of at most *limit* bytes: what does not fit is left out, and told."""
    return write(run_page.page(report, context), limit)


def render_gate(verdict: Verdict, context: Context = PLAIN, *, limit: int = LIMIT) -> str:
    """*verdict* as Markdown of at most *limit* bytes."""
    return write(gate_page.page(verdict, context), limit)


def write(page: PageData, limit: int = LIMIT) -> str:
    """*page* as Markdown; folds are left out from the end when it would be too long."""
    parts = [_block(block) for block in page.blocks]
    folds = [place for place, block in enumerate(page.blocks) if isinstance(block, Fold)]
    left = 0
    room = limit - 200 - sum(len(part.encode()) + 2 for part in parts)
    while room < 0 and folds:
        place = folds.pop()
        room += len(parts[place].encode()) + 2
        parts[place] = ""
        left += 1
    if left:
        parts.append(f"*{left} sections are left out: this would be longer than {number(limit)} bytes.*")
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {_line(block.spans)}"
    if isinstance(block, Para):
        return escape.markdown_line(_line(block.spans))
    if isinstance(block, Items):
        return "\n".join(f"- {escape.markdown_line(_line(item))}" for item in block.items)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Bars):
        return _bars(block)
    if isinstance(block, Drawing):
        return _drawing(block)
    return _fold(block)


def _line(spans: list[Span]) -> str:
    return " ".join(_span(span) for span in spans if span[0] or span[1] == "name")


def _span(span: Span) -> str:
    text, style = span
    if style == "name":
        return escape.markdown_code(text)
    shown = escape.markdown(text)
    return f"**{shown}**" if style in ("strong", "bad", "warn", "good") else shown


def _cell(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, int):
        return number(cell)
    return _span(cell) if isinstance(cell, tuple) else escape.markdown(cell)


def _table(table: Table) -> str:
    rule = [":--" if column in table.text else "--:" for column in range(len(table.head))]
    lines = [[escape.markdown(head) for head in table.head], rule]
    lines += [[_cell(cell) for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bars(bars: Bars) -> str:
    rows: list[list[Cell]] = [
        [label, n, share, "█" * max(1, round(BAR * length))] for label, n, share, length in bars.rows
    ]
    head = [*bars.head, "share", ""]
    rule = ["--:", "--:", "--:", ":--"]
    lines = [head, rule, *([_cell(cell) for cell in row[:3]] + [str(row[3])] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _drawing(drawing: Drawing) -> str:
    lines = drawn_lines(drawing)
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *lines, fence])


def drawn_lines(drawing: Drawing) -> list[str]:
    """The steps as aligned lines of harmless text."""
    cells = [
        (escape.terminal(step.op), escape.terminal(step.disposition), escape.terminal(step.detail))
        for step in drawing.steps
    ]
    op, disposition = (max((len(row[column]) for row in cells), default=0) for column in (0, 1))
    lines = []
    for step, row in zip(drawing.steps, cells, strict=True):
        line = f"{step.index:>3}  {row[0]:<{op}}  {row[1]:<{disposition}}  {row[2]}".rstrip()
        lines.append(f"{line}   <-- {escape.terminal(drawing.message)}" if step.mark else line)
    return lines


def _fold(fold: Fold) -> str:
    summary = " ".join(_summary(span) for span in fold.summary if span[0] or span[1] == "name")
    inside = "\n\n".join(_block(block) for block in fold.blocks)
    return f"<details{' open' if fold.open else ''}><summary>{summary}</summary>\n\n{inside}\n\n</details>"


def _summary(span: Span) -> str:
    text, style = span
    shown = escape.html(text)
    if style == "name" or escape.markdown(text) != escape.terminal(text):
        return f"<code>{shown}</code>"
    return f"<b>{shown}</b>" if style in ("strong", "bad", "warn", "good") else shown

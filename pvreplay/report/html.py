"""One HTML file that needs nothing else: no script, no font, no picture; docs/outputs.md."""

from __future__ import annotations

from typing import Final

from pvreplay.gate.verdict import Verdict
from pvreplay.replay.result import Report
from pvreplay.report import escape, gate_page, run_page
from pvreplay.report.blocks import (
    Bars,
    Block,
    Cell,
    Drawing,
    Heading,
    Items,
    PageData,
    Para,
    Span,
    Table,
)
from pvreplay.report.context import PLAIN, Context
from pvreplay.report.figures import number
from pvreplay.report.html_style import STYLE
from pvreplay.report.markdown import drawn_lines

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What the page may load, should a name ever escape its escape: nothing."""


def render(report: Report, context: Context = PLAIN) -> str:
    """*report* as one HTML file."""
    return write(run_page.page(report, context))


def render_gate(verdict: Verdict, context: Context = PLAIN) -> str:
    """*verdict* as one HTML file."""
    return write(gate_page.page(verdict, context))


def write(page: PageData) -> str:
    """*page* as one HTML file."""
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape.html(page.title)}</title>",
            f"<style>\n{STYLE}</style>",
            "</head>",
            "<body>",
            "<main>",
            *(_block(block) for block in page.blocks),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        level = block.level - 1
        return f"<h{level}>{_line(block.spans)}</h{level}>"
    if isinstance(block, Para):
        return f"<p>{_line(block.spans)}</p>"
    if isinstance(block, Items):
        return "\n".join(["<ul>", *(f"<li>{_line(item)}</li>" for item in block.items), "</ul>"])
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Bars):
        return _bars(block)
    if isinstance(block, Drawing):
        return _drawing(block)
    inside = "\n".join(_block(one) for one in block.blocks)
    head = f"<details{' open' if block.open or block.roomy else ''}><summary>{_line(block.summary)}</summary>"
    return f"{head}\n{inside}\n</details>"


def _line(spans: list[Span]) -> str:
    return " ".join(_span(span) for span in spans if span[0] or span[1] == "name")


def _span(span: Span) -> str:
    text, style = span
    shown = escape.html(text)
    if style == "name":
        return f"<code>{shown}</code>"
    if style == "strong":
        return f"<b>{shown}</b>"
    return f'<span class="{style}">{shown}</span>' if style else shown


def _cell(cell: Cell, column: int, table: Table) -> str:
    words = ' class="t"' if column in table.text else ""
    if cell is None:
        return f"<td{words}>-</td>"
    if isinstance(cell, int):
        zero = ' class="zero"' if cell == 0 and not words else ""
        return f"<td{words}{zero}>{number(cell)}</td>"
    return f"<td{words}>{_span(cell) if isinstance(cell, tuple) else escape.html(cell)}</td>"


def _table(table: Table) -> str:
    heads = "".join(
        f'<th{_words(column, table)} scope="col">{escape.html(head)}</th>'
        for column, head in enumerate(table.head)
    )
    rows = [
        f"<tr>{''.join(_cell(cell, column, table) for column, cell in enumerate(row))}</tr>"
        for row in table.rows
    ]
    return "\n".join(
        [
            '<div class="wide"><table>',
            f"<thead><tr>{heads}</tr></thead>",
            "<tbody>",
            *rows,
            "</tbody></table></div>",
        ]
    )


def _words(column: int, table: Table) -> str:
    return ' class="t"' if column in table.text else ""


def _bars(bars: Bars) -> str:
    rows = [
        f"<tr><td>{escape.html(label)}</td><td>{number(n)}</td><td>{escape.html(share)}</td>"
        f'<td class="bar"><i style="width:{100 * length:.1f}%"></i></td></tr>'
        for label, n, share, length in bars.rows
    ]
    heads = "".join(f'<th scope="col">{escape.html(head)}</th>' for head in (*bars.head, "share"))
    return "\n".join(
        [
            '<div class="wide"><table class="bars">',
            f'<thead><tr>{heads}<th class="bar"></th></tr></thead>',
            "<tbody>",
            *rows,
            "</tbody></table></div>",
        ]
    )


def _drawing(drawing: Drawing) -> str:
    lines = []
    for step, line in zip(drawing.steps, drawn_lines(drawing), strict=True):
        shown = escape.html(line)
        lines.append(f"<mark>{shown}</mark>" if step.mark else shown)
    return "<pre>" + "\n".join(lines) + "</pre>"

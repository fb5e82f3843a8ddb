"""A page as data: headings, tables, bars, drawings, folds.

Markdown and HTML show the same pages; what they say is decided once (``run_page``,
``diff_page``, ``gate_page``).  Words in blocks are unescaped: the writers escape every one.
"""

from __future__ import annotations

from typing import NamedTuple

from pvreplay.replay.result import DrawnStep

Span = tuple[str, str]
"""Text and style: "" prose, name (from a trace or file), strong, good, bad, warn, dim."""
Cell = str | int | Span | None
"""A number is written exactly; None is a dash."""


class Heading(NamedTuple):
    """A heading; *level* 2 is the page's own."""

    level: int
    spans: list[Span]


class Para(NamedTuple):
    """A paragraph; its spans are one space apart."""

    spans: list[Span]


class Items(NamedTuple):
    """A list of short paragraphs."""

    items: list[list[Span]]


class Table(NamedTuple):
    """Rows under a head; the columns of *text* (and no other) hold words."""

    head: list[str]
    rows: list[list[Cell]]
    text: tuple[int, ...] = (0,)


class Bars(NamedTuple):
    """A distribution: label, number, share in words, and length (0 to 1) of each bar."""

    head: tuple[str, str]
    rows: list[tuple[str, int, str, float]]


class Drawing(NamedTuple):
    """A drawn sequence; *message* stands at the marked steps."""

    steps: list[DrawnStep]
    message: str


class Fold(NamedTuple):
    """Blocks behind one line that opens them; *roomy* ones are open where there is room for them."""

    summary: list[Span]
    blocks: list[Block]
    open: bool = False
    roomy: bool = False


Block = Heading | Para | Items | Table | Bars | Drawing | Fold


class PageData(NamedTuple):
    """A whole page; *title* is plain text."""

    title: str
    blocks: list[Block]


def cut(rows: list[list[Cell]], most: int, columns: int) -> list[list[Cell]]:
    """At most *most* rows, and a last one that says how many were left out."""
    if len(rows) <= most:
        return rows
    rest: list[Cell] = [(f"{len(rows) - most} more", "dim"), *[""] * (columns - 1)]
    return [*rows[:most], rest]

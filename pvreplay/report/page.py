"""Lines of styled text for a terminal of a given width: what the text renderers write on.

A page holds spans, (text, style), and escapes every one of them, so a renderer
cannot forget to.  Plain output is a join of strings; ``rich`` is imported only
when there is colour to write.
"""

from __future__ import annotations

from collections.abc import Sequence

from pvreplay.report import escape
from pvreplay.report.figures import number, short

Span = tuple[str, str]
"""Text and style; a style is a key of :data:`STYLES` or empty."""

STYLES = {
    "title": "bold",
    "head": "bold",
    "name": "cyan",
    "bad": "bold red",
    "warn": "yellow",
    "good": "green",
    "dim": "bright_black",
    "bar": "blue",
    "mark": "bold red",
}


def width_of(text: str) -> int:
    """Terminal columns of escaped *text*."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fit(text: str, width: int, ellipsis: str = "…") -> str:
    """Escaped *text* cut to at most *width* columns."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) > width - len(ellipsis):
        text = text[:-1]
    return (text + ellipsis)[:width] if width < len(ellipsis) else text + ellipsis


class Page:
    """Lines being written; *width* columns, *ascii* for terminals and mails without Unicode."""

    def __init__(self, width: int = 80, ascii: bool = False) -> None:
        self.width = width
        self.ascii = ascii
        self.lines: list[list[Span]] = []
        self._escape = escape.ascii_only if ascii else escape.terminal
        self.ellipsis = "..." if ascii else "…"
        self.block = "#" if ascii else "▇"

    def safe(self, text: str) -> str:
        """*text* as this page shows it."""
        return self._escape(text)

    def line(self, *spans: Span | str) -> None:
        """One line; what does not fit is cut."""
        left = self.width
        line: list[Span] = []
        for span in spans:
            text, style = (span, "") if isinstance(span, str) else span
            text = self._escape(text)
            columns = width_of(text)
            if columns > left:
                text = fit(text, left, self.ellipsis)
                columns = width_of(text)
            left -= columns
            if text:
                line.append((text, style))
        self.lines.append(line)

    def blank(self) -> None:
        """An empty line, unless the page already ends with one."""
        if self.lines and self.lines[-1]:
            self.lines.append([])

    def flow(self, *spans: Span | str, indent: int = 0, first: int | None = None) -> None:
        """Text wrapped at spaces; *indent* columns before each line, *first* before the first.

        Spans are one space apart, more when they begin or end with spaces.
        """
        lead = indent if first is None else first
        line: list[Span] = [(" " * lead, "")]
        used = lead
        fresh, gap = True, 1
        for span in spans:
            text, style = (span, "") if isinstance(span, str) else span
            for word in self._escape(text).split(" ") if text else ():
                if not word:
                    gap += 1
                    continue
                columns = width_of(word)
                if not fresh and used + gap + columns > self.width:
                    self.line(*line)
                    line, used, fresh = [(" " * indent, "")], indent, True
                if not fresh:
                    line.append((" " * gap, ""))
                    used += gap
                line.append((word, style))
                used += columns
                fresh, gap = False, 1
        self.line(*line)

    def tail(self, span: Span, indent: int = 0) -> None:
        """*span* unbroken, two spaces after the last line if it fits there, else on a line of its own."""
        text = self._escape(span[0])
        used = sum(width_of(part) for part, _ in self.lines[-1]) if self.lines else self.width
        if used + 2 + width_of(text) <= self.width:
            self.lines[-1] += [("  ", ""), (text, span[1])]
        else:
            self.line(" " * indent, span)

    def table(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[str | int]],
        *,
        indent: int = 0,
        text: Sequence[int] = (0,),
        styles: Sequence[str] = (),
    ) -> None:
        """Aligned columns: those of *text* to the left, the others to the right.

        Integers are written exactly when the table fits with 20 columns for
        the names, which are cut as needed, and short when it does not.  *styles* are per column.
        """
        if not rows:
            return
        for write, least in ((number, 20), (short, 8)):
            cells = [
                [write(cell) if isinstance(cell, int) else self._escape(cell) for cell in row] for row in rows
            ]
            widths = [max(map(width_of, column)) for column in zip(head, *cells, strict=True)]
            room = widths[0] - max(0, indent + sum(widths) + 2 * (len(widths) - 1) - self.width)
            if room >= min(widths[0], least):
                break
        room = max(room, 8)
        if room < widths[0]:
            cells = [[fit(row[0], room, self.ellipsis), *row[1:]] for row in cells]
            widths[0] = room
        for row_number, row in enumerate([list(head), *cells]):
            spans: list[Span] = [(" " * indent, "")] if indent else []
            for column, (cell, columns) in enumerate(zip(row, widths, strict=True)):
                gap = " " * (columns - width_of(cell))
                padded = cell + gap if column in text else gap + cell
                if column == len(row) - 1:
                    padded = padded.rstrip()
                style = "head" if row_number == 0 else styles[column] if column < len(styles) else ""
                spans.append(("  " + padded if column else padded, style))
            self.line(*spans)

    def text(self, color: bool = False) -> str:
        """Everything written, with terminal colours if *color*."""
        while self.lines and not self.lines[-1]:
            self.lines.pop()
        if not color:
            return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in self.lines)
        return self._colored()

    def _colored(self) -> str:
        from io import StringIO

        from rich.console import Console
        from rich.text import Text

        out = StringIO()
        console = Console(
            file=out,
            width=self.width,
            force_terminal=True,
            color_system="standard",
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        for line in self.lines:
            text = Text.assemble(*((part, STYLES.get(style, "")) for part, style in line))
            console.print(text, soft_wrap=True)
        return out.getvalue()

"""The manual page, made from the same texts as ``--help``.

Help texts are paragraphs parted by blank lines; one that begins with ``\\b`` is
a block whose first line is its heading and whose other lines stand as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click

from pvreplay import __version__
from pvreplay.cli import COMMANDS
from pvreplay.cli.main import group

_SPECIAL = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}
SECTIONS = {"Exit codes": "EXIT STATUS", "Examples": "EXAMPLES"}
"""Headings of the group's blocks -> the sections manual pages have for them."""


class Block(NamedTuple):
    """A paragraph of a help text; with a heading its lines stand as they are."""

    heading: str
    lines: list[str]


def page() -> str:
    """The whole page, pvreplay(1), as roff for the man macros."""
    return "\n".join(_page()) + "\n"


def escape(text: str) -> str:
    """*text* as roff prints it, whatever it holds."""
    out = "".join(
        _SPECIAL.get(char) or (char if char.isascii() else f"\\[u{ord(char):04X}]") for char in text
    )
    # A control line begins with a dot (an apostrophe is a glyph by now).
    return f"\\&{out}" if out.startswith(".") else out


def blocks(text: str) -> list[Block]:
    """The blocks of a help text."""
    found = []
    for part in text.strip().split("\n\n"):
        lines = part.strip("\n").splitlines()
        if lines[0].strip() == "\b":
            found.append(Block(lines[1].strip(), [line.strip() for line in lines[2:]]))
        else:
            found.append(Block("", [" ".join(line.strip() for line in lines)]))
    return found


def _page() -> Iterator[str]:
    ctx = click.Context(group, info_name="pvreplay")
    first, *rest = blocks(group.help or "")
    yield f'.TH PVREPLAY 1 "" "pvreplay {escape(__version__)}" "User Commands"'
    yield ".nh\n.ad l"  # no hyphens that an option might be thought to have
    yield from _section("NAME")
    yield f"pvreplay \\- {escape(_title())}"
    yield from _section("SYNOPSIS")
    yield f".B pvreplay\n{_usage(' '.join(group.collect_usage_pieces(ctx)))}"
    yield from _section("DESCRIPTION")
    yield escape(first.lines[0])
    for block in rest:
        if not block.heading:
            yield f".PP\n{escape(block.lines[0])}"
    yield from _section("OPTIONS")
    yield from _options(group, ctx)
    yield from _section("COMMANDS")
    for name in COMMANDS:
        yield from _command(name, ctx)
    for block in rest:
        if block.heading:
            yield from _section(SECTIONS[block.heading])
            yield from _verbatim(block.lines)
    yield from _section("SEE ALSO")
    yield ".BR perf (1),\n.BR trace\\-cmd (1)"


def _title() -> str:
    """What the package says of itself."""
    import pvreplay

    return (pvreplay.__doc__ or "").partition("\n")[0].partition(": ")[2].rstrip(".")


def _section(name: str) -> Iterator[str]:
    yield f".SH {name}"


def _command(name: str, parent: click.Context) -> Iterator[str]:
    command = group.get_command(parent, name)
    assert command is not None
    ctx = click.Context(command, info_name=name, parent=parent)
    yield f".SS \\fBpvreplay {escape(name)}\\fR {_usage(' '.join(command.collect_usage_pieces(ctx)))}"
    found = blocks(command.help or "")
    for number, block in enumerate(found):
        if not block.heading:
            yield (".PP\n" if number else "") + escape(block.lines[0])
    yield from _options(command, ctx)
    for block in found:
        if block.heading:
            yield f".PP\n.B {escape(block.heading)}"
            yield from _verbatim(block.lines)


def _usage(pieces: str) -> str:
    return f"\\fI{escape(pieces)}\\fR" if pieces else ""


def _options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        # Arguments are told in the text; newer versions of click list them too.
        if record is not None and not isinstance(param, click.Argument):
            names, text = record
            yield f".TP\n\\fB{escape(names)}\\fR\n{escape(text)}"


def _verbatim(lines: list[str]) -> Iterator[str]:
    yield ".PP\n.RS 4\n.nf"
    for line in lines:
        yield escape(line)
    yield ".fi\n.RE"

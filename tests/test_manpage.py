"""The manual page: all of --help, in roff that says what it should, rendered where groff is installed."""

from __future__ import annotations

import re
import shutil
import subprocess

import click
import pytest

from pvreplay.cli import COMMANDS, manpage
from pvreplay.cli.main import group
from tests.cli_helpers import pvreplay

groff = pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")


def rendered(source: str) -> str:
    """What a reader sees at 80 columns; any warning of groff's is a failure."""
    done = subprocess.run(
        ["groff", "-man", "-ww", "-b", "-Tutf8", "-P-cbou", "-rLL=80n"],
        input=source,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)


def commands() -> list[tuple[str, click.Command, click.Context]]:
    found = []
    parent = click.Context(group, info_name="pvreplay")
    for name in COMMANDS:
        command = group.get_command(parent, name)
        assert command is not None
        found.append((name, command, click.Context(command, info_name=name, parent=parent)))
    return found


def flat(text: str) -> str:
    return " ".join(text.split())


@groff
def test_the_page_says_everything_that_help_says() -> None:
    page = flat(rendered(manpage.page()).replace("\u2212", "-"))
    for name, command, ctx in commands():
        for block in manpage.blocks(command.help or ""):
            for line in block.lines:
                assert flat(line) in page, (name, line)
        for param in command.params:
            if isinstance(param, click.Option):
                record = param.get_help_record(ctx)
                assert record is not None
                assert flat(record[0]) in page and flat(record[1]) in page, (name, record)
    for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS", "EXAMPLES"):
        assert f" {heading} " in page


@groff
def test_no_line_is_wider_than_eighty_columns_and_examples_can_be_copied() -> None:
    lines = [line.rstrip() for line in rendered(manpage.page()).splitlines()]
    examples = {example for _, command, _ in commands() for example in example_lines(command)}
    wide = [line for line in lines if len(line) > 80 and line.strip() not in examples]
    assert wide == []
    assert {example for example in examples if not any(line.strip() == example for line in lines)} == set()


def example_lines(command: click.Command) -> list[str]:
    return [
        line
        for block in manpage.blocks(command.help or "")
        if block.heading == "Examples"
        for line in block.lines
    ]


@groff
def test_whatever_a_text_holds_is_printed_and_never_obeyed() -> None:
    for text in ("\\fBbold\\fR", ".SH oops", "'SH oops", "a - b -- c", "it's `x` ^ ~", "naïve … ▇"):
        source = f'.TH T 1 "" "" ""\n.SH NAME\n{manpage.escape(text)}\n'
        assert text in rendered(source), text


def test_the_source_is_ascii_and_no_help_text_begins_a_control_line() -> None:
    source = pvreplay("man").out
    assert source.isascii() and source == manpage.page()
    known = {"TH", "SH", "SS", "PP", "TP", "RS", "RE", "B", "BR", "nf", "fi", "nh", "ad"}
    requests = {match[1] for match in re.finditer(r"^[.']\s*(\w+)", source, re.MULTILINE)}
    assert requests <= known


def test_every_command_has_its_section() -> None:
    source = manpage.page()
    for name, _, _ in commands():
        assert f".SS \\fBpvreplay {manpage.escape(name)}\\fR" in source


@pytest.mark.skipif(shutil.which("man") is None, reason="needs man")
def test_man_finds_nothing_to_complain_about() -> None:
    done = subprocess.run(
        ["man", "--warnings", "-l", "-"], input=manpage.page(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "pvreplay" in done.stdout

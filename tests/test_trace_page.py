"""traces/FORMAT.md against the code."""

from __future__ import annotations

import io
import re

from pvreplay.trace import layout
from pvreplay.trace.binary import BinaryTrace
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import read_all
from pvreplay.trace.model import STATE_KEYS
from pvreplay.trace.names import KIND_NAMES
from pvreplay.trace.text import TextTrace, write_text
from tests.trace_example import PAGE, example_bytes, example_trace, page_bytes, page_text


def test_the_worked_example_is_what_the_writer_writes() -> None:
    assert page_bytes() == example_bytes()


def test_the_worked_example_reads_as_the_page_says() -> None:
    trace = BinaryTrace.from_stream(io.BytesIO(page_bytes()))
    assert read_all(trace) == read_all(example_trace())
    assert trace.meta.state["iopl"].option == "--assume iopl=3"
    assert trace.doubts == {"out_of_order": 1}
    assert trace.damage == ""


def test_the_text_of_the_example_is_its_text_form() -> None:
    out = io.BytesIO()
    write_text(BinaryTrace.from_stream(io.BytesIO(page_bytes())), out)
    assert out.getvalue().decode() == page_text()
    assert read_all(TextTrace(page_text())) == read_all(example_trace())


def test_the_table_of_kinds_is_the_vocabulary() -> None:
    table = re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE.read_text(), re.M)
    assert table == [(str(kind.value), KIND_NAMES[kind]) for kind in Kind]


def test_the_table_of_blocks_is_the_layout() -> None:
    table = re.findall(
        r"^\| (\d) \| (\w+) \| (?:lines|task records|CPU|events|totals)", PAGE.read_text(), re.M
    )
    assert table == [(str(number), name) for number, name in enumerate(layout.TYPE_NAMES) if number]


def test_the_page_names_every_piece_of_state() -> None:
    keys = re.search(r"The keys of `state` are `([a-z_\s]+)`", PAGE.read_text())
    assert keys and tuple(keys[1].split()) == STATE_KEYS


def test_the_magic_does_not_survive_a_text_mode_copy() -> None:
    magic = layout.MAGIC
    assert magic[0] & 0x80
    assert magic.replace(b"\r\n", b"\n") != magic
    assert re.sub(rb"(?<!\r)\n", b"\r\n", magic) != magic
    assert b"\x1a" in magic

"""Chrome's JSON traces: the kernel's text inside them."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from pvreplay.errors import TraceError
from pvreplay.sources import jsontext
from pvreplay.sources.detect import open_trace
from tests.source_tools import NOFP, read, switch

LINES = [
    "# tracer: nop",
    switch(10.000001, 0, "swapper", 0, "R", 'a"\\b', 280),
    switch(10.000002, 0, 'a"\\b', 280, "S", "\u00e4\u20ac\U0001f600", 281),
    switch(10.000003, 0, "\u00e4\u20ac\U0001f600", 281, "S", "swapper", 0),
]
EVENT = {"name": 'x "systemTraceEvents":"', "ph": "X", "ts": 1, "pid": 1, "tid": 1, "args": {"a": "\\"}}


class Slowly:
    """A stream that gives one to *most* bytes at a time."""

    def __init__(self, content: bytes, most: int) -> None:
        self._content = content
        self._rng = random.Random(most)
        self._most = most
        self._at = 0

    def read(self, _size: int, /) -> bytes:
        start = self._at
        self._at += self._rng.randint(1, self._most)
        return self._content[start : self._at]


def text_of(source: jsontext.JsonText) -> bytes:
    parts, buffer = [], bytearray(1000)
    while count := source.readinto(memoryview(buffer)):
        parts.append(bytes(buffer[:count]))
    return b"".join(parts)


def document(text: str, events: int = 3, ascii_only: bool = True, last: bool = True) -> bytes:
    parts: dict[str, object] = {"traceEvents": [EVENT] * events, "metadata": {"os": "Linux"}}
    whole = {**parts, "systemTraceEvents": text} if last else {"systemTraceEvents": text, **parts}
    return json.dumps(whole, ensure_ascii=ascii_only).encode()


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("events", [3, 5000], ids=["short", "behind 400 KiB of events"])
def test_the_switches_of_the_text_are_read(ascii_only: bool, last: bool, events: int, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(document("\n".join([*LINES, ""]), events, ascii_only, last))
    trace = open_trace(str(path))
    found, tasks = read(trace)
    assert [(kind, arg and tasks[arg].comm) for kind, _, arg, _ in found] == [
        *(("ON", 0), ("SWITCH", 'a"\\b'), ("SWITCH", "\u00e4\u20ac\U0001f600"), ("SWITCH", 0)),
    ]
    assert (trace.meta.format, trace.damage) == ("ftrace text", "")


def test_it_is_the_same_trace_as_the_text_itself_also_packed(tmp_path: Path) -> None:
    path = tmp_path / "trace.json.gz"
    path.write_bytes(gzip.compress(document(NOFP.read_text())))
    assert read(open_trace(str(path))) == read(open_trace(str(NOFP)))


@pytest.mark.parametrize("most", [1, 2, 7, 40, 300])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_text_does_not_depend_on_the_blocks(most: int, ascii_only: bool) -> None:
    text = "".join(f'{n} \u00e4\u20ac\U0001f600 \\ " / \t\r\n' for n in range(60))
    content = document(text, ascii_only=ascii_only).replace(b"/", b"\\/")
    source = jsontext.JsonText(Slowly(content, most), "-")
    assert text_of(source) == text.encode() and not source.damage


def test_half_a_surrogate_pair_is_kept_apart_from_what_is_beside_it() -> None:
    content = b'{"systemTraceEvents": "a\\ud83dA\\u0041\\udc00"}'
    source = jsontext.JsonText(Slowly(content, 9), "-")
    assert text_of(source).decode("utf-8", "surrogatepass") == "a\ud83dAA\udc00"


@pytest.mark.parametrize(("cut", "damage"), [(-1, ""), (-10, "the JSON file ends inside systemTraceEvents")])
def test_a_cut_file_gives_what_is_there(cut: int, damage: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(document("\n".join([*LINES, "x" * 20]))[:cut])
    trace = open_trace(str(path))
    assert [kind for kind, *_ in read(trace)[0]] == ["ON", "SWITCH", "SWITCH", "SWITCH"]
    assert trace.damage == damage


@pytest.mark.parametrize(
    "more", [b"}", b', "systemTraceEvents": {"name": "ETW"}}'], ids=["none", "of Windows"]
)
def test_a_trace_without_the_kernels_text_is_refused_with_the_reason(more: bytes, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(b'{"traceEvents": []' + more)
    with pytest.raises(TraceError, match="without the kernel's text"):
        open_trace(str(path))


def test_other_json_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b'{"schema": "x", "switches": 7}')
    with pytest.raises(TraceError, match="not a recording"):
        open_trace(str(path))

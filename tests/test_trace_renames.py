"""Names that tasks take after they were defined go through both forms of a trace."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvreplay.errors import TraceError
from pvreplay.trace import layout
from pvreplay.trace.binary import BinaryTrace, write_binary
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import Event, ListTrace
from pvreplay.trace.model import Chunk, Task, Trace
from pvreplay.trace.text import TextTrace, write_text
from tests.cli_helpers import pvreplay

HOSTILE = 'a "b"\n\x1b[31m#\udcff'


class Exec(ListTrace):
    """Two tasks born as sh; when the events have been handed out, they have other names."""

    def __init__(self) -> None:
        events: list[Event] = [(10 * n, 0, Kind.SWITCH, 1 + n % 2) for n in range(23)]
        self.born = [Task(1, "sh", mm=1), Task(2, "sh", mm=2), Task(3, "sh", mm=3)]
        super().__init__(events, self.born)

    def chunks(self) -> Iterator[Chunk]:
        yield from super().chunks()
        self.born[0].comm = "sleep"
        self.born[1].comm = HOSTILE


def as_binary(trace: Trace) -> bytes:
    out = io.BytesIO()
    write_binary(trace, out)
    return out.getvalue()


def as_text(trace: Trace) -> bytes:
    out = io.BytesIO()
    write_text(trace, out)
    return out.getvalue()


def names(trace: Trace) -> list[str]:
    tasks = [task for chunk in trace.chunks() for task in chunk.tasks]
    return [task.comm for task in tasks]


def test_the_last_name_is_in_trace_bin_and_in_text() -> None:
    last = ["sleep", HOSTILE, "sh"]
    assert names(BinaryTrace.from_stream(io.BytesIO(as_binary(Exec())))) == last
    assert names(TextTrace(as_text(Exec()))) == last


def test_it_goes_from_one_form_to_the_other() -> None:
    last = ["sleep", HOSTILE, "sh"]
    raw = as_binary(Exec())
    text = as_text(BinaryTrace.from_stream(io.BytesIO(raw)))
    assert text == as_text(Exec())
    assert names(TextTrace(text)) == last
    assert names(BinaryTrace.from_stream(io.BytesIO(as_binary(TextTrace(text))))) == last


def test_a_task_that_keeps_its_name_has_no_line() -> None:
    text = as_text(Exec()).decode("utf-8", "surrogateescape")
    assert [line.split()[1] for line in text.split("\n") if line.startswith("comm ")] == ["1", "2"]


def test_many_names_take_several_blocks() -> None:
    class Storm(ListTrace):
        def chunks(self) -> Iterator[Chunk]:
            yield from super().chunks()
            for task in many:
                task.comm = "x" * 4000 + str(task.id)

    many = [Task(n, "sh", mm=n) for n in range(1, 401)]
    raw = as_binary(Storm([(0, 0, Kind.SWITCH, 1)], many))
    assert raw.count(b"PVRB\x01") > 2
    assert names(BinaryTrace.from_stream(io.BytesIO(raw)))[-1] == "x" * 4000 + "400"


@pytest.mark.parametrize("line", ["comm", "comm 1", "comm 4 x", "comm 0 x", "comm x y", "comm 1 x y"])
def test_a_name_for_no_task_is_refused_in_both_forms(line: str) -> None:
    text = as_text(Exec()) + line.encode() + b"\n"
    with pytest.raises(TraceError, match="comm"):
        names(TextTrace(text))
    raw = as_binary(ListTrace([(0, 0, Kind.SWITCH, 1)], [Task(1, "sh", mm=1), Task(2, mm=2), Task(3, mm=3)]))
    payload = line.encode() + b"\n"
    header = layout.pack_header(layout.META, 0, 4, 3, payload)
    damaged = raw[: raw.rindex(b"PVRB")] + header + payload + bytes(layout.padding(len(payload)))
    with pytest.raises(TraceError, match="comm"):
        names(BinaryTrace.from_stream(io.BytesIO(damaged)))


def test_a_task_is_found_by_its_last_name_whatever_the_form(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    path.write_bytes(as_binary(Exec()))
    done = pvreplay("run", path, "--task", "sleep", "-b", "xen")
    assert done.code == 0 and "12 switches" in done.flat
    assert pvreplay("run", path, "--task", "sh", "-b", "xen").code == 2

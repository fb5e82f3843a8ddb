"""Android's pages: ftrace text inside HTML, as old and new systrace write it, and atrace's packed text."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from pvreplay.sources.detect import open_trace
from tests.source_tools import read, switch

SCRIPT = "<script>var x = [1-2, '[003] 1.000001: sched_switch: none'];</script>\n"
LINES = [
    switch(10.000001, 0, "swapper", 0, "R", "Binder_4", 280),
    switch(10.000002, 1, "swapper", 0, "R", "a <b> & c", 281),
    switch(10.000003, 0, "Binder_4", 280, "S", "swapper", 0),
    switch(10.000004, 1, "a <b> & c", 281, "S", "swapper", 0),
]
HEADER = ["# tracer: nop", "#", "#           TASK-PID    CPU#    TIMESTAMP  FUNCTION"]


def page(body: str, scripts: int = 1) -> str:
    return f"<!DOCTYPE html>\n<html>\n<head>\n{SCRIPT * scripts}</head>\n<body>\n{body}</body>\n</html>\n"


def in_comment(scripts: int = 1) -> str:
    trace = '<!-- BEGIN TRACE -->\n  <script class="trace-data" type="application/text">\n'
    return page(trace + "\n".join([*HEADER, *LINES]) + "\n  </script>\n<!-- END TRACE -->\n", scripts)


def in_string() -> str:
    """The oldest form: one string of a script, each line of it escaped."""
    lines = [line + "\\n\\" for line in (*HEADER, *LINES)]
    return page('  <script>\n  var linuxPerfData = "\\\n' + "\n".join(lines) + '\n";\n  </script>\n')


def found_in(tmp_path: Path, content: bytes) -> list[tuple[str, int, str]]:
    """(what happened, CPU, name) of a recording with this content."""
    path = tmp_path / "recording"
    path.write_bytes(content)
    trace = open_trace(str(path))
    events, tasks = read(trace)
    assert trace.meta.format == "ftrace text"
    assert trace.doubts.keys() <= {"mm_assumed"}
    return [(kind, cpu, tasks[arg].comm if arg else "idle") for kind, cpu, arg, _ in events]


EXPECTED = [
    *(("ON", 0, "idle"), ("SWITCH", 0, "Binder_4"), ("ON", 1, "idle"), ("SWITCH", 1, "a <b> & c")),
    *(("SWITCH", 0, "idle"), ("SWITCH", 1, "idle")),
]


@pytest.mark.parametrize("scripts", [1, 3000], ids=["short", "trace behind 200 KiB of scripts"])
def test_a_page_with_the_trace_in_a_script_of_its_own(tmp_path: Path, scripts: int) -> None:
    assert found_in(tmp_path, in_comment(scripts).encode()) == EXPECTED


def test_a_page_with_the_trace_in_a_string(tmp_path: Path) -> None:
    assert found_in(tmp_path, in_string().encode()) == EXPECTED


def test_the_string_without_its_page_and_without_a_newline_at_the_end(tmp_path: Path) -> None:
    text = "\n".join(line + "\\n\\" for line in (*HEADER, *LINES))
    assert found_in(tmp_path, text.encode()) == EXPECTED


@pytest.mark.parametrize("level", [1, 6, 9])
def test_text_packed_by_atrace(tmp_path: Path, level: int) -> None:
    packed = zlib.compress("\n".join([*HEADER, *LINES, ""]).encode(), level)
    assert found_in(tmp_path, b"capturing trace... done\nTRACE:\n" + packed) == EXPECTED
    assert found_in(tmp_path, b"TRACE:\n" + packed) == EXPECTED


def test_text_packed_by_atrace_and_cut_says_so(tmp_path: Path) -> None:
    packed = zlib.compress(("\n".join([*HEADER, *LINES]) + "\n# the rest" * 4000).encode(), 0)
    path = tmp_path / "recording"
    path.write_bytes(b"TRACE:\n" + packed[:900])
    trace = open_trace(str(path))
    events, _ = read(trace)
    assert [kind for kind, *_ in events].count("SWITCH") == 4
    assert "cut" in trace.damage

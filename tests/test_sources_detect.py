"""open_trace: what a recording is told by, and what it says to everything else."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pvreplay.errors import TraceError, UsageError
from pvreplay.sources.assume import CHOICES, DEFAULTS, assume_choices, check_assume
from pvreplay.sources.detect import FORMATS, Stream, open_trace
from pvreplay.sources.textsniff import sniff_text
from pvreplay.trace.binary import write_binary
from pvreplay.trace.text_write import write_text
from tests.source_tools import NOFP, WEIRD, by_pid, read


@pytest.fixture
def nofp_switches() -> int:
    return NOFP.read_bytes().count(b": sched_switch: ")


def switches(path: str, **options: str) -> int:
    events, _ = read(open_trace(path, **options))  # type: ignore[arg-type]
    return sum(kind == "SWITCH" for kind, *_ in events)


def test_text_is_read_whatever_its_file_is_called(tmp_path: Path, nofp_switches: int) -> None:
    strange = tmp_path / "trace.bin"
    strange.write_bytes(NOFP.read_bytes())
    trace = open_trace(str(strange))
    assert trace.meta.format == "ftrace text"
    assert switches(str(strange)) == nofp_switches


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_packed_text_is_unpacked_on_the_way(pack: object, tmp_path: Path, nofp_switches: int) -> None:
    path = tmp_path / "packed"
    path.write_bytes(pack(NOFP.read_bytes()))  # type: ignore[operator]
    assert switches(str(path)) == nofp_switches


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_cut_packed_file_gives_what_is_there_and_says_so(
    pack: object, tmp_path: Path, nofp_switches: int
) -> None:
    path = tmp_path / "packed"
    path.write_bytes(pack(NOFP.read_bytes() * 3)[:-200])  # type: ignore[operator]
    trace = open_trace(str(path))
    events, _ = read(trace)
    assert 0 < sum(kind == "SWITCH" for kind, *_ in events) < 3 * nofp_switches
    assert "cut" in trace.damage
    path.write_bytes(pack(b"x")[:12])  # type: ignore[operator]
    with pytest.raises(TraceError, match="cut"):
        open_trace(str(path))


def test_own_files_come_back_as_the_same_events(tmp_path: Path) -> None:
    expected, tasks = read(open_trace(str(WEIRD)))
    for name, write in (("t.bin", write_binary), ("t.txt", write_text)):
        path = tmp_path / name
        with path.open("wb") as file:
            write(open_trace(str(WEIRD)), file)  # type: ignore[arg-type]
        events, again = read(open_trace(str(path)))
        assert events == expected
        assert {pid: task.mm for pid, task in by_pid(again).items()} == {
            pid: task.mm for pid, task in by_pid(tasks).items()
        }


def test_a_pipe_is_read_to_its_last_byte(monkeypatch: pytest.MonkeyPatch, nofp_switches: int) -> None:
    for data in (NOFP.read_bytes(), gzip.compress(NOFP.read_bytes())):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            with os.fdopen(writing, "wb") as out:
                for at in range(0, len(data), 1000):
                    out.write(data[at : at + 1000])
                    out.flush()
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "r") as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            assert switches("-") == nofp_switches
        os.waitpid(pid, 0)


def test_a_missing_file_and_an_empty_directory_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        open_trace(str(tmp_path / "none"))
    with pytest.raises(UsageError, match="directory"):
        open_trace(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n\n\n", "not a recording"),
        (b"root:x:0:0\n", 'it begins "root:x:0:0"'),
        (b"\x7fELF\x02\x01\x01\0", "7f 45 4c 46"),
        (b"\0" * 5000, "00 00"),
        (b"# tracer: nop\n#\n18949 0 1101616444061 type: 372\n", "raw"),
        (b"\x1b[31mred\n", "1b 5b"),
    ],
)
def test_anything_else_is_a_trace_error_in_two_lines(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(TraceError) as failed:
        read(open_trace(str(path)))
    assert failed.value.message.startswith(str(path)) and said in failed.value.message
    assert failed.value.hint and "\n" not in failed.value.message + failed.value.hint
    assert failed.value.message.isprintable()


def test_a_named_format_is_not_guessed(tmp_path: Path) -> None:
    assert switches(str(NOFP), format="ftrace") > 0
    assert switches(str(NOFP), format="perf-script") == 0
    with pytest.raises(TraceError):
        open_trace(str(NOFP), format="text")
    with pytest.raises(UsageError) as failed:
        open_trace(str(NOFP), format="ftrase")
    assert all(name in failed.value.hint for name in FORMATS)


def test_an_unknown_assumption_names_the_allowed_ones() -> None:
    with pytest.raises(UsageError) as failed:
        open_trace(str(NOFP), assume={"fpu": "sometimes"})
    assert all(value in failed.value.hint for value in CHOICES["fpu"])
    with pytest.raises(UsageError) as failed:
        check_assume({"weather": "good"})
    assert all(key in failed.value.hint for key in CHOICES)


def test_every_choice_is_explained_once_and_one_of_each_key_is_the_default() -> None:
    rows = assume_choices()
    assert len(rows) == sum(len(values) for values in CHOICES.values())
    assert all(meaning for _, _, meaning, _ in rows)
    assert {key: value for key, value, _, default in rows if default} == DEFAULTS == check_assume({})


def test_looking_takes_nothing_from_a_stream() -> None:
    stream = Stream(io.BytesIO(b"0123456789"))
    assert stream.look(4) == b"0123" and stream.look(2) == b"01" and stream.look(99) == b"0123456789"
    assert stream.read(3) == b"012"
    assert stream.look(3) == b"345"
    assert stream.read() == b"3456789"
    assert stream.read(1) == b""


def test_a_long_page_before_the_trace_is_no_obstacle(tmp_path: Path) -> None:
    line = NOFP.read_bytes().split(b"\n")[50]
    page = b"<!DOCTYPE html>\n<html>\n" + b"var x = [1, 2, 3];\n" * 60000 + b"<!-- BEGIN TRACE -->\n"
    path = tmp_path / "page.html"
    path.write_bytes(page + NOFP.read_bytes() + line)
    assert switches(str(path)) >= NOFP.read_bytes().count(b": sched_switch: ")


def test_text_is_opened_without_the_modules_of_other_formats() -> None:
    code = (
        "import sys\n"
        "from pvreplay.sources.detect import open_trace\n"
        f"list(open_trace({str(NOFP)!r}).chunks())\n"
        "print([m for m in sys.modules if m.startswith('pvreplay.') or m in ('msgspec', 'click', 'rich')])\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for module in (
        "perfdata",
        "tracedat",
        "rawpages",
        "zstd",
        "trace.binary",
        "trace.text",
        "rich",
    ):
        assert f"{module}'" not in told


def test_a_style_is_chosen_by_most_lines() -> None:
    perf = b"   cc1     7 [003]     1.500000: sched:sched_waking: comm=x-5 [001] 1.5: \n" * 3
    assert sniff_text(perf) == "perf"

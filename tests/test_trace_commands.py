"""convert, info and dump, as a user calls them."""

from __future__ import annotations

import io
import json
import stat
import sys
from pathlib import Path

import pytest

from pvreplay.__main__ import main
from pvreplay.cli.dump import dump_lines
from pvreplay.sources.detect import open_trace
from pvreplay.trace.binary import BinaryTrace, write_binary
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import ListTrace, read_all
from pvreplay.trace.model import Meta, Origin, Task
from pvreplay.trace.text import TextTrace
from tests.source_tools import DATA

HOSTILE = 'a b"\x1b[31m\n\udcff'
TEXT = """\
# pvreplay trace 1
origin "known workload"
clock mono
cpus 2
state fpu observed from x86_fpu:x86_fpu_regs_activated
state iopl assumed from 0 option "--assume iopl=3"
task 1 comm=make mm=1
task 2 comm="a b\\"\\x1b[31m\\n\\xff" mm=2
on 0 1
0.000001000 0 switch 2
0.000002000 1 fpu
0.000003000 0 lost 23
0.000004500 0 switch 0
0.000005000 1 lost 0
"""


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def cut_file(tmp_path: Path) -> Path:
    path = tmp_path / "cut.bin"
    with open(path, "wb") as out:
        write_binary(TextTrace(TEXT), out)
    path.write_bytes(path.read_bytes()[:-10])
    return path


# --- convert ------------------------------------------------------------------------


def test_convert_there_and_back_gives_the_same_text(text_file: Path, tmp_path: Path) -> None:
    binary, back = tmp_path / "t.bin", tmp_path / "t.txt"
    assert main(["convert", str(text_file), str(binary)]) == 0
    assert main(["convert", str(binary), str(back)]) == 0
    assert back.read_text() == TEXT
    assert read_all(BinaryTrace.open(str(binary)))[1][1].comm == HOSTILE


def test_convert_writes_to_stdout_in_either_form(
    text_file: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["convert", str(text_file), "-"]) == 0
    assert capfdbinary.readouterr().out == TEXT.encode()
    assert main(["convert", str(text_file), "-", "--to", "bin"]) == 0
    assert capfdbinary.readouterr().out.startswith(b"\x89PVR\r\n\x1a\n")


def test_convert_goes_by_the_name_of_the_output_or_asks(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(text_file), str(tmp_path / "out")]) == 2
    assert "--to bin or --to text" in capsys.readouterr().err
    assert main(["convert", str(text_file), str(tmp_path / "out"), "--to", "bin"]) == 0
    assert main(["convert", str(text_file), str(text_file)]) == 2
    assert text_file.read_text() == TEXT


def test_convert_leaves_no_half_written_file(text_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.bin"
    out.write_bytes(b"before")
    text_file.write_text(TEXT + "0.1 0 nonsense\n")
    before = sorted(tmp_path.iterdir())
    assert main(["convert", str(text_file), str(out)]) == 3
    assert out.read_bytes() == b"before"
    assert sorted(tmp_path.iterdir()) == before


def test_convert_keeps_the_mode_of_the_file_it_replaces(text_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.bin"
    out.touch(0o600)
    assert main(["convert", str(text_file), str(out)]) == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_damaged_trace_is_converted_and_stays_marked(
    cut_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.txt"
    assert main(["convert", str(cut_file), str(out)]) == 3
    error = capsys.readouterr().err
    assert "cut inside a block (end), 10 of 16 bytes are missing" in error and len(error.splitlines()) == 2
    assert main(["convert", str(cut_file), str(out), "--lenient"]) == 0
    assert out.read_text().startswith(TEXT)
    assert "\ndamage " in out.read_text()
    assert main(["info", str(out)]) == 3


# --- info ---------------------------------------------------------------------------


def test_info_as_json_tells_everything(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(text_file), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "schema": "pvreplay.info/1",
        "path": str(text_file),
        "format": "trace text",
        "level": "switch",
        "origin": "known workload",
        "clock": "mono",
        "tool": "",
        "events": 5,
        "switches": 2,
        "cpus": 2,
        "tasks": 2,
        "lost_events": 23,
        "first_time_ns": 1000,
        "last_time_ns": 5000,
        "duration_ns": 4000,
        "kinds": {"switch": 2, "fpu": 1, "lost": 2},
        "state": {
            "fpu": {"how": "observed", "source": "x86_fpu:x86_fpu_regs_activated", "option": ""},
            "iopl": {"how": "assumed", "source": "0", "option": "--assume iopl=3"},
        },
        "ops": [],
        "doubts": {"lost_unknown": 1},
        "damage": "",
    }


def test_info_of_a_part_counts_what_run_does_and_the_parts_add_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = str(DATA / "sources-n64-nofp.trace.txt")

    def told(*part: str) -> dict[str, object]:
        assert main(["info", path, "--format", "json", *part]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        if part and found["switches"]:
            assert main(["run", path, "-b", "native", "--format", "json", *part]) == 0
            report = json.loads(capsys.readouterr().out)
            assert (report["trace"]["switches"], report["filter"]) == (found["switches"], found["filter"])
        return found

    whole = told()
    assert "filter" not in whole
    middle = f"{(int(str(whole['first_time_ns'])) + int(str(whole['last_time_ns']))) // 2 / 1e9:.9f}"
    names = {task.comm or str(task.pid) for task in read_all(open_trace(path))[1]} | {"idle"}
    for parts in (
        [("--cpu", "0"), ("--cpu", "1")],
        [("--time", f",{middle}"), ("--time", f"{middle},")],
        [("--task", name) for name in sorted(names)],
    ):
        found = [told(*part) for part in parts]
        for key in ("events", "switches"):
            assert sum(int(str(each[key])) for each in found) == whole[key]
        assert all(each["doubts"] == whole["doubts"] for each in found)
    both = told("--cpu", "0", "--time", f"{middle},")
    assert both["cpus"] == 1 and int(str(both["first_time_ns"])) >= float(middle) * 1e9


def test_info_of_a_part_that_is_not_there_says_so(
    text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(text_file), "--task", "nobody"]) == 2
    told = capsys.readouterr().err
    assert "no event that --task nobody keeps" in told and len(told.splitlines()) == 2
    assert main(["info", str(text_file), "--cpu", "0"]) == 0
    told = capsys.readouterr().out
    assert "part       cpu 0 (losses, damage" in told and "switches   2\n" in told
    assert "lost       23 events, 1 losses of unknown size" in told, "of the whole"


def test_info_as_text_tells_the_same_in_80_columns(
    text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(text_file)]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines() if str(text_file) not in line) <= 80
    for expected in (
        "origin     known workload\n",
        "switches   2\n",
        "lost       23 events, 1 losses of unknown size\n",
        "duration   0.000004000 s (0.000001000 to 0.000005000 s)\n",
        "  switch                2\n",
        "change with --assume iopl=3\n",
    ):
        assert expected in out


def test_info_of_hostile_words_does_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.bin"
    meta = Meta(origin=HOSTILE, clock=HOSTILE, tool=HOSTILE)
    meta.state["mm"] = Origin("derived", HOSTILE, HOSTILE)
    with open(path, "wb") as out:
        write_binary(ListTrace([(1, 0, Kind.FPU)], meta=meta), out)
    assert main(["info", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and 'a b"\\x1b[31m\\x0a\\xff' in shown
    assert main(["info", str(path), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["origin"] == 'a b"\x1b[31m\n\\xff'


def test_info_of_a_damaged_trace_says_so_and_exits_3(
    cut_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(cut_file)]) == 3
    captured = capsys.readouterr()
    assert "events     5\n" in captured.out and "damage     offset 0x" in captured.out
    assert "bytes are missing" in captured.err
    assert main(["info", str(cut_file), "--lenient"]) == 0


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", 3), (b"\x89PVR\r\n\x1a\n\x02" + bytes(7), 3), (b"\x00garbage" * 9, 3), (None, 2)],
)
@pytest.mark.parametrize("name", ["info", "dump"])
def test_what_is_no_trace_gives_two_lines_and_no_traceback(
    name: str, content: bytes | None, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "no.bin"
    if content is not None:
        path.write_bytes(content)
    assert main([name, str(path)]) == code
    captured = capsys.readouterr()
    assert captured.out == "" and 1 <= len(captured.err.splitlines()) <= 2


# --- dump ----------------------------------------------------------------------------


def test_dump_prints_every_event_with_who_runs(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", str(text_file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    name = '"a b\\"\\x1b[31m\\n\\xff"[2]'
    assert lines[0] == "       - task 1 comm=make mm=1"
    assert lines[2] == "       - on 0 make[1]"
    assert [" ".join(line.split()) for line in lines[3:]] == [
        f"0 0.000001000 0 make[1] switch {name}",
        "1 0.000002000 1 idle fpu",
        f"2 0.000003000 0 {name} lost 23",
        f"3 0.000004500 0 {name} switch idle",
        "4 0.000005000 1 idle lost 0",
    ]


def test_dump_stops_at_its_limit(text_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", str(text_file), "--limit", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["-", "-", "-", "0", "1"]


def test_dump_prints_what_a_replay_would_refuse() -> None:
    trace = ListTrace(
        [
            (1, 0, 99, 5, 6),
            (2, 0, Kind.SWITCH, 7),
            (3, 0, Kind.FPU, 1),
            (4, 0, Kind.TLS, 0x1A, 3),
            (5, 0, Kind.OP, 2 | 3 << 16),
            (6, 0, Kind.GS, 1, 1),
        ]
    )
    assert [line.split(maxsplit=4)[4] for line in dump_lines(trace)] == [
        "? kind 99 argument 5 flags 6",
        "switch ? task 7",
        "fpu ? argument 1",
        "tls slot 3 = 1a ?",
        "op ? 2 3",
        "gs 1 ? flags 1",
    ]


def test_a_long_name_is_cut_in_dump() -> None:
    trace = ListTrace([(1, 0, Kind.SWITCH, 1)], [Task(1, "x" * 300, mm=1)])
    assert [*dump_lines(trace)][-1].endswith("switch " + "x" * 21 + "...[1]")


@pytest.mark.parametrize("name", ["info", "dump"])
def test_a_terminal_that_knows_ascii_alone_gets_no_more(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.txt"
    path.write_text('# pvreplay trace 1\norigin "\u00e9t\u00e9"\ntask 1 comm="\u00e9"\n1 0 switch 1\n')
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    assert main([name, str(path)]) == 0
    assert b"\\xe9" in raw.getvalue() and raw.getvalue().endswith(b"\n")

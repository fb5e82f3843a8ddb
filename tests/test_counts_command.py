"""pvreplay counts: what is counted can be added, and priced as the trace itself."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from tests.cli_helpers import LEAVE_LATE, NO_SWITCH, PINGPONG, WITH_TLS, pvreplay, two_lines

ROOT = Path(__file__).parent.parent
RECORDING = ROOT / "traces" / "guest-n32-fpthreads.trace.txt"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "t.txt").write_text(PINGPONG)
    (tmp_path / "tls.txt").write_text(WITH_TLS)
    (tmp_path / "none.txt").write_text(NO_SWITCH)
    (tmp_path / "late.toml").write_text(LEAVE_LATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "args", [[], ["-k", "late.toml"], ["--cpu", "1"], ["--task", "idle"], ["--inject", "nmi"]]
)
def test_counts_are_priced_as_the_trace_is(args: list[str]) -> None:
    assert pvreplay("counts", RECORDING, "-o", "c.json").code == 0
    priced, traced = (
        pvreplay("run", "c.json", *args, "-f", "json"),
        pvreplay("run", RECORDING, *args, "-f", "json"),
    )
    assert priced == traced and json.loads(priced.out)["trace"]["switches"] > 0


def test_counts_of_several_traces_and_of_earlier_counts_add_up() -> None:
    assert pvreplay("counts", "t.txt", "tls.txt", "-o", "two.json").code == 0
    assert pvreplay("counts", "two.json", "t.txt", "-o", "three.json").code == 0
    xen = json.loads(pvreplay("run", "three.json", "-b", "xen", "-f", "json").out)["backends"][0]
    alone = [
        json.loads(pvreplay("run", name, "-b", "xen", "-f", "json").out)["backends"][0]
        for name in ("t.txt", "tls.txt")
    ]
    for key in ("hypercalls", "entries", "traps"):
        assert xen[key] == 2 * alone[0][key] + alone[1][key]


def test_without_a_file_the_counts_are_printed() -> None:
    assert json.loads(pvreplay("counts", "t.txt").out)["schema"] == "pvreplay.histogram/1"
    assert pvreplay("counts", "t.txt", "-o", "-").out == pvreplay("counts", "t.txt").out


@pytest.mark.parametrize(("command", "content", "code"), [("counts", PINGPONG, 0), ("run", "no trace", 3)])
def test_a_pipe_is_opened_once(command: str, content: str, code: int, folder: Path) -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: (folder / "pipe").write_text(content), daemon=True)
    writer.start()
    assert pvreplay(command, "pipe").code == code
    writer.join(timeout=10)


def test_diff_takes_counts_for_traces() -> None:
    pvreplay("counts", "t.txt", "-o", "a.json")
    pvreplay("counts", "t.txt", "-o", "b.json")
    assert json.loads(pvreplay("diff", "a.json", "vs", "b.json", "-f", "json").out)["equal"]
    assert json.loads(pvreplay("diff", "a.json", "vs", "t.txt", "-f", "json").out)["equal"]
    of_counts, of_trace = (pvreplay("diff", "xen", "vs", "vmi", name) for name in ("a.json", "t.txt"))
    assert of_counts == of_trace and of_trace.code == 0


@pytest.mark.parametrize(
    "args",
    [
        ["run", "c.json", "-k", "6.1"],
        ["run", "c.json", "--time", "0,1"],
        ["run", "c.json", "--engine", "step"],
        ["run", "c.json", "--assume", "fpu=always"],
        ["counts", "c.json", "-o", "c.json"],
        ["counts", "t.txt", "missing.txt"],
        ["counts", ""],
        ["counts"],
    ],
)
def test_what_counts_cannot_do_is_two_lines_and_exit_2(args: list[str]) -> None:
    pvreplay("counts", "t.txt", "-o", "c.json")
    done = pvreplay(*args)
    assert done.code == 2 and two_lines(done.err) and done.out == "", args


def test_counts_that_are_damaged_or_of_nothing_are_exit_3(folder: Path) -> None:
    pvreplay("counts", "t.txt", "-o", "c.json")
    (folder / "cut.json").write_bytes((folder / "c.json").read_bytes()[:300])
    for args in (["run", "cut.json"], ["counts", "cut.json"], ["counts", "none.txt"]):
        done = pvreplay(*args)
        assert done.code == 3 and two_lines(done.err) and done.out == "", args


def test_the_counts_of_a_damaged_trace_say_so_for_ever(folder: Path) -> None:
    pvreplay("convert", RECORDING, "whole.bin")
    (folder / "cut.bin").write_bytes((folder / "whole.bin").read_bytes()[:-4000])
    done = pvreplay("counts", "cut.bin", "-o", "c.json")
    assert done.code == 3 and two_lines(done.err)
    assert pvreplay("counts", "cut.bin", "-o", "c.json", "--lenient").code == 0
    assert pvreplay("run", "c.json").code == 3
    assert pvreplay("run", "c.json", "--lenient").code == 0


def test_the_page_shows_what_is_printed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.console import examples, matches

    (folder / "traces").symlink_to(ROOT / "traces")
    shown = examples(ROOT / "docs" / "counts.md")
    assert len(shown) == 3
    for command, lines in shown:
        done = pvreplay(*command.split()[1:])
        assert done.code == 0 and matches(lines, [line.rstrip() for line in done.out.splitlines()]), done.out

"""``pvreplay synth`` as a user calls it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pvreplay.__main__ import main
from pvreplay.synth import workload_names
from pvreplay.trace.binary import BinaryTrace
from pvreplay.trace.memory import read_all
from pvreplay.trace.model import STATE_KEYS
from pvreplay.trace.text import TextTrace
from tests.synth_tools import PINGPONG


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What stderr says when the command is refused with exit code 2."""
    assert main(["synth", *args]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 2
    return err


def test_info_of_the_known_workload_shows_23_switches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "t.bin")
    assert main(["synth", "pingpong", "--switches", "23", "--seed", "1", "-o", target]) == 0
    assert capsys.readouterr().out == ""
    assert main(["info", target, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["switches"] == 23


def test_text_on_stdout_is_the_shipped_file(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["synth", "pingpong", "-n", "23", "-o", "-"]) == 0
    assert capfdbinary.readouterr().out == PINGPONG.read_bytes()


@pytest.mark.parametrize("name", workload_names())
def test_binary_and_text_hold_the_same_trace(name: str, tmp_path: Path) -> None:
    binary, text = tmp_path / "t.bin", tmp_path / "t.txt"
    for target in (binary, text):
        assert main(["synth", name, "-n", "300", "--cpus", "2", "--seed", "5", "-o", str(target)]) == 0
    first, second = BinaryTrace.open(str(binary)), TextTrace(text.read_bytes())
    assert read_all(first) == read_all(second)
    assert (
        first.meta.origin
        == second.meta.origin
        == f"pvreplay synth {name} --switches 300 --seed 5 --cpus 2 (stream 1)"
    )
    assert {key: origin.how for key, origin in first.meta.state.items()} == dict.fromkeys(
        STATE_KEYS, "observed"
    )
    assert not first.damage


def test_the_list_has_a_line_of_at_most_80_columns_for_each_workload(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["synth", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == workload_names()
    assert all(len(line) <= 80 and line.endswith(".") for line in lines)


@pytest.mark.parametrize("name", workload_names())
def test_describe_tells_sources_or_assumptions_and_options(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synth", name, "--describe"]) == 0
    text = capsys.readouterr().out
    assert "ssum" in text or "Numbers" in text or "Models nothing" in text
    assert "--set" in text and "``" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_planted_violations_are_told_and_stand_in_the_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "t.bin"
    args = ["synth", "database", "-n", "2000", "--inject", "P4@1/100", "--inject", "H1@1%", "-o", str(target)]
    assert main(args) == 0
    assert capsys.readouterr().err == "planted P4: 20\nplanted H1: 20\n"
    assert BinaryTrace.open(str(target)).meta.origin.endswith("; planted P4=20 H1=20")


def test_like_tells_what_was_fitted_and_how_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording, target = tmp_path / "in.bin", tmp_path / "out.bin"
    assert main(["synth", "database", "-n", "5000", "-o", str(recording)]) == 0
    assert main(["synth", "--like", str(recording), "-n", "1000", "-o", str(target)]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0].split() == ["fitted", "recording", "synthetic"]
    assert len(told) == 6
    assert "--like in.bin" in BinaryTrace.open(str(target)).meta.origin


def test_nothing_is_left_behind_when_the_request_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "t.bin"
    target.write_bytes(b"kept")
    assert "3 tasks" in refused(capsys, "pingpong", "-n", "5", "--tasks", "3", "-o", str(target))
    assert target.read_bytes() == b"kept"
    assert os.listdir(tmp_path) == ["t.bin"]


@pytest.mark.parametrize(
    ("args", "word"),
    [
        ([], "no workload"),
        (["nosuch", "-n", "1", "-o", "-"], "no workload 'nosuch'"),
        (["pingpong"], "--switches"),
        (["pingpong", "-n", "1"], "-o FILE"),
        (["pingpong", "-n", "1", "-o", "x.dat"], "bin or text"),
        (["pingpong", "-n", "0", "-o", "-"], "0"),
        (["pingpong", "-n", "1", "-o", "-", "--set", "fpu"], "--set fpu"),
        (["pingpong", "-n", "1", "-o", "-", "--set", "fpu=1001"], "fpu=1001"),
        (["pingpong", "-n", "1", "-o", "-", "--seed", str(1 << 64)], "seed"),
        (["pingpong", "-n", "1", "-o", "-", "--cpus", "9000"], "9000 CPUs"),
        (["pingpong", "-n", "1", "-o", "-", "--inject", "S1@1/100"], "S1"),
        (["pingpong", "--like", "x", "-n", "1", "-o", "-"], "--like"),
        (["--like", "no/such/file", "-n", "1", "-o", "-"], "no/such/file"),
        (["--describe"], "no workload"),
    ],
)
def test_a_wrong_request_ends_with_two_lines_and_exit_2(
    args: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert word in refused(capsys, *args)

"""What ``pvreplay gate`` writes: a whole baseline or none, every form, hostile names, long commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pvreplay.cli import formats, gate_files, outfile
from tests.gate_tools import EARLY, MOVED, Repository, trace_text


@pytest.fixture
def repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Repository:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    return Repository(tmp_path, capsys)


# --- the file is written whole or not at all ----------------------------------------------------


def test_an_update_that_fails_half_way_leaves_the_old_baseline(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.gate("--update")
    before = repository.read()
    repository.write("my.toml", MOVED)

    def full(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gate_files.os, "fsync", full)
    assert repository.gate("--update").code == 130
    assert repository.read() == before
    assert sorted(os.listdir(repository.folder)) == ["my.toml", "pvreplay-baseline.toml", "trace.txt"]


def test_a_killed_update_leaves_the_old_baseline(repository: Repository) -> None:
    repository.gate("--update")
    before = repository.read()
    repository.write("my.toml", MOVED)
    script = (
        "import os, signal, sys\n"
        "from pvreplay.__main__ import main\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "gate", "trace.txt", "--kernel", "my.toml", "--update"],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    assert repository.read() == before
    assert repository.gate("--update").code == 0 and repository.read() != before


def test_a_folder_that_cannot_be_written_is_exit_2_and_says_so(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(outfile, "open", denied, raising=False)
    done = repository.gate("--update")
    assert done.code == 2 and "Permission denied" in done.err


def test_updating_twice_writes_the_same_bytes(repository: Repository) -> None:
    repository.gate("--update")
    first = repository.read()
    repository.gate("--update")
    assert repository.read() == first


def test_the_diff_of_two_baselines_names_backend_and_op_in_every_line(repository: Repository) -> None:
    repository.gate("--update", "--backend", "vmi")
    before = repository.read().splitlines()
    repository.write("my.toml", MOVED)
    repository.gate("--update", "--backend", "vmi")
    after = repository.read().splitlines()
    came = [line for line in after if line not in before]
    assert "backend.vmi.hypercalls = 46" in came
    assert any(line.startswith("backend.vmi.op.set_iopl_mask = { hypercalls = 23") for line in came)
    assert all(line.startswith(("backend.vmi.", "  { step")) for line in came)


# --- every form of output ------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json", *formats.MODULES])
def test_the_form_of_the_output_changes_no_exit_code(repository: Repository, form: str) -> None:
    assert repository.gate("--format", form).code == 4
    assert repository.gate("--format", form, "--update").code == 0
    assert repository.gate("--format", form).code == 0
    repository.write("my.toml", MOVED)
    done = repository.gate("--format", form, "--explain")
    assert done.code == 1 and "set_iopl_mask" in done.out
    repository.gate("--format", form, "--output", "verdict")
    assert repository.read("verdict") == repository.gate("--format", form).out


def test_a_recording_of_hostile_names_is_gated_without_harm(repository: Repository) -> None:
    recording = Path(__file__).parent / "data" / "sources-n64-weird.trace.txt"
    assert repository.gate("--update", trace=str(recording)).code == 0
    assert all(char == "\n" or char.isprintable() for char in repository.read())
    repository.write("my.toml", EARLY)
    for form in ("text", "json", *formats.MODULES):
        done = repository.gate("--explain", "--format", form, trace=str(recording))
        assert done.code == 1
        assert all(char in "\n\r" or char.isprintable() for char in done.out), form


# --- names from a trace --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
def test_hostile_names_reach_no_output_raw(repository: Repository, form: str) -> None:
    repository.gate("--update")
    repository.write("my.toml", MOVED)
    out = repository.gate("--explain", "--format", form, "-v").out
    assert "evil" in out
    assert all(char == "\n" or char.isprintable() for char in out)
    assert all(char == "\n" or char.isprintable() for char in repository.read())


def test_ascii_text_is_ascii_and_fits_80_columns(repository: Repository) -> None:
    repository.gate("--update")
    repository.write("my.toml", MOVED)
    out = repository.gate("--explain", "--ascii", "-v").out
    assert out.isascii() and max(map(len, out.splitlines())) <= 80


def test_a_long_command_is_broken_so_that_it_can_be_pasted(repository: Repository) -> None:
    name = "a folder with a name/and a trace with quite a long name indeed 'quoted'.txt"
    repository.write(name, trace_text())
    out = repository.gate("--backend", "xen", "--baseline", "another-baseline.toml", trace=name).out
    assert max(map(len, out.splitlines())) <= 80 + len(name)  # the name itself cannot be broken
    command = out.partition("to make this run the baseline:\n")[2].partition("\npvreplay 0")[0]
    done = subprocess.run(
        ["sh", "-c", command.replace("pvreplay", f"{sys.executable} -m pvreplay", 1)],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert (repository.folder / "another-baseline.toml").exists()


def test_standard_input_can_be_gated(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.gate("--update")
    with open("trace.txt") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "pvreplay", "gate", "-"],
            stdin=stream,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0 and done.stdout.startswith("pass trace.txt on kernel my")

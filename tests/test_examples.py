"""The examples at the end of every command's help are run as they stand, in a folder that has their files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pvreplay.cli import COMMANDS
from pvreplay.cli.main import group
from pvreplay.cli.manpage import blocks
from tests.cli_helpers import LEAVE_LATE

ROOT = Path(__file__).parent.parent
RECORDING = ROOT / "traces" / "guest-n32-fpthreads.trace.txt"

EXCLUDED: dict[str, str] = {
    "pvreplay record": "needs root and tracefs",
    "sudo ": "needs root",
}
"""Beginning of an example that is not run -> why."""
NEEDS: dict[str, str] = {"| man ": "man"}
"""Part of an example -> the program it needs."""
CODES: dict[str, set[int]] = {"pvreplay diff before.json after.json --exit-code": {1}}
"""Example -> exit codes, when they are not 0, or 1 for what is about verdicts."""


def examples(name: str) -> list[str]:
    """The example lines of a command's help; "" is the group."""
    command = group.get_command(click.Context(group), name) if name else group
    assert command is not None
    last = blocks(command.help or "")[-1]
    assert last.heading == "Examples", f"{name}: the help ends with {last}"
    return last.lines


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that an example names, and the programs that examples pipe from."""
    folder = tmp_path_factory.mktemp("examples")
    programs = folder / "bin"
    programs.mkdir()
    for name, does in {
        "pvreplay": f'exec "{sys.executable}" -m pvreplay "$@"',
        "perf": f'exec cat "{RECORDING}"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    work = folder / "work"
    work.mkdir()
    shutil.copy(RECORDING, work / "recording.txt")
    shutil.copy(ROOT / "tests" / "data" / "sources-n32-tasklife.perf.data", work / "perf.data")
    shutil.copytree(ROOT / "traces", work / "traces")
    (work / "my.toml").write_text(LEAVE_LATE)
    for line in (
        "pvreplay convert recording.txt trace.bin",
        "pvreplay run trace.bin -k 2.6.20 -f json -o before.json",
        "pvreplay run trace.bin -f json -o after.json",
    ):
        assert run(line, folder, work).returncode == 0, line
    return folder


def run(line: str, folder: Path, work: Path) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MANPAGER": "cat",
    }
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, cwd=work, env=env, timeout=120
    )


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_example_of_the_help_runs(name: str, prepared: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(prepared / "work", work)
    ran = 0
    for line in examples(name):
        if any(line.startswith(start) for start in EXCLUDED):
            continue
        if any(part in line and shutil.which(program) is None for part, program in NEEDS.items()):
            continue
        done = run(line, prepared, work)
        assert done.returncode in CODES.get(line, {0, 1}), (line, done.returncode, done.stderr)
        assert "Traceback" not in done.stderr and "bug in pvreplay" not in done.stderr, (line, done.stderr)
        assert done.returncode == 0 or done.stdout, line
        ran += 1
    assert ran or all(any(line.startswith(start) for start in EXCLUDED) for line in examples(name))


def test_what_is_excluded_is_still_an_example() -> None:
    every = [line for name in ("", *COMMANDS) for line in examples(name)]
    for line in CODES:
        assert line in every, line


@pytest.mark.parametrize("name", list(COMMANDS))
def test_an_example_is_about_its_own_command(name: str) -> None:
    assert all(f"pvreplay {name}" in line for line in examples(name)), examples(name)

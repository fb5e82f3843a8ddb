"""The command line as a whole: its registry, its help, its exit codes, its manners when it fails."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pvreplay import __main__ as entry
from pvreplay import __version__
from pvreplay.cli import COMMANDS
from pvreplay.cli.main import group
from pvreplay.errors import BaselineError, ConfigError, PvreplayError, TraceError, UsageError


def run(*args: str, env: dict[str, str] | None = None, **options: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pvreplay", *args],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        timeout=60,
        **options,  # type: ignore[call-overload]
    )


def two_lines(stderr: str) -> bool:
    """An error of ours: one or two lines, the first with our name, no traceback."""
    lines = stderr.splitlines()
    return 1 <= len(lines) <= 2 and lines[0].startswith("pvreplay: ") and "Traceback" not in stderr


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_exists_and_its_listed_help_is_its_own(name: str) -> None:
    module, listed = COMMANDS[name]
    command = importlib.import_module(module).command
    assert isinstance(command, click.Command)
    assert (command.help or "").splitlines()[0] == listed


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_examples_and_every_option_a_help_text(name: str) -> None:
    result = CliRunner().invoke(group, [name, "--help"])
    assert result.exit_code == 0
    assert "Examples" in result.output and f"pvreplay {name}" in result.output
    assert max(len(line) for line in result.output.splitlines()) <= 80
    for parameter in importlib.import_module(COMMANDS[name][0]).command.params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name


def test_the_group_lists_every_command_without_importing_one() -> None:
    script = (
        "import sys\nfrom pvreplay.__main__ import main\nmain(['--help'])\n"
        "sys.exit(sum(m in sys.modules for m in sys.argv[1:]))"
    )
    modules = [module for module, _ in COMMANDS.values()]
    done = subprocess.run(
        [sys.executable, "-c", script, *modules], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout and text in done.stdout for name, (_, text) in COMMANDS.items())


def test_version_names_the_loop() -> None:
    done = run("--version")
    assert done.returncode == 0 and done.stdout.startswith(f"pvreplay {__version__}, ")
    assert "loop" in done.stdout
    assert CliRunner().invoke(group, ["--version"]).output == done.stdout


def test_an_unknown_command_is_two_lines_with_a_guess_and_exit_2() -> None:
    done = run("rnu")
    assert done.returncode == 2 and two_lines(done.stderr) and "Did you mean run?" in done.stderr


def test_an_unknown_option_is_two_lines_and_exit_2() -> None:
    done = run("run", "--no-such-option")
    assert done.returncode == 2 and two_lines(done.stderr) and "pvreplay run --help" in done.stderr


def test_no_command_shows_help_and_exits_2() -> None:
    done = run()
    assert done.returncode == 2 and "Usage: pvreplay" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PvreplayError("where: what", "do this"), 2),
        (UsageError("where: what", "do this"), 2),
        (ConfigError("where: what", "do this"), 2),
        (TraceError("where: what", "do this"), 3),
        (BaselineError("where: what", "do this"), 4),
    ],
)
def test_each_error_class_has_its_exit_code_and_two_lines(
    error: PvreplayError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(error, monkeypatch) == code
    assert capsys.readouterr().err == "pvreplay: where: what\n          do this\n"


def failing_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code when a command raises *error*."""

    def fail(args: list[str]) -> int:
        raise error

    monkeypatch.setattr(entry, "_run", fail)
    return entry.main(["run"])


def test_a_hostile_name_in_an_error_cannot_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_with(TraceError("a\x1b[2J\nb: bad"), monkeypatch)
    assert capsys.readouterr().err == "pvreplay: a\\x1b[2J\\x0ab: bad\n"


def test_an_unexpected_exception_is_called_a_bug_and_is_never_a_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(KeyError("x"), monkeypatch) == entry.EXIT_BUG
    err = capsys.readouterr().err
    assert "bug in pvreplay" in err and "KeyError" in err and two_lines(err)
    monkeypatch.setenv("PVREPLAY_TRACEBACK", "1")
    failing_with(KeyError("x"), monkeypatch)
    assert "Traceback" in capsys.readouterr().err


def test_an_end_of_file_that_nobody_expected_is_a_bug_and_no_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(EOFError("ended before the marker"), monkeypatch) == entry.EXIT_BUG
    assert "ended before the marker" in capsys.readouterr().err


def test_running_out_of_memory_is_not_called_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(MemoryError(), monkeypatch) == entry.EXIT_BUG
    assert capsys.readouterr().err.startswith("pvreplay: out of memory")


def test_an_interrupt_exits_130_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err == ""


def test_an_interrupt_while_reading_standard_input_exits_130_without_a_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pvreplay", "run", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    # More than a pipe holds: when this is written, the command is reading.
    process.stdin.write("# pvreplay trace 1\ncpus 1\n" + "# a comment\n" * 30_000)
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read() == process.stderr.read() == ""


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m pvreplay --help | true; echo "${{PIPESTATUS[0]}}"'],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == "" and done.stdout.strip() in ("0", "141")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_of_two_lines() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pvreplay", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2 and two_lines(done.stderr)
    assert done.stderr.startswith("pvreplay: standard output: No space left")


def closing(streams: str, *args: str) -> subprocess.CompletedProcess[str]:
    """What the command does in a shell that closed some of its streams, as in ``>&-``."""
    return subprocess.run(
        ["bash", "-c", f'"$@" {streams}', "bash", sys.executable, "-m", "pvreplay", *args],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_closed_standard_output_is_an_error_of_two_lines() -> None:
    done = closing(">&-", "run", "--format", "json")
    assert done.returncode == 2 and done.stderr.startswith("pvreplay: standard output: ")
    assert two_lines(done.stderr)


def test_a_closed_standard_output_is_no_error_when_a_file_is_written(tmp_path: Path) -> None:
    done = closing(">&-", "run", "--format", "json", "-o", str(tmp_path / "r.json"))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "r.json").read_text())["schema"] == "pvreplay.report/1"


def test_with_standard_error_closed_a_message_does_not_go_to_standard_output() -> None:
    done = closing("2>&-", "run", "no-such-file")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_missing_argument_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["completion"]) == 2
    err = capsys.readouterr().err
    assert two_lines(err) and "\\x" not in err and "bash, zsh, fish" in err

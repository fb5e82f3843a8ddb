"""Where output goes: files whole or not at all, styles for terminals and pipes, progress for people only."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pvreplay.cli import options, progress
from pvreplay.cli.outfile import spare_terminal, whole_or_not
from pvreplay.errors import UsageError
from tests.cli_helpers import PINGPONG, pvreplay


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    target.write_text("old")
    target.chmod(0o640)
    options.emit(b"new", str(target))
    assert target.read_bytes() == b"new" and target.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["r.json"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    options.emit("new", str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "r.json"
    target.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UsageError, match="No space left") as caught:
        options.emit(b"new", str(target))
    assert caught.value.hint == "Nothing was written."
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["r.json"]


def test_an_interrupted_write_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        options.emit(b"new", str(tmp_path / "r.json"))
    assert os.listdir(tmp_path) == []


def test_a_device_is_written_to_and_not_replaced() -> None:
    options.emit("nothing", "/dev/null")
    assert not os.path.isfile("/dev/null")


def test_a_name_that_is_no_utf8_cannot_stop_text_from_being_written(tmp_path: Path) -> None:
    options.emit("a\udcffb", str(tmp_path / "t"))
    assert (tmp_path / "t").read_bytes() == b"a\\udcffb"


@pytest.mark.parametrize(("name", "words"), [("missing/x", "no folder"), (".", "is a folder")])
def test_an_output_that_cannot_be_is_refused_before_any_work(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        options.check_output(str(tmp_path / name))


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    trace = tmp_path / "trace.bin"
    trace.write_bytes(b"x")
    (tmp_path / "same").hardlink_to(trace)
    with pytest.raises(UsageError, match="input too"):
        options.check_output(str(tmp_path / "same"), [str(trace)])
    options.check_output(str(tmp_path / "other"), [str(trace), "-"])


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_no_colour_and_a_stream_without_unicode_gets_ascii(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    style = options.TextStyle(None, False)
    assert (style.color, style.ascii, style.width) == (False, True, 80)
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    style = options.TextStyle(None, False)
    assert (style.color, style.ascii) == (False, False)
    assert options.TextStyle(None, True).ascii


@pytest.mark.parametrize(
    ("env", "color"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False)],
)
def test_a_terminal_gets_colour_unless_it_says_no(
    env: dict[str, str], color: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setattr("os.get_terminal_size", lambda _: os.terminal_size((132, 40)))
    monkeypatch.setattr(Terminal, "fileno", lambda _: 1, raising=False)
    style = options.TextStyle(None, False)
    assert style.color is color and style.width == 80
    assert options.TextStyle("file", False).color is False


def test_bytes_are_kept_from_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    spare_terminal("-", "text")
    spare_terminal("t.bin", "bin")
    with pytest.raises(UsageError):
        spare_terminal("-", "bin")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    spare_terminal("-", "bin")


def test_progress_is_for_terminals_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress.progress() is None
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "dumb")
    assert progress.progress() is None
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "QUIET_S", -1)
    shown = progress.progress()
    assert shown is not None
    shown(1_000_000)
    assert "1,000,000 events" in screen.getvalue()
    shown.done()
    assert screen.getvalue().endswith("\r\x1b[K")


def test_a_short_run_shows_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    shown = progress.progress()
    assert shown is not None
    shown(5)
    shown.done()
    assert screen.getvalue() == ""


def test_a_form_for_machines_is_utf8_in_a_locale_without_its_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", stream)
    options.emit("caf\u00e9 \u2587", None)
    assert stream.buffer.getvalue() == "caf\u00e9 \u2587".encode()  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_no_half_written_file(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pvreplay", "convert", "-", str(tmp_path / "x.txt")],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stderr is not None
    process.stdin.write(PINGPONG.encode() + b"# a comment\n" * 30_000)  # more than a pipe holds
    process.stdin.flush()
    while not os.listdir(tmp_path):  # the copy is begun
        assert process.poll() is None
    process.send_signal(number)
    assert process.wait(timeout=30) in (-number, 130)
    assert process.stderr.read() == b"" and os.listdir(tmp_path) == []
    process.stdin.close()
    process.stderr.close()


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with whole_or_not(str(tmp_path / "x")) as file:
            os.kill(os.getpid(), signal.SIGHUP)
            file.write(b"x")
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (tmp_path / "x").read_bytes() == b"x"


def test_a_dash_is_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text(PINGPONG)
    for command in (
        ["run", "t.txt"],
        ["diff", "xen", "vmi", "t.txt"],
        ["show", "t.txt", "--switch", "0"],
        ["check", "begin end"],
    ):
        plain, dashed = pvreplay(*command), pvreplay(*command, "-o", "-")
        assert dashed == plain and plain.out
    assert os.listdir() == ["t.txt"]

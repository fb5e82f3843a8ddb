"""GitHub annotations, read back as the runner reads workflow commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings

from pvreplay.report import github
from pvreplay.report.context import Context, Place, Spot
from pvreplay.report.escape import terminal
from tests.cli_helpers import LEAVE_LATE, PINGPONG, WITH_TLS, pvreplay
from tests.output_samples import COMMS, hostile_report, hostile_verdict, names
from tests.report_samples import report, violation


class Command(NamedTuple):
    """A workflow command as the runner takes it."""

    level: str
    properties: dict[str, str]
    message: str


def log(text: str) -> tuple[list[str], list[Command]]:
    """Lines that are shown, and commands that are obeyed (actions/runner, ActionCommand).

    A command is a line that begins with ``::`` after blanks, or holds ``##[``.
    """
    shown, commands = [], []
    for line in text.removesuffix("\n").split("\n"):
        stripped = line.lstrip()
        if not stripped.startswith("::"):
            assert "##[" not in line
            shown.append(line)
            continue
        head, separator, message = stripped[2:].partition("::")
        assert separator
        level, _, rest = head.partition(" ")
        pairs = dict(pair.split("=", 1) for pair in rest.split(",") if pair)
        properties = {
            key: _decode(value, {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"})
            for key, value in pairs.items()
        }
        commands.append(Command(level, properties, _decode(message, {"%0D": "\r", "%0A": "\n", "%25": "%"})))
    return shown, commands


def _decode(value: str, table: dict[str, str]) -> str:
    for escaped, char in table.items():
        value = value.replace(escaped, char)
    return value


def test_a_clean_run_is_one_line_and_no_annotation() -> None:
    assert log(github.render(report())) == (["pvreplay: pingpong.bin on kernel 2.6.21: no rule broken"], [])


def test_a_violation_is_an_error_at_its_place_with_the_steps() -> None:
    broken = violation()
    context = Context(places={Spot("pingpong.bin", 311, 4): Place(17)})
    _, (command,) = log(github.render(report(violations=[broken]), context))
    assert command.level == "error"
    assert command.properties == {
        "file": "pingpong.bin",
        "line": "17",
        "title": "H1 raw-queued (vmi, xen)",
    }
    lines = command.message.split("\n")
    assert lines[0] == "loadsegment:gs: reads GDT.TLS, still queued since step 3"
    assert sum("<--" in line for line in lines) == 1


def test_levels_say_what_fails_the_run() -> None:
    found = report(
        violations=[violation(), violation(rule="W4", severity="perf")], lost_events=3, damage="cut"
    )

    def levels(context: Context) -> list[str]:
        return [command.level for command in log(github.render(found, context))[1]]

    assert levels(Context()) == ["error", "error", "warning", "warning"]
    assert levels(Context(strict=True, lenient=True)) == ["error", "error", "warning", "warning"]


def test_ten_of_a_level_are_written_and_the_rest_are_told() -> None:
    many = [violation(op=f"op{number}") for number in range(14)]
    many += [violation(op=f"op{number}", rule="W4", severity="perf") for number in range(11)]
    _, commands = log(github.render(report(violations=many), Context(summary=True)))
    levels = [command.level for command in commands]
    assert [levels.count(level) for level in ("error", "warning", "notice")] == [10, 10, 1]
    assert commands[-1].message == (
        "4 errors and 1 warning beyond the 10 that GitHub shows are in the job summary"
    )


def test_a_gates_failure_names_the_check_and_the_command_that_accepts_it() -> None:
    verdict = hostile_verdict("t")
    verdict.traces[0].damage = ""
    shown, commands = log(github.render_gate(verdict))
    assert shown == ["pvreplay: gate: fail, 1 check over the limit, 1 rule broken"]
    assert [(command.level, command.properties["title"]) for command in commands] == [
        ("error", "xen: hypercalls"),
        ("error", "H1 raw-queued (xen)"),
        ("notice", "if that is meant to be"),
    ]


def test_a_gate_points_to_the_step_in_the_kernels_own_file() -> None:
    verdict = hostile_verdict("t")
    verdict.traces[0].kernel_path = "kernels/my.toml"
    context = Context(base="/repo", cwd="/repo", lines={("kernels/my.toml", "t"): 7})
    _, commands = log(github.render_gate(verdict, context))
    check = next(command for command in commands if command.properties["title"] == "xen: hypercalls")
    assert (check.properties["file"], check.properties["line"]) == ("kernels/my.toml", "7")


@pytest.mark.parametrize("name", COMMS)
def test_hostile_names_give_no_orders(name: str) -> None:
    shown, commands = log(github.render(hostile_report(name)))
    assert len(shown) == 1 and shown[0].startswith("pvreplay: ")
    assert [command.level for command in commands] == ["error", "error", "warning", "notice"]
    assert commands[1].message.split("\n")[0] == terminal(f"{name}: {name}")


@settings(max_examples=100, deadline=None)
@given(names)
def test_any_name_reads_back(name: str) -> None:
    _, commands = log(github.render(hostile_report(name)))
    assert len(commands) == 4
    _, commands = log(github.render_gate(hostile_verdict(name)))
    assert {command.level for command in commands} <= {"error", "warning", "notice"}


# --- the command line ------------------------------------------------------------------------------


def test_run_points_to_the_line_of_the_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text(WITH_TLS)
    Path("late.toml").write_text(LEAVE_LATE)
    done = pvreplay("run", "t.txt", "--kernel", "late.toml", "-b", "xen", "--format", "github")
    assert done.code == 1
    errors = [command for command in log(done.out)[1] if command.level == "error"]
    line = int(errors[0].properties["line"])
    assert "switch" in WITH_TLS.splitlines()[line - 1]
    assert errors[0].properties["file"] == "t.txt"


def test_the_job_summary_is_appended_and_holds_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text(PINGPONG)
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert pvreplay("run", "t.txt", "--format", "github").code == 0
    text = summary.read_text()
    assert text.startswith("before\n## pvreplay: `t.txt` on kernel `2.6.21`\n")
    assert re.search(r"\| `xen` \| 23 \|", text)


def test_a_summary_that_cannot_be_written_changes_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text(PINGPONG)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no" / "folder"))
    done = pvreplay("run", "t.txt", "--format", "github")
    assert done.code == 0 and "no job summary" in done.err


def test_files_are_told_relative_to_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "t.txt").write_text(WITH_TLS)
    (tmp_path / "sub" / "late.toml").write_text(LEAVE_LATE)
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    done = pvreplay("run", "t.txt", "--kernel", "late.toml", "-b", "xen", "--format", "github")
    assert "file=sub/t.txt," in done.out

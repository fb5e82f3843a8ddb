"""``pvreplay kernels``: the list, one kernel, and both as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pvreplay.__main__ import main
from pvreplay.kernels import builtin_kernels, load_kernel
from pvreplay.kernels.show import join_ops


def run(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["kernels", *args]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_the_list_has_one_line_a_kernel_within_80_columns(capsys) -> None:
    lines = run(capsys).splitlines()
    assert [line.split()[0] for line in lines[1:]] == builtin_kernels()
    assert max(map(len, lines)) <= 80
    line = next(line for line in lines if line.startswith("2.6.32"))
    assert line == "2.6.32  i386    2009-12  clts of an eager restore inside the batch"


@pytest.mark.parametrize("name", builtin_kernels())
def test_one_kernel_shows_every_step_with_its_source_within_80_columns(capsys, name: str) -> None:
    out = run(capsys, "--show", name)
    assert max(map(len, out.splitlines())) <= 80
    words = out.split()
    kernel = load_kernel(name)
    for step in kernel.steps:
        assert step.name in words
        assert set(step.source.split()) <= set(words)
        for op in join_ops(step.ops).split(", "):
            assert op in out
    for text in (*kernel.notes, *kernel.uncertain, *kernel.sources):
        assert text in " ".join(words)


def test_the_iopl_policy_can_be_tried_on_the_page(capsys) -> None:
    assert "iopl_differs and kernel_rpl" in " ".join(run(capsys, "--show", "2.6.21").split())
    posted = " ".join(run(capsys, "--show", "2.6.21", "--iopl", "posted").split())
    assert "set_iopl iopl_differs set_iopl_mask" in posted
    never = " ".join(run(capsys, "--show", "2.6.21", "--iopl", "never").split())
    assert "set_iopl never set_iopl_mask" in never


def test_json_holds_the_same_steps_as_the_reader(capsys) -> None:
    page = json.loads(run(capsys, "--format", "json"))
    assert page["schema"] == "pvreplay.kernels/1"
    assert [kernel["name"] for kernel in page["kernels"]] == builtin_kernels()
    for data in page["kernels"]:
        kernel = load_kernel(data["name"])
        assert [step["name"] for step in data["steps"]] == [step.name for step in kernel.steps]
        assert [tuple(step["ops"]) for step in data["steps"]] == [step.ops for step in kernel.steps]
        assert [step["when"] for step in data["steps"]] == [step.when for step in kernel.steps]
    one = json.loads(run(capsys, "--show", "seed", "-f", "json"))
    assert one["kernels"] == [data for data in page["kernels"] if data["name"] == "seed"]


def test_a_file_of_ones_own_is_shown_and_its_text_cannot_drive_the_terminal(capsys, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "2.6.21"\ntitle = "red \\u001b[31m alert"\n[[change]]\ndrop = "set_iopl"\n')
    out = run(capsys, "--show", str(path))
    assert "\x1b" not in out
    assert "red \\x1b[31m alert" in out
    assert "set_iopl" not in out


def test_wrong_use_ends_with_exit_code_2_and_two_lines(capsys, tmp_path: Path) -> None:
    for args in (["--show", "2.4"], ["--iopl", "posted"], ["--show", str(tmp_path / "no.toml")], ["2.6.21"]):
        assert main(["kernels", *args]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert 1 <= len(err.splitlines()) <= 2


def test_neighbouring_ops_that_differ_in_the_operand_are_joined() -> None:
    assert join_ops(["set_debugreg:0", "set_debugreg:7", "clts", "clts", "savesegment:gs"]) == (
        "set_debugreg:0,7, clts, clts, savesegment:gs"
    )

"""Shell completion: what click's machinery answers, and what the shells that are installed make of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pvreplay.backends.reader import builtin_backends
from pvreplay.cli import COMMANDS, complete
from pvreplay.cli.main import group
from pvreplay.kernels.reader import builtin_kernels
from pvreplay.rules import all_rules
from pvreplay.synth import workload_names
from tests.cli_helpers import pvreplay


def answers(line: str, shell: str = "bash") -> list[str]:
    """The plain values and, as ``file``, whether files are offered, where the cursor is after *line*."""
    words = line.split(" ")
    completer = complete.SHELLS[shell](group, {}, "pvreplay", complete.COMPLETE_VAR)
    items = completer.get_completions(words[1:-1], words[-1])
    return [item.value if item.type == "plain" else item.type for item in items]


def test_commands_and_options_are_completed() -> None:
    assert answers("pvreplay ") == list(COMMANDS)
    assert answers("pvreplay ru") == ["run", "rule"]
    assert answers("pvreplay run --ke") == ["--kernel"]
    assert answers("pvreplay --vers") == ["--version"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pvreplay run --kernel ", ["file", *builtin_kernels()]),
        ("pvreplay run -b vm", ["file", *(b for b in builtin_backends() if b.startswith("vm"))]),
        ("pvreplay gate t.bin -k 2.6.3", ["file", *(k for k in builtin_kernels() if k.startswith("2.6.3"))]),
        ("pvreplay show --vs nat", ["file", *(b for b in builtin_backends() if b.startswith("nat"))]),
        ("pvreplay synth ", workload_names()),
        ("pvreplay rule H3", ["H3a", "H3b"]),
        ("pvreplay rule raw", ["raw-queued"]),
        ("pvreplay show --violation H1", ["H1"]),
        ("pvreplay diff native v", ["file", *(b for b in builtin_backends() if b.startswith("v")), "vs"]),
        ("pvreplay diff xen@2.6.21 vs xen@2.6.31", ["file", "xen@2.6.31"]),
        ("pvreplay run t.bin --assume fpu=", ["fpu=seen", "fpu=never", "fpu=user", "fpu=always"]),
        ("pvreplay run --policy gen", ["generic2025"]),
        ("pvreplay run --iopl ", ["posted", "merged", "never"]),
        ("pvreplay kernels --show se", ["file", "seed"]),
        ("pvreplay backends --show xe", ["file", *(b for b in builtin_backends() if b.startswith("xe"))]),
        ("pvreplay completion ", ["bash", "zsh", "fish"]),
        ("pvreplay run --inject pre", ["preempt"]),
        ("pvreplay check begin write_c", ["write_cr3", "write_cr0", "write_cr4"]),
        ("pvreplay check --want EFLAGS.", ["EFLAGS.IOPL="]),
        ("pvreplay run ", ["file"]),
        ("pvreplay run t.bin -o ", ["file"]),
        ("pvreplay convert in.txt ", ["file"]),
        ("pvreplay show --at ", []),
        ("pvreplay nosuch ", []),
    ],
)  # fmt: skip
def test_values_are_completed_by_what_stands_before_them(line: str, expected: list[str]) -> None:
    for shell in complete.SHELLS:
        assert answers(line, shell) == expected


def test_every_rule_backend_kernel_and_workload_can_be_completed() -> None:
    assert set(answers("pvreplay rule ")) == {name for rule in all_rules() for name in (rule.code, rule.name)}
    assert set(answers("pvreplay run -b ")) == {"file", *builtin_backends()}
    assert set(answers("pvreplay synth ")) == set(workload_names())


def test_bash_breaks_words_at_equals_and_at_signs() -> None:
    # what bash hands over for "--assume fpu=n" and for "xen@2.6.3", and what it replaces
    assert answers("pvreplay run --assume fpu = n") == ["never"]
    assert answers("pvreplay run --assume fpu =") == ["seen", "never", "user", "always"]
    assert answers("pvreplay diff xen @ 2.6.32") == ["2.6.32"]


def test_every_parameter_that_says_name_or_file_offers_names_or_files() -> None:
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        for param in command.params:
            items = complete.values(name, param, "")
            offered = {item.type for item in items}
            assert ("FILE" in (param.metavar or "")) <= ("file" in offered), (name, param.name)
            named = {"NAME|FILE", "NAME"} & {param.metavar}
            assert bool(named) <= ("plain" in offered), (name, param.name)


def test_no_parameter_of_the_table_has_gone() -> None:
    for name, parameter in (*complete.VALUES, *complete.NO_FILE):
        names = [name] if name else list(COMMANDS)
        commands = [group.get_command(click.Context(group), one) for one in names]
        assert any(param.name == parameter for one in commands if one for param in one.params), (
            name,
            parameter,
        )


def environment(folder: Path) -> dict[str, str]:
    """An environment in which ``pvreplay`` is this checkout's."""
    command = folder / "pvreplay"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pvreplay "$@"\n')
    command.chmod(0o755)
    root = Path(__file__).parent.parent
    return {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "HOME": str(folder),
    }


def shell(name: str, script: str, folder: Path) -> str:
    done = subprocess.run(
        [name, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=environment(folder),
    )
    assert done.stderr == "", done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_printed_script(tmp_path: Path) -> None:
    out = shell(
        "bash",
        """eval "$(pvreplay completion bash)"
compopt() { :; }  # only allowed inside a completion
complete -p pvreplay
COMP_WORDS=(pvreplay run --kernel 2.6.2); COMP_CWORD=3; COMPREPLY=()
_pvreplay_completion pvreplay
printf '%s\\n' "${COMPREPLY[@]}" """,
        tmp_path,
    )
    first, *kernels = out.split("\n")
    assert "_pvreplay_completion" in first
    assert [k for k in kernels if k] == [k for k in builtin_kernels() if k.startswith("2.6.2")]


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_completes_with_the_printed_script(tmp_path: Path) -> None:
    out = shell("fish", "pvreplay completion fish | source; complete -C 'pvreplay synth pi'", tmp_path)
    assert [line.split("\t")[0] for line in out.splitlines()] == ["pingpong"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_takes_the_printed_script(tmp_path: Path) -> None:
    (tmp_path / "fpath").mkdir()
    (tmp_path / "fpath" / "_pvreplay").write_text(pvreplay("completion", "zsh").out)
    out = shell(
        "zsh",
        "fpath=($PWD/fpath $fpath); autoload -Uz compinit; compinit -u -d $PWD/dump; print $_comps[pvreplay]",
        tmp_path,
    )
    assert out.strip() == "_pvreplay"


@pytest.mark.parametrize("name", list(complete.SHELLS))
def test_the_script_is_printed_for_each_shell(name: str) -> None:
    done = pvreplay("completion", name)
    assert done.code == 0 and f"{complete.COMPLETE_VAR}={name}_complete" in done.out
    assert pvreplay("completion", "tcsh").code == 2

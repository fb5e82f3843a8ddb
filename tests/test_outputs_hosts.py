"""The GitHub Action and the pre-commit hook, as far as they can be run without their hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.cli_helpers import LEAVE_LATE, PINGPONG, WITH_TLS, pvreplay

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]


# --- the action ------------------------------------------------------------------------------------


def test_the_action_is_valid_by_githubs_schema() -> None:
    vendored = files("check_jsonschema.builtin_schemas.vendor") / "github-actions.json"
    schema = json.loads(vendored.read_text(encoding="utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(ACTION)


def test_no_script_of_the_action_holds_an_expression() -> None:
    scripts = [step["run"] for step in STEPS if "run" in step]
    assert len(scripts) == 2 and not any("${{" in script for script in scripts)


def test_every_input_is_used_and_told_to_its_step() -> None:
    used = json.dumps(STEPS)
    assert all(f"${{{{ inputs.{name} }}}}" in used for name in ACTION["inputs"])


def shell(
    step: dict[str, Any], inputs: Mapping[str, str], folder: Path, python: str
) -> subprocess.CompletedProcess[str]:
    """Run a step's script as the runner does: bash -eo pipefail, inputs in the environment.

    *python* is a script that stands for the interpreter.
    """
    given = {name: one.get("default", "") for name, one in ACTION["inputs"].items()} | dict(inputs)
    values = {f"${{{{ inputs.{name} }}}}": value for name, value in given.items()}
    values["${{ github.action_path }}"] = str(ROOT)
    bin_ = folder / "bin"
    bin_.mkdir(exist_ok=True)
    (bin_ / "python").write_text(python)
    (bin_ / "python").chmod(0o755)
    environment = {
        **{key: values.get(value, value) for key, value in step["env"].items()},
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "GITHUB_WORKSPACE": str(folder),
    }
    script = folder / "script.sh"
    script.write_text(step["run"])
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    where = folder / given["working-directory"]
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)


REAL = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
ECHO = f"""#!/bin/sh
[ "$1" = -c ] && exec "{sys.executable}" "$@"
for word; do printf "<%s>" "$word"; done
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a trace, its baseline, and a kernel that breaks a rule."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my traces").mkdir()
    (tmp_path / "my traces" / "a.txt").write_text(PINGPONG)
    (tmp_path / "my traces" / "b.txt").write_text(WITH_TLS)
    (tmp_path / "late.toml").write_text(LEAVE_LATE)
    done = pvreplay("gate", "my traces/a.txt", "my traces/b.txt", "-b", "xen", "-b", "vmi", "--update")
    assert done.code == 0
    return tmp_path


def test_the_action_passes_on_what_its_baseline_says(repository: Path) -> None:
    done = shell(STEPS[2], {"trace": "my traces/*.txt"}, repository, REAL)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "pvreplay: gate: pass\n"
    assert (repository / "output").read_text() == "exit-code=0\n"
    assert "## pvreplay gate: **pass**" in (repository / "summary").read_text()


def test_the_action_fails_with_annotations_at_the_kernels_file(repository: Path) -> None:
    done = shell(STEPS[2], {"trace": "my traces/b.txt", "kernel": "late.toml"}, repository, REAL)
    assert done.returncode == 1
    assert "::error file=late.toml,line=4,title=H1 raw-queued" in done.stdout
    assert (repository / "output").read_text() == "exit-code=1\n"
    assert "**FAIL**" in (repository / "summary").read_text()


def test_the_action_tells_not_comparable_from_failed(repository: Path) -> None:
    done = shell(STEPS[2], {"trace": "my traces/a.txt", "baseline": "none.toml"}, repository, REAL)
    assert done.returncode == 4
    assert (repository / "output").read_text() == "exit-code=4\n"


def test_the_actions_inputs_become_arguments_and_nothing_else(repository: Path) -> None:
    (repository / "$(touch pwned).txt").write_text(PINGPONG)
    done = shell(
        STEPS[2],
        {
            "trace": "\nmy traces/*.txt\n-x.txt\n$(touch pwned).txt\n",
            "baseline": "b$(touch pwned).toml",
            "kernel": "`touch pwned`; 'k",
            "backends": "xen, vmi\nmine.toml",
            "args": "--max-increase '2 %' --lenient",
        },
        repository,
        ECHO,
    )
    assert done.stdout == (
        "<-m><pvreplay><gate><--format><github><--explain><--baseline><b$(touch pwned).toml>"
        "<--kernel><`touch pwned`; 'k><--backend><xen><--backend><vmi><--backend><mine.toml>"
        "<--max-increase><2 %><--lenient><--><my traces/a.txt><my traces/b.txt><-x.txt><$(touch pwned).txt>"
    )
    assert not (repository / "pwned").exists()


def test_the_action_stops_at_arguments_that_cannot_be_read(repository: Path) -> None:
    done = shell(STEPS[2], {"trace": "my traces/a.txt", "args": "--kernel 'late"}, repository, REAL)
    assert done.returncode == 1 and "No closing quotation" in done.stderr and done.stdout == ""


def test_the_action_installs_the_package_it_came_with(tmp_path: Path) -> None:
    done = shell(STEPS[1], {}, tmp_path, ECHO)
    assert done.returncode == 0
    assert done.stdout == f"<-m><pip><install><--quiet><--disable-pip-version-check><{ROOT}>"


# --- the hook --------------------------------------------------------------------------------------


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command with its output."""
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_hooks_manifest_is_valid() -> None:
    done = run(sys.executable, "-m", "pre_commit", "validate-manifest", ".pre-commit-hooks.yaml", cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_the_hook_stops_a_commit_that_makes_the_switch_dearer(repository: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    local = hook | {"language": "system", "args": ["my traces/b.txt", "--kernel", "late.toml"]}
    config = {"repos": [{"repo": "local", "hooks": [local]}]}
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    bin_ = repository.parent / "bin"
    bin_.mkdir()
    (bin_ / "pvreplay").write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m pvreplay "$@"\n'
    )
    (bin_ / "pvreplay").chmod(0o755)
    environment = {
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(repository.parent / "cache"),
        "HOME": str(repository.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    (repository / "readme.md").write_text("x")
    assert run("git", "init", "-q", cwd=repository, **environment).returncode == 0
    check = (sys.executable, "-m", "pre_commit", "run", "--color=never")

    run("git", "add", "readme.md", ".pre-commit-config.yaml", cwd=repository, **environment)
    done = run(*check, cwd=repository, **environment)
    assert (done.returncode, "(no files to check)Skipped" in done.stdout) == (0, True), done.stdout

    run("git", "add", ".", cwd=repository, **environment)
    done = run(*check, cwd=repository, **environment)
    assert done.returncode == 1 and "H1" in done.stdout and "gate: FAIL" in done.stdout, done.stdout

    (repository / "late.toml").write_text('extends = "2.6.21"\n')
    run("git", "add", ".", cwd=repository, **environment)
    done = run(*check, cwd=repository, **environment)
    assert done.returncode == 0 and "Passed" in done.stdout, done.stdout

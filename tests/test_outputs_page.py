"""What docs/outputs.md shows is what the commands print, and its CI files are valid where they go."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

from pvreplay.cli.formats import MODULES
from pvreplay.report import csv
from tests.cli_helpers import pvreplay

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "outputs.md").read_text()
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())


def blocks(kind: str) -> list[str]:
    """The fenced blocks of *kind*."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def shows(shown: str, printed: str) -> bool:
    """Whether *printed* is *shown*, in which ``...`` stands for anything."""
    parts = [re.escape(part) for part in re.split(r"^\.\.\.\n|\.\.\.", shown, flags=re.MULTILINE)]
    return re.fullmatch(".*?".join(parts), printed, re.DOTALL) is not None


def test_the_page_shows_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = set()
    for block in blocks("console"):
        command, shown = block.removeprefix("$ ").split("\n", 1)
        words = shlex.split(command)
        if words[0] == "cat":
            (tmp_path / words[1]).write_text(shown)
            continue
        done = pvreplay(*words[1:])
        assert done.code == 1 and done.err == ""
        out = done.out.replace("&lt;", "<")
        assert shows(shown, out), out
        ran.add(words[words.index("--format") + 1])
    assert ran == {"junit", "github", "ktap", "markdown", "csv"}


def test_the_table_names_every_form_and_who_writes_it() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| (\w*) ?\| (\w*) ?\| (\w*) ?\|$", PAGE, re.MULTILINE)
    told = {name: (run, gate, diff) for name, run, gate, diff in rows}
    assert set(told) == {"text", "json", *MODULES}
    for place, command in enumerate(("run", "gate", "diff")):
        choices = re.search(r"--format \[([\w|]+)\]", pvreplay(command, "--help").out)
        assert choices is not None
        assert {name for name in told if told[name][place] == "yes"} == set(choices[1].split("|"))


def test_the_columns_of_csv_are_all_told() -> None:
    section = PAGE.split("## CSV")[1].split("## HTML")[0]
    words = set(re.findall(r"`([\w ]+)`", section))
    assert {*csv.COLUMNS, *csv.GATE_COLUMNS} <= words
    parts = re.findall(r"`([\w ]+)`", next(line for line in section.splitlines() if "`part` |" in line))[1:]
    shown = {"total", "total unbatched", "in switch", "outside", "op", "shape", "task", "cpu", "flushes"}
    assert {*shown, "switches by hypercalls", "batches by entries", "violation", "what if"} == set(parts)


@pytest.mark.parametrize(
    ("kind", "schema"), [("github-workflow", "github-workflows"), ("gitlab-ci", "gitlab-ci")]
)
def test_the_ci_files_on_the_page_are_valid_by_the_hosts_schema(kind: str, schema: str) -> None:
    vendored = files("check_jsonschema.builtin_schemas.vendor") / f"{schema}.json"
    found = json.loads(vendored.read_text(encoding="utf-8"))
    examples = blocks(f"yaml {kind}")
    assert examples
    for text in examples:
        document = yaml.load(text, Loader=yaml.BaseLoader)
        jsonschema.validators.validator_for(found)(found).validate(document)


def test_the_action_is_called_with_inputs_it_has() -> None:
    steps = [
        step
        for text in blocks("yaml github-workflow")
        for job in yaml.safe_load(text)["jobs"].values()
        for step in job["steps"]
    ]
    (ours,) = [step for step in steps if "pvreplay@" in step.get("uses", "")]
    assert set(ours["with"]) <= set(ACTION["inputs"])
    section = PAGE.split("### The action")[1].split("\n## ")[0]
    told = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in row.split("`")[1::2]
    }
    assert told == set(ACTION["inputs"])


def test_the_pre_commit_file_on_the_page_is_valid(tmp_path: Path) -> None:
    (text,) = blocks("yaml pre-commit")
    path = tmp_path / ".pre-commit-config.yaml"
    path.write_text(text)
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    hooks = {hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    assert {hook["id"] for repo in yaml.safe_load(text)["repos"] for hook in repo["hooks"]} <= hooks


def test_the_tests_on_the_page_fail_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pvreplay.testing import Replays, explain

    shutil.copy(ROOT / "traces" / "guest-n32-fpthreads.trace.txt", tmp_path / "trace.bin")
    monkeypatch.chdir(tmp_path)
    lines = explain("<=", Replays()("trace.bin", backend="vmi").per_switch, 1.0)
    assert lines is not None
    (shown,) = re.findall(r"^```\n>.*?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert [line.removeprefix("E").strip() for line in shown.splitlines()] == [
        f"assert {lines[0]}",
        *(line.strip() for line in lines[1 : len(shown.splitlines())]),
    ]
    compile(blocks("python")[0], "page", "exec")

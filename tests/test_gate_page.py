"""What docs/gate.md shows is what the commands print, run in order in a folder of their own."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from pvreplay.__main__ import main
from tests.test_readme import matches

ROOT = Path(__file__).parent.parent
TRACE = ROOT / "traces" / "guest-n32-fpthreads.trace.txt"


def examples() -> list[tuple[str, list[str]]]:
    """(command, lines shown) of every ``$`` line of the page."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", (ROOT / "docs" / "gate.md").read_text(), re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def test_the_page_shows_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(TRACE, tmp_path / "threads.txt")
    ran = 0
    for command, shown in examples():
        words = shlex.split(command)
        if words[0] == "cat":
            (tmp_path / words[1]).write_text("\n".join(shown) + "\n")
            continue
        capsys.readouterr()
        assert main(words[1:]) in (0, 1)
        printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
        assert matches(shown, printed), "\n".join(printed)
        ran += 1
    assert ran >= 3


def test_the_diff_on_the_page_is_that_of_its_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(TRACE, tmp_path / "threads.txt")
    (diff,) = re.findall(r"^```diff\n(.*?)^```$", (ROOT / "docs" / "gate.md").read_text(), re.M | re.S)
    contents = [shown for command, shown in examples() if command.startswith("cat ")]
    sides = []
    for content in contents:
        (tmp_path / "my.toml").write_text("\n".join(content) + "\n")
        main(["gate", "threads.txt", "--kernel", "my.toml", "--backend", "xen", "--update"])
        sides.append((tmp_path / "pvreplay-baseline.toml").read_text().splitlines())
    for line in diff.splitlines():
        there, other = sides if line[0] == "-" else sides[::-1]
        assert line[1:] in there and line[1:] not in other

"""The command line in every form: one trace with every hostile name, read back by each form's reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pvreplay.cli.formats import MODULES
from pvreplay.report.escape import csv_cell, terminal
from pvreplay.report.run_page import ROWS
from pvreplay.trace.quote import quote
from tests import (
    test_outputs_csv,
    test_outputs_github,
    test_outputs_gitlab,
    test_outputs_html,
    test_outputs_junit,
    test_outputs_ktap,
    test_outputs_markdown,
    test_outputs_sarif,
)
from tests.cli_helpers import LEAVE_LATE, PINGPONG, pvreplay
from tests.output_samples import COMMS

READERS: dict[str, Callable[[str], object]] = {
    "junit": test_outputs_junit.tree,
    "sarif": test_outputs_sarif.run_of,
    "github": test_outputs_github.log,
    "gitlab": test_outputs_gitlab.findings,
    "ktap": test_outputs_ktap.parse,
    "markdown": test_outputs_markdown.blocks,
    "csv": test_outputs_csv.rows,
    "html": test_outputs_html.tree,
}
NAMES = [name for name in COMMS if "\ud800" not in name and "\0" not in name]
"""What a trace can hold: bytes without NUL, which no surrogate of half a pair comes from."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trace that switches through tasks of every hostile name, and a kernel that breaks H1 on each."""
    monkeypatch.chdir(tmp_path)
    lines = ["# pvreplay trace 1", "cpus 1"]
    lines += [
        f"task {number} comm={quote(name)} pid={number} mm={number} tls={number:x},0,0 gs=1"
        for number, name in enumerate(NAMES, 1)
    ]
    lines += [f"0.{number:09} 0 switch {number}" for number in range(1, len(NAMES) + 1)]
    Path("t.txt").write_bytes("\n".join([*lines, ""]).encode("utf-8", "surrogateescape"))
    Path("late.toml").write_text(LEAVE_LATE)
    return tmp_path


def test_there_is_a_reader_of_every_form() -> None:
    assert set(READERS) == set(MODULES)


@pytest.mark.parametrize("form", MODULES)
def test_run_in_every_form_reads_back(form: str, folder: Path) -> None:
    done = pvreplay("run", "t.txt", "--kernel", "late.toml", "-b", "xen", "--format", form)
    assert (done.code, done.err) == (1, "")
    READERS[form](done.out)
    assert "H1" in done.out


@pytest.mark.parametrize("form", MODULES)
def test_gate_in_every_form_reads_back(form: str, folder: Path) -> None:
    assert pvreplay("gate", "t.txt", "-b", "xen", "--update").code == 0
    done = pvreplay("gate", "t.txt", "--kernel", "late.toml", "--explain", "--format", form)
    assert (done.code, done.err) == (1, "")
    READERS[form](done.out)
    assert "H1" in done.out
    passed = pvreplay("gate", "t.txt", "--format", form)
    assert passed.code == 0
    READERS[form](passed.out)


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_diff_as_a_page_reads_back(form: str, folder: Path) -> None:
    done = pvreplay("diff", "2.6.21", "vs", "late.toml", "t.txt", "-b", "xen", "--format", form)
    assert done.code == 0
    READERS[form](done.out)
    assert "Only on the second side: 1 violation" in done.out


def test_every_name_is_a_cell_of_its_own(folder: Path) -> None:
    done = pvreplay("run", "t.txt", "-b", "xen", "--format", "csv")
    tasks = [row["name"] for row in test_outputs_csv.rows(done.out) if row["part"] == "task"]
    expected = [
        csv_cell(f"{name}-{number}") if name else csv_cell(f"task {number}-{number}")
        for number, name in enumerate(NAMES, 1)
    ]
    assert sorted(tasks) == sorted(expected)


def test_a_file_is_written_whole_in_the_form_that_was_asked_for(folder: Path) -> None:
    done = pvreplay("run", "t.txt", "-b", "xen", "--format", "html", "--output", "r.html")
    assert (done.code, done.out) == (0, "")
    page = test_outputs_html.shown(test_outputs_html.tree(Path("r.html").read_text()))
    shown = [name for number, name in enumerate(NAMES, 1) if terminal(f"{name}-{number}") in page]
    assert len(shown) >= ROWS


def test_strict_reaches_the_form(folder: Path) -> None:
    Path("t.txt").write_text(PINGPONG)
    words = ("run", "t.txt", "-b", "xen", "--format", "ktap")
    plain, strict = pvreplay(*words), pvreplay(*words, "--strict")
    assert plain.code == 0 and "not ok" not in plain.out
    assert strict.code == 1 and "not ok" in strict.out

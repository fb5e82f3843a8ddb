"""The README's speed table is made from the committed ratios, and none that was asked for is left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import bench, table
from tests.bench.lines import Line

RATIOS = json.loads(bench.RATIOS.read_text())


def test_the_readme_has_the_table_that_the_ratios_give() -> None:
    assert table.in_readme(bench.README.read_text()) == table.table(RATIOS), "run: make bench-readme"


def test_every_row_that_was_asked_for_is_there_with_its_goal() -> None:
    there: dict[str, set[str]] = {}
    for line in RATIOS["lines"]:
        if line["goal"] is not None:
            there.setdefault(line["what"], set()).add(line["peer_name"])
    missing = {
        what: peers - there.get(what, set())
        for what, peers in table.ASKED.items()
        if peers - there.get(what, set())
    }
    assert not missing


def test_every_row_is_of_a_part_that_can_be_measured() -> None:
    assert {line["part"] for line in RATIOS["lines"]} <= set(bench.parts())


@pytest.mark.parametrize(
    ("better", "ours", "said"),
    [
        ("higher", 9.0, "yes"),
        ("higher", 7.0, "**missed**"),
        ("lower", 9.0, "**missed**"),
        ("lower", 7.0, "yes"),
    ],
)
def test_a_missed_goal_is_said(better: str, ours: float, said: str) -> None:
    line = Line("thing", "s", ours, 1.0, "peer", better, 8.0)
    shown = table.row(bench.kept(line, "run"))
    assert shown.endswith(f"| {said} |")
    assert ("NO" in bench.shown(line)) == (said != "yes")


def test_a_part_measured_anew_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "ratios.json"
    bench.write({"run": [Line("a", "s", 1, 2, "p")], "loop": [Line("b", "s", 1, 2, "p")]}, path)
    bench.write({"run": [Line("a", "s", 3, 2, "p")]}, path)
    kept = {line["what"]: line["ours"] for line in json.loads(path.read_text())["lines"]}
    assert kept == {"a": 3, "b": 1}


def test_a_readme_without_the_comment_lines_is_an_error() -> None:
    with pytest.raises(ValueError, match="speed table"):
        table.put("# nothing here\n", "| table |")
    text = f"before\n{table.FIRST}\n| old |\n{table.LAST}\nafter\n"
    assert table.put(text, "| new |") == text.replace("old", "new")

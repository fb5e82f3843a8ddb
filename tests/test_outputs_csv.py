"""CSV, read back by the csv module; no cell is a formula."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given, settings

from pvreplay.report import csv as writer
from pvreplay.report.escape import csv_cell, terminal
from tests.output_samples import COMMS, hostile_report, hostile_verdict, names
from tests.report_samples import report, violation


def rows(text: str) -> list[dict[str, str]]:
    """The rows; every one has every column."""
    head, *body = csv.reader(io.StringIO(text, newline=""))
    assert all(len(row) == len(head) for row in body)
    return [dict(zip(head, row, strict=True)) for row in body]


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet may compute *cell*: it begins like a formula and is no number."""
    if re.fullmatch(r"-?\d+(\.\d+)?", cell):
        return False
    return re.match(r"[ ]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20].", cell) is not None


def test_the_parts_of_a_backend_add_up_to_its_total() -> None:
    found = [row for row in rows(writer.render(report())) if row["backend"] == "xen"]
    parts = {
        part: [row for row in found if row["part"] == part]
        for part in ("total", "in switch", "outside", "op", "task", "cpu", "switches by hypercalls")
    }
    total = int(parts["total"][0]["hypercalls"])
    assert total == 30
    for part in ("op", "task", "cpu"):
        assert sum(int(row["hypercalls"]) for row in parts[part]) == total
    in_switch = int(parts["in switch"][0]["hypercalls"])
    assert in_switch + sum(int(row["hypercalls"]) for row in parts["outside"]) == total
    assert sum(int(row["hypercalls"]) for row in parts["switches by hypercalls"]) == in_switch
    assert sum(int(row["count"]) for row in parts["switches by hypercalls"]) == 23


def test_a_violation_is_a_row_on_each_backend_it_fires_on() -> None:
    found = rows(writer.render(report(violations=[violation(backends=["xen"])])))
    broken = [row for row in found if row["part"] == "violation"]
    assert [(row["backend"], row["name"], row["severity"], row["count"]) for row in broken] == [
        ("xen", "H1 raw-queued loadsegment:gs", "error", "182044")
    ]


def test_a_gate_is_a_row_a_check_and_a_row_a_rule() -> None:
    found = rows(writer.render_gate(hostile_verdict("t")))
    assert [(row["part"], row["name"], row["status"], row["difference"]) for row in found] == [
        ("check", "hypercalls", "fail", "4"),
        ("rule", "H1 raw-queued t", "new", "3"),
    ]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1+1", "@SUM(A1)", " =1", "\t=1", "\r=1", "'=1", "\uff1d1"])
def test_what_begins_like_a_formula_is_marked_as_text_and_can_be_told_back(name: str) -> None:
    cell = csv_cell(name)
    assert not is_formula(cell)
    assert cell in (terminal(name), f"'{terminal(name)}")


@pytest.mark.parametrize("name", ["-", "+", "fp thr 1-384", "1-1", "a=b", ""])
def test_what_is_no_formula_stays_as_it_is(name: str) -> None:
    assert csv_cell(name) == name


@pytest.mark.parametrize("name", COMMS)
def test_hostile_names_stay_in_their_cell(name: str) -> None:
    found = rows(writer.render(hostile_report(name)))
    assert [row["part"] for row in found] == [row["part"] for row in rows(writer.render(hostile_report("x")))]
    task = next(row for row in found if row["part"] == "task")
    assert task["name"] == csv_cell(name or "task 1")


@settings(max_examples=100, deadline=None)
@given(names)
def test_no_cell_is_a_formula(name: str) -> None:
    for text in (writer.render(hostile_report(name)), writer.render_gate(hostile_verdict(name))):
        assert not [cell for row in rows(text) for cell in row.values() if is_formula(cell)]

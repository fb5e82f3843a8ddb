"""The JSON report: stable keys, deterministic bytes, hostile names, and back again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pvreplay.errors import UsageError
from pvreplay.replay.result import BackendResult, Totals
from pvreplay.report import json as report_json
from tests.report_samples import HOSTILE, report, violation, xen

DOC = Path(__file__).parent.parent / "docs" / "report-json.md"


def rendered(**changes: object) -> dict[str, object]:
    return json.loads(report_json.render(report(**changes)))


def test_the_first_keys_come_in_the_documented_order() -> None:
    document = rendered(violations=[violation()])
    assert list(document)[:5] == ["schema", "trace", "kernel", "backends", "violations"]
    assert list(document["backends"][1])[:10] == [
        "name",
        "hypercalls",
        "hypercalls_per_switch",
        "entries",
        "traps",
        "rom_calls",
        "flushes",
        "batch_sizes",
        "by_op",
        "histogram",
    ]
    assert list(document["violations"][0])[:7] == [
        "rule",
        "name",
        "severity",
        "backends",
        "count",
        "step",
        "first",
    ]
    assert document["trace"]["state"] == {
        "mm": "derived",
        "fpu": "assumed",
        "tls": "assumed",
        "ldt": "assumed",
        "iopl": "observed",
    }


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    text = DOC.read_text()
    sections = {
        "## Top level": rendered(what_if=[], filter={"cpu": "0"}),
        "## `trace`": rendered()["trace"],
        "## `backends[]`": rendered()["backends"][1],
        "## `violations[]`": rendered(violations=[violation()])["violations"][0],
    }
    for heading, example in sections.items():
        table = text.split(heading)[1].split("\n## ")[0]
        rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        documented = [key for row in rows for key in re.findall(r"`(\w+)`", row)]
        assert documented == list(example), heading


def test_numbers_are_keys_in_numeric_order() -> None:
    backend = rendered()["backends"][1]
    assert list(backend["batch_sizes"]) == ["2", "4", "11"]
    assert backend["histogram"] == {"1": 21, "2": 2}


def test_the_order_in_which_tables_were_filled_does_not_show() -> None:
    one, other = xen(), xen()
    other.by_op = dict(reversed(one.by_op.items()))
    other.by_task = dict(reversed(one.by_task.items()))
    assert report_json.render(report(backends=[one])) == report_json.render(report(backends=[other]))


def test_doubts_are_told_even_when_there_are_none() -> None:
    assert rendered(doubts={"bad_lines": 2}, lost_events=7)["doubts"] == {
        "lost_events": 7,
        "unmatched": 0,
        "out_of_order": 0,
        "undecided": 0,
        "bad_lines": 2,
    }


def test_violations_are_sorted_worst_first() -> None:
    found = [
        violation(rule="W1", severity="perf", count=10**6),
        violation(count=1),
        violation(rule="S1", severity="security"),
    ]
    assert [v["rule"] for v in rendered(violations=found)["violations"]] == ["S1", "H1", "W1"]


def test_a_hostile_name_leaves_no_control_character_in_the_bytes() -> None:
    encoded = report_json.render(report(path=HOSTILE, task_names={1: HOSTILE, 2: "a\x7f\x9b31m\u2028b"}))
    assert all(char == "\n" or char.isprintable() for char in encoded.decode())
    names = json.loads(encoded)["task_names"]
    assert names["1"] == HOSTILE.replace("\udcff", "\\xff")
    assert names["2"] == "a\x7f\x9b31m\u2028b"


def test_a_character_outside_the_first_plane_that_does_not_print_survives() -> None:
    names = json.loads(report_json.render(report(task_names={1: "x\U000e0001y"})))["task_names"]
    assert names["1"] == "x\U000e0001y"


def test_a_report_read_back_renders_to_the_same_bytes() -> None:
    encoded = report_json.render(
        report(
            violations=[violation()], doubts={"unmatched": 2}, lost_events=3, not_checked={"P9": "no user"}
        )
    )
    assert report_json.render(report_json.parse(encoded, "r.json")) == encoded


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "r.json"),
        (b"{", "r.json"),
        (b"\xff\xfe", "r.json"),
        (b"[]", "r.json"),
        (b'{"schema": "other/1"}', "r.json"),
        (report_json.render(report()).replace(b"report/1", b"report/9"), "report/9"),
    ],
)
def test_what_is_no_report_is_a_usage_error(content: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        report_json.parse(content, "r.json")


def test_an_empty_backend_renders_with_all_its_keys() -> None:
    backend = rendered(backends=[BackendResult(name="native")])["backends"][0]
    assert backend["by_op"] == {} and backend["unbatched_hypercalls"] is None
    assert backend["in_switch"] == dict.fromkeys(Totals.__struct_fields__, 0)

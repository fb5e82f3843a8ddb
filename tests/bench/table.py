"""The speed table of the README, made from ratios.json: ``make bench-readme``.

It stands between two comment lines of the README; whatever else is there stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

FIRST: Final = "<!-- speed table: made from tests/bench/ratios.json by `make bench-readme` -->"
LAST: Final = "<!-- end of the speed table -->"

ASKED: Final = {
    "perf.data": {"perf sched latency", "perf sched timehist -s", "perf script", "perf script -F"},
    "perf.data: memory": {"limit"},
    "trace.dat": {"trace-cmd report", "trace-cmd report -F"},
    "trace.dat: memory": {"limit"},
    "trace.dat, not packed": {"trace-cmd report", "trace-cmd report -F"},
    "trace.dat, not packed: memory": {"limit"},
    "ftrace text": {"a Python regular expression a line"},
    "xentrace": {"xenalyze --summary"},
    "trace.bin": {"numpy reading 32-byte records"},
    "loop, recording": {"C by hand, -O3"},
    "loop, random": {"C by hand, -O3"},
    "run, whole": {"the loop's part"},
    "run, one thread": {"the loop's part"},
    "run, five backends": {"one backend"},
    "run, private memory": {"limit"},
    "start, --version": {"python -c 'import click'"},
    "start, run to JSON": {"python -c 'import click, msgspec'"},
    "start, run to text": {"python -c 'import click, msgspec, rich.console, rich.table'"},
    "synth, slowest workload": {"limit"},
}
"""Rows that must be there, met or not: what -> the peers it has a goal against."""


def number(value: float) -> str:
    """Three digits that say something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def row(line: Mapping[str, Any]) -> str:
    """One line of ratios.json as one of the table."""
    unit, peer = line["unit"], line["peer_name"]
    low = line["better"] == "lower"
    goal, ratio = line["goal"], line["ratio"]
    told, judged = "", ""
    if goal is not None:
        told = f"{'at most' if low else 'at least'} {goal:g}"
        judged = "yes" if (ratio <= goal if low else ratio >= goal) else "**missed**"
    beside = f"{peer}: {number(line['peer'])}"
    return (
        f"| {line['what']} | {number(line['ours'])} {unit} | {beside} | {number(ratio)} | {told} | {judged} |"
    )


def table(ratios: Mapping[str, Any]) -> str:
    """The whole table, without the comment lines around it."""
    lines: Sequence[Mapping[str, Any]] = ratios["lines"]
    head = ["| what | ours | beside it | ratio | goal | met |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *(row(line) for line in lines)])


def in_readme(text: str) -> str:
    """The table that the README *text* holds; ValueError when its comment lines are not there."""
    _, found, rest = text.partition(FIRST + "\n")
    inside, ended, _ = rest.partition("\n" + LAST)
    if not (found and ended):
        raise ValueError(f"no lines {FIRST!r} and {LAST!r}")
    return inside


def put(text: str, new: str) -> str:
    """The README *text* with the table *new*."""
    return text.replace(f"{FIRST}\n{in_readme(text)}\n{LAST}", f"{FIRST}\n{new}\n{LAST}")

"""ftrace text that holds fewer entries than its header names; and where the header does not bind."""

from __future__ import annotations

import io

import pytest

from pvreplay.sources.textsource import TextSource
from tests.source_tools import DATA, drain, switch

ON_CPU = [
    switch(1.0 + number, number % 2, "cc1", 7, "S", "make", 9) if number % 3 else wakeup
    for number, wakeup in enumerate(
        f"     cc1-7       [{number % 2:03}] d..2. {1.0 + number:12.6f}: sched_waking: comm=make pid=9"
        for number in range(12)
    )
]
"""Twelve entries of two CPUs, four of them of an event that gives no record."""
STACK = "    cc1-7       [000] d..2.    20.000000: <stack trace>\n => __schedule\n => schedule"
BROKEN_NAME = switch(21.0, 0, "a\nb-7 [00", 7, "S", "c\nd", 9)


def header(entries: int, written: int = 0, cpus: int = 2, tracer: str = "nop") -> str:
    return (
        f"# tracer: {tracer}\n#\n"
        f"# entries-in-buffer/entries-written: {entries}/{written or entries}   #P:{cpus}\n"
        "#\n#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n"
    )


def doubts(*parts: str, slow: bool = False) -> dict[str, int]:
    source = TextSource(io.BytesIO("\n".join(parts).encode() + b"\n"), "ftrace", slow=slow)
    drain(source, 8)
    return source.doubts


@pytest.mark.parametrize("slow", [False, True], ids=["compiled scanner", "slow parser"])
@pytest.mark.parametrize("kept", range(2, 13))
def test_entries_that_the_header_names_and_no_line_has_are_counted(kept: int, slow: bool) -> None:
    found = doubts(header(12), *ON_CPU[:kept], slow=slow)
    assert found == ({"missing_lines": 12 - kept} if kept < 12 else {})


@pytest.mark.parametrize("slow", [False, True], ids=["compiled scanner", "slow parser"])
def test_every_line_of_a_recording_in_the_package_is_an_entry(slow: bool) -> None:
    text = (DATA.parent.parent / "traces" / "guest-n32-fpthreads.trace.txt").read_text()
    assert doubts(text.removesuffix("\n"), slow=slow) == {}
    assert doubts(*text.split("\n")[:-11], slow=slow) == {"missing_lines": 10}


@pytest.mark.parametrize("slow", [False, True], ids=["compiled scanner", "slow parser"])
def test_a_stack_and_a_name_with_a_newline_are_one_entry_comments_and_blank_lines_none(slow: bool) -> None:
    parts = (*ON_CPU, "", STACK, "##### CPU 1 buffer started ####", BROKEN_NAME)
    assert doubts(header(14), *parts, slow=slow) == {}
    assert doubts(header(15), *parts, slow=slow) == {"missing_lines": 1}


def test_what_was_overwritten_before_is_not_missing_as_well() -> None:
    assert doubts(header(12, 50), *ON_CPU) == {"overwritten_events": 38}
    assert doubts(header(12, 50), *ON_CPU[:10]) == {"overwritten_events": 38, "missing_lines": 2}


def test_more_lines_than_the_header_names_are_a_buffer_printed_while_it_was_written() -> None:
    assert doubts(header(9), *ON_CPU) == {}


@pytest.mark.parametrize(
    "parts",
    [
        (header(24), *ON_CPU[::2]),
        (header(24), *ON_CPU, "CPU:1 [LOST 660 EVENTS]"),
        (header(24), *ON_CPU, header(24), *ON_CPU),
        (header(24, tracer="function_graph"), *ON_CPU),
        (header(24).split("\n", 1)[1], *ON_CPU),
        ON_CPU,
    ],
    ids=[
        "one CPU's file, with the sum of all in its header",
        "entries overwritten while they were printed",
        "two files",
        "a tracer that joins entries",
        "nobody says which tracer",
        "no header",
    ],
)
def test_a_header_that_does_not_bind_makes_no_doubt(parts: tuple[str, ...]) -> None:
    assert "missing_lines" not in doubts(*parts)


def test_a_machine_of_one_cpu_has_all_entries_in_that_cpus_lines() -> None:
    one = ON_CPU[::2]
    assert doubts(header(6, cpus=1), *one) == {}
    assert doubts(header(6, cpus=1), *one[:4]) == {"missing_lines": 2}

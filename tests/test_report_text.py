"""The text report: fits 80 columns, says the verdict first, survives hostile names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.replay.result import BackendResult, DrawnStep, First, Totals
from pvreplay.report import text
from pvreplay.report.figures import duration, percent, short
from pvreplay.report.page import Page, fit
from tests.report_samples import HOSTILE, report, violation, xen


def test_the_table_names_every_backend_with_its_exact_numbers() -> None:
    lines = text.render(report()).splitlines()
    assert any(re.match(r"native +0 +0\.00 +- +- +0 +0$", line) for line in lines)
    assert any(re.match(r"xen +30 +1\.30 +94 +68\.1 % +71 +3$", line) for line in lines)


def test_columns_of_zeros_are_left_out_unless_verbose() -> None:
    assert "ROM calls" not in text.render(report())
    assert "ROM calls" in text.render(report(), verbose=1)


def test_hypercalls_are_shown_even_when_nothing_crosses() -> None:
    out = text.render(report(backends=[BackendResult(name="native", histogram={0: 23})]))
    assert re.search(r"backend +hypercalls", out)


def test_a_clean_run_says_so_and_a_broken_rule_is_drawn_with_its_mark() -> None:
    assert "no rule broken" in text.render(report())
    out = text.render(report(violations=[violation()]))
    assert "H1 raw-queued  error  vmi, xen  182,044 times" in out
    assert "first: event 311, cpu 1, 0.000412 s, make -> cc1" in out
    marked = [line for line in out.splitlines() if "<--" in line]
    assert len(marked) == 1 and "loadsegment:gs" in marked[0]
    assert "pvreplay rule H1" in out


def test_the_verdict_counts_the_performance_findings_that_are_listed() -> None:
    perf = {"severity": "perf", "rule": "W6", "name": "trap-read", "message": "emulated", "op": "read_cr0"}
    found = [
        violation(**perf, count=500),
        violation(**perf, count=59),
        violation(**perf | {"op": "read_cr4"}),
    ]
    out = text.render(report(violations=found))
    assert "2 performance findings" in out
    assert [line.split("  ")[:1] for line in out.splitlines() if line.startswith("W6")] == [
        ["W6 trap-read"]
    ] * 2
    assert re.search(r"^W6 trap-read .* 559 times", out, re.MULTILINE)
    assert "3 performance findings" in text.render(report(violations=found), verbose=1)


def test_only_steps_near_the_fault_are_drawn_unless_verbose() -> None:
    drawn = [DrawnStep(index=n, op=f"op{n}", disposition="plain", mark=n == 10) for n in range(20)]
    few, all_of_them = (
        text.render(report(violations=[violation(drawn=drawn)]), verbose=verbose) for verbose in (0, 1)
    )
    assert "op7" in few and "op13" in few and "op6" not in few and "op14" not in few
    assert "op0" in all_of_them and "op19" in all_of_them


def test_lost_events_and_damage_are_told_before_any_number() -> None:
    out = text.render(report(lost_events=12, damage="cut at offset 0x40"))
    assert out.index("12 events lost") < out.index("hypercalls")
    assert out.index("cut at offset 0x40") < out.index("hypercalls")
    assert "lower bounds" in out


def test_state_with_the_same_origin_shares_a_line_and_names_its_option() -> None:
    out = text.render(report())
    assert "assumed   fpu: never used (--assume fpu=always)" in out
    assert "tls, ldt: none set (--assume tls=...)" in out


def test_rows_beyond_top_are_summed_not_dropped() -> None:
    result = xen()
    result.by_task = {n: Totals(hypercalls=n, count=1) for n in range(1, 11)}
    out = text.render(report(backends=[result]), top=2)
    assert re.search(r"^8 more +8 +36$", out, re.MULTILINE)


def test_the_footer_admits_an_interpreted_loop() -> None:
    assert "interpreted loop (slow" in text.render(report(compiled=False))


def test_ascii_output_is_ascii() -> None:
    out = text.render(report(path="größe…", task_names={1: HOSTILE}), ascii=True)
    assert out.isascii() and "\x1b" not in out


def test_colour_is_written_only_when_asked_and_changes_no_character() -> None:
    given_report = report(violations=[violation()], task_names={1: HOSTILE, 2: "[bold]x[/bold]"})
    plain = text.render(given_report)
    colored = text.render(given_report, color=True)
    assert "\x1b[" in colored and "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored).replace(" \n", "\n") == plain.replace(" \n", "\n")


hostile_text = st.text(max_size=24)
count = st.integers(min_value=0, max_value=10**15)
totals = st.builds(Totals, hypercalls=count, entries=count, traps=count, count=count, rom_calls=count)
backend = st.builds(
    BackendResult,
    name=hostile_text,
    hypercalls=count,
    entries=count,
    traps=count,
    rom_calls=count,
    hypercalls_per_switch=st.floats(min_value=0, max_value=1e6),
    flushes=st.dictionaries(hostile_text, count, max_size=7),
    batch_sizes=st.dictionaries(st.integers(0, 64), st.integers(1, 10**9), max_size=7),
    by_op=st.dictionaries(hostile_text, totals, max_size=7),
    histogram=st.dictionaries(st.integers(0, 64), st.integers(1, 10**12), max_size=9),
    outside=st.dictionaries(hostile_text, totals, max_size=3),
    by_task=st.dictionaries(st.integers(0, 9), totals, max_size=9),
    unbatched_hypercalls=st.none() | count,
)
any_violation = st.builds(
    lambda first, message, ops, n: violation(
        first=first,
        message=message,
        count=n,
        drawn=[DrawnStep(index=i, op=op, disposition=op, detail=op, mark=i == 0) for i, op in enumerate(ops)],
    ),
    st.none()
    | st.builds(
        First, event=count, time_ns=count, cpu=st.integers(0, 8191), prev=hostile_text, next=hostile_text
    ),
    hostile_text,
    st.lists(hostile_text, max_size=4),
    count,
)


@settings(max_examples=60, deadline=None)
@given(
    backends=st.lists(backend, max_size=6),
    violations=st.lists(any_violation, max_size=3),
    names=st.dictionaries(st.integers(0, 9), hostile_text, max_size=9),
    path=hostile_text,
    verbose=st.integers(0, 1),
    ascii=st.booleans(),
)
def test_no_report_makes_a_line_wider_than_the_page_or_writes_a_control_character(
    backends: list[BackendResult], violations: list, names: dict, path: str, verbose: int, ascii: bool
) -> None:
    from rich.cells import cell_len

    made = report(backends=backends, violations=violations, task_names=names, path=path)
    out = text.render(made, verbose=verbose, ascii=ascii)
    for line in out.split("\n"):
        assert line.isprintable()
        assert cell_len(line) <= 80, line


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (-1234567, "-1.2M"), (10**15, "1.0P"), (10**18, "1000.0P")],
)
def test_short_numbers_keep_their_scale(value: int, spelled: str) -> None:
    assert short(value) == spelled


def test_a_percentage_is_round_only_when_it_is_exact() -> None:
    assert percent(1, 10**6) == "<0.1 %"
    assert percent(10**6 - 1, 10**6) == ">99.9 %"
    assert percent(0, 5) == "0.0 %" and percent(5, 5) == "100.0 %" and percent(0, 0) == "-"


def test_durations_choose_a_readable_unit() -> None:
    assert [duration(n) for n in (5, 1500, 2_000_000, 3_000_000_000)] == [
        "5 ns",
        "1.500 us",
        "2.000 ms",
        "3.000 s",
    ]


def test_wide_characters_are_cut_by_columns_not_by_characters() -> None:
    assert fit("日本語日本語", 7) == "日本語…"
    page = Page(8)
    page.line("日本語日本語")
    assert page.text() == "日本語…\n"

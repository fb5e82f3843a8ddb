"""run --cpu, --task, --time: complementary filters add up to the whole; the state follows the whole trace."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.backends.reader import load_backend
from pvreplay.cli import values
from pvreplay.errors import UsageError
from pvreplay.kernels.reader import load_kernel
from pvreplay.replay.filter import Filter
from pvreplay.replay.price import price
from pvreplay.replay.result import Report
from pvreplay.replay.run import replay
from pvreplay.replay.step import step_trace
from pvreplay.trace.memory import ListTrace
from tests.cli_helpers import PINGPONG, pvreplay, two_lines
from tests.replay_traces import random_trace

KERNEL = load_kernel("2.6.21")
BACKENDS = [load_backend(name, KERNEL) for name in ("vmi", "xen")]
CPUS, TASKS = 3, 9


def reported(trace: ListTrace, keep: Filter) -> Report:
    """The report of the shape engine."""
    hist = replay(trace, KERNEL, window_ns=keep.window_ns)
    return price(keep.cut(hist), KERNEL, BACKENDS)


def sums(*reports: Report) -> list[Any]:
    """What must add up, of each backend: totals, ops, flushes, batches, tasks, CPUs, shapes, violations."""
    found: list[Any] = [sum(report.switches for report in reports)]
    for place in range(len(BACKENDS)):
        counted: Counter[tuple[str, ...]] = Counter()
        for report in reports:
            result = msgspec.to_builtins(report.backends[place], str_keys=True)
            for key in ("hypercalls", "entries", "traps", "rom_calls"):
                counted[(key,)] += result[key]
            for table in ("flushes", "batch_sizes", "histogram"):
                for key, count in result[table].items():
                    counted[table, key] += count
            for table in ("by_op", "by_task", "by_cpu", "by_shape", "outside"):
                for key, totals in result[table].items():
                    for name, count in totals.items():
                        counted[table, key, name] += count
        found.append(+counted)
    broken: Counter[tuple[str, str, str]] = Counter()
    for report in reports:
        for one in report.violations:
            for backend in one.backends:
                broken[one.rule, one.op, backend] += one.count
    found.append(broken)
    return found


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_the_parts_of_every_kind_of_filter_add_up_to_the_whole(seed: int) -> None:
    trace = random_trace(seed, 400, cpus=CPUS, tasks=TASKS)
    hist = replay(trace, KERNEL)
    whole = reported(trace, Filter())
    middle = (hist.first_time_ns + hist.last_time_ns) // 2
    by_cpu = [Filter(cpus=frozenset({0})), Filter(cpus=frozenset({1, 2, 3}))]
    by_task = [Filter(task=name) for name in ("idle", *(f"t{n}" for n in range(1, TASKS + 1)))]
    by_time = [Filter(window_ns=(0, middle)), Filter(window_ns=(middle, 1 << 64))]
    everything = sums(whole)
    # A switch inside a sequence that never ended is in no row, and in no part of the rows.
    everything[0] = sum(result.in_switch.count for result in whole.backends) // len(BACKENDS)
    for parts in (by_cpu, by_task):
        assert sums(*(reported(trace, part) for part in parts)) == everything
    halves = sums(*(reported(trace, part) for part in by_time))
    assert halves[1:] == everything[1:]


@pytest.mark.parametrize(
    "keep",
    [
        Filter(cpus=frozenset({1})),
        Filter(task="t3"),
        Filter(task="idle"),
        Filter(window_ns=(50_000, 200_000)),
        Filter(cpus=frozenset({0, 2}), task="t1", window_ns=(10_000, 400_000)),
    ],
)
def test_the_engines_agree_about_a_part(keep: Filter) -> None:
    trace = random_trace(seed=5, events=700, cpus=CPUS, tasks=TASKS)
    shapes = msgspec.to_builtins(reported(trace, keep))
    steps = msgspec.to_builtins(step_trace(trace, KERNEL, BACKENDS, keep=keep))
    assert (shapes.pop("engine"), steps.pop("engine")) == ("shape", "step")
    assert shapes == steps
    assert 0 < shapes["switches"] < replay(trace, KERNEL).switches


def test_the_state_is_that_of_the_whole_trace(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(PINGPONG)  # ping's FPU registers are live at the first switch only
    first = pvreplay("run", path, "-f", "json", "--time", ",0.000000001")
    later = pvreplay("run", path, "-f", "json", "--time", "0.000000001,")
    shapes = [set(json.loads(one.out)["backends"][0]["by_shape"]) for one in (first, later)]
    assert any("prev_fpu" in shape for shape in shapes[0])
    assert not any("prev_fpu" in shape for shape in shapes[1])
    assert json.loads(first.out)["trace"]["switches"] == 1
    assert json.loads(later.out)["trace"]["switches"] == 22
    assert json.loads(later.out)["trace"]["events"] == 23


def test_the_report_says_which_filter_was_in_force(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(PINGPONG)
    options = ("--cpu", "0,2-3", "--task", "ping", "--time", ",0.5")
    told = json.loads(pvreplay("run", path, "-f", "json", *options).out)
    assert told["filter"] == {"cpu": "0,2-3", "task": "ping", "time": ",0.5"}
    assert told["trace"]["switches"] == 11
    assert "only cpu 0,2-3, task ping, time ,0.5" in pvreplay("run", path, *options).out
    assert "filter" not in json.loads(pvreplay("run", path, "-f", "json").out)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--task", "nobody"), "In this trace ran most often: "),
        (("--cpu", "7"), "CPUs with switches in this trace: 0"),
        (("--time", "5,"), "times go from 0 to 0.000000022 s"),
    ],
)
@pytest.mark.parametrize("engine", ["shape", "step"])
def test_a_filter_that_keeps_nothing_says_what_there_is(
    options: tuple[str, ...], told: str, engine: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.txt"
    path.write_text(PINGPONG)
    done = pvreplay("run", path, *options, "--engine", engine)
    assert done.code == 2
    assert two_lines(done.err)
    assert told in done.err
    assert done.out == ""


def test_a_trace_without_a_switch_is_not_the_filters_fault(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(PINGPONG.split("0.000000000")[0] + "0.000000001 0 fpu\n")
    assert pvreplay("run", path, "--cpu", "0").code == 3


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.cpu_list, "0-3,5", frozenset({0, 1, 2, 3, 5})),
        (values.cpu_list, "8191", frozenset({8191})),
        (values.time_span, "1,2.5", (1_000_000_000, 2_500_000_000)),
        (values.time_span, ",0.000000001", (0, 1)),
        (values.time_span, "49.33,", (49_330_000_000, 1 << 64)),
        (values.size_bytes, "512K", 512 << 10),
        (values.size_bytes, "4MiB", 4 << 20),
        (values.size_bytes, "65536", 65536),
        (values.seconds, "0.5", 0.5),
    ],
)
def test_values_are_read(parse: Any, text: str, value: object) -> None:
    assert parse(None, None, text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (values.cpu_list, "3-1"),
        (values.cpu_list, "8192"),
        (values.cpu_list, ""),
        (values.cpu_list, "1,"),
        (values.cpu_list, "²"),
        (values.time_span, "1"),
        (values.time_span, "2,1"),
        (values.time_span, "1,1"),
        (values.time_span, "-1,2"),
        (values.time_span, "0.0000000001,2"),
        (values.size_bytes, "0"),
        (values.size_bytes, "M"),
        (values.size_bytes, "4 potatoes"),
        (values.seconds, "0"),
        (values.seconds, "nan"),
    ],
)
def test_values_that_mean_nothing_are_refused(parse: Any, text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse(None, None, text)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(UsageError):
        replay(random_trace(1, 10), KERNEL, window_ns=(5, 5))


def test_show_means_the_violation_of_the_same_filtered_run() -> None:
    """The shipped recording, whose first W4 is on CPU 0."""
    options = ("--cpu", "1", "--time", "49.3,")
    listed = json.loads(pvreplay("run", "-b", "xen", "-f", "json", *options).out)["violations"]
    whole = json.loads(pvreplay("run", "-b", "xen", "-f", "json").out)["violations"]
    for number, violation in enumerate(listed, 1):
        shown = pvreplay("show", "--violation", str(number), "-b", "xen", "-f", "json", *options)
        place = json.loads(shown.out)["unit"]
        assert (place["event"], place["cpu"]) == (violation["first"]["event"], 1)
        assert place["time_ns"] >= 49_300_000_000
    assert [one["first"]["event"] for one in listed] != [one["first"]["event"] for one in whole]
    assert pvreplay("show", "--at", "49.3", "--cpu", "1").code == 2


def test_an_empty_name_of_a_task_or_a_trace_is_a_scripts_unset_variable_and_refused(tmp_path: Path) -> None:
    for args in (
        ["run", "--task", ""],
        ["run", ""],
        ["show", "--switch", "1", ""],
        ["diff", "xen", "vmi", ""],
    ):
        done = pvreplay(*args)
        assert done.code == 2 and two_lines(done.err) and done.out == "", args

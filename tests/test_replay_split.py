"""Two threads on one trace: the answer of one thread, to the last digit, or the second's work is dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pvreplay.errors import TraceError
from pvreplay.kernels.model import Kernel
from pvreplay.replay import run as replaying
from pvreplay.replay import split
from pvreplay.replay.histogram import Histogram
from pvreplay.replay.run import replay
from pvreplay.replay.split import Second
from pvreplay.replay.state import Room
from pvreplay.synth import make, workload_names
from pvreplay.trace import layout
from pvreplay.trace.binary import BinaryTrace, write_binary
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import Event, ListTrace
from pvreplay.trace.model import Meta, Task, Trace
from tests.replay_traces import kernels, random_trace
from tests.test_replay_agreement import facts

KERNELS = kernels()
TINY = Room(table_bits=2, items=2, arena=1, sequences=1, tasks=1)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 16 events, and a second thread for any trace."""
    monkeypatch.setattr(replaying, "WORTH_BYTES", 1)
    monkeypatch.setattr(split, "WARM_EVENTS", 400)
    monkeypatch.setattr(layout, "EVENTS_BLOCK_BYTES", 256)
    monkeypatch.setattr(layout, "FIRST_EVENTS_BLOCK_BYTES", 256)


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether what each second thread did was used.  It is done before the first thread begins."""
    found: list[bool] = []

    def started(*args: Any) -> Second | None:
        second = plain_start(*args)
        assert second is not None
        second._thread.join()
        found.append(False)
        return second

    def joined(self: Second, *args: Any) -> bool:
        found[-1] = plain_joined(self, *args)
        return found[-1]

    plain_start, plain_joined = split.second_thread, Second.joined
    monkeypatch.setattr(split, "second_thread", started)
    monkeypatch.setattr(Second, "joined", joined)
    return found


def written(path: Path, trace: Trace) -> Path:
    with path.open("wb") as file:
        write_binary(trace, file)
    return path


def by_one(path: Path, kernel: Kernel, **more: Any) -> dict[str, Any]:
    return facts(replay(BinaryTrace.open(str(path)), kernel, **more))


def by_two(path: Path, kernel: Kernel, **more: Any) -> dict[str, Any]:
    return facts(replay(BinaryTrace.open(str(path)), kernel, jobs=lambda: 2, **more))


def apt(seed: int, events: int, *, cpus: int = 3, tasks: int = 9) -> ListTrace:
    """Every kind of event, each FOR followed by what it is for: only then is the middle known beforehand."""
    trace = random_trace(seed, events, cpus=cpus, tasks=tasks)
    random = Random(seed)
    drawn: list[Event] = []
    for event in trace.events:
        if event[2] == Kind.FOR:
            drawn += [event, (event[0], event[1], int(Kind.IO_BITMAP), random.randrange(2), 0)]
        else:
            drawn.append(event)
    return ListTrace(drawn, trace.tasks, trace.on, trace.meta)


def quiet(events: int, seed: int = 1, cpus: int = 2, tasks: int = 4) -> list[Event]:
    """Switches and FPU instructions alone."""
    random = Random(seed)
    drawn: list[Event] = []
    for number in range(events):
        kind = random.choice([Kind.SWITCH, Kind.SWITCH, Kind.FPU])
        arg = random.randrange(tasks + 1) if kind == Kind.SWITCH else 0
        drawn.append((number * 10 + 10, random.randrange(cpus), int(kind), arg, 0))
    return drawn


def trace_of(events: list[Event], tasks: int = 4, cpus: int = 2) -> ListTrace:
    table = [Task(number, mm=number % 3, fpu_counter=number) for number in range(1, tasks + 1)]
    return ListTrace(events, table, [(0, 1)], Meta(path="<quiet>", format="memory", cpus=cpus))


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{k.fpu.model}-{k.fpu.eager_above}-{k.parks}")
def test_two_threads_agree_with_one_on_every_kind_of_event(
    kernel: Kernel, tmp_path: Path, outcomes: list[bool]
) -> None:
    for turn in range(6):
        seed = KERNELS.index(kernel) * 10 + turn
        path = written(tmp_path / "t.bin", random_trace(seed, 3000, cpus=1 + turn % 3, tasks=3 + turn))
        assert by_two(path, kernel) == by_one(path, kernel)
    assert len(outcomes) == 6


def test_most_random_traces_are_joined_and_some_are_not(
    tmp_path: Path, outcomes: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(40):
        path = written(tmp_path / "t.bin", apt(seed, 3000, cpus=1 + seed % 3))
        kernel = KERNELS[seed % len(KERNELS)]
        monkeypatch.setattr(split, "WARM_EVENTS", seed % 5 * 100)
        assert by_two(path, kernel) == by_one(path, kernel)
    assert 10 < sum(outcomes) < 40


@pytest.mark.parametrize("interpreted", [False, True])
def test_arrays_that_are_far_too_small_grow_in_both_threads(
    interpreted: bool, tmp_path: Path, outcomes: list[bool]
) -> None:
    for seed in range(8):
        path = written(tmp_path / "t.bin", apt(seed, 3000, cpus=2, tasks=30))
        for kernel in (KERNELS[1], KERNELS[22]):
            expected = by_one(path, kernel)
            assert by_two(path, kernel, interpreted=interpreted, room=TINY) == expected
    assert sum(outcomes) > 5


@pytest.mark.parametrize("workload", workload_names())
def test_every_workload_is_joined(workload: str, tmp_path: Path, outcomes: list[bool]) -> None:
    path = written(tmp_path / "t.bin", make(workload, switches=20_000, seed=3, cpus=3))
    for kernel in (KERNELS[1], KERNELS[22], KERNELS[-1]):
        assert by_two(path, kernel) == by_one(path, kernel)
    assert outcomes == [True] * 3


def test_a_time_window_counts_the_same(tmp_path: Path, outcomes: list[bool]) -> None:
    path = written(tmp_path / "t.bin", apt(5, 4000))
    last = by_one(path, KERNELS[1])["last_time_ns"]
    for start, until in [(0, last // 3), (last // 3, last), (last // 4, last // 4 * 3), (last - 9, last)]:
        window = (start, until)
        assert by_two(path, KERNELS[1], window_ns=window) == by_one(path, KERNELS[1], window_ns=window)
    assert any(outcomes)


def test_a_counter_that_only_the_whole_past_tells_is_known_in_the_middle(
    tmp_path: Path, outcomes: list[bool]
) -> None:
    """A task whose every slice uses the FPU has a counter that wraps every 256 slices."""
    events: list[Event] = []
    for number in range(5000):
        time = number * 30
        events += [(time, 0, int(Kind.SWITCH), 1 + number % 2, 0), (time + 9, 0, int(Kind.FPU), 0, 0)]
    path = written(tmp_path / "t.bin", trace_of(events))
    assert by_two(path, KERNELS[1]) == by_one(path, KERNELS[1])
    assert outcomes == [True]


def test_a_section_that_is_open_longer_than_the_warm_up_makes_the_first_thread_go_on_alone(
    tmp_path: Path, outcomes: list[bool]
) -> None:
    events = quiet(4000)
    events[300] = (3010, 1, int(Kind.IRQ_ENTER), 0, 0)
    kept = [event for event in events if event[1] == 0 or event[0] <= 3010 or event[0] > 39_000]
    path = written(tmp_path / "t.bin", trace_of(kept))
    assert by_two(path, KERNELS[1]) == by_one(path, KERNELS[1])
    assert outcomes == [False]


def test_a_cpu_that_is_silent_for_most_of_the_trace_is_no_obstacle(
    tmp_path: Path, outcomes: list[bool]
) -> None:
    kept = [event for event in quiet(4000) if event[1] == 0 or event[0] <= 3000 or event[0] > 39_000]
    path = written(tmp_path / "t.bin", trace_of(kept))
    assert by_two(path, KERNELS[1]) == by_one(path, KERNELS[1])
    assert outcomes == [True]


def test_what_is_wrong_in_either_part_is_said_as_by_one_thread(tmp_path: Path, outcomes: list[bool]) -> None:
    for place in (700, 1600, 2500, 3900):
        for bad in [(0, 1, 77, 0, 0), (0, 1, int(Kind.SWITCH), 99, 0), (0, 7, int(Kind.FPU), 0, 0)]:
            events = quiet(4000)
            events[place] = (place * 10, *bad[1:])
            path = written(tmp_path / "t.bin", trace_of(events))
            with pytest.raises(TraceError) as one:
                by_one(path, KERNELS[1])
            with pytest.raises(TraceError) as two:
                by_two(path, KERNELS[1])
            assert (two.value.message, two.value.hint) == (one.value.message, one.value.hint)
            assert "offset" in one.value.message
    assert not any(outcomes)


def test_damage_anywhere_is_reported_as_by_one_thread(tmp_path: Path, outcomes: list[bool]) -> None:
    whole = written(tmp_path / "whole.bin", trace_of(quiet(3000))).read_bytes()
    random = Random(7)
    for turn in range(60):
        raw = bytearray(whole)
        if turn % 3 == 0:
            raw = raw[: random.randrange(100, len(raw))]
        else:
            for _ in range(turn % 4 + 1):
                raw[random.randrange(16, len(raw))] ^= 1 << random.randrange(8)
        path = tmp_path / "t.bin"
        path.write_bytes(raw)
        assert said(by_two, path) == said(by_one, path)
    assert any(outcomes), "a file that is only cut is still read by two"
    assert not all(outcomes)


def said(replayed: Callable[[Path, Kernel], dict[str, Any]], path: Path) -> object:
    try:
        return replayed(path, KERNELS[1])
    except TraceError as error:
        return error.message, error.hint


def test_the_trace_knows_at_the_end_what_one_thread_would_have_read(
    tmp_path: Path, outcomes: list[bool]
) -> None:
    path = written(tmp_path / "t.bin", make("forkstorm", switches=5000, seed=3))
    traces = BinaryTrace.open(str(path)), BinaryTrace.open(str(path))
    replay(traces[0], KERNELS[1])
    replay(traces[1], KERNELS[1], jobs=lambda: 2)
    one, two = ((trace.meta, trace.doubts, trace.damage, trace.closed) for trace in traces)
    assert one == two
    assert two[3]
    assert outcomes == [True]


def test_a_trace_of_very_many_tasks_is_left_to_one_thread(
    tmp_path: Path, outcomes: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split, "_MOST_TASKS", 3)
    path = written(tmp_path / "t.bin", trace_of(quiet(3000)))
    assert by_two(path, KERNELS[1]) == by_one(path, KERNELS[1])
    assert outcomes == [False]


def test_two_threads_at_once_agree_with_one_however_they_are_scheduled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "t.bin", random_trace(11, 20_000, cpus=3))
    alone = by_one(path, KERNELS[22])
    told: list[int] = []
    for turn in range(10):
        monkeypatch.setattr(split, "WARM_EVENTS", 40 * turn)
        assert by_two(path, KERNELS[22], progress=told.append) == alone
    assert told[-1] <= 20_000
    assert threading.active_count() == 1


def test_progress_counts_what_both_threads_have_done(tmp_path: Path, outcomes: list[bool]) -> None:
    path = written(tmp_path / "t.bin", trace_of(quiet(4000)))
    told: list[int] = []
    by_two(path, KERNELS[1], progress=told.append)
    assert outcomes == [True]
    assert told == sorted(told)
    assert told[0] > 1000, "the second is done when the first begins"
    assert told[-1] == 4000


def test_an_interrupt_ends_the_second_thread_too(tmp_path: Path) -> None:
    path = written(tmp_path / "t.bin", random_trace(11, 20_000))

    def interrupted(events: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        by_two(path, KERNELS[1], progress=interrupted)
    assert threading.active_count() == 1


def test_one_job_a_small_trace_and_a_stream_have_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object) -> None:
        raise AssertionError("a second thread")

    monkeypatch.setattr(split.Second, "__init__", never)
    path = written(tmp_path / "t.bin", trace_of(quiet(3000)))
    alone = by_one(path, KERNELS[1])
    trace = BinaryTrace.open(str(path))
    assert facts(replay(trace, KERNELS[1], jobs=lambda: 1)) == alone
    monkeypatch.setattr(replaying, "WORTH_BYTES", 1 << 20)
    assert by_two(path, KERNELS[1]) == alone
    monkeypatch.setattr(replaying, "WORTH_BYTES", 1)
    with path.open("rb") as file:
        streamed: Histogram = replay(BinaryTrace.from_stream(file, str(path)), KERNELS[1], jobs=lambda: 2)
    assert facts(streamed) == alone

"""Finding one switch: the compiled search against the slow tracker, on every kind of event."""

from __future__ import annotations

import importlib.util
import os
from array import array
from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.backends.reader import load_backend
from pvreplay.errors import TraceError, UsageError
from pvreplay.kernels.model import Kernel
from pvreplay.kernels.reader import load_kernel
from pvreplay.machine.shape import UNIT_SEQ, UNIT_SWITCH
from pvreplay.replay import _find_cy
from pvreplay.replay.locate import Located, Target, locate, located_violation
from pvreplay.replay.price import price
from pvreplay.replay.run import replay
from pvreplay.replay.track import Tracker, shape_of
from pvreplay.trace.events import Kind, unpack
from pvreplay.trace.memory import ListTrace, pack_events
from pvreplay.trace.model import Task
from tests.replay_traces import kernels, random_trace

KERNELS = kernels()
K2621 = load_kernel("2.6.21")
Place = tuple[int, int, tuple[int, ...], int, int, int]
"""unit type, shape, items, CPU, event, time."""


def slow_places(trace: ListTrace, kernel: Kernel) -> list[Place]:
    """Where every switch of *trace* is stepped, by the tracker that shares nothing with the loop."""
    tracker = Tracker(kernel, trace.meta.cpus)
    tracker.nr_ops = len(trace.meta.ops)
    places: dict[int, Place] = {}
    waiting: dict[int, list[tuple[int, int, int]]] = {}
    event = 0

    def sequence_ended(cpu: int, items: tuple[int, ...]) -> None:
        for number, at, time_ns in waiting.pop(cpu, []):
            places[number] = UNIT_SEQ, 0, items, cpu, at, time_ns

    for chunk in trace.chunks():
        for task in chunk.tasks:
            tracker.define(task)
        for cpu, task_id in chunk.on:
            tracker.runs_on(cpu, task_id)
        for at in range(0, len(chunk.events), 2):
            time_ns, cpu, kind, arg, flags = unpack(chunk.events[at], chunk.events[at + 1])
            number = tracker.switches
            for done in tracker.event(time_ns, cpu, kind, arg, flags):
                if done.unit_type == UNIT_SEQ:
                    sequence_ended(cpu, done.items)
                elif done.unit_type == UNIT_SWITCH:
                    places[number] = UNIT_SWITCH, shape_of(done.facts), (), cpu, event, time_ns
            if tracker.switches > number and number not in places:
                waiting.setdefault(cpu, []).append((number, event, time_ns))
            event += 1
    for done in tracker.finish():
        sequence_ended(done.cpu, done.items)
    return [places[number] for number in range(tracker.switches)]


def place(found: Located) -> Place:
    return found.unit_type, found.shape, found.items, found.cpu, found.event, found.time_ns


@pytest.mark.parametrize("kernel", [KERNELS[1], KERNELS[13], KERNELS[22], KERNELS[-1]], ids=str)
@pytest.mark.parametrize("chunk_events", [7, 1 << 14])
def test_every_switch_is_found_where_the_slow_tracker_has_it(kernel: Kernel, chunk_events: int) -> None:
    trace = random_trace(seed=KERNELS.index(kernel), events=600, chunk_events=chunk_events)
    expected = slow_places(trace, kernel)
    assert {unit for unit, *_ in expected} == {UNIT_SWITCH, UNIT_SEQ}
    for number, where in enumerate(expected):
        found = locate(trace, kernel, Target(number=number))
        assert (place(found), found.number) == (where, number)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1 << 32), at=st.floats(0, 1))
def test_any_switch_of_any_trace_is_found_by_both_loops(seed: int, at: float) -> None:
    trace = random_trace(seed=seed, events=150, chunk_events=40)
    expected = slow_places(trace, K2621)
    number = int(at * (len(expected) - 1))
    assert place(locate(trace, K2621, Target(number=number))) == expected[number]
    assert place(locate(trace, K2621, Target(number=number), interpreted=True)) == expected[number]


def test_a_time_finds_the_first_switch_at_or_after_it_in_the_order_of_the_trace() -> None:
    trace = random_trace(seed=5, events=300)
    every = [locate(trace, K2621, Target(number=n)) for n in range(len(slow_places(trace, K2621)))]
    for wanted in every[:: len(every) // 9]:
        for time_ns in (wanted.time_ns, wanted.time_ns + 1):
            first = next((found for found in every if found.time_ns >= time_ns), None)
            if first is None:
                with pytest.raises(UsageError, match="no switch at or after"):
                    locate(trace, K2621, Target(time_ns=time_ns))
            else:
                assert locate(trace, K2621, Target(time_ns=time_ns)) == first


@pytest.mark.parametrize("chunk_events", [3, 1 << 14])
def test_a_task_is_found_by_name_pid_or_both_as_it_is_switched_to_or_from(chunk_events: int) -> None:
    tasks = [Task(1, "make", 10, mm=1), Task(2, "cc1", 11, mm=2), Task(3, "cc1", 12, mm=3), Task(4, "ld", 13)]
    events = [(10 * n, 0, Kind.SWITCH, to) for n, to in enumerate((2, 1, 3, 0, 2))]
    trace = ListTrace(events, tasks, [(0, 1)], chunk_events=chunk_events)
    numbers = {
        task: locate(trace, K2621, Target(task=task)).number
        for task in ("make", "10", "cc1", "12", "cc1-12", "idle", "0", "cc1-11")
    }
    # make runs before the first switch, so the first switch is one from it.
    assert numbers == {
        "make": 0,
        "10": 0,
        "cc1": 0,
        "12": 2,
        "cc1-12": 2,
        "idle": 3,
        "0": 3,
        "cc1-11": 0,
    }
    with pytest.raises(UsageError, match="no switch to or from 'ld'") as caught:
        locate(trace, K2621, Target(task="ld"))
    assert "never switched to" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        locate(trace, K2621, Target(task="maek"))
    assert "make" in caught.value.hint


def test_who_was_found_running_counts_as_switched_from() -> None:
    events = [(0, 0, Kind.ON, 1), (1, 1, Kind.SWITCH, 2), (2, 0, Kind.SWITCH, 2)]
    trace = ListTrace(events, [Task(1, "a", 7), Task(2, "b", 8)])
    assert locate(trace, K2621, Target(task="a")).event == 2


def test_the_state_of_both_tasks_is_that_before_the_switch() -> None:
    tasks = [Task(1, "a", 7, mm=1, iopl=3, tls=(1, 2, 3)), Task(2, "b", 8, mm=2, ldt=9, fpu_counter=6)]
    events = [(1, 0, Kind.FPU), (2, 0, Kind.DR, 1), (3, 0, Kind.SWITCH, 2), (4, 0, Kind.FPU)]
    found = locate(ListTrace(events, tasks, [(0, 1)]), K2621, Target(number=0))
    assert found.prev_then is not None and found.next_then is not None
    assert (found.prev, found.next) == ("a-7", "b-8")
    a, b = found.prev_then, found.next_then
    assert (a.mm, a.iopl, a.tls, a.fpu, a.fpu_counter, a.dr, a.ldt) == (1, 3, (1, 2, 3), True, 1, True, 0)
    assert (b.mm, b.iopl, b.tls, b.fpu, b.fpu_counter, b.dr, b.ldt) == (2, 0, (0, 0, 0), False, 6, False, 9)


def test_a_switch_inside_a_section_comes_with_the_whole_of_it() -> None:
    tasks = [Task(1, "a", 7, mm=1), Task(2, "b", 8, mm=2)]
    kinds = [Kind.ENTER_MMU, (Kind.SET_PTE, 5), (Kind.SWITCH, 2), (Kind.SWITCH, 1), Kind.LEAVE_MMU]
    events = [(n, 0, *(k if isinstance(k, tuple) else (k,))) for n, k in enumerate(kinds)]
    for chunk_events in (1, 100):
        trace = ListTrace(events, tasks, [(0, 1)], chunk_events=chunk_events)
        found = locate(trace, K2621, Target(number=1))
        assert (found.unit_type, found.event, found.began, found.ordinal) == (UNIT_SEQ, 3, 0, 1)
        assert len(found.items) == 5
        # a kernel that parks ends the section at the switch
        parked = locate(trace, load_kernel("2.6.31"), Target(number=1))
        assert parked.unit_type == UNIT_SWITCH


def test_a_sequence_without_an_end_is_shown_up_to_the_end_of_the_trace() -> None:
    events = [(0, 0, Kind.ENTER_MMU), (1, 0, Kind.SWITCH, 1), (2, 0, Kind.SET_PTE, 2)]
    found = locate(ListTrace(events, [Task(1, "a", 7, mm=1)]), K2621, Target(number=0))
    assert (found.unit_type, len(found.items)) == (UNIT_SEQ, 3)


def test_a_number_out_of_range_tells_how_many_there_are() -> None:
    trace = ListTrace([(n, 0, Kind.SWITCH, 1) for n in range(23)], [Task(1, "a", mm=1)])
    with pytest.raises(UsageError, match="no switch 23, there are 23") as caught:
        locate(trace, K2621, Target(number=23))
    assert "0 to 22" in caught.value.hint


def test_a_trace_without_a_switch_and_a_bad_event_are_errors_of_the_trace() -> None:
    with pytest.raises(TraceError, match="no switch in 1 events"):
        locate(ListTrace([(0, 0, Kind.FPU)]), K2621, Target(number=0))
    with pytest.raises(TraceError, match="event 1: "):
        locate(ListTrace([(0, 0, Kind.FPU), (1, 0, Kind.SWITCH, 9)]), K2621, Target(number=0))
    damaged = ListTrace([(0, 0, Kind.SWITCH, 0)])
    damaged.damage = "cut after 1 block"
    with pytest.raises(TraceError, match="cut after 1 block"):
        locate(damaged, K2621, Target(number=7))


def test_every_violation_of_a_random_trace_leads_to_the_unit_it_occurred_in() -> None:
    trace = random_trace(seed=3, events=2000)
    hist = replay(trace, K2621)
    backends = [load_backend(name, K2621) for name in ("xen", "vmi")]
    report = price(hist, K2621, backends)
    units = set()
    for violation in report.violations:
        found = located_violation(hist, violation)
        assert violation.first is not None
        assert (found.event, found.cpu) == (violation.first.event, violation.first.cpu)
        assert (found.unit_type == UNIT_SWITCH) == bool(violation.shape)
        units.add(found.unit_type)
    assert units >= {UNIT_SWITCH, UNIT_SEQ}


def interpreted_find() -> ModuleType:
    """The search's Python source, whatever is compiled."""
    path = os.path.join(os.path.dirname(str(_find_cy.__file__)), "_find_cy.py")
    spec = importlib.util.spec_from_file_location("find_interpreted", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def searches(module: ModuleType, words: memoryview) -> Iterator[object]:
    for skip in range(6):
        yield module.nth(words, skip)
    for time_ns in (0, 1500, 1 << 63):
        yield module.since(words, time_ns)
    for wanted in (b"\0\1\0", b"\1", b"\0\0\0\0\1"):
        current = array("I", bytes(4 << 16))
        yield module.of_task(words, memoryview(bytearray(wanted)), current)
        yield current[:4].tolist()
    for start in (0, len(words) // 2):
        for cpu in range(4):
            yield module.next_on_cpu(words, start, cpu)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 32), events=st.integers(0, 30))
def test_the_search_gives_the_same_compiled_and_interpreted(seed: int, events: int) -> None:
    words = pack_events(random_trace(seed=seed, events=events).events)
    assert list(searches(_find_cy, words)) == list(searches(interpreted_find(), words))

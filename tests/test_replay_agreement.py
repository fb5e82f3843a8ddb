"""Compiled loop = interpreted loop = step engine, on traces over every kind of event."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.kernels.model import Kernel
from pvreplay.machine.shape import (
    ITEM_PARK,
    ITEM_RESUME,
    ITEM_SHIFT,
    MASKS,
    TLS_SHIFT,
    UNIT_LEAVE_MM,
    UNIT_NM,
    UNIT_SEQ,
    UNIT_SWITCH,
)
from pvreplay.replay.build import COMPILED
from pvreplay.replay.histogram import Histogram
from pvreplay.replay.run import replay
from pvreplay.replay.state import Room
from pvreplay.replay.step import step_rows
from pvreplay.trace.events import Kind
from tests.replay_traces import kernels, random_trace

TINY = Room(table_bits=2, items=2, arena=1, sequences=1, tasks=1)
KERNELS = kernels()
"""1 is 2.6.21 itself; 22 parks, needs used_math, resets on exec."""


def facts(hist: Histogram) -> dict[str, Any]:
    """Everything a histogram says, but for which engine made it."""
    said = msgspec.structs.asdict(hist)
    del said["engine"]
    return said


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{k.fpu.model}-{k.fpu.eager_above}-{k.parks}")
def test_the_three_ways_agree_under_every_combination_of_kernel_rules(kernel: Kernel) -> None:
    trace = random_trace(seed=KERNELS.index(kernel), events=3000)
    slow = facts(step_rows(trace, kernel))
    assert facts(replay(trace, kernel)) == slow
    assert facts(replay(trace, kernel, interpreted=True)) == slow
    assert len(slow["rows"]) > 300
    assert len(slow["sequences"]) > 30


def test_the_three_ways_agree_on_a_hundred_thousand_events() -> None:
    trace = random_trace(seed=20061212, events=100_000, cpus=4, tasks=12)
    for kernel in (KERNELS[1], KERNELS[22]):
        slow = facts(step_rows(trace, kernel))
        assert facts(replay(trace, kernel)) == slow
        assert facts(replay(trace, kernel, interpreted=True)) == slow


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1 << 32),
    st.integers(0, 120),
    st.integers(1, 4),
    st.integers(1, 5),
    st.sampled_from(KERNELS),
    st.sampled_from([1, 7, 1000]),
)
def test_the_three_ways_agree_on_small_traces_cut_anywhere(
    seed: int, events: int, cpus: int, tasks: int, kernel: Kernel, chunk_events: int
) -> None:
    whole = random_trace(seed, events, cpus=cpus, tasks=tasks)
    cut = random_trace(seed, events, cpus=cpus, tasks=tasks, chunk_events=chunk_events)
    slow = facts(step_rows(whole, kernel))
    assert facts(replay(cut, kernel)) == slow
    assert facts(replay(cut, kernel, interpreted=True)) == slow


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(KERNELS), st.integers(0, 60_000), st.integers(1, 60_000))
def test_a_time_window_counts_the_same_three_ways_and_follows_the_state_outside(
    seed: int, kernel: Kernel, start: int, length: int
) -> None:
    trace = random_trace(seed, 60, cpus=2, tasks=4)
    window = (start, start + length)
    slow = facts(step_rows(trace, kernel, window_ns=window))
    assert facts(replay(trace, kernel, window_ns=window)) == slow
    assert facts(replay(trace, kernel, window_ns=window, interpreted=True)) == slow


@pytest.mark.parametrize("interpreted", [False, True])
def test_arrays_that_are_far_too_small_grow_and_give_the_same_answer(interpreted: bool) -> None:
    trace = random_trace(seed=5, events=4000, cpus=3, tasks=40)
    for kernel in (KERNELS[1], KERNELS[22]):
        roomy = facts(replay(trace, kernel, interpreted=interpreted))
        assert facts(replay(trace, kernel, interpreted=interpreted, room=TINY)) == roomy


@pytest.mark.skipif(not COMPILED, reason="the package was built without a C compiler")
def test_the_interpreted_loop_is_another_module_than_the_compiled_one() -> None:
    from pvreplay.replay.build import loop_module

    compiled, interpreted = loop_module(), loop_module(interpreted=True)
    assert compiled is not interpreted
    assert not str(compiled.__file__).endswith(".py")
    assert str(interpreted.__file__).endswith("_loop_cy.py")


def test_the_random_traces_reach_every_guard_and_every_kind_of_item() -> None:
    guards, items, units = 0, set(), set()
    for kernel in (KERNELS[1], KERNELS[22]):
        hist = replay(random_trace(seed=1, events=30_000), kernel)
        for row in hist.rows:
            units.add(row.unit_type)
            if row.unit_type == UNIT_SWITCH:
                guards |= row.payload
        items |= {item >> ITEM_SHIFT for sequence in hist.sequences for item in sequence}
        assert all(hist.doubts.values()) or hist.doubts.pop("unfinished") == 0
    assert guards == sum(MASKS.values()) | 3 << TLS_SHIFT
    assert units == {UNIT_SWITCH, UNIT_NM, UNIT_LEAVE_MM, UNIT_SEQ}
    in_sections = {*range(Kind.ENTER_MMU, Kind.FLUSH + 1), Kind.BEGIN, Kind.OP, Kind.END}
    assert items == {*in_sections, Kind.SWITCH, ITEM_PARK, ITEM_RESUME}

"""Counting what a trace holds: compiled and interpreted alike."""

from __future__ import annotations

import importlib.util
from array import array
from collections import Counter
from pathlib import Path
from types import ModuleType

from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.trace import _scan_cy
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import Event, ListTrace, pack_events
from pvreplay.trace.model import Meta, Task
from pvreplay.trace.names import kind_name
from pvreplay.trace.summary import summarise

events_lists = st.lists(
    st.tuples(
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**16 - 1),
        st.sampled_from([Kind.SWITCH, Kind.LOST, Kind.FPU, 255]) | st.integers(0, 255),
        st.integers(0, 3) | st.integers(0, 2**32 - 1),
        st.integers(0, 255),
    ),
    max_size=40,
)


def interpreted() -> ModuleType:
    """The source of the compiled module, run as Python."""
    path = Path(_scan_cy.__file__).parent / "_scan_cy.py"
    spec = importlib.util.spec_from_file_location("scan_interpreted", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


INTERPRETED = interpreted()


@settings(max_examples=60, deadline=None)
@given(events_lists)
def test_compiled_and_interpreted_counts_are_equal(events: list[Event]) -> None:
    results = []
    for module in (_scan_cy, INTERPRETED):
        arrays = array("Q", bytes(2048)), array("Q", bytes(8 << 16)), array("Q", (2**64 - 1, 0, 0, 0))
        module.scan(pack_events(events), *arrays)
        results.append([list(values) for values in arrays])
    assert results[0] == results[1]


@settings(max_examples=60, deadline=None)
@given(events_lists, st.integers(1, 5))
def test_the_summary_is_what_counting_by_hand_gives(events: list[Event], cut: int) -> None:
    trace = ListTrace(events, [Task(1)], meta=Meta(), chunk_events=cut)
    trace.doubts = {"out_of_order": 2, "never": 0}
    summary = summarise(trace)
    assert summary.kinds == dict(Counter(kind_name(event[2]) for event in events))
    assert (summary.events, summary.tasks) == (len(events), 1)
    assert summary.cpus == max((event[1] + 1 for event in events), default=0)
    times = [event[0] for event in events] or [0]
    assert (summary.first_time_ns, summary.last_time_ns) == (min(times), max(times))
    assert summary.lost_events == sum(event[3] for event in events if event[2] == Kind.LOST)
    unknown = sum(event[2] == Kind.LOST and event[3] == 0 for event in events)
    assert summary.doubts == {"out_of_order": 2} | ({"lost_unknown": unknown} if unknown else {})


def test_the_summary_of_nothing_is_zero() -> None:
    summary = summarise(ListTrace([], meta=Meta(cpus=4)))
    assert (summary.events, summary.switches, summary.duration_ns, summary.cpus) == (0, 0, 0, 4)

"""Planted violations: as many as said, where they may stand, and otherwise the trace stays as it is."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pvreplay.backends.reader import load_backend
from pvreplay.errors import UsageError
from pvreplay.kernels.reader import load_kernel
from pvreplay.replay.price import price
from pvreplay.replay.run import replay
from pvreplay.rules import all_rules
from pvreplay.synth import make, workload_names
from pvreplay.synth.inject import PLANTABLE, parse_injection
from pvreplay.trace.events import Kind
from tests.synth_tools import events_of

RULES = sorted(PLANTABLE)


def planted_orders(trace, order) -> int:
    """How often the kinds of *order* stand one after the other on a CPU."""
    kinds = [int(kind) for kind, _ in order]
    lately: dict[int, list[int]] = {}
    found = 0
    for _, cpu, kind, _, _ in events_of(trace):
        window = lately.setdefault(cpu, [])
        window.append(kind)
        del window[: -len(kinds)]
        found += window == kinds
    return found


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cpus", [1, 8])
def test_as_many_are_planted_as_the_trace_says(rule, cpus):
    # gameserver and pingpong make no lazy MMU section of their own: what is found was planted.
    for name in ("gameserver", "pingpong"):
        trace = make(name, switches=10_000, seed=1, cpus=cpus, inject=[parse_injection(f"{rule}@1/100")])
        assert trace.planted == {rule: 100}
        assert f"planted {rule}=100" in trace.meta.origin
        assert planted_orders(trace, PLANTABLE[rule]) == 100


@pytest.mark.parametrize("rule", RULES)
def test_planting_keeps_the_number_of_switches(rule):
    trace = make("gameserver", switches=999, seed=1, cpus=2, inject=[parse_injection(f"{rule}@1/4")])
    assert sum(kind == Kind.SWITCH for _, _, kind, _, _ in events_of(trace)) == 999


def test_several_rules_are_planted_beside_each_other():
    inject = [parse_injection(text) for text in ("P1@1%", "p4@0.005", "H1@1/1000")]
    trace = make("pingpong", switches=10_000, seed=1, inject=inject)
    assert trace.planted == {"P1": 100, "P4": 50, "H1": 10}
    for rule, count in trace.planted.items():
        assert planted_orders(trace, PLANTABLE[rule]) == count


def test_plantings_are_spread_over_the_whole_trace():
    trace = make("pingpong", switches=10_000, seed=1, inject=[parse_injection("P2@1/1000")])
    at = [number for number, event in enumerate(events_of(trace)) if event[2] == Kind.LEAVE_MMU]
    assert len(at) == 10
    assert all(900 < later - earlier < 1100 for earlier, later in pairwise(at))


def test_no_violation_is_planted_in_the_idle_task():
    current = [0, 0]
    for _, cpu, kind, arg, _ in events_of(
        make("threadpool", switches=5000, seed=1, cpus=2, inject=[parse_injection("P4@1/10")])
    ):
        if kind == Kind.SWITCH:
            current[cpu] = arg
        if kind == Kind.SLEEP:
            assert current[cpu]


def test_a_short_trace_holds_at_least_one():
    assert make("pingpong", switches=5, seed=1, inject=[parse_injection("P2@1/1000")]).planted == {"P2": 1}


@pytest.mark.parametrize(
    "text", ["S1@1/100", "P1", "P1@", "P1@0", "P1@1/2", "P1@x", "P1@1/0", "@1/100", "P1@-1/100", "P1@nan"]
)
def test_what_cannot_be_planted_is_refused(text):
    with pytest.raises(UsageError) as caught:
        parse_injection(text)
    assert caught.value.hint.startswith("Expected")


def test_a_rule_is_planted_once_and_p3_and_p5_are_one_order():
    for pair in (("P1@1/100", "P1@1/10"), ("P3@1/100", "P5@1/100")):
        with pytest.raises(UsageError, match="twice"):
            make("pingpong", switches=100, seed=1, inject=[parse_injection(text) for text in pair])


def test_random_events_take_no_planting():
    with pytest.raises(UsageError, match="random"):
        make("random", switches=10, seed=1, inject=[parse_injection("P1@1/10")])


def test_a_replay_finds_exactly_the_planted_violations():
    kernel = load_kernel("2.6.21")
    known = {rule.code for rule in all_rules()}
    checked = known & {"H1", "P1", "P2", "P3", "P4", "P9"}  # P6 is no error in the default policy
    assert {"H1", "P1", "P2", "P3", "P9"} <= checked
    for rule in sorted(checked):
        trace = make("pingpong", switches=2000, seed=1, inject=[parse_injection(f"{rule}@1/100")])
        report = price(replay(trace, kernel), kernel, [load_backend("xen", kernel)])
        assert {found.rule: found.count for found in report.violations}[rule] == trace.planted[rule] == 20


@pytest.mark.parametrize("name", [name for name in workload_names() if name != "random"])
def test_a_workload_without_plantings_breaks_no_rule(name):
    kernel = load_kernel("2.6.21")
    report = price(
        replay(make(name, switches=3000, seed=1, cpus=2), kernel), kernel, [load_backend("xen", kernel)]
    )
    assert [found.rule for found in report.violations if found.severity != "perf"] == []
    assert not any(report.doubts.values())

"""Synthetic traces: exact counts, the same bytes every time, nothing a machine could not do."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.errors import UsageError
from pvreplay.synth import make, workload_names
from pvreplay.trace.events import CPU_MAX, MM_MAX, Kind
from pvreplay.trace.names import ARG_MAX, TLS_SLOTS
from tests.synth_tools import DIGESTS, PINGPONG, digest_of, events_of, interpreted, pingpong_text, words_of

ALL = [(name, cpus) for name in workload_names() for cpus in (1, 8)]
SENSIBLE = [(name, cpus) for name, cpus in ALL if name != "random"]
TASK_KINDS = (Kind.SWITCH, Kind.ON, Kind.FORK, Kind.BEGIN, Kind.FOR)


def switches(trace) -> int:
    kinds = Counter(kind for _, _, kind, _, _ in events_of(trace))
    return kinds[Kind.SWITCH] + kinds[Kind.BEGIN]


def test_the_known_workload_has_23_switches_alternating_between_two_tasks():
    found = list(events_of(make("pingpong", switches=23, seed=1)))
    assert [(kind, arg) for _, _, kind, arg, _ in found] == [(Kind.SWITCH, 2 - at % 2) for at in range(23)]
    assert [now for now, *_ in found] == [1110 * (at + 1) for at in range(23)]


@pytest.mark.parametrize(("name", "cpus"), ALL)
@pytest.mark.parametrize("count", [1, 23, 2003])
def test_every_workload_makes_exactly_the_switches_asked_for(name, cpus, count):
    assert switches(make(name, switches=count, seed=7, cpus=cpus)) == count


@pytest.mark.parametrize(("name", "cpus"), ALL)
def test_every_event_is_in_range_and_names_a_task_defined_before_it(name, cpus):
    trace = make(name, switches=3000, seed=2, cpus=cpus)
    tasks = 0
    for chunk in trace.chunks():
        for task in chunk.tasks:
            tasks += 1
            assert task.id == tasks
            assert 0 <= task.mm < MM_MAX
        assert all(0 <= cpu < cpus and 0 < task <= tasks for cpu, task in chunk.on)
        for word in chunk.events[1::2]:
            kind, arg, flags = word >> 48 & 0xFF, word & 0xFFFFFFFF, word >> 56
            assert word >> 32 & 0xFFFF < cpus
            assert arg <= (tasks if kind in TASK_KINDS else ARG_MAX[kind])
            assert flags < (TLS_SLOTS if kind == Kind.TLS else 1)
            if kind == Kind.OP:
                assert arg & 0xFFFF < len(trace.meta.ops)


@pytest.mark.parametrize(("name", "cpus"), ALL)
def test_time_never_goes_back(name, cpus):
    times = [now for now, *_ in events_of(make(name, switches=3000, seed=3, cpus=cpus))]
    assert times == sorted(times)


@pytest.mark.parametrize(("name", "cpus"), SENSIBLE)
def test_no_task_runs_on_two_cpus_or_is_switched_to_twice_in_a_row(name, cpus):
    trace = make(name, switches=5000, seed=4, cpus=cpus)
    running = [0] * cpus
    for chunk in trace.chunks():
        for cpu, task in chunk.on:
            running[cpu] = task
        for word in chunk.events[1::2]:
            if word >> 48 & 0xFF == Kind.SWITCH:
                cpu, task = word >> 32 & 0xFFFF, word & 0xFFFFFFFF
                assert task != running[cpu]
                assert not task or task not in running
                running[cpu] = task


@pytest.mark.parametrize(("name", "cpus"), SENSIBLE)
def test_only_born_tasks_run_and_the_dead_never_again(name, cpus):
    trace = make(name, switches=5000, seed=5, cpus=cpus)
    alive: set[int] = set()
    unborn: set[int] = set()
    current = [0] * cpus
    for number, chunk in enumerate(trace.chunks()):
        (unborn if number or name == "forkstorm" else alive).update(task.id for task in chunk.tasks)
        if not number and name == "forkstorm":
            shells = {task.id for task in chunk.tasks if task.comm == "sh"}
            unborn -= shells
            alive |= shells
        for cpu, task in chunk.on:
            current[cpu] = task
        for word in chunk.events[1::2]:
            cpu, kind, arg = word >> 32 & 0xFFFF, word >> 48 & 0xFF, word & 0xFFFFFFFF
            if kind == Kind.SWITCH:
                assert arg == 0 or arg in alive
                current[cpu] = arg
            elif kind == Kind.FORK:
                unborn.remove(arg)
                alive.add(arg)
            elif kind == Kind.EXIT:
                alive.remove(current[cpu])


@pytest.mark.parametrize(("name", "cpus"), SENSIBLE)
def test_lazy_mmu_sections_and_interrupts_are_entered_and_left_in_order(name, cpus):
    pairs = {
        Kind.LEAVE_MMU: Kind.ENTER_MMU,
        Kind.IRQ_EXIT: Kind.IRQ_ENTER,
        Kind.NMI_EXIT: Kind.NMI_ENTER,
        Kind.FAULT_EXIT: Kind.FAULT_ENTER,
    }
    opened: list[list[int]] = [[] for _ in range(cpus)]
    pending = [0] * cpus
    for _, cpu, kind, arg, _ in events_of(make(name, switches=3000, seed=6, cpus=cpus)):
        if kind in pairs.values():
            assert not (kind == Kind.ENTER_MMU and opened[cpu])
            opened[cpu].append(kind)
        elif kind in pairs:
            assert opened[cpu].pop() == pairs[Kind(kind)]
            pending[cpu] = 0 if kind == Kind.LEAVE_MMU else pending[cpu]
        elif kind == Kind.SET_PTE and opened[cpu] == [Kind.ENTER_MMU]:
            pending[cpu] += arg
        elif kind == Kind.FLUSH:
            pending[cpu] = 0
        elif kind == Kind.READ_PTE:
            assert not pending[cpu]
        elif kind == Kind.SWITCH:
            assert not opened[cpu]


def test_preempted_sections_are_left_by_the_task_that_entered_them():
    trace = make("mmuremap", switches=4000, seed=1, cpus=2, options={"preempt": 300})
    inside: dict[int, bool] = {}
    current = [0, 0]
    parked = 0
    for _, cpu, kind, arg, _ in events_of(trace):
        task = current[cpu]
        if kind == Kind.SWITCH:
            parked += inside.get(task, False)
            current[cpu] = arg
        elif kind == Kind.ENTER_MMU:
            assert not inside.get(task)
            inside[task] = True
        elif kind == Kind.LEAVE_MMU:
            assert inside[task]
            inside[task] = False
    assert parked > 100


@pytest.mark.parametrize(("name", "cpus"), ALL)
def test_the_same_request_gives_the_same_bytes_and_another_seed_others(name, cpus):
    first = words_of(make(name, switches=500, seed=1, cpus=cpus))
    trace = make(name, switches=500, seed=1, cpus=cpus)
    assert words_of(trace) == first
    assert words_of(trace) == first, "a trace may be read twice"
    if name != "pingpong":
        assert words_of(make(name, switches=500, seed=2, cpus=cpus)) != first


@pytest.mark.parametrize(("name", "cpus"), ALL)
def test_compiled_and_interpreted_generators_agree(name, cpus, monkeypatch):
    options = {"fpu": 500} if name == "pingpong" else {}
    compiled = words_of(make(name, switches=400, seed=11, cpus=cpus, options=options))
    for module in ("_gen_cy", "_random_cy"):
        plain = interpreted(module)
        assert not plain.COMPILED
        monkeypatch.setitem(sys.modules, f"pvreplay.synth.{module}", plain)
    assert words_of(make(name, switches=400, seed=11, cpus=cpus, options=options)) == compiled


@pytest.mark.parametrize("line", DIGESTS.read_text().splitlines())
def test_the_events_are_those_of_every_other_machine_and_version(line):
    name, digest = line.split()
    assert digest_of(name) == digest, "old requests give other traces: raise STREAM in synth/trace.py"


def test_every_workload_has_a_digest():
    assert [line.split()[0] for line in DIGESTS.read_text().splitlines()] == workload_names()


def test_the_shipped_text_of_the_known_workload_is_what_synth_writes():
    assert PINGPONG.read_bytes() == pingpong_text()


def test_random_holds_every_kind():
    kinds = {kind for _, _, kind, _, _ in events_of(make("random", switches=2000, seed=1, cpus=2))}
    assert kinds == set(Kind)


def test_memory_does_not_grow_with_the_trace():
    import tracemalloc

    trace = make("database", switches=1_000_000, seed=1, cpus=2)
    tracemalloc.start()
    events = sum(len(chunk.events) // 2 for chunk in trace.chunks())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert events > 1_000_000
    assert peak < 4 << 20


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(workload_names()),
    count=st.integers(1, 300),
    seed=st.integers(0, (1 << 64) - 1),
    cpus=st.integers(1, 70),
)
def test_any_request_gives_exactly_its_switches(name, count, seed, cpus):
    assert switches(make(name, switches=count, seed=seed, cpus=cpus)) == count


@pytest.mark.parametrize("cpus", [0, CPU_MAX + 1])
def test_a_number_of_cpus_that_no_trace_can_hold_is_refused(cpus):
    with pytest.raises(UsageError, match="CPUs"):
        make("messaging", switches=1, seed=1, cpus=cpus)


def test_the_largest_machine_works():
    assert switches(make("threadpool", switches=20_000, seed=1, cpus=CPU_MAX)) == 20_000


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"name": "nosuch", "switches": 1, "seed": 1}, "no workload"),
        ({"name": "pingpong", "switches": 0, "seed": 1}, "0 switches"),
        ({"name": "pingpong", "switches": 1, "seed": 1 << 64}, "seed"),
        ({"name": "pingpong", "switches": 1, "seed": 1, "tasks": 3}, "3 tasks"),
        ({"name": "messaging", "switches": 1, "seed": 1, "tasks": 1}, "1 tasks"),
        ({"name": "mmuremap", "switches": 1, "seed": 1, "options": {"ptes": 0}}, "ptes=0"),
        ({"name": "mmuremap", "switches": 1, "seed": 1, "options": {"x": 1}}, "no option 'x'"),
    ],
)
def test_a_request_out_of_range_is_refused_with_what_is_expected(request_, word):
    with pytest.raises(UsageError) as caught:
        make(request_.pop("name"), **request_)
    assert word in caught.value.message
    assert caught.value.hint

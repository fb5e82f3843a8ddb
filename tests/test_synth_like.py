"""``--like``: the rates of a trace, and a workload that has them."""

from __future__ import annotations

from collections import Counter

import pytest

from pvreplay.errors import TraceError
from pvreplay.synth import make
from pvreplay.synth.like import OWN_ROLES, compare, fit, profile_of
from pvreplay.synth.measure import measure
from pvreplay.synth.trace import SynthTrace
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import ListTrace
from pvreplay.trace.model import Task
from tests.synth_tools import events_of

SWITCH, FPU, ON = Kind.SWITCH, Kind.FPU, Kind.ON


def small() -> ListTrace:
    """Two processes, a thread of the first, a kernel thread; one CPU; ten switches."""
    tasks = [Task(1, "a", mm=5), Task(2, "b", mm=6), Task(3, "a2", mm=5), Task(4, "kworker")]
    order = [2, 1, 3, 1, 0, 1, 4, 1, 2, 0]
    events = []
    for number, task in enumerate(order):
        events.append((1000 * (number + 1), 0, SWITCH, task))
        if task == 2:
            events.append((1000 * (number + 1) + 10, 0, FPU))
    return ListTrace(events, tasks, [(0, 1)])


def test_rates_of_a_trace_counted_by_hand():
    rates = measure(small())
    assert (rates.switches, rates.to_idle) == (10, 2)
    # 1->2, 2->1, and 1->2 again at the end: the ways through idle and the kernel thread keep the mm.
    assert rates.mm_differs == 3
    assert rates.tasks[2].fpu_slices == rates.tasks[2].slices == 2
    assert rates.tasks[1].slices == 4
    assert rates.fpu_share() == pytest.approx(2 / 8)
    assert rates.pairs[(0, 1, 2)] == 2
    assert rates.switches_per_second() == pytest.approx(10 / 9.0e-6)


def test_state_follows_the_events_and_for_redirects_it():
    events = [
        (1, 0, SWITCH, 1),
        (2, 0, Kind.TLS, 7, 2),
        (3, 0, Kind.FOR, 2),
        (4, 0, Kind.IOPL, 3),
        (5, 0, Kind.EXEC, 9),
        (6, 0, Kind.GS, 1),
        (7, 0, SWITCH, 2),
    ]
    tasks = [Task(1, "a", mm=1), Task(2, "b", mm=1)]
    rates = measure(ListTrace(events, tasks))
    assert (rates.state[1].mm, rates.state[1].tls, rates.state[1].gs) == (9, (0, 0, 0), True)
    assert rates.state[2].iopl == 3
    assert rates.mm_differs == 2, "init_mm to 1, then 9 to 1"
    assert tasks[0].mm == 1, "the trace's own tasks are left alone"


def close(pairs: list[tuple[str, float, float]], tolerance: float) -> None:
    for what, recorded, made in pairs:
        assert made == pytest.approx(recorded, rel=tolerance, abs=1.0), what


@pytest.mark.parametrize("name", ["pingpong", "messaging", "threadpool", "fpumix", "gameserver", "database"])
def test_on_one_cpu_the_rates_of_every_workload_are_met(name):
    profile, rates = fit(make(name, switches=30_000, seed=1))
    close(compare(rates, profile, seed=2), 0.15)


@pytest.mark.parametrize("name", ["threadpool", "database"])
def test_on_four_cpus_they_are_met_less_closely(name):
    profile, rates = fit(make(name, switches=30_000, seed=1, cpus=4))
    close(compare(rates, profile, seed=2), 0.4)


def test_tasks_that_change_cpus_once_do_not_change_the_mm_at_every_switch():
    tasks = [Task(1, mm=1), Task(2, mm=2)]
    events = []
    for at in range(4000):
        first, second = (1, 2) if at < 2000 else (2, 1)
        events.append((1000 * at, 0, SWITCH, first if at % 2 else 0))
        events.append((1000 * at + 500, 1, SWITCH, second if at % 2 else 0))
    profile, rates = fit(ListTrace(events, tasks, [(0, 1), (1, 2)]))
    assert rates.mm_differs == 2
    recorded, made = {what: numbers for what, *numbers in compare(rates, profile, seed=1)}[
        "mm differs, % of switches"
    ]
    assert recorded < 0.1
    assert made < 1


def test_lazy_mmu_sections_keep_their_number_and_length():
    recording = make("mmuremap", switches=5000, seed=1)
    profile, _ = fit(recording)
    made = SynthTrace(profile, "like", switches=5000, seed=9)
    for kind, tolerance in ((Kind.ENTER_MMU, 0.1), (Kind.SET_PTE, 0.15)):
        sums = [
            sum(
                arg if kind == Kind.SET_PTE else 1
                for _, _, found, arg, _ in events_of(trace)
                if found == kind
            )
            for trace in (recording, made)
        ]
        assert sums[1] == pytest.approx(sums[0], rel=tolerance)


def test_names_and_pids_do_not_pass_into_the_synthetic_trace():
    tasks = [Task(1, "secret-name", 4711, mm=1), Task(2, "other-secret", 4712, mm=2)]
    events = [(1000 * at, 0, SWITCH, 1 + at % 2) for at in range(1, 50)]
    profile, _ = fit(ListTrace(events, tasks))
    assert [task.comm for task in profile.tasks] == ["task-1", "task-2"]
    assert not {4711, 4712} & {task.pid for task in profile.tasks}


def test_a_hundred_tasks_are_fitted_with_the_rare_ones_as_groups():
    profile, _ = fit(make("messaging", switches=5000, seed=1, tasks=100))
    roles = Counter(task.comm for task in profile.tasks)
    assert roles["other-user"] == 100 - OWN_ROLES
    assert len(profile.tasks) == 100


def test_the_same_recording_and_seed_give_the_same_events():
    first, second = (SynthTrace(profile_of(measure(small())), "like", switches=500, seed=3) for _ in range(2))
    assert list(events_of(first)) == list(events_of(second))


def test_a_trace_without_a_switch_cannot_be_fitted():
    with pytest.raises(TraceError, match="no switch"):
        fit(ListTrace([(1, 0, FPU)], [Task(1)], [(0, 1)]))


def test_a_trace_that_only_goes_idle_cannot_be_fitted():
    with pytest.raises(TraceError, match="no switch"):
        fit(ListTrace([(1, 0, SWITCH, 0)], [Task(1)], [(0, 1)]))


def test_a_recording_in_which_no_time_passes_is_fitted():
    events = [(5, 0, SWITCH, 1 + at % 2) for at in range(20)]
    profile, _ = fit(ListTrace(events, [Task(1, mm=1), Task(2, mm=2)]))
    made = SynthTrace(profile, "like", switches=100, seed=1)
    assert sum(kind == SWITCH for _, _, kind, _, _ in events_of(made)) == 100

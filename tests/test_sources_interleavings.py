"""Recovered address spaces against a simulated scheduler's own, over many interleavings of several CPUs."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pvreplay.sources import records as r
from pvreplay.sources.recover import RecoveredTrace
from pvreplay.trace.events import Kind, unpack
from tests.scheduler_sim import EVERYTHING, Recorded, Scheduler

SEEDS = range(60)


def recover(scheduler: Scheduler, portion: int = 1 << 20) -> list[tuple[int, int, int, int]]:
    """(CPU, kind, mm of the task that ran before, mm of the task that runs now) of every event."""
    rng = random.Random(portion)
    trace = RecoveredTrace(Recorded(scheduler.records, lambda: rng.randrange(1, portion)))
    mm_of, current, found = {0: 0}, {}, []
    for chunk in trace.chunks():
        for task in chunk.tasks:
            mm_of[task.id] = task.mm
        for at in range(0, len(chunk.events), 2):
            _, cpu, kind, arg, _ = unpack(chunk.events[at], chunk.events[at + 1])
            task = current.get(cpu, 0)
            before = mm_of[task]
            if kind in (Kind.SWITCH, Kind.ON):
                current[cpu] = arg
            elif kind == Kind.EXEC:
                mm_of[task] = arg
            elif kind == Kind.EXIT:
                mm_of[task] = 0
            found.append((cpu, kind, before, mm_of[current.get(cpu, 0)]))
    return found


def disagreements(scheduler: Scheduler) -> Counter[str]:
    """How often a side of a switch has another mm than it truly had, by what is wrong."""
    switches = [event for event in recover(scheduler) if event[1] == Kind.SWITCH]
    assert len(switches) == len(scheduler.truth)
    ours: dict[int, int] = {0: 0}
    theirs: dict[int, int] = {0: 0}
    wrong: Counter[str] = Counter()
    for truth, (cpu, _, before, after) in zip(scheduler.truth, switches, strict=True):
        assert truth[0] == cpu
        for true, found in ((truth[1], before), (truth[2], after)):
            if true is None:
                continue
            if ours.setdefault(true, found) != found or theirs.setdefault(found, true) != true:
                wrong["another mm" if true and found else "none or one"] += 1
                ours[true], theirs[found] = found, true
    return wrong


@pytest.mark.parametrize(
    "untold",
    [(), (r.TLB_FLUSH,), (r.RENAME,), (r.TLB_FLUSH, r.FORK, r.EXIT)],
    ids=["all", "no flush", "no rename", "switch, newtask, rename, exec"],
)
def test_every_side_of_every_switch_has_its_true_mm(untold: tuple[int, ...]) -> None:
    wrong: Counter[str] = Counter()
    for seed in SEEDS:
        wrong += disagreements(Scheduler(seed, 1 + seed % 4, 1500, EVERYTHING - set(untold)))
    assert not wrong


def test_the_simulated_scheduler_does_everything_that_matters() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        scheduler = Scheduler(seed, 1 + seed % 4, 1500)
        vforks = set()
        for _, head, payload, _ in scheduler.records:
            kind, pid, a, b = head >> 16 & 0xFF, head >> 32, payload & 0xFFFFFFFF, payload >> 32
            if kind == r.NEWTASK:
                seen[f"clone {b:#x}"] += 1
                if b & r.CLONE_VFORK:
                    vforks.add(a)
            elif kind == r.EXEC:
                who = "a thread" if a != b else "a vfork child" if pid in vforks else "others"
                seen[f"exec by {who}"] += 1
            elif kind == r.EXIT:
                seen["exit of a vfork child" if pid in vforks else "exit"] += 1
        seen["a change of mm not told yet"] += sum(None in truth for truth in scheduler.truth)
    assert len(seen) == 4 + 3 + 2 + 1
    assert min(seen.values()) >= 30, seen


@pytest.mark.parametrize("untold", [(), (r.RENAME,), (r.TLB_FLUSH,), (r.TLB_FLUSH, r.RENAME)])
def test_no_exec_that_is_told_is_lost(untold: tuple[int, ...]) -> None:
    for seed in SEEDS:
        scheduler = Scheduler(seed, 1 + seed % 4, 1500, EVERYTHING - set(untold))
        told = sum(head >> 16 & 0xFF == r.EXEC for _, head, _, _ in scheduler.records)
        execs = sum(event[1] == Kind.EXEC for event in recover(scheduler))
        # More only by those concluded and not told before the end: one a CPU, and those switched out.
        assert told <= execs <= told + 4


def test_the_events_do_not_depend_on_how_the_records_are_handed_over() -> None:
    for seed in (3, 7):
        scheduler = Scheduler(seed, 3, 12_000)
        assert len(scheduler.records) > 3 * 2048
        whole = recover(scheduler)
        assert recover(scheduler, 40) == whole
        assert recover(scheduler, 3000) == whole

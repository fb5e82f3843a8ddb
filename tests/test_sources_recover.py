"""State recovery: what each kind of evidence makes of tasks and events."""

from __future__ import annotations

import io

import pytest

from pvreplay.sources import _recover_cy
from pvreplay.sources import records as r
from pvreplay.sources.recover import RecoveredTrace
from pvreplay.sources.textsource import TextSource
from tests.scheduler_sim import Recorded
from tests.source_tools import NOFP, WEIRD, by_pid, event, interpreted, read, switch, trace_of

FPU_SAVED = "x86_fpu_regs_deactivated: x86/fpu: 00000000f5e22560 load: 0 xfeatures: {} xcomp_bv: 0"
FPU_LOADED = "x86_fpu_regs_activated: x86/fpu: 00000000f5e22560 load: 1 xfeatures: {} xcomp_bv: 0"
FLUSH = "tlb_flush: pages:-1 reason:flush on task switch (0)"


def newtask(pid: int, flags: int, comm: str = "child") -> str:
    return f"task_newtask: pid={pid} comm={comm} clone_flags={flags:x} oom_score_adj=0"


def kinds(events: list[tuple[str, int, int, int]]) -> list[str]:
    return [kind for kind, *_ in events]


def test_the_first_switch_of_a_cpu_tells_who_ran_before() -> None:
    events, tasks = read(
        trace_of(switch(1, 1, "a", 5, "S", "swapper/1", 0), switch(2, 1, "swapper/1", 0, "R", "a", 5))
    )
    assert events == [("ON", 1, 1, 0), ("SWITCH", 1, 0, 0), ("SWITCH", 1, 1, 0)]
    assert tasks[1].comm == "a" and tasks[1].pid == 5


def test_a_prev_that_is_not_the_task_switched_to_last_was_found_running() -> None:
    events, tasks = read(
        trace_of(
            switch(1, 0, "swapper/0", 0, "R", "a", 5),
            "CPU:0 [LOST 12 EVENTS]",
            switch(2, 0, "b", 6, "S", "a", 5),
        )
    )
    b = by_pid(tasks)[6].id
    assert events == [
        ("ON", 0, 0, 0),
        ("SWITCH", 0, 1, 0),
        ("LOST", 0, 12, 0),
        ("ON", 0, b, 0),
        ("SWITCH", 0, 1, 0),
    ]


def test_each_cpu_has_its_own_idle_and_pid_0_is_no_task() -> None:
    _, tasks = read(
        trace_of(switch(1, 0, "swapper/0", 0, "R", "a", 5), switch(2, 1, "swapper/1", 0, "R", "b", 6))
    )
    assert sorted(by_pid(tasks)) == [5, 6]


@pytest.mark.parametrize(
    ("flags", "shared"), [(0x3D0F00, True), (0x4100, True), (0x1200000, False), (0, False)]
)
def test_clone_vm_decides_whether_a_child_shares_the_mm(flags: int, shared: bool) -> None:
    events, tasks = read(
        trace_of(switch(1, 0, "swapper/0", 0, "R", "sh", 5), event(2, 0, "sh", 5, newtask(9, flags)))
    )
    parent, child = by_pid(tasks)[5], by_pid(tasks)[9]
    assert events[-1] == ("FORK", 0, child.id, 0)
    assert (child.mm == parent.mm) is shared and child.mm


def test_sched_process_fork_after_task_newtask_is_the_same_birth() -> None:
    events, tasks = read(
        trace_of(
            switch(1, 0, "swapper/0", 0, "R", "sh", 5),
            event(2, 0, "sh", 5, newtask(9, 0x100)),
            event(2, 0, "sh", 5, "sched_process_fork: comm=sh pid=5 child_comm=sh child_pid=9"),
        )
    )
    assert kinds(events).count("FORK") == 1 and len(tasks) == 2


@pytest.mark.parametrize(("value", "shared"), [("process", False), ("thread", True)])
def test_a_fork_without_clone_flags_is_an_assumption(value: str, shared: bool) -> None:
    trace = trace_of(
        switch(1, 0, "swapper/0", 0, "R", "sh", 5),
        event(2, 0, "sh", 5, "sched_process_fork: comm=sh pid=5 child_comm=sh child_pid=9"),
        fork=value,
    )
    _, tasks = read(trace)
    assert (by_pid(tasks)[9].mm == by_pid(tasks)[5].mm) is shared
    assert trace.meta.state["mm"].how == "assumed" and "fork" in trace.meta.state["mm"].source


def test_children_of_kthreadd_are_kernel_threads() -> None:
    _, tasks = read(
        trace_of(
            switch(1, 0, "swapper/0", 0, "R", "anything", 2),
            event(2, 0, "anything", 2, newtask(9, 0x800700, "worker")),
            event(3, 0, "anything", 2, "sched_process_fork: comm=x pid=2 child_comm=y child_pid=10"),
        )
    )
    assert [by_pid(tasks)[pid].mm for pid in (2, 9, 10)] == [0, 0, 0]


def test_exec_gives_a_new_mm_and_the_new_name() -> None:
    events, tasks = read(
        trace_of(
            switch(1, 0, "swapper/0", 0, "R", "sh", 5),
            event(2, 0, "sh", 5, newtask(9, 0x4100, "sh")),
            switch(3, 0, "sh", 5, "D", "sh", 9),
            event(4, 0, "sh", 9, "task_rename: pid=9 oldcomm=sh newcomm=make oom_score_adj=0"),
            event(5, 0, "make", 9, "sched_process_exec: filename=/bin/make pid=9 old_pid=9"),
            switch(6, 0, "make", 9, "S", "sh", 5),
        )
    )
    child = by_pid(tasks)[9]
    assert child.comm == "make" and child.mm == by_pid(tasks)[5].mm
    [(_, _, mm, _)] = [one for one in events if one[0] == "EXEC"]
    assert mm not in (0, child.mm)


def test_a_thread_that_calls_exec_takes_its_leaders_pid() -> None:
    events, tasks = read(
        trace_of(
            switch(1, 0, "swapper/0", 0, "R", "lead", 5),
            event(2, 0, "lead", 5, newtask(9, 0x3D0F00, "thr")),
            switch(3, 0, "lead", 5, "Z", "thr", 9),
            switch(4, 0, "thr", 5, "R", "swapper/0", 0),
            switch(5, 0, "swapper/0", 0, "R", "thr", 5),
            event(6, 0, "thr", 5, "sched_process_exec: filename=/bin/x pid=5 old_pid=9"),
            switch(7, 0, "x", 5, "S", "swapper/0", 0),
        )
    )
    assert len(tasks) == 2
    thread = by_pid(tasks)[9]
    assert [arg for kind, _, arg, _ in events if kind == "SWITCH"] == [1, thread.id, 0, thread.id, 0]
    assert kinds(events).count("EXEC") == 1 and kinds(events).count("ON") == 1


def test_a_pid_used_again_is_another_task() -> None:
    _, tasks = read(
        trace_of(
            switch(1, 0, "a", 5, "Z", "swapper/0", 0),
            switch(2, 0, "swapper/0", 0, "R", "b", 5),
            switch(3, 0, "b", 5, "S", "swapper/0", 0),
        )
    )
    assert [(task.pid, task.comm) for task in tasks.values()] == [(5, "a"), (5, "b")]
    assert tasks[1].mm != tasks[2].mm


@pytest.mark.parametrize(("name", "lives"), [("kworker/0:0", 1), ("make", 2)])
def test_a_kernel_thread_in_state_x_is_parked_and_a_program_is_dead(name: str, lives: int) -> None:
    lines = [switch(1, 0, name, 5, "x", "swapper/0", 0), switch(2, 0, "swapper/0", 0, "R", name, 5)]
    _, tasks = read(trace_of(*lines))
    assert len(tasks) == lives


@pytest.mark.parametrize("told", [True, False])
def test_the_mm_is_given_up_once_before_the_last_switch(told: bool) -> None:
    lines = [switch(1, 0, "swapper/0", 0, "R", "a", 5)]
    if told:
        lines.append(event(2, 0, "a", 5, "sched_process_exit: comm=a pid=5 prio=120"))
    lines.append(switch(3, 0, "a", 5, "Z", "swapper/0", 0))
    events, _ = read(trace_of(*lines))
    assert kinds(events) == ["ON", "SWITCH", "EXIT", "SWITCH"]


def test_the_first_fpu_save_tells_user_tasks_from_kernel_threads() -> None:
    lines = [switch(1, 0, "swapper/0", 0, "R", "user", 5)]
    for i in range(3):
        lines += [
            switch(2 + i, 0, "user", 5, "S", "worker", 6),
            event(2 + i, 0, "user", 5, FPU_SAVED.format("217")),
            switch(2.5 + i, 0, "worker", 6, "S", "user", 5),
        ]
    trace = trace_of(*lines)
    _, tasks = read(trace)
    assert by_pid(tasks)[5].mm and by_pid(tasks)[6].mm == 0
    assert trace.evidence(by_pid(tasks)[6].id) == "no FPU save"
    trace = trace_of(*lines, mm="per-task")
    _, tasks = read(trace)
    assert by_pid(tasks)[6].mm, "per-task does not look at what switches leave behind"


def test_tlb_flushes_tell_equal_mms_of_tasks_older_than_the_recording() -> None:
    lines = [
        switch(1, 0, "swapper/0", 0, "R", "a", 5),
        event(1, 0, "<idle>", 0, FLUSH),
        switch(2, 0, "a", 5, "S", "b", 6),  # no flush: the same mm as a
        event(2, 0, "a", 5, FPU_SAVED.format("217")),
        switch(3, 0, "b", 6, "S", "c", 7),
        event(3, 0, "b", 6, FLUSH),
        event(3, 0, "b", 6, FPU_SAVED.format("217")),
        switch(4, 0, "c", 7, "S", "a", 5),
        event(4, 0, "c", 7, FLUSH),
        event(4, 0, "c", 7, FPU_SAVED.format("217")),
    ]
    _, tasks = read(trace_of(*lines))
    mm = {pid: task.mm for pid, task in by_pid(tasks).items()}
    assert mm[5] == mm[6] != mm[7]
    _, tasks = read(trace_of(*lines, mm="per-task"))
    assert len({task.mm for task in tasks.values()}) == 3


def test_xen_cr3_writes_tell_equal_mms() -> None:
    lines = []
    for time, prev, pid, following, next_pid, cr3 in [
        (1, "swapper/0", 0, "a", 5, "1000"),
        (2, "a", 5, "b", 6, "2000"),
        (3, "b", 6, "c", 7, "1000"),
    ]:
        lines.append(switch(time, 0, prev, pid, "S", following, next_pid))
        lines.append(event(time, 0, prev, pid, f"xen_mmu_write_cr3: kernel cr3 {cr3}"))
        lines.append(event(time, 0, prev, pid, "xen_mmu_write_cr3: user cr3 9000"))
    _, tasks = read(trace_of(*lines))
    mm = {pid: task.mm for pid, task in by_pid(tasks).items()}
    assert mm[5] == mm[7] != mm[6]


def test_thread_groups_of_the_tgid_column_share_an_mm() -> None:
    def line(time: int, prev: int, group: str, following: int) -> str:
        return (
            f"             t{prev}-{prev} {group} [000] d..2. {time}.000000: sched_switch: "
            f"prev_comm=t{prev} prev_pid={prev} prev_prio=120 prev_state=S ==> "
            f"next_comm=t{following} next_pid={following} next_prio=120"
        )

    lines = [line(1, 5, "(    5)", 6), line(2, 6, "(    5)", 7), line(3, 7, "(    7)", 5)]
    _, tasks = read(trace_of(*lines))
    mm = {pid: task.mm for pid, task in by_pid(tasks).items()}
    assert mm[5] == mm[6] != mm[7]


KTHREADS = ["kworker/0:1-ev", "ksoftirqd/1", "migration/0", "rcu_preempt", "kswapd0", "kthreadd"]
KTHREADS += ["watchdog/1", "mmcqd/0", "scsi_eh_0", "jbd2/sda1-8", "irq/24-eth0", "events/0"]


@pytest.mark.parametrize("name", KTHREADS)
def test_kernel_threads_by_name_are_an_assumption(name: str) -> None:
    lines = [switch(1, 0, "swapper/0", 0, "R", name, 5), switch(2, 0, name, 5, "S", "swapper/0", 0)]
    trace = trace_of(*lines)
    _, tasks = read(trace)
    assert tasks[1].mm == 0 and trace.meta.state["mm"].how == "assumed"
    assert "--assume kthreads=none" in trace.meta.state["mm"].option
    _, tasks = read(trace_of(*lines, kthreads="none"))
    assert tasks[1].mm


@pytest.mark.parametrize(
    "name", ["make", "kate", "python3", "migrate", "swapper/0", "irqbalance", "x/0", "md5sum", "loop"]
)
def test_programs_are_not_taken_for_kernel_threads(name: str) -> None:
    _, tasks = read(trace_of(switch(1, 0, "swapper/0", 0, "R", name, 5)))
    assert tasks[1].mm


def test_tasks_of_one_name_can_be_assumed_to_share() -> None:
    lines = [switch(1, 0, "a", 5, "S", "a", 6), switch(2, 0, "a", 6, "S", "b", 7)]
    _, tasks = read(trace_of(*lines, mm="per-comm"))
    mm = {pid: task.mm for pid, task in by_pid(tasks).items()}
    assert mm[5] == mm[6] != mm[7]


def test_a_vfork_child_without_exec_events_has_a_new_mm_once_its_parent_wakes() -> None:
    lines = [
        switch(1, 0, "swapper/0", 0, "R", "sh", 5),
        event(2, 0, "sh", 5, newtask(9, 0x4100, "sh")),
        switch(3, 0, "sh", 5, "R+", "swapper/0", 0),  # preempted before it sleeps: tells nothing
        switch(4, 0, "swapper/0", 0, "R", "sh", 5),
        switch(5, 0, "sh", 5, "D", "sh", 9),
        switch(6, 0, "ls", 9, "R+", "sh", 5),
        switch(7, 0, "sh", 5, "S", "ls", 9),
        switch(8, 0, "ls", 9, "S", "sh", 5),
    ]
    events, _ = read(trace_of(*lines))
    assert kinds(events) == ["ON", "SWITCH", "FORK", *["SWITCH"] * 3, "EXEC", *["SWITCH"] * 3]
    died = [*lines[:-2], switch(7, 0, "sh", 5, "S", "ls", 9), switch(8, 0, "ls", 9, "Z", "sh", 5)]
    events, _ = read(trace_of(*died))
    assert "EXEC" not in kinds(events)


def test_a_vfork_parent_may_wake_before_the_exec_is_told() -> None:
    lines = [
        switch(1, 0, "swapper/0", 0, "R", "sh", 5),
        event(2, 0, "sh", 5, newtask(9, 0x4100, "sh")),
        switch(3, 0, "sh", 5, "D", "sh", 9),
        switch(4, 0, "ls", 9, "D", "sh", 5),
        switch(5, 0, "sh", 5, "S", "ls", 9),
        event(6, 0, "ls", 9, "sched_process_exec: filename=/bin/ls pid=9 old_pid=9"),
        event(7, 0, "ls", 9, "sched_process_exit: comm=ls pid=9 prio=120"),
        switch(8, 0, "ls", 9, "Z", "sh", 5),
    ]
    events, _ = read(trace_of(*lines))
    assert kinds(events)[3:] == ["SWITCH", "EXEC", "SWITCH", "SWITCH", "EXIT", "SWITCH"]


def test_a_vfork_child_switched_out_before_it_loads_its_mm_still_has_its_parents() -> None:
    lines = [
        switch(1, 0, "swapper/0", 0, "R", "sh", 5),
        event(2, 0, "sh", 5, newtask(9, 0x4100, "sh")),
        switch(3, 0, "sh", 5, "D", "sh", 9),
        switch(4, 0, "sh", 9, "R", "sh", 5),  # woken by exec, which has loaded nothing yet
        switch(5, 0, "sh", 5, "S", "sh", 9),
        event(6, 0, "sh", 9, FLUSH),
        event(7, 0, "sh", 9, "task_rename: pid=9 oldcomm=sh newcomm=ls oom_score_adj=0"),
        switch(8, 0, "ls", 9, "R", "swapper/0", 0),
        switch(9, 0, "swapper/0", 0, "R", "ls", 9),
        event(10, 0, "ls", 9, "sched_process_exec: filename=/bin/ls pid=9 old_pid=9"),
    ]
    for told in (lines, [line for line in lines if "tlb_flush" not in line]):
        events, _ = read(trace_of(*told))
        assert kinds(events) == ["ON", "SWITCH", "FORK", *["SWITCH"] * 3, "EXEC", "SWITCH", "SWITCH"]


def test_a_pid_used_again_is_not_of_the_thread_group_it_was_of() -> None:
    records = [
        r.record(0, 0, r.INFO, 9, a=9, b=4),  # a thread that ends unseen
        r.record(1, 0, r.SWITCH, 0, a=0, b=5),
        r.record(2, 0, r.NEWTASK, 5, a=9, b=0x1200000),
        r.record(3, 0, r.SWITCH, 5, a=5, b=4),
        r.record(4, 0, r.INFO, 4, a=4, b=4),
        r.record(5, 0, r.INFO, 7, a=7, b=4),
        r.record(6, 0, r.SWITCH, 4, a=4, b=7),
    ]
    _, tasks = read(RecoveredTrace(Recorded(records, lambda: 99)))
    mm = {pid: task.mm for pid, task in by_pid(tasks).items()}
    assert mm[7] == mm[4] != mm[9]


def test_an_exec_that_was_lost_does_not_hide_the_next_one() -> None:
    lines = [
        switch(1, 0, "swapper/0", 0, "R", "sh", 5),
        event(2, 0, "sh", 5, newtask(9, 0x4100, "sh")),
        switch(3, 0, "sh", 5, "D", "sh", 9),
        switch(4, 0, "sh", 9, "R", "sh", 5),
        "CPU:0 [LOST 12 EVENTS]",
        switch(5, 0, "sh", 5, "S", "ls", 9),
        event(6, 0, "ls", 9, "sched_process_exec: filename=/bin/cat pid=9 old_pid=9"),
    ]
    events, _ = read(trace_of(*lines))
    assert kinds(events).count("EXEC") == 2


def test_an_exec_due_is_told_when_the_task_is_found_running() -> None:
    lines = [
        switch(1, 0, "swapper/0", 0, "R", "sh", 5),
        event(2, 0, "sh", 5, newtask(9, 0x4100, "sh")),
        switch(3, 0, "sh", 5, "D", "sh", 9),
        switch(4, 0, "sh", 9, "R", "swapper/0", 0),
        switch(5, 0, "swapper/0", 0, "R", "sh", 5),
        switch(6, 0, "ls", 9, "S", "sh", 5),  # the switch to it is missing
    ]
    events, _ = read(trace_of(*lines))
    assert kinds(events)[-3:] == ["ON", "EXEC", "SWITCH"]


def test_fpu_use_follows_what_was_saved() -> None:
    lines = [switch(1, 0, "swapper/0", 0, "R", "a", 5)]
    for i, features in enumerate(["800", "803", "803", "0"]):
        lines += [
            switch(2 + i, 0, "a", 5, "S", "swapper/0", 0),
            event(2 + i, 0, "a", 5, FPU_SAVED.format(features)),
            switch(2.5 + i, 0, "swapper/0", 0, "R", "a", 5),
        ]
    events, _ = read(trace_of(*lines))
    assert kinds(events) == ["ON", *["SWITCH"] * 3, *["SWITCH", "SWITCH", "FPU"] * 2, "SWITCH", "SWITCH"]


def test_an_fpu_load_in_the_slice_is_one_fpu_event() -> None:
    events, _ = read(
        trace_of(
            switch(1, 0, "swapper/0", 0, "R", "a", 5),
            event(2, 0, "a", 5, FPU_LOADED.format("3")),
            event(3, 0, "a", 5, FPU_LOADED.format("3")),
            switch(4, 0, "a", 5, "S", "swapper/0", 0),
            event(4, 0, "a", 5, FPU_SAVED.format("3")),
        )
    )
    assert kinds(events).count("FPU") == 1


@pytest.mark.parametrize(
    ("value", "who"), [("never", set()), ("user", {5}), ("always", {5, 2}), ("seen", set())]
)
def test_fpu_use_as_an_assumption(value: str, who: set[int]) -> None:
    trace = trace_of(
        switch(1, 0, "swapper/0", 0, "R", "a", 5),
        switch(2, 0, "a", 5, "S", "kthreadd", 2),
        switch(3, 0, "kthreadd", 2, "S", "swapper/0", 0),
        fpu=value,
    )
    events, tasks = read(trace)
    used, current = set(), 0
    for kind, _, arg, _ in events:
        if kind in ("SWITCH", "ON"):
            current = arg
        elif kind == "FPU":
            used.add(tasks[current].pid)
    assert used == who
    assert trace.meta.state["fpu"].how == "assumed"


def test_a_remote_tlb_shootdown_is_a_flush_ipi() -> None:
    events, _ = read(
        trace_of(
            switch(1, 0, "swapper/0", 0, "R", "a", 5),
            event(2, 0, "a", 5, "tlb_flush: pages:1 reason:remote shootdown (1)"),
        )
    )
    assert events[-1] == ("FLUSH_IPI", 0, 0, 0)


CALLS = {
    "iopl(level: 3)": [("IOPL", 0, 3, 0)],
    "ioperm(from: 80, num: 1, turn_on: 1)": [("IO_BITMAP", 0, 1, 0)],
    "ioperm(from: 80, num: 1, turn_on: 0)": [],
    "modify_ldt(func: 1, ptr: bf, bytecount: 10)": [("LDT", 0, 1, 0)],
    "modify_ldt(func: 0, ptr: bf, bytecount: 10)": [],
    "set_thread_area(u_info: bf)": [("TLS", 0, 1, 0), ("GS", 0, 1, 0)],
    "prctl(option: 1a, arg2: 2, arg3: 0)": [("NOTSC", 0, 1, 0)],
    "prctl(option: 1a, arg2: 1, arg3: 0)": [("NOTSC", 0, 0, 0)],
    "prctl(option: f, arg2: 2, arg3: 0)": [],
    "prctl(option: 16, arg2: 1, arg3: 0)": [("NOTSC", 0, 1, 0)],
    "seccomp(op: 0, flags: 0, uargs: 0)": [("NOTSC", 0, 1, 0)],
    "ptrace(request: 6, pid: 9, addr: 388, data: 401)": [("FOR", 0, 2, 0), ("DR", 0, 1, 0)],
    "ptrace(request: 6, pid: 9, addr: 118, data: 400)": [("FOR", 0, 2, 0), ("DR", 0, 0, 0)],
    "ptrace(request: 6, pid: 9, addr: 350, data: 401)": [],
    "ptrace(request: 21, pid: 9, addr: 0, data: 0)": [("FOR", 0, 2, 0), ("BLOCKSTEP", 0, 1, 0)],
    "ptrace(request: 7, pid: 9, addr: 0, data: 0)": [],
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("result", ["0x0", "0xffffffffffffffff", "0xffffffed"])
def test_system_calls_change_state_when_they_succeed(call: str, result: str) -> None:
    name = call.partition("(")[0]
    lines = [
        switch(1, 0, "other", 8, "S", "a", 5),
        event(1, 0, "a", 5, newtask(9, 0)),
        event(2, 0, "a", 5, f"sys_{call}"),
        event(3, 0, "a", 5, f"sys_{name} -> {result}"),
    ]
    events, tasks = read(trace_of(*lines))
    expected = [
        (
            kind,
            cpu,
            by_pid(tasks)[9].id if kind == "FOR" else by_pid(tasks)[5].mm if kind == "LDT" else arg,
            flags,
        )
        for kind, cpu, arg, flags in CALLS[call]
    ]
    assert events[3:] == (expected if result == "0x0" else [])


def test_a_call_without_any_exit_counts_when_the_task_leaves_and_is_a_doubt() -> None:
    trace = trace_of(
        switch(1, 0, "swapper/0", 0, "R", "a", 5),
        event(2, 0, "a", 5, "sys_iopl(level: 3)"),
        switch(3, 0, "a", 5, "S", "swapper/0", 0),
    )
    events, _ = read(trace)
    assert kinds(events) == ["ON", "SWITCH", "IOPL", "SWITCH"]
    assert trace.doubts["exit_unseen"] == 1


def test_a_call_that_sleeps_waits_for_its_exit() -> None:
    events, _ = read(
        trace_of(
            switch(1, 0, "swapper/0", 0, "R", "a", 5),
            event(2, 0, "a", 5, "sys_iopl(level: 3)"),
            switch(3, 0, "a", 5, "S", "swapper/0", 0),
            switch(4, 0, "swapper/0", 0, "R", "a", 5),
            event(5, 0, "a", 5, "sys_iopl -> 0x0"),
        )
    )
    assert kinds(events)[-2:] == ["SWITCH", "IOPL"]


def test_raw_numbers_are_not_guessed_without_their_abi() -> None:
    lines = [
        switch(1, 0, "swapper/0", 0, "R", "a", 5),
        event(2, 0, "a", 5, "sys_enter: NR 172 (3, 0, 0, 0, 0, 0)"),
        event(3, 0, "a", 5, "sys_exit: NR 172 = 0"),
    ]
    trace = trace_of(*lines)
    events, _ = read(trace)
    assert kinds(events) == ["ON", "SWITCH"] and trace.doubts["raw_syscalls_undecided"] == 1
    events, _ = read(trace_of(*lines, abi="x86_64"))
    assert events[-1] == ("IOPL", 0, 3, 0)
    events, _ = read(trace_of(*lines, abi="i386"))
    assert kinds(events) == ["ON", "SWITCH"], "172 is prctl there, and option 3 is none of ours"


def test_a_syscalls_event_behind_an_i386_number_means_a_32_bit_kernel() -> None:
    events, _ = read(
        trace_of(
            switch(1, 0, "swapper/0", 0, "R", "a", 5),
            event(2, 0, "a", 5, "sys_enter: NR 110 (3, 0, 0, 0, 0, 0)"),
            event(2, 0, "a", 5, "sys_enter_iopl: level: 0x0003"),
            event(3, 0, "a", 5, "sys_exit: NR 110 = 0"),
            event(4, 0, "a", 5, "sys_enter: NR 172 (1a, 2, 0, 0, 0, 0)"),
            event(5, 0, "a", 5, "sys_exit: NR 172 = 0"),
        )
    )
    assert kinds(events) == ["ON", "SWITCH", "IOPL", "NOTSC"]


def test_tls_of_every_user_task_as_an_assumption() -> None:
    trace = trace_of(
        switch(1, 0, "swapper/0", 0, "R", "a", 5),
        event(2, 0, "a", 5, newtask(9, 0x3D0F00)),
        switch(3, 0, "a", 5, "S", "kthreadd", 2),
        tls="per-task",
    )
    events, tasks = read(trace)
    a, kthread = by_pid(tasks)[5], by_pid(tasks)[2]
    assert a.tls[0] and a.gs and kthread.tls == (0, 0, 0) and not kthread.gs
    assert [one for one in events if one[0] in ("FOR", "TLS")] == [
        ("FOR", 0, 2, 0),
        ("TLS", 0, a.tls[0] + 1, 0),
    ]


def test_every_piece_of_state_has_an_origin() -> None:
    from pvreplay.trace.model import STATE_KEYS

    trace = trace_of(switch(1, 0, "swapper/0", 0, "R", "a", 5))
    read(trace)
    assert set(trace.meta.state) == set(STATE_KEYS)
    assert trace.doubts == {"mm_assumed": 1}


def test_hostile_names_come_out_as_they_are() -> None:
    _, tasks = read(RecoveredTrace(TextSource(io.BytesIO(WEIRD.read_bytes()), "ftrace")))
    names = {task.comm for task in tasks.values()}
    assert {"a b c", "x ==> next_comm", "p next_pid=7", "a-12 [003]", "été", "123456789012345"} <= names


def test_nofp_is_recovered_from_its_own_recording() -> None:
    trace = RecoveredTrace(TextSource(io.BytesIO(NOFP.read_bytes()), "ftrace"))
    events, tasks = read(trace)
    task = by_pid(tasks)
    assert kinds(events).count("SWITCH") == NOFP.read_bytes().count(b": sched_switch: ")
    assert task[504].comm == "nofp-parent" and task[507].comm == "nofp-child"
    assert task[504].mm != task[507].mm and task[15].mm == 0
    assert trace.evidence(task[504].id) == "task_newtask" and trace.evidence(task[119].id) in (
        "own mm",
        "TLB flush",
    )


@pytest.mark.parametrize("path", [NOFP, WEIRD])
def test_compiled_and_interpreted_recovery_agree(path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    text = path.read_bytes()  # type: ignore[attr-defined]
    compiled = read(RecoveredTrace(TextSource(io.BytesIO(text), "ftrace")))
    slow = interpreted("_recover_cy")
    assert _recover_cy.COMPILED and not slow.COMPILED
    for name in ("run", "scan", "find", "put", "seek"):
        monkeypatch.setattr(_recover_cy, name, getattr(slow, name))
    assert read(RecoveredTrace(TextSource(io.BytesIO(text), "ftrace"))) == compiled


def test_the_result_does_not_depend_on_how_a_stream_arrives() -> None:
    class Dribble(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.data = io.BytesIO(data)

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            piece = self.data.read(min(len(buffer), 997))
            buffer[: len(piece)] = piece
            return len(piece)

    text = NOFP.read_bytes() * 12
    whole = read(RecoveredTrace(TextSource(io.BytesIO(text), "ftrace")))
    assert read(RecoveredTrace(TextSource(Dribble(text), "ftrace"))) == whole

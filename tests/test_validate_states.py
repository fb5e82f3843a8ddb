"""Recordings of a simulated 6.1 guest: no decided switch differs, whatever is recorded and told.

The simulated kernel (tests/sim_guest.py) keeps what the kernel's sources say it
keeps; the model never sees it, only its recording.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from pvreplay.backends.reader import load_backend
from pvreplay.kernels.reader import load_kernel
from pvreplay.sources import records as r
from pvreplay.sources.abi import i386_call
from pvreplay.sources.formats import parse_format
from pvreplay.sources.tracepoints import BUILDERS, TYPE
from pvreplay.validate.compare import validate
from pvreplay.validate.items import Recording
from pvreplay.validate.result import Result
from pvreplay.validate.signs import Survey
from tests.sim_guest import ALL, CLONE_SETTLS, CLONE_THREAD, CLONE_VM, Cpu, Guest, Task
from tests.sim_life import STATES, live

KERNEL = load_kernel("6.1")
BACKENDS = {True: load_backend("xen", KERNEL), False: load_backend("native", KERNEL)}
SETS = {
    "everything": ALL,
    "no functions": ALL - {"functions"},
    "raw system calls alone": ALL - {"functions", "syscalls"},
    "no raw system calls": ALL - {"raw"},
    "no system calls": ALL - {"raw", "syscalls"},
    "switches and xen": frozenset({"switch", "xen"}),
    "functions": frozenset({"switch", "functions", "tlb"}),
    "no births": ALL - {"newtask"},
    "no execs": ALL - {"exec"},
    "no exits": ALL - {"exit"},
    "no xen": ALL - {"xen"},
    "no x86_fpu": ALL - {"fpu", "functions"},
}
GUESTS = [
    pytest.param(name, xen, id=f"{name}-{'xen' if xen else 'native'}")
    for name in SETS
    for xen in (True, False)
    if xen or name != "switches and xen"  # natively its switches would stand without any evidence
]


def checked(guest: Guest, tmp_path: Path) -> Result:
    path = tmp_path / "guest.txt"
    path.write_bytes(guest.bytes())
    recording = Recording(str(path))
    return validate(recording, Survey(recording.items()), KERNEL, BACKENDS[guest.xen])


@pytest.mark.parametrize("compat", [False, True], ids=["64-bit", "32-bit"])
@pytest.mark.parametrize(("name", "xen"), GUESTS)
def test_no_decided_switch_of_a_random_life_differs(
    name: str, xen: bool, compat: bool, tmp_path: Path
) -> None:
    guest = Guest(kinds=SETS[name], xen=xen, compat=compat)
    rng = Random(f"{name} {xen} {compat}")
    guest.on = False
    live(guest, rng, rng.choice([0, 150]), set(STATES))  # some tasks are older, with their state
    guest.on = True
    live(guest, rng, 300, set(STATES))
    result = checked(guest, tmp_path)
    assert [(each.what, each.count) for each in result.classes if each.verdict == "different"] == []
    assert result.switches.compared > 60


def fresh(
    kinds: frozenset[str] = ALL, *, xen: bool = True, compat: bool = False
) -> tuple[Guest, Cpu, Task, Task]:
    """Two processes with nothing of the time before the recording; the first runs, both have run before."""
    guest = Guest(kinds=kinds, xen=xen, compat=compat)
    cpu = guest.cpus[0]
    shell = guest.old("sh")
    guest.switch(cpu, shell)
    guest.user(cpu)
    one, two = guest.clone(cpu, comm="one"), guest.clone(cpu, comm="two")
    for task in (two, one):
        guest.switch(cpu, task)
        guest.user(cpu)
        guest.exec(cpu, task.comm)
        guest.user(cpu)
    return guest, cpu, one, two


def to_and_fro(guest: Guest, cpu: Cpu, *tasks: Task, rounds: int = 4) -> None:
    for _ in range(rounds):
        for task in (*tasks, cpu.idle):
            if task is not cpu.current:
                guest.switch(cpu, task)
                guest.user(cpu)


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_told_tls_slots_are_predicted(slots: int, tmp_path: Path) -> None:
    guest, cpu, one, two = fresh()
    for at in range(slots):
        guest.set_thread_area(cpu, 0x1000 + at)
    to_and_fro(guest, cpu, two, one)
    result = checked(guest, tmp_path)
    assert (result.switches.different, result.reasons["tls"].switches) == (0, 0)
    assert result.flushes["end_of_switch"].predicted[f"{1 + slots}, 48, 1"] >= 4
    assert result.flushes["end_of_switch"].seen == result.flushes["end_of_switch"].predicted


def test_equal_descriptors_are_found_out_once(tmp_path: Path) -> None:
    """Two tasks that asked for the same segment: the pointers do not tell, one switch does."""
    guest, cpu, one, two = fresh()
    guest.set_thread_area(cpu, 0x2000, 0)
    guest.switch(cpu, two)
    guest.user(cpu)
    guest.set_thread_area(cpu, 0x2000, 0)
    to_and_fro(guest, cpu, one, two, rounds=6)
    result = checked(guest, tmp_path)
    assert (result.switches.different, result.reasons["tls"].switches) == (0, 1)
    # and what was learnt is no way out: another number of entries is a difference
    text = guest.bytes().decode().splitlines()
    last = max(at for at, line in enumerate(text) if "xen_mc_flush: flushing 1 hypercalls, 48" in line)
    text[last] = text[last].replace("flushing 1 hypercalls", "flushing 2 hypercalls")
    guest.lines = text
    assert checked(guest, tmp_path).switches.different == 1


def test_threads_of_a_32_bit_process_have_a_segment_each(tmp_path: Path) -> None:
    guest, cpu, one, _ = fresh(compat=True)
    guest.set_thread_area(cpu, 0x3000)
    threads = [guest.clone(cpu, CLONE_VM | CLONE_THREAD | CLONE_SETTLS) for _ in range(3)]
    to_and_fro(guest, cpu, *threads, one)
    result = checked(guest, tmp_path)
    assert (result.switches.different, result.reasons["tls"].switches) == (0, 0)
    assert result.flushes["end_of_switch"].seen["1, 0, 0"] >= 12


def test_an_exec_leaves_its_segment_in_the_gdt_until_the_next_switch(tmp_path: Path) -> None:
    guest, cpu, one, two = fresh()
    guest.set_thread_area(cpu, 0x3000)
    guest.exec(cpu, "next")
    guest.switch(cpu, cpu.idle)
    guest.switch(cpu, one)
    guest.user(cpu)
    guest.switch(cpu, two)
    result = checked(guest, tmp_path)
    assert (result.switches.different, result.reasons["tls"].switches) == (0, 1)


def test_a_child_has_a_copy_of_the_ldt_and_an_exec_gives_it_up(tmp_path: Path) -> None:
    guest, cpu, one, two = fresh()
    guest.modify_ldt(cpu, result=4294967274)  # -EINVAL, as the call returns it
    guest.switch(cpu, two)
    guest.switch(cpu, one)
    guest.user(cpu)
    guest.modify_ldt(cpu)
    child = guest.clone(cpu)
    to_and_fro(guest, cpu, two, child, one)
    guest.switch(cpu, child)
    guest.user(cpu)
    guest.exec(cpu, "next")
    guest.user(cpu)
    guest.switch(cpu, two)
    result = checked(guest, tmp_path)
    assert (result.switches.different, result.reasons.get("ldt")) == (0, None) or (
        result.switches.different == 0 and result.reasons["ldt"].switches == 0
    )
    assert result.decisions["ldt"].predicted == result.decisions["ldt"].seen >= 12
    assert result.flushes["end_of_switch"].seen["2, 72, 1"] >= 12


@pytest.mark.parametrize("xen", [True, False])
def test_io_bitmaps_the_tsc_and_their_heirs(xen: bool, tmp_path: Path) -> None:
    guest, cpu, one, two = fresh(xen=xen)
    guest.iopl_call(cpu, 3)
    child = guest.clone(cpu)
    to_and_fro(guest, cpu, two, child, one, rounds=2)
    guest.switch(cpu, two)
    guest.user(cpu)
    guest.ioperm(cpu, 0x80, 1, True)
    guest.tsc(cpu, True)
    to_and_fro(guest, cpu, one, two, child, rounds=2)
    guest.switch(cpu, two)
    guest.user(cpu)
    guest.exec(cpu, "next")  # both survive it
    guest.user(cpu)
    to_and_fro(guest, cpu, one, two, rounds=2)
    guest.switch(cpu, one)
    guest.user(cpu)
    guest.iopl_call(cpu, 1)  # no more than 0 since IOPL is emulated
    to_and_fro(guest, cpu, two, one, rounds=2)
    for task in (two, child):
        guest.switch(cpu, task)
        guest.user(cpu)
        guest.exit(cpu, one)
    result = checked(guest, tmp_path)
    assert (result.switches.different, result.decisions["xtra"].undecided) == (0, 0)
    assert result.decisions["xtra"].seen == result.decisions["xtra"].predicted >= 15


def test_a_block_step_ends_before_the_task_is_switched_out(tmp_path: Path) -> None:
    guest, cpu, one, two = fresh(xen=False)
    for _ in range(5):
        guest.singleblock(cpu, two)
        guest.switch(cpu, two)
        guest.user(cpu)
        guest.switch(cpu, one)
        guest.user(cpu)
    result = checked(guest, tmp_path)
    assert (result.switches.different, result.decisions["xtra"].undecided) == (0, 0)
    assert result.decisions["xtra"].seen == 5


@pytest.mark.parametrize(("kinds", "xen"), [("xen", True), ("tlb", False), ("functions", True)])
def test_a_flush_by_another_cpu_makes_a_lazy_cpu_load_its_mm_again(
    kinds: str, xen: bool, tmp_path: Path
) -> None:
    guest, cpu, one, _ = fresh(ALL - {"xen", "tlb", "functions"} | {kinds}, xen=xen)
    thread = guest.clone(cpu, CLONE_VM | CLONE_THREAD)
    other = guest.cpus[1]
    guest.switch(other, thread)
    guest.user(other)
    for _ in range(4):
        guest.switch(cpu, cpu.idle)
        guest.munmap(other)
        guest.switch(cpu, one)
        guest.user(cpu)
        guest.switch(cpu, cpu.idle)
        guest.switch(cpu, one)  # once is enough
        guest.user(cpu)
    result = checked(guest, tmp_path)
    assert result.switches.different == 0
    assert result.reasons["lazy_tlb"].switches == 0
    assert result.decisions["mm"].predicted == result.decisions["mm"].seen >= 5


def test_what_a_call_is_can_be_told_by_its_arguments() -> None:
    assert i386_call(172, 15, 0xFF800000, 0) == r.SYS_PRCTL
    assert i386_call(172, 3, 0, 0) == 0, "iopl(3), or prctl(PR_GET_DUMPABLE)"
    assert i386_call(123, 1, 0xFF800000, 16) == r.SYS_MODIFY_LDT
    assert i386_call(123, 1000, 0, 0) == 0, "setfsgid"
    assert i386_call(101, 0x80, 1, 1) == r.SYS_IOPERM
    assert i386_call(101, 6, 1234, 904) == 0, "ptrace"
    assert i386_call(26, 6, 1234, 280) == r.SYS_PTRACE
    assert i386_call(26, 0x7F0000, 4096, 4) == 0, "msync"
    assert i386_call(243, 0xFF800000, 0, 0) == r.SYS_SET_THREAD_AREA
    assert i386_call(243, 3, 0x7FFF0000, 0) == 0, "mq_timedreceive"
    assert i386_call(110, 3, 0, 0) == 0, "getppid, or iopl"


def test_a_flush_under_xen_is_told_by_binary_recordings_too() -> None:
    text = """name: xen_mmu_flush_tlb_multi
ID: 7
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:unsigned ncpus;	offset:8;	size:4;	signed:0;
	field:struct mm_struct * mm;	offset:16;	size:8;	signed:0;
	field:unsigned long addr;	offset:24;	size:8;	signed:0;
	field:unsigned long end;	offset:32;	size:8;	signed:0;

print fmt: "ncpus %d mm %p addr %lx, end %lx", REC->ncpus, REC->mm, REC->addr, REC->end
"""
    row = BUILDERS["xen", "xen_mmu_flush_tlb_multi"](parse_format(text, "xen"))
    assert row[TYPE] == r.MM_FLUSHED
    assert 8 in row, "where ncpus stands"

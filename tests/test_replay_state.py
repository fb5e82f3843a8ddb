"""What each event does to the state a switch looks at, one rule a test.

The kernel's rules are cited where they are; line numbers are of Linux v2.6.21
unless another version is named.
"""

from __future__ import annotations

from typing import Any

import pytest

from pvreplay.kernels.model import FpuRules, Kernel
from pvreplay.kernels.reader import load_kernel
from pvreplay.machine.shape import (
    ITEM_PARK,
    ITEM_RESUME,
    ITEM_SHIFT,
    UNIT_LEAVE_MM,
    UNIT_NM,
    UNIT_SEQ,
    UNIT_SWITCH,
    names,
)
from pvreplay.replay.histogram import Histogram
from pvreplay.replay.run import replay
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import ListTrace
from pvreplay.trace.model import Meta, Task
from tests.replay_traces import OPS, with_rules

K = Kind
KERNEL = load_kernel("2.6.21")
PARKING = with_rules(KERNEL, KERNEL.fpu, True)
A, B, KTHREAD = 1, 2, 3
UNIT_NAMES = {UNIT_SWITCH: "switch", UNIT_NM: "nm", UNIT_LEAVE_MM: "leave_mm", UNIT_SEQ: "sequence"}


def tasks(a: dict[str, Any] | None = None, b: dict[str, Any] | None = None) -> list[Task]:
    """A and B with an mm each, and a kernel thread."""
    return [
        Task(A, "a", **{"mm": 1, **(a or {})}),
        Task(B, "b", **{"mm": 2, **(b or {})}),
        Task(KTHREAD, "k"),
    ]


def replayed(
    *events: tuple[int, ...],
    defined: list[Task] | None = None,
    kernel: Kernel = KERNEL,
    on: int = A,
    window_ns: tuple[int, int] | None = None,
) -> Histogram:
    """CPU 0 runs *on*; an event is (kind, argument, flags), or has the CPU as a fourth number."""
    timed = []
    for number, event in enumerate(events):
        kind, arg, flags, cpu = (*event, 0, 0, 0)[:4]
        timed.append((1000 * (number + 1), cpu, kind, arg, flags))
    trace = ListTrace(timed, defined or tasks(), [(0, on)], Meta(path="t", cpus=2, ops=OPS))
    return replay(trace, kernel, window_ns=window_ns)


def happened(*events: tuple[int, ...], **options: Any) -> list[tuple[str, Any]]:
    """What each event completed, in order: ("switch", its guards), ("nm", task), ("sequence", items)."""
    before: dict[tuple[int, ...], int] = {}
    found = []
    for length in range(len(events) + 1):
        hist = replayed(*events[:length], **options)
        now: dict[tuple[int, ...], int] = {}
        for row in hist.rows:
            key = (row.unit_type, row.payload, row.cpu, row.task)
            now[key] = row.count
            if row.count == before.get(key, 0):
                continue
            what: Any = row.task
            if row.unit_type == UNIT_SWITCH:
                what = set(names(row.payload))
            elif row.unit_type == UNIT_SEQ:
                what = items(hist.sequences[row.payload])
                # what is open at the end of this prefix may go on
                if length < len(events) and hist.doubts["unfinished"]:
                    del now[key]
                    continue
            found.append((UNIT_NAMES[row.unit_type], what))
        before = now
    return found


def items(sequence: tuple[int, ...]) -> list[Any]:
    """A sequence readably: the kind, or (kind, payload)."""
    special = {ITEM_PARK: "PARK", ITEM_RESUME: "RESUME"}
    readable: list[Any] = []
    for item in sequence:
        kind, payload = item >> ITEM_SHIFT, item & ((1 << ITEM_SHIFT) - 1)
        name = special.get(kind) or Kind(kind).name
        readable.append((name, payload) if payload else name)
    return readable


def switches(*events: tuple[int, ...], **options: Any) -> list[set[str]]:
    """The guards of each switch."""
    return [what for unit, what in happened(*events, **options) if unit == "switch"]


# --- page tables: switch_mm(), include/asm-i386/mmu_context.h:30 ---------------


def test_another_mm_differs_and_the_own_mm_does_not() -> None:
    shared = tasks(b={"mm": 1})
    assert switches((K.SWITCH, B)) == [{"mm_differs"}]
    assert switches((K.SWITCH, B), defined=shared) == [set()]


def test_a_kernel_thread_borrows_the_mm_so_coming_back_to_it_is_the_same_mm() -> None:
    assert switches((K.SWITCH, KTHREAD), (K.SWITCH, A), (K.SWITCH, 0), (K.SWITCH, B)) == [
        {"next_kernel"},
        {"prev_kernel"},
        {"next_kernel"},
        {"prev_kernel", "mm_differs"},
    ]


def test_a_flush_ipi_in_lazy_tlb_state_leaves_the_mm_once_and_costs_a_reload() -> None:
    # leave_mm() clears the own bit (arch/i386/kernel/smp.c:268); switch_mm() then finds it clear and reloads.
    assert happened(
        (K.SWITCH, KTHREAD), (K.FLUSH_IPI,), (K.FLUSH_IPI,), (K.SWITCH, A), (K.SWITCH, KTHREAD), (K.SWITCH, A)
    ) == [
        ("switch", {"next_kernel"}),
        ("leave_mm", KTHREAD),
        ("switch", {"prev_kernel", "lazy_tlb_reload"}),
        ("switch", {"next_kernel"}),
        ("switch", {"prev_kernel"}),
    ]


def test_a_flush_ipi_while_a_user_task_runs_leaves_nothing() -> None:
    assert happened((K.FLUSH_IPI,)) == []


def test_a_cpu_that_has_run_no_user_task_has_no_mm_to_leave() -> None:
    assert happened((K.FLUSH_IPI, 0, 0, 1), (K.SWITCH, KTHREAD, 0, 1), (K.FLUSH_IPI, 0, 0, 1)) == [
        ("switch", {"prev_kernel", "next_kernel"})
    ]


def test_the_idle_tasks_of_two_cpus_are_two_tasks() -> None:
    found = switches((K.SWITCH, 0), (K.GS, 1), (K.SWITCH, KTHREAD, 0, 1), (K.SWITCH, 0, 0, 1), (K.SWITCH, B))
    assert found == [
        {"next_kernel"},
        {"prev_kernel", "next_kernel"},
        {"prev_kernel", "next_kernel"},
        {"prev_kernel", "mm_differs", "prev_gs"},
    ]


def test_ldts_are_compared_only_with_another_mm_and_belong_to_the_mm() -> None:
    with_ldt = tasks(b={"ldt": 7})
    assert switches((K.SWITCH, B), defined=with_ldt) == [{"mm_differs", "ldt_differs", "next_ldt"}]
    assert switches((K.LDT, 7), (K.SWITCH, B), defined=with_ldt) == [{"mm_differs", "prev_ldt", "next_ldt"}]
    assert switches((K.LDT, 7), (K.SWITCH, KTHREAD), (K.SWITCH, A)) == [
        {"next_kernel", "prev_ldt"},
        {"prev_kernel", "prev_ldt", "next_ldt"},
    ]


def test_a_kernel_thread_has_no_ldt_to_change() -> None:
    hist = replayed((K.SWITCH, KTHREAD), (K.LDT, 7), (K.SWITCH, A))
    assert hist.doubts["unmatched"] == 1
    assert [set(names(row.payload)) for row in hist.rows] == [{"next_kernel"}, {"prev_kernel"}]


def test_exec_gives_a_new_mm_that_the_cpu_runs_on_at_once() -> None:
    clean = {"mm": 1, "tls": (1, 2, 3), "gs": True, "dr": True, "iopl": 3}
    assert switches(
        (K.EXEC, 5), (K.SWITCH, KTHREAD), (K.SWITCH, A), (K.SWITCH, B), defined=tasks(a=clean)
    ) == [
        {"next_kernel", "iopl_differs"},
        {"prev_kernel", "iopl_differs", "next_iopl"},
        {"mm_differs", "iopl_differs"},
    ]


def test_exit_leaves_the_task_on_the_mm_without_owning_it() -> None:
    gone = tasks(a={"io_bitmap": True})
    assert happened((K.EXIT,), (K.FLUSH_IPI,), (K.SWITCH, B), defined=gone) == [
        ("leave_mm", A),
        ("switch", {"prev_kernel", "mm_differs"}),
    ]


# --- state of a task -------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (K.GS, "gs"),
        (K.DR, "dr"),
        (K.IO_BITMAP, "io_bitmap"),
        (K.NOTSC, "notsc"),
        (K.BLOCKSTEP, "blockstep"),
    ],
)
def test_a_flag_of_a_task_is_a_guard_as_prev_and_as_next(kind: int, name: str) -> None:
    same = tasks(b={"mm": 1})
    assert switches((kind, 1), (K.SWITCH, B), (K.SWITCH, A), (kind, 0), (K.SWITCH, B), defined=same) == [
        {f"prev_{name}"},
        {f"next_{name}"},
        set(),
    ]
    told = tasks(a={name: True}, b={"mm": 1})
    assert switches((K.SWITCH, B), defined=told) == [{f"prev_{name}"}]


def test_iopl_differs_by_value_and_next_iopl_says_it_is_not_zero() -> None:
    same = tasks(a={"iopl": 1}, b={"mm": 1})
    assert switches((K.SWITCH, B), (K.IOPL, 3), (K.SWITCH, A), (K.IOPL, 3), (K.SWITCH, B), defined=same) == [
        {"iopl_differs"},
        {"iopl_differs", "next_iopl"},
        {"next_iopl"},
    ]


def test_tls_slots_that_differ_are_counted() -> None:
    same = tasks(a={"tls": (1, 2, 3)}, b={"mm": 1, "tls": (1, 0, 0)})
    assert switches(
        (K.SWITCH, B), (K.TLS, 2, 1), (K.SWITCH, A), (K.TLS, 0, 2), (K.SWITCH, B), defined=same
    ) == [
        {"tls=2"},
        {"tls=1"},
        set(),
    ]


def test_for_names_the_task_of_the_next_event_of_its_cpu_alone() -> None:
    same = tasks(b={"mm": 1})
    assert switches((K.FOR, B), (K.GS, 1), (K.DR, 1), (K.SWITCH, B), defined=same) == [{"prev_dr", "next_gs"}]
    # an event of another CPU comes between and is about that CPU's own task
    assert switches((K.FOR, B), (K.GS, 1, 0, 1), (K.GS, 1), (K.SWITCH, B), defined=same) == [{"next_gs"}]
    assert switches((K.FOR, 0), (K.GS, 1), (K.SWITCH, 0)) == [{"next_kernel", "next_gs"}]


def test_for_before_an_event_that_is_about_no_task_is_a_doubt_and_no_more() -> None:
    hist = replayed((K.FOR, B), (K.FPU,), (K.GS, 1), (K.SWITCH, B))
    assert hist.doubts["unmatched"] == 1
    assert "prev_gs" in names(hist.rows[-1].payload)


def test_a_child_inherits_what_copy_thread_copies() -> None:
    # copy_thread() copies the parent's thread struct; TIF_DEBUG and block stepping do not go along.
    flags = {"gs": True, "dr": True, "io_bitmap": True, "notsc": True, "blockstep": True}
    parent = tasks(a={"tls": (1, 2, 3), "iopl": 3, **flags}, b={"mm": 1, "tls": (9, 9, 9)})
    assert switches((K.FORK, B), (K.SWITCH, B), (K.SWITCH, A), defined=parent) == [
        {"prev_dr", "prev_blockstep", *both("gs"), *both("io_bitmap"), *both("notsc"), "next_iopl"},
        {"next_dr", "next_blockstep", *both("gs"), *both("io_bitmap"), *both("notsc"), "next_iopl"},
    ]


def both(name: str) -> tuple[str, str]:
    return f"prev_{name}", f"next_{name}"


# --- FPU: arch/i386/kernel/traps.c:1048, include/asm-i386/i387.h:77 ------------


def test_the_first_fpu_instruction_of_a_slice_faults_and_the_second_does_not() -> None:
    assert happened((K.FPU,), (K.FPU,), (K.SWITCH, KTHREAD), (K.SWITCH, A), (K.FPU,)) == [
        ("nm", A),
        ("switch", {"next_kernel", "prev_fpu"}),
        ("switch", {"prev_kernel"}),
        ("nm", A),
    ]


def fpu_slices(number: int) -> list[tuple[int, ...]]:
    """Slices of A in each of which it uses the FPU."""
    return [(K.FPU,), (K.SWITCH, KTHREAD), (K.SWITCH, A)] * number


def test_after_more_than_five_fpu_slices_the_registers_are_restored_eagerly() -> None:
    eager = [("next_eager" in found) for found in switches(*fpu_slices(7))[1::2]]
    assert eager == [False, False, False, False, False, True, True]
    nm = [what for unit, what in happened(*fpu_slices(7)) if unit == "nm"]
    assert nm == [A] * 6


def test_a_slice_without_fpu_use_starts_the_count_again() -> None:
    # __unlazy_fpu() without TS_USEDFPU: fpu_counter = 0
    idle_slice = [(K.SWITCH, KTHREAD), (K.SWITCH, A)]
    found = switches(*fpu_slices(5), *idle_slice, *fpu_slices(6))[1::2]
    assert ["next_eager" in one for one in found] == [False] * 11 + [True]


def test_the_counter_wraps_at_256_and_the_task_is_lazy_again() -> None:
    # unsigned char fpu_counter, include/linux/sched.h:908: every eager restore adds one.
    rounds = [(K.SWITCH, KTHREAD), (K.SWITCH, A)] * 4
    warm = tasks(a={"fpu": True, "fpu_counter": 253})
    found = switches(*rounds, defined=warm)
    assert ["next_eager" in one for one in found[1::2]] == [True, True, True, False]
    assert ["prev_fpu" in one for one in found[0::2]] == [True, True, True, True]


def test_from_2_6_26_a_task_that_has_not_used_math_is_not_restored() -> None:
    # 870568b3906 ("x86, fpu: fix CONFIG_PREEMPT=y corruption of application's FPU stack")
    asks = with_rules(KERNEL, FpuRules(model="lazy", eager_needs_used_math=True), False)
    for used, eager in ((False, []), (True, ["next_eager"])):
        warm = tasks(b={"mm": 1, "fpu_counter": 6, "used_math": used})
        assert switches((K.SWITCH, B), defined=warm, kernel=asks) == [set(eager)]
        assert switches((K.SWITCH, B), defined=warm) == [{"next_eager"}]


def test_exec_ends_fpu_use_and_resets_the_counter_only_where_the_kernel_does() -> None:
    # 75118a82e21 ("x86: fix NULL pointer deref in __switch_to"), in v2.6.26-rc7
    resets = with_rules(KERNEL, FpuRules(model="lazy", reset_on_exec=True), False)
    warm = tasks(a={"fpu": True, "fpu_counter": 9})
    events = [(K.EXEC, 5), (K.FPU,), (K.SWITCH, KTHREAD), (K.SWITCH, A)]
    assert happened(*events, defined=warm)[0] == ("nm", A)
    assert "next_eager" in switches(*events, defined=warm)[1]
    assert "next_eager" not in switches(*events, defined=warm, kernel=resets)[1]


def test_fork_saves_the_parents_fpu_and_the_child_inherits_the_counter() -> None:
    # prepare_to_copy(), arch/i386/kernel/process.c:408
    live = tasks(a={"fpu": True, "fpu_counter": 6}, b={"mm": 1, "fpu": True})
    events = [(K.FORK, B), (K.SWITCH, B), (K.SWITCH, KTHREAD)]
    assert switches(*events, defined=live) == [{"next_eager"}, {"prev_fpu", "next_kernel"}]
    idle = tasks(a={"fpu_counter": 6}, b={"mm": 1, "fpu_counter": 9})
    assert switches(*events, (K.SWITCH, A), defined=idle)[0::2] == [set(), {"prev_kernel"}]


def test_kernel_fpu_saves_the_task_which_faults_again_and_keeps_its_count() -> None:
    live = tasks(a={"fpu": True, "fpu_counter": 5})
    assert happened((K.KERNEL_FPU,), (K.FPU,), (K.SWITCH, KTHREAD), (K.SWITCH, A), defined=live) == [
        ("nm", A),
        ("switch", {"next_kernel", "prev_fpu"}),
        ("switch", {"prev_kernel", "next_eager"}),
    ]
    assert switches((K.KERNEL_FPU,), (K.SWITCH, KTHREAD), (K.SWITCH, A), defined=live) == [
        {"next_kernel"},
        {"prev_kernel"},
    ]


def test_a_kernel_without_lazy_fpu_saves_every_user_task_and_never_faults() -> None:
    modern = with_rules(KERNEL, FpuRules(model="none"), True)
    warm = tasks(b={"fpu_counter": 200})
    assert happened(
        (K.FPU,), (K.SWITCH, B), (K.SWITCH, KTHREAD), (K.SWITCH, A), defined=warm, kernel=modern
    ) == [
        ("switch", {"mm_differs", "prev_fpu"}),
        ("switch", {"next_kernel", "prev_fpu"}),
        ("switch", {"prev_kernel", "mm_differs"}),
    ]


# --- lazy MMU sections -------------------------------------------------------------


def test_a_section_is_one_sequence_with_its_writes_summed() -> None:
    assert happened(
        (K.ENTER_MMU,),
        (K.SET_PTE, 3),
        (K.SET_PTE, 4),
        (K.READ_PTE,),
        (K.SET_PTE, 1),
        (K.FLUSH,),
        (K.LEAVE_MMU,),
    ) == [
        ("sequence", ["ENTER_MMU", ("SET_PTE", 7), "READ_PTE", ("SET_PTE", 1), "FLUSH", "LEAVE_MMU"]),
    ]


def test_equal_sequences_are_one_row_and_tell_where_the_first_began() -> None:
    hist = replayed(*[(K.ENTER_MMU,), (K.SET_PTE, 2), (K.LEAVE_MMU,)] * 3)
    assert len(hist.sequences) == 1
    assert [(row.count, row.first_event, row.first_time_ns, row.task) for row in hist.rows] == [
        (3, 0, 1000, A)
    ]


def test_outside_a_section_a_write_a_flush_and_a_leave_stand_alone_and_a_read_is_nothing() -> None:
    assert happened((K.SET_PTE, 3), (K.READ_PTE,), (K.SLEEP,), (K.USER,), (K.FLUSH,), (K.LEAVE_MMU,)) == [
        ("sequence", [("SET_PTE", 3)]),
        ("sequence", ["FLUSH"]),
        ("sequence", ["LEAVE_MMU"]),
    ]


def test_a_sum_of_writes_may_need_more_than_32_bits() -> None:
    assert happened((K.ENTER_MMU,), (K.SET_PTE, 0xFFFFFFFF), (K.SET_PTE, 0xFFFFFFFF), (K.LEAVE_MMU,)) == [
        ("sequence", ["ENTER_MMU", ("SET_PTE", 0x1FFFFFFFE), "LEAVE_MMU"])
    ]


def test_no_pte_at_all_is_no_write() -> None:
    assert happened((K.SET_PTE, 0)) == []


def test_nested_sections_are_one_sequence() -> None:
    assert happened((K.ENTER_MMU,), (K.ENTER_MMU,), (K.LEAVE_MMU,), (K.SET_PTE, 1), (K.LEAVE_MMU,)) == [
        ("sequence", ["ENTER_MMU", "ENTER_MMU", "LEAVE_MMU", ("SET_PTE", 1), "LEAVE_MMU"])
    ]


def test_an_interrupt_alone_is_dropped_and_one_with_writes_is_kept() -> None:
    assert happened((K.IRQ_ENTER,), (K.NMI_ENTER,), (K.NMI_EXIT,), (K.IRQ_EXIT,)) == []
    assert happened((K.FAULT_ENTER,), (K.SET_PTE, 1), (K.FAULT_EXIT,)) == [
        ("sequence", ["FAULT_ENTER", ("SET_PTE", 1), "FAULT_EXIT"])
    ]


def test_a_section_entered_in_an_interrupt_outlives_it() -> None:
    assert happened((K.IRQ_ENTER,), (K.ENTER_MMU,), (K.IRQ_EXIT,), (K.SLEEP,), (K.LEAVE_MMU,)) == [
        ("sequence", ["IRQ_ENTER", "ENTER_MMU", "IRQ_EXIT", "SLEEP", "LEAVE_MMU"])
    ]


def test_the_end_of_an_interrupt_that_never_began_is_a_doubt() -> None:
    hist = replayed((K.IRQ_EXIT,), (K.NMI_EXIT,), (K.FAULT_EXIT,))
    # a fault may sleep, and end after a switch: its end alone is no doubt
    assert hist.doubts["unmatched"] == 2
    assert hist.rows == []


def test_a_switch_in_an_interrupt_says_so_once() -> None:
    assert switches((K.IRQ_ENTER,), (K.SWITCH, B), (K.SWITCH, A)) == [
        {"mm_differs", "in_irq"},
        {"mm_differs"},
    ]
    assert switches((K.NMI_ENTER,), (K.SWITCH, B)) == [{"mm_differs", "in_irq"}]


def test_a_fault_that_sleeps_is_an_ordinary_switch() -> None:
    assert happened((K.FAULT_ENTER,), (K.SET_PTE, 1), (K.SWITCH, B), (K.FAULT_EXIT,), (K.SWITCH, A)) == [
        ("sequence", ["FAULT_ENTER", ("SET_PTE", 1)]),
        ("switch", {"mm_differs"}),
        ("switch", {"mm_differs"}),
    ]


def test_from_2_6_31_a_switch_parks_the_section_and_its_task_resumes_it() -> None:
    # b407fc57b81 ("x86/paravirt: flush pending mmu updates on context switch")
    events = [(K.ENTER_MMU,), (K.SET_PTE, 2), (K.SWITCH, B), (K.SWITCH, A), (K.SET_PTE, 3), (K.LEAVE_MMU,)]
    assert happened(*events, (K.SWITCH, B), kernel=PARKING) == [
        ("sequence", ["ENTER_MMU", ("SET_PTE", 2), "PARK"]),
        ("switch", {"mm_differs", "prev_parked"}),
        ("switch", {"mm_differs", "next_parked"}),
        ("sequence", ["RESUME", ("SET_PTE", 3), "LEAVE_MMU"]),
        ("switch", {"mm_differs"}),
    ]


def test_a_parked_section_resumes_on_the_cpu_its_task_goes_to() -> None:
    events = [(K.ENTER_MMU,), (K.SWITCH, B), (K.SWITCH, A, 0, 1), (K.LEAVE_MMU, 0, 0, 1)]
    hist = replayed(*events, kernel=PARKING)
    found = [(row.cpu, items(hist.sequences[row.payload])) for row in hist.rows if row.unit_type == UNIT_SEQ]
    assert found == [(0, ["ENTER_MMU", "PARK"]), (1, ["RESUME", "LEAVE_MMU"])]


def test_before_2_6_31_a_switch_is_an_item_of_the_section_it_interrupts() -> None:
    hist = replayed((K.ENTER_MMU,), (K.SWITCH, B), (K.SET_PTE, 1), (K.LEAVE_MMU,), (K.SWITCH, A))
    assert [items(sequence) for sequence in hist.sequences] == [
        ["ENTER_MMU", ("SWITCH", 1), ("SET_PTE", 1), "LEAVE_MMU"]
    ]
    assert hist.switches == 2
    assert [row.unit_type for row in hist.rows] == [UNIT_SEQ, UNIT_SWITCH]


def test_after_such_a_switch_the_mode_is_on_or_off_so_a_lost_leave_does_not_swallow_the_trace() -> None:
    events = [(K.ENTER_MMU,), (K.SWITCH, B), (K.ENTER_MMU,), (K.LEAVE_MMU,), (K.SWITCH, A)]
    assert happened(*events)[-1] == ("switch", {"mm_differs"})


def test_what_is_open_at_the_end_is_kept_and_counted_as_a_doubt() -> None:
    hist = replayed((K.ENTER_MMU,), (K.SET_PTE, 2))
    assert [items(sequence) for sequence in hist.sequences] == [["ENTER_MMU", ("SET_PTE", 2)]]
    assert hist.doubts["unfinished"] == 1
    quiet = replayed((K.BEGIN, B), (K.OP, 1), (K.END,), (K.IRQ_ENTER, 0, 0, 1))
    assert [items(sequence) for sequence in quiet.sequences] == [["BEGIN", ("OP", 1), "END"]]
    assert quiet.doubts["unfinished"] == 0


# --- op-level windows ---------------------------------------------------------------


def test_a_window_goes_on_after_its_end_until_the_return_to_user_mode() -> None:
    window = [(K.BEGIN, B), (K.OP, 1), (K.END,), (K.OP, 0x10002), (K.USER,), (K.OP, 3)]
    assert [items(sequence) for sequence in replayed(*window).sequences] == [
        ["BEGIN", ("OP", 1), "END", ("OP", 0x10002), "USER"],
        [("OP", 3)],
    ]


def test_the_next_window_ends_the_one_before_and_each_belongs_to_the_task_switched_to() -> None:
    hist = replayed((K.BEGIN, B), (K.OP, 1), (K.END,), (K.BEGIN, A), (K.OP, 1), (K.END,), (K.USER,))
    assert [(row.task, row.first_prev, row.count) for row in hist.rows] == [(B, A, 1), (A, B, 1)]
    assert hist.switches == 2
    assert hist.doubts["unmatched"] == 0


def test_a_window_without_an_end_and_an_end_without_a_window_are_doubts() -> None:
    hist = replayed((K.END,), (K.BEGIN, B), (K.BEGIN, A), (K.END,))
    assert hist.doubts["unmatched"] == 2
    assert [items(sequence) for sequence in hist.sequences] == [["BEGIN"], ["BEGIN", "END"]]


def test_a_window_inside_a_section_is_part_of_it() -> None:
    assert happened((K.ENTER_MMU,), (K.BEGIN, B), (K.OP, 1), (K.END,), (K.USER,), (K.LEAVE_MMU,)) == [
        ("sequence", ["ENTER_MMU", "BEGIN", ("OP", 1), "END", "USER", "LEAVE_MMU"])
    ]


# --- totals and doubts ----------------------------------------------------------------


def test_a_cpu_starts_idle_and_the_first_on_says_who_runs() -> None:
    hist = replayed((K.ON, B, 0, 1), (K.SWITCH, 0, 0, 1), (K.ON, A, 0, 1), (K.SWITCH, B, 0, 1))
    assert hist.doubts["unmatched"] == 1
    assert [(row.first_prev, row.task) for row in hist.rows] == [(B, 0), (A, B)]


def test_losses_are_added_up_and_those_of_unknown_size_counted() -> None:
    hist = replayed((K.LOST, 5), (K.LOST, 0), (K.LOST, 2))
    assert (hist.lost_events, hist.doubts["lost_unknown"]) == (7, 1)


def test_a_switch_to_the_running_task_counts_and_is_a_doubt() -> None:
    hist = replayed((K.SWITCH, A))
    assert (hist.switches, hist.doubts["self_switch"]) == (1, 1)
    assert [names(row.payload) for row in hist.rows] == [[]]


def test_times_that_go_back_on_one_cpu_are_counted_and_the_span_is_right() -> None:
    events = [(50, 0, K.FPU), (40, 1, K.FPU), (45, 0, K.FPU), (60, 1, K.FPU)]
    hist = replay(ListTrace(events, tasks()), KERNEL)
    assert hist.doubts["out_of_order"] == 1
    assert (hist.first_time_ns, hist.last_time_ns, hist.events) == (40, 60, 4)


def test_an_empty_trace_is_no_error_here() -> None:
    hist = replay(ListTrace([]), KERNEL)
    assert (hist.events, hist.switches, hist.rows, hist.duration_ns) == (0, 0, [], 0)


def test_the_number_of_cpus_is_what_was_seen_when_the_trace_does_not_say() -> None:
    trace = ListTrace([(1, 5, K.SWITCH, A)], tasks(), [], Meta())
    assert replay(trace, KERNEL).nr_cpus == 6


def test_the_doubts_of_the_source_and_its_damage_are_passed_on() -> None:
    trace = ListTrace([(1, 0, K.SWITCH, A)], tasks())
    trace.doubts, trace.damage = {"undecided": 3, "unmatched": 2}, "cut"
    hist = replay(trace, KERNEL)
    assert hist.doubts["undecided"] == 3
    assert hist.doubts["unmatched"] == 2
    assert hist.damage == "cut"


def test_only_tasks_that_occur_are_kept_by_name() -> None:
    hist = replayed((K.SWITCH, KTHREAD))
    assert sorted(hist.tasks) == [A, KTHREAD]
    assert hist.nr_tasks == 3


def test_a_time_window_cuts_what_is_counted_and_not_what_is_known() -> None:
    events = [(K.GS, 1), (K.SWITCH, B), (K.SWITCH, A), (K.SWITCH, B)]
    hist = replayed(*events, window_ns=(3000, 4000))
    assert hist.switches == 1
    assert [(set(names(row.payload)), row.count) for row in hist.rows] == [({"mm_differs", "next_gs"}, 1)]
    assert hist.events == 4


def test_progress_is_told_the_events_so_far_after_every_chunk() -> None:
    told: list[int] = []
    trace = ListTrace([(i, 0, K.FPU) for i in range(7)], tasks(), chunk_events=3)
    replay(trace, KERNEL, progress=told.append)
    assert told == [3, 6, 7]

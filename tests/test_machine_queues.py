"""The queues at their limits: Xen's multicalls, lguest's ring, KVM's bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.machine.queue import QueueSpec, make_queue
from pvreplay.machine.resources import BITS
from tests.machine_helpers import counts, stepped

XEN_OLD = QueueSpec(kind="multicall", entries=32, arg_bytes=512, bound=">", align=8, callbacks=32)
XEN_NEW = QueueSpec(kind="multicall", entries=32, arg_bytes=512, bound=">=", align=8, callbacks=32)


def fill(spec: QueueSpec, size: int, call: str, extend: bool, times: int) -> list[tuple[str, int]]:
    """The flushes (reason, entries) that *times* equal entries cause."""
    queue = make_queue(spec)
    flushes = [queue.put(size, call, extend, 0)[1] for _ in range(times)]
    return [(flush.reason, flush.entries) for flush in flushes if flush is not None]


def test_xen_flushes_before_the_33rd_entry() -> None:
    assert fill(XEN_OLD, 0, "update_va_mapping", False, 32) == []
    assert fill(XEN_OLD, 0, "update_va_mapping", False, 33) == [("full", 32)]


@pytest.mark.parametrize(("spec", "fit"), [(XEN_OLD, 32), (XEN_NEW, 31)])
def test_a_run_of_merged_updates_fills_the_arguments_at_32_and_from_3_1_at_31(
    spec: QueueSpec, fit: int
) -> None:
    assert fill(spec, 16, "mmu_update", True, fit) == []
    assert fill(spec, 16, "mmu_update", True, fit + 1) == [("args_full", 1)]


def test_only_the_last_entry_of_the_same_call_is_extended() -> None:
    queue = make_queue(XEN_OLD)
    queue.put(16, "mmu_update", True, 0)
    assert queue.put(16, "mmu_update", True, 0) == (0, None)
    queue.put(0, "stack_switch", False, 0)
    assert queue.put(16, "mmu_update", True, 0) == (1, None)
    assert queue.length == 3


def test_arguments_of_12_bytes_take_16_because_the_next_is_aligned() -> None:
    # 31 * 16 + 12 = 508 bytes fit; a 33rd would not, and neither would a 32nd with >= 512 from 500 on.
    assert fill(XEN_OLD, 12, "mmuext_op", False, 32) == []
    assert fill(XEN_OLD, 12, "mmuext_op", False, 33) == [("full", 32)]
    assert fill(XEN_NEW, 12, "mmuext_op", False, 32) == []


def test_a_33rd_callback_flushes() -> None:
    queue = make_queue(
        QueueSpec(kind="multicall", entries=64, arg_bytes=4096, bound=">", align=8, callbacks=32)
    )
    flushes = [queue.put(0, "x", False, 1)[1] for _ in range(33)]
    assert [flush.reason for flush in flushes if flush] == ["callbacks_full"]


def test_lguest_sends_the_65th_call_itself_and_the_host_drains_the_64_before_it() -> None:
    at_64 = stepped("enter_lazy_mmu set_pte*64", "lguest")
    assert counts(at_64) == (0, 64, 0, 0)
    at_65 = stepped("enter_lazy_mmu set_pte*65", "lguest")
    assert counts(at_65) == (1, 64, 0, 0)
    assert at_65.flushes == {"full": 1} and at_65.queue.length == 0 and at_65.pending == 0


def test_lguest_pays_for_leaving_with_an_empty_ring() -> None:
    for order in ("enter_lazy_mmu leave_lazy_mmu", "begin enter_lazy_cpu leave_lazy_cpu end"):
        machine = stepped(order, "lguest")
        assert counts(machine) == (1, 0, 0, 0) and machine.batch_sizes == {0: 1}


@pytest.mark.parametrize(
    ("writes", "hypercalls"), [(1, 1), (21, 1), (22, 2), (42, 2), (43, 3), (63, 3), (84, 4), (85, 5)]
)
def test_kvm_flushes_21_writes_a_hypercall_and_42_a_queue(writes: int, hypercalls: int) -> None:
    machine = stepped(f"enter_lazy_mmu set_pte*{writes} leave_lazy_mmu", "kvm")
    assert counts(machine) == (hypercalls, writes, 0, 0)


def test_kvm_host_takes_whole_ops_only_so_small_ones_fill_the_gap() -> None:
    # 21 * 24 + 8 = 512: one hypercall; one flush more does not fit in it.
    one = stepped("enter_lazy_mmu set_pte*21 flush_tlb_user leave_lazy_mmu", "kvm")
    two = stepped("enter_lazy_mmu set_pte*21 flush_tlb_user*2 leave_lazy_mmu", "kvm")
    assert (one.hypercalls, two.hypercalls) == (1, 2)


def test_kvm_releases_a_page_table_beside_the_queue() -> None:
    machine = stepped("enter_lazy_mmu set_pte release_pte", "kvm")
    assert counts(machine) == (1, 1, 0, 0) and machine.queue.length == 1


RUN_OPS = st.sampled_from(["set_pte", "set_pmd", "flush_tlb_user", "set_pte:a"])
RUNS = st.lists(st.tuples(RUN_OPS, st.integers(1, 300)), min_size=1, max_size=4)


@given(
    runs=RUNS,
    name=st.sampled_from(["native", "vmi", "xen", "lguest", "kvm", "xen-unbatched", "xen-nolazy"]),
    kernel=st.sampled_from(["2.6.24", "2.6.32", "3.1", "5.17"]),
    lazy=st.booleans(),
    irq=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_run_of_equal_ops_costs_what_its_ops_cost_one_by_one(
    runs: list[tuple[str, int]], name: str, kernel: str, lazy: bool, irq: bool
) -> None:
    before = "enter_lazy_mmu " * lazy + "set_pte irq_enter " * irq
    after = " irq_exit" * irq + " leave_lazy_mmu" * lazy
    at_once = stepped(before + " ".join(f"{op}*{times}" for op, times in runs) + after, name, kernel)
    single = stepped(before + " ".join(" ".join([op] * times) for op, times in runs) + after, name, kernel)
    assert counts(at_once) == counts(single)
    assert at_once.flushes == single.flushes
    assert at_once.batch_sizes == single.batch_sizes
    assert at_once.by_op == single.by_op
    assert at_once.pending == single.pending and at_once.queue.length == single.queue.length


def test_millions_of_writes_are_stepped_by_period() -> None:
    machine = stepped("enter_lazy_mmu set_pte*4000000000 leave_lazy_mmu", "xen", "2.6.24")
    assert machine.hypercalls == 4_000_000_000 // 32
    assert machine.by_op["set_pte"] == [4_000_000_000 // 32 - 1, 4_000_000_000, 0, 0, 4_000_000_000]


def test_a_queue_without_a_limit_takes_millions_of_writes_at_once() -> None:
    machine = stepped("enter_lazy_mmu set_pte*4000000000 leave_lazy_mmu", "vmi", "2.6.24")
    assert (machine.hypercalls, machine.entries) == (1, 4_000_000_000)


def test_what_a_full_ring_sends_itself_is_in_effect() -> None:
    machine = stepped("begin enter_lazy_cpu load_sp0*64 write_cr3=mmB", "lguest")
    assert machine.queue.length == 0 and machine.effective[BITS["CR3"]] == "mmB"


def test_a_rom_queue_with_a_limit_flushes_when_it_is_full() -> None:
    queue = make_queue(QueueSpec(kind="rom", entries=2))
    flushes = [queue.put(0, "", False, 0)[1] for _ in range(5)]
    assert flushes == [None, None, ("full", 2, 1), None, ("full", 2, 1)] and queue.take() == (1, 1)

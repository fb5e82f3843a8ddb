"""Lazy modes, flushes and who drains whom, per backend and version."""

from __future__ import annotations

import pytest

from pvreplay.errors import UsageError
from pvreplay.machine.backend import MODE_MMU, MODE_NONE
from pvreplay.machine.machine import Machine
from pvreplay.machine.ops import ALIASES, OPS, parse
from pvreplay.machine.policy import get_policy
from pvreplay.machine.resources import BITS, names, text
from tests.machine_helpers import backend, counts, stepped

WINDOW = "begin enter_lazy_cpu write_cr3 load_sp0 load_tls leave_lazy_cpu end"


def test_a_window_is_one_multicall_on_xen_and_nothing_on_native_and_kvm() -> None:
    assert counts(stepped(WINDOW, "xen")) == (1, 5, 0, 0)
    assert counts(stepped(WINDOW, "native")) == counts(stepped(WINDOW, "kvm")) == (0, 0, 0, 0)
    assert counts(stepped(WINDOW, "lguest")) == (1, 3, 0, 0)
    assert counts(stepped(WINDOW, "vmi")) == (1, 5, 0, 7)  # three TLS slots, SetLazyMode twice


def test_unbatched_makes_every_entry_a_hypercall_and_nolazy_keeps_the_tls_batch() -> None:
    assert counts(stepped(WINDOW, "xen-unbatched")) == (5, 5, 0, 0)
    nolazy = stepped(WINDOW, "xen-nolazy")
    assert counts(nolazy) == (3, 5, 0, 0) and nolazy.batch_sizes == {1: 2, 3: 1}
    assert counts(stepped(WINDOW, "lguest-unbatched")) == (3, 3, 0, 0)
    assert counts(stepped(WINDOW, "lguest-nolazy")) == (3, 0, 0, 0)
    assert counts(stepped(WINDOW, "vmi-unbatched")) == (5, 5, 0, 7)
    assert counts(stepped(WINDOW, "vmi-nolazy")) == (5, 0, 0, 5)


def test_an_op_of_the_other_class_flushes_the_whole_xen_batch_and_joins_the_lguest_ring() -> None:
    order = "begin enter_lazy_cpu write_cr3 flush_tlb_user load_sp0 leave_lazy_cpu end"
    xen = stepped(order, "xen")
    assert xen.flushes == {"other_class": 1, "leave_cpu": 1} and xen.batch_sizes == {2: 1, 1: 1}
    lguest = stepped(order, "lguest")
    assert lguest.flushes == {"leave_cpu": 1} and lguest.batch_sizes == {3: 1}


def test_xen_hypercalls_beside_the_batch_leave_it_alone() -> None:
    machine = stepped("begin enter_lazy_cpu write_cr3 set_iopl_mask set_debugreg:7", "xen")
    assert counts(machine) == (2, 1, 0, 0) and machine.queue.length == 1


def test_a_gdt_entry_flushes_the_xen_batch_first() -> None:
    machine = stepped("begin enter_lazy_cpu write_cr3 write_gdt_entry", "xen")
    assert counts(machine) == (2, 1, 0, 0) and machine.flushes == {"forced": 1} and machine.queue.length == 0


def test_a_real_hypercall_carries_the_lguest_ring_along() -> None:
    machine = stepped("begin enter_lazy_cpu write_cr3 load_sp0 write_gdt_entry", "lguest")
    assert counts(machine) == (1, 2, 0, 0) and machine.flushes == {"immediate_op": 1}
    assert machine.queue.length == 0 and machine.pending == 0


def test_xen_2_6_23_flushes_when_a_mode_is_entered_and_2_6_24_does_not() -> None:
    order = "begin enter_lazy_cpu write_cr3 enter_lazy_mmu"
    assert stepped(order, "xen", "2.6.21").flushes == {"enter": 1}
    assert stepped(order, "xen", "2.6.24").flushes == {}


def test_an_empty_queue_costs_nothing_to_flush_except_on_lguest() -> None:
    order = "enter_lazy_mmu flush leave_lazy_mmu"
    for name, expected in (("xen", 0), ("kvm", 0), ("native", 0), ("lguest", 2)):
        assert stepped(order, name).hypercalls == expected, name


def test_vmi_counts_rom_calls_of_transitions_and_flushes() -> None:
    assert stepped("enter_lazy_mmu leave_lazy_mmu", "vmi").rom_calls == 2
    assert stepped("enter_lazy_mmu flush leave_lazy_mmu", "vmi").rom_calls == 4
    # Up to 2.6.23 a flush calls twice even when no mode is on; from 2.6.24 not at all.
    assert stepped("flush", "vmi", "2.6.21").rom_calls == 2
    assert stepped("flush", "vmi", "2.6.24").rom_calls == 0


def test_in_an_interrupt_kernels_from_2_6_31_queue_nothing() -> None:
    order = "enter_lazy_mmu set_pmd irq_enter set_pmd irq_exit"
    old, new = stepped(order, "xen", "2.6.30"), stepped(order, "xen", "2.6.31")
    assert (old.hypercalls, old.queue.length) == (0, 1)
    assert new.flushes == {"irq": 1} and new.queue.length == 0


def test_kvm_stops_batching_in_interrupts_only_in_2_6_32_and_does_not_drain_then() -> None:
    order = "enter_lazy_mmu set_pte irq_enter set_pte irq_exit"
    assert counts(stepped(order, "kvm", "2.6.31")) == (0, 2, 0, 0)
    new = stepped(order, "kvm", "2.6.32")
    assert counts(new) == (1, 1, 0, 0) and new.queue.length == 1


def test_start_context_switch_parks_a_section_and_end_resumes_it() -> None:
    machine = stepped(
        "enter_lazy_mmu set_pte begin start_context_switch load_sp0 end_context_switch end", "xen"
    )
    assert machine.flushes == {"park": 1, "leave_cpu": 1}
    assert machine.mode == MODE_MMU and not machine.parked
    assert machine.switches == [(2, 1, 0, 0)]


def test_enter_lazy_cpu_overwrites_the_mode_and_its_leave_ends_everything() -> None:
    machine = stepped("enter_lazy_mmu set_pte begin enter_lazy_cpu load_sp0 leave_lazy_cpu end", "xen")
    assert machine.mode == MODE_NONE and machine.flushes == {"leave_cpu": 1} and machine.batch_sizes == {2: 1}


def test_nested_sections_are_counted_only_by_the_policy_that_says_so() -> None:
    order = "enter_lazy_mmu set_pte enter_lazy_mmu set_pte leave_lazy_mmu set_pte leave_lazy_mmu"
    plain = stepped(order, "xen")
    assert plain.hypercalls == 2 and plain.batch_sizes == {2: 1}  # the third write goes out by itself
    counted = Machine(backend("xen"), policy=get_policy("generic2025"))
    for op in order.split():
        counted.step(op)
    assert counted.batch_sizes == {2: 1, 1: 1} and counted.mode == MODE_NONE


def test_a_window_without_an_end_still_counts_as_a_switch() -> None:
    assert stepped("begin set_iopl_mask begin set_iopl_mask end", "xen").switches == [(1, 0, 0, 0)] * 2
    assert stepped("begin set_iopl_mask", "xen").switches == [(1, 0, 0, 0)]


def test_the_crossing_of_a_flush_is_charged_to_the_op_that_drained() -> None:
    by_op = stepped(WINDOW, "xen").by_op
    assert by_op["leave_lazy_cpu"] == [1, 0, 0, 0, 1]
    assert by_op["load_tls"] == [0, 3, 0, 0, 1]
    assert "begin" not in by_op and "end" not in by_op


def test_what_is_pending_is_known_by_step_and_gone_after_the_flush() -> None:
    machine = stepped("begin enter_lazy_cpu write_cr3 load_tls", "xen")
    assert names(machine.pending) == ["CR3", "GDT.TLS"]
    assert sorted(machine.since.values()) == [2, 3]
    assert stepped(WINDOW, "xen").pending == 0


def test_every_alias_names_an_op_and_every_op_parses() -> None:
    for alias, (name, _) in ALIASES.items():
        assert name in OPS, alias
    operands = {"segment": ":gs", "msr": ":fs_base", "resource": ":rsb"}
    for op in OPS.values():
        assert parse(op.name + operands.get(op.operand, "")).op is op


def test_operands_choose_the_resource() -> None:
    assert text(parse("loadsegment:gs").reads) == "LDT, GDT.TLS"
    assert text(parse("loadsegment:gs=0").reads) == "nothing"
    assert text(parse("set_debugreg:7").writes) == "DR7"
    assert text(parse("wrmsr_fsbase").writes) == "fs.base"
    assert text(parse("set_pte:a@kmap0").writes) == "PTE:a"
    assert parse("read_pte").reads & parse("set_pte:x").writes


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("load_tlb", "no op of that name"),
        ("loadsegment:cs", "operand 'cs'"),
        ("set_debugreg:4", "operand '4'"),
        ("scrub:nothing", "no resource 'nothing'"),
    ],
)
def test_an_unknown_op_or_operand_is_refused_with_what_is_allowed(token: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse(token)
    assert caught.value.hint


def test_without_batching_an_entry_is_in_effect_at_once() -> None:
    order = "begin enter_lazy_cpu write_cr3=mmB"
    assert stepped(order, "xen-unbatched").effective[BITS["CR3"]] == "mmB"
    assert BITS["CR3"] not in stepped(order, "xen").effective


def test_the_io_bitmap_is_a_hypercall_on_xen_only_since_it_is_a_pv_op() -> None:
    for op in ("invalidate_io_bitmap", "update_io_bitmap"):
        for kernel in ("2.6.21", "2.6.35", "3.1", "4.13"):
            assert counts(stepped(op, "xen", kernel)) == (0, 0, 0, 0), (op, kernel)
        assert counts(stepped(op, "xen", "5.17")) == (1, 0, 0, 0)


def test_a_pte_of_another_mm_outside_a_section_traps_until_one_function_serves_every_mm() -> None:
    kernels = {"2.6.35": (0, 0, 1, 0), "3.1": (0, 0, 1, 0), "4.13": (0, 0, 1, 0), "5.17": (1, 0, 0, 0)}
    assert {kernel: counts(stepped("set_pte_other", "xen", kernel)) for kernel in kernels} == kernels


def test_an_inner_section_in_an_interrupt_flushes_nothing_under_generic2025() -> None:
    machine = Machine(backend("xen"), policy=get_policy("generic2025"))
    inner = ["irq_enter", "enter_mmu", "leave_mmu", "irq_exit"]
    for op in ["enter_mmu", "set_pte:a", *inner, "set_pte:b", "leave_mmu"]:
        machine.step(op)
    assert counts(machine) == (1, 2, 0, 0) and machine.flushes == {"leave_mmu": 1}


def test_a_kernel_without_lazy_modes_has_no_flush_of_them() -> None:
    with_modes, without = (Machine(backend("vmi", "2.6.21"), lazy_mmu=lazy) for lazy in (True, False))
    for machine in (with_modes, without):
        machine.step("flush")
    assert (with_modes.rom_calls, without.rom_calls) == (2, 0)

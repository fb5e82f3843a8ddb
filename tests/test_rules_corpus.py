"""Orders of historical bugs: each fires its rule at its place, its corrected form nothing."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.rule_examples import run


class Case(NamedTuple):
    """A bug: where, which rule at which 0-based op, the order, the corrected order, the context."""

    id: str
    backend: str
    step: int
    rule: str
    bad: str
    fixed: str
    options: str = ""


CASES = (
    Case(
        "A1",
        "xen",
        4,
        "H1",
        "begin enter_cpu write_cr3 load_tls loadsegment:fs leave_cpu end",
        "begin enter_cpu write_cr3 load_tls leave_cpu loadsegment:fs end",
    ),
    Case(
        "A2",
        "xen",
        4,
        "H1",
        "begin enter_cpu load_tls clts fpu_restore leave_cpu end",
        "begin enter_cpu load_tls clts leave_cpu fpu_restore end",
    ),
    Case(
        "A3",
        "native",
        2,
        "H4",
        "begin load_sp0 loadsegment:es loadsegment:ds load_tls loadsegment:fs end",
        "begin load_sp0 load_tls loadsegment:es loadsegment:ds loadsegment:fs end",
        "--want TLS=B --hw TLS=A",
    ),
    Case(
        "A4",
        "xen",
        3,
        "H3a",
        "begin enter_cpu save_seg:gs load_tls leave_cpu loadsegment:gs end",
        "begin enter_cpu save_seg:gs loadsegment:gs=0 load_tls leave_cpu loadsegment:gs end",
        "--live gs",
    ),
    Case(
        "A5",
        "xen",
        3,
        "H3a",
        "begin enter_cpu load_tls save_seg:fs leave_cpu end",
        "begin enter_cpu save_seg:fs load_tls leave_cpu end",
    ),
    Case(
        "A12", "any", 1, "X1", "begin write_cr3=mmB set_mask:mmB end", "begin set_mask:mmB write_cr3=mmB end"
    ),
    Case(
        "B2", "any", 2, "P4", "begin load_tls sleep fpu_restore end", "sleep begin load_tls fpu_restore end"
    ),
    Case(
        "B3",
        "xen",
        3,
        "W3",
        "begin enter_cpu set_ts clts leave_cpu fpu_restore end",
        "begin enter_cpu clts leave_cpu fpu_restore end",
    ),
    Case(
        "C1",
        "xen",
        5,
        "S1",
        "begin enter_cpu load_tls leave_cpu end user",
        "begin enter_cpu load_tls set_iopl leave_cpu end user",
        "--want IOPL=0 --hw IOPL=3",
    ),
    Case(
        "D2",
        "xen",
        2,
        "H1",
        "enter_mmu set_pte:s read_pte:s set_pte:d leave_mmu",
        "enter_mmu set_pte:s flush read_pte:s set_pte:d leave_mmu",
    ),
    Case(
        "D4",
        "kvm",
        3,
        "H1",
        "enter_mmu set_pte:k irq_enter read_pte:k set_pte:k irq_exit leave_mmu",
        "enter_mmu set_pte:k irq_enter flush read_pte:k set_pte:k irq_exit leave_mmu",
    ),
    Case(
        "D5",
        "xen",
        3,
        "H1",
        "enter_mmu set_pte:u set_pte:kmap touch:kmap leave_mmu",
        "enter_mmu set_pte:u set_pte:kmap flush touch:kmap leave_mmu",
    ),
    Case(
        "D7",
        "vmi",
        2,
        "H3b",
        "enter_mmu set_pte:a@kmap0 unmap:kmap0 leave_mmu",
        "enter_mmu set_pte:a@kmap0 leave_mmu unmap:kmap0",
    ),
    Case(
        "D9",
        "xen",
        2,
        "P1",
        "enter_mmu set_pte:a enter_mmu set_pte:b leave_mmu set_pte:c leave_mmu",
        "enter_mmu set_pte:a set_pte:b set_pte:c leave_mmu",
    ),
    Case("D11", "xen", 2, "P8", "flag_en begin start_cs end_cs end", "begin start_cs end_cs end"),
    Case(
        "D12",
        "xen",
        3,
        "P3",
        "enter_mmu set_pte:a begin enter_cpu load_tls leave_cpu end",
        "enter_mmu set_pte:a leave_mmu begin enter_cpu load_tls leave_cpu end",
    ),
    Case(
        "D15",
        "any",
        2,
        "P5",
        "enter_mmu set_pte:a sched_out leave_mmu",
        "enter_mmu set_pte:a leave_mmu sched_out",
    ),
    Case("D17", "any", 1, "P4", "enter_mmu sleep set_pte:a leave_mmu", "sleep enter_mmu set_pte:a leave_mmu"),
    Case(
        "W1",
        "xen",
        4,
        "W1",
        "begin enter_cpu load_tls leave_cpu load_sp0 end",
        "begin enter_cpu load_tls load_sp0 leave_cpu end",
    ),
)
BACKENDS = ("native", "vmi", "xen", "lguest", "kvm")
#: Rules that need a queue; on KVM only page-table writes are ever queued.
BATCHING = {"H1", "H2", "H3a", "H3b", "H5", "W1", "W2", "W3", "W5"}


def found(order: str, backend: str, options: str) -> list[tuple[str, int]]:
    """(rule, step) of every violation of an order."""
    return [(one.rule, one.step) for one in run(f"pvreplay check '{order}' --backend {backend} {options}")]


def backends_of(case: Case) -> tuple[str, ...]:
    return BACKENDS if case.backend == "any" else (case.backend,)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_bad_order_fires_its_rule_at_its_place_and_is_told_once(case: Case) -> None:
    for backend in backends_of(case):
        violations = run(f"pvreplay check '{case.bad}' --backend {backend} {case.options}")
        assert [(one.rule, one.step) for one in violations] == [(case.rule, case.step)], backend
        marked = [step for step in violations[0].drawn if step.mark]
        assert [step.index for step in marked] == [case.step]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_corrected_order_is_silent(case: Case) -> None:
    for backend in BACKENDS:
        allowed = [] if backend in backends_of(case) else ["W5"]  # an empty window costs VMI and lguest
        rules = [rule for rule, _ in found(case.fixed, backend, case.options)]
        assert [rule for rule in rules if rule not in allowed] == [], backend


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_batching_causes_is_silent_on_native_and_the_rest_fires_everywhere(case: Case) -> None:
    native = [rule for rule, _ in found(case.bad, "native", case.options)]
    if case.rule in BATCHING or case.id == "C1":
        # C1: the flags pop restores IOPL at CPL 0.
        assert native == []
    else:
        for backend in BACKENDS:
            assert (case.rule, case.step) in found(case.bad, backend, case.options), backend


@pytest.mark.parametrize("case", [one for one in CASES if "cpu" in one.bad and one.rule in BATCHING], ids=str)
def test_rules_of_lazy_cpu_mode_are_silent_on_kvm(case: Case) -> None:
    assert found(case.bad, "kvm", case.options) == []


@pytest.mark.parametrize("form", ["unbatched", "nolazy"])
@pytest.mark.parametrize(
    "case", [one for one in CASES if one.rule in BATCHING - {"H3a"}], ids=lambda one: one.id
)
def test_nothing_that_needs_a_queue_fires_on_the_baselines(case: Case, form: str) -> None:
    for backend in ("vmi", "xen", "lguest", "kvm"):
        assert found(case.bad, f"{backend}-{form}", case.options) == []


def test_one_mistake_is_told_once_with_its_consequences() -> None:
    (nested,) = run("pvreplay check 'enter_mmu set_pte:a enter_mmu set_pte:b leave_mmu set_pte:c leave_mmu'")
    assert (nested.rule, nested.consequences) == ("P1", ["P2"])
    (left_on,) = run("pvreplay check 'begin enter_cpu load_tls end'")
    assert (left_on.rule, left_on.step, left_on.consequences) == ("P9", 3, ["P2"])


def test_two_mistakes_in_two_windows_are_told_both() -> None:
    order = "begin enter_cpu load_tls loadsegment:fs leave_cpu end begin load_tls sleep end"
    assert found(order, "xen", "") == [("H1", 3), ("P4", 8)]


def test_a_performance_finding_before_an_error_stands_for_itself() -> None:
    order = "begin load_sp0 enter_cpu load_tls loadsegment:fs leave_cpu end"
    assert found(order, "xen", "") == [("W1", 1), ("H1", 4)]


def test_lguest_drains_before_a_hypercall_so_nothing_is_overtaken() -> None:
    order = "enter_mmu set_pte:a irq_enter set_pte:a irq_exit leave_mmu"
    assert ("H2", 3) in found(order, "xen", "")
    assert [rule for rule, _ in found(order, "lguest", "") if rule == "H2"] == []


def test_the_drawing_shows_where_the_mode_was_entered_and_the_write_queued() -> None:
    (raw,) = run("pvreplay check 'begin enter_cpu write_cr3 load_tls loadsegment:gs leave_cpu end'")
    drawn = {step.index: step for step in raw.drawn}
    assert drawn[3].disposition == "queued" and "GDT.TLS pending" in drawn[3].detail
    assert drawn[4].mark and "reads GDT.TLS" in drawn[4].detail
    assert drawn[5].disposition == "flush" and drawn[5].detail.startswith("1 hypercall, 4 entries")
    assert raw.message == "GDT.TLS still queued since step 3"


def test_a_handler_that_is_said_to_read_what_is_queued_is_a_raw_hazard() -> None:
    order = "begin enter_cpu load_tls {} leave_cpu end"
    for event in ("fault:TLS", "nmi:TLS nmi_exit", "irq_enter:TLS+SPEC_CTRL irq_exit"):
        assert found(order.format(event), "xen", "") == [("H1", 3)], event
        assert found(order.format(event), "native", "") == []
    section = "enter_mmu set_pte:k irq_enter:PTE:{} irq_exit leave_mmu"
    assert found(section.format("k"), "xen", "") == [("H1", 2)]
    assert found(section.format("other"), "xen", "") == []


def test_of_two_resources_that_must_agree_a_handler_may_read_both_old_ones() -> None:
    assert found("begin enter_cpu write_cr3 fault:vmalloc leave_cpu set_current end", "xen", "") == []
    assert found("begin enter_cpu write_cr3 fault:CR3 leave_cpu set_current end", "xen", "") == [("H1", 3)]


def test_the_fpu_is_not_loaded_before_ts_is_cleared() -> None:
    stale = "begin fpu_restore clts end"
    for backend in ("native", "xen", "kvm"):
        assert found(stale, backend, "--want TS=0 --hw TS=1") == [("H4", 1)]
    assert found(stale, "native", "--want TS=0 --hw TS=0") == []


def test_a_copy_is_known_by_its_resource_whatever_it_is_called() -> None:
    assert found("set_ts shadow_read:TS shadow_use:CR0.TS", "native", "") == []
    assert found("shadow_read:TS set_ts shadow_use:CR0.TS", "native", "") == [("H5", 2)]


def test_a_batch_between_a_parked_section_and_its_return_is_not_empty() -> None:
    order = "enter_mmu set_pte:a begin start_cs {} end_cs end set_pte:b set_pte:c leave_mmu"
    for backend in ("xen", "vmi", "lguest"):
        assert found(order.format("load_tls load_sp0"), backend, "") == []
    assert found(order.format("read_pte:z"), "lguest", "") == [("W5", 5)]


def test_sections_in_an_interrupt_have_no_effect_where_the_contract_says_so() -> None:
    order = "begin enter_cpu load_sp0 irq_enter enter_mmu leave_mmu irq_exit load_tls leave_cpu end"
    assert run(f"pvreplay check '{order}' --backend xen --policy generic2025") == []
    (overlap,) = run(f"pvreplay check '{order}' --backend xen")
    assert (overlap.rule, overlap.step) == ("P3", 4)


def test_tlb_flushes_overtake_and_follow_each_other() -> None:
    section = "enter_mmu set_pte:a flush_tlb_user {} set_pte:b flush_tlb_user leave_mmu"
    for backend in ("xen", "lguest", "kvm"):
        for flush in ("flush_tlb_single:a", "flush_tlb_others", "flush_tlb_kernel"):
            assert found(section.format(flush), backend, "") == [], (backend, flush)


def test_an_object_is_published_before_any_register_that_names_it_is_loaded() -> None:
    for load in ("write_cr3", "set_ldt", "load_tls"):
        assert found(f"begin {load}=X set_mask:X end", "xen", "") == [("X1", 1)]
        assert found(f"begin set_mask:X {load}=X end", "xen", "") == []
        assert found(f"begin enter_cpu {load}=X set_mask:X leave_cpu end", "xen", "") == []


def test_entries_of_a_descriptor_table_do_not_overwrite_each_other() -> None:
    for op in ("write_gdt_entry", "write_ldt_entry", "write_idt_entry"):
        assert found(f"begin enter_cpu {op} {op} load_gdt leave_cpu end", "vmi", "") == []
    assert found("begin enter_cpu set_ldt set_ldt leave_cpu end", "vmi", "") == [("W3", 3)]

"""Events put before every step: the windows of historical bugs, and of the kernels' own paths."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pvreplay.backends.reader import load_backend
from pvreplay.errors import UsageError
from pvreplay.kernels.reader import builtin_kernels, load_kernel
from pvreplay.machine.policy import POLICIES
from pvreplay.replay.inject import EVENTS, MEANINGS, check_kinds, event_ops, inject_units
from pvreplay.replay.price import price
from pvreplay.replay.result import WhatIf
from pvreplay.replay.run import replay
from pvreplay.rules import watch_all
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import Event, ListTrace
from pvreplay.trace.model import Task
from tests.cli_helpers import PINGPONG, pvreplay
from tests.replay_traces import random_trace


def windows(order: str, *options: str) -> list[tuple[str, str, list[int], list[str]]]:
    """(event, rule, steps, backends) of every window of an order that breaks no rule itself."""
    document = json.loads(pvreplay("check", order, "--format", "json", *options).out)
    assert [one for one in document["violations"] if one["severity"] != "perf"] == []
    return [(one["event"], one["rule"], one["steps"], one["backends"]) for one in document["what_if"]]


def replayed(events: list[Event], kernel_name: str, kinds: str, **options: Any) -> list[WhatIf]:
    """The windows of a trace of two tasks on one CPU, on native and xen."""
    kernel = load_kernel(kernel_name)
    tasks = [Task(1, "a", mm=1, fpu=True, tls=(1, 0, 0)), Task(2, "b", mm=2)]
    hist = replay(ListTrace(events, tasks, [(0, 1)]), kernel)
    backends = [load_backend(name, kernel) for name in ("native", "xen", "xen-unbatched")]
    policy = POLICIES[options.pop("policy", "seed2006")]
    found, cut = inject_units(hist, kernel, backends, check_kinds([kinds]), policy=policy, watch=watch_all())
    assert cut == options.pop("cut", 0)
    return found


# --- the bugs that no recording was lucky enough to hit ---------------------------------------------

EVERY = ["native", "vmi", "xen", "lguest", "kvm"]


def test_an_nmi_between_cr3_and_the_gdt_is_found() -> None:  # A9, xen.git 27a9d6d6143f
    assert windows("begin write_cr3 load_gdt end", "--inject", "nmi") == [("nmi", "P7", [2], EVERY)]
    assert windows("begin load_gdt write_cr3 end", "--inject", "fault") == []


def test_a_fault_or_an_interrupt_between_cr3_and_current_is_found() -> None:  # A10, 2001
    found = windows("begin write_cr3 load_sp0 set_current end", "--inject", "fault,irq")
    assert found == [("fault", "P7", [2, 3], EVERY), ("irq", "P7", [2, 3], EVERY)]


def test_an_nmi_between_the_flag_and_ts_is_found() -> None:  # B1, 45948d7720e8
    assert windows("begin fpu_save set_ts end", "--inject", "nmi") == [("nmi", "P7", [2], EVERY)]


def test_an_interrupt_that_reads_page_tables_inside_a_section_is_found() -> None:  # D4, 4f06b0436b2d
    queued = ["vmi", "xen", "lguest", "kvm"]
    order = "enter_mmu set_pte:k set_pte:k leave_mmu"
    assert windows(order, "--inject", "irq") == [("irq", "H1", [2, 3], queued)]
    assert windows("enter_mmu set_pte:k flush leave_mmu", "--inject", "irq") == [("irq", "H1", [2], queued)]
    assert windows("enter_mmu set_pte:k leave_mmu", "--inject", "irq", "-b", "native") == []


def test_a_preemption_between_the_flag_and_the_mode_is_found() -> None:  # D11, 291b3abed657
    found = windows("flag_en enter_mmu set_pte:a leave_mmu flag_dis", "--inject", "preempt", "-b", "xen")
    assert found == [("preempt", "P8", [1], ["xen"]), ("preempt", "P8", [4], ["xen"])]
    assert windows("enter_mmu set_pte:a leave_mmu", "--inject", "preempt", "-b", "xen") == []


def test_a_preemption_in_a_section_is_found_on_kernels_that_do_not_park() -> None:  # b407fc57b815
    order = "enter_mmu set_pte:a leave_mmu"
    assert [one[:3] for one in windows(order, "--inject", "preempt", "-k", "2.6.30", "-b", "xen")] == [
        ("preempt", "P3", [1, 2])
    ]
    assert windows(order, "--inject", "preempt", "-k", "2.6.31", "-b", "xen") == []
    assert [
        one[1] for one in windows(order, "--inject", "preempt", "-b", "xen", "--policy", "strict-nopreempt")
    ] == ["P5"]


# --- the same in replayed traces ----------------------------------------------------------------------


def test_a_queued_page_table_load_narrows_the_window_of_a_fault_and_a_queued_ts_widens_that_of_an_nmi() -> (
    None
):
    switches: list[Event] = [(1, 0, Kind.SWITCH, 2), (2, 0, Kind.SWITCH, 1)] * 10
    found = replayed(switches, "2.6.32", "fault,nmi")
    fault = {tuple(one.backends): (one.after, one.before) for one in found if one.event == "fault"}
    assert fault == {
        ("native",): ("write_cr3", "set_current"),
        ("xen",): ("end_context_switch", "set_current"),
    }
    nmi = {tuple(one.backends): (one.after, one.before) for one in found if one.event == "nmi"}
    assert nmi == {
        ("native", "xen"): ("fpu_save", "write_cr0"),
        ("xen",): ("write_cr0", "end_context_switch"),
    }
    assert {one.count for one in found if one.event == "fault"} == {20}
    assert {one.units for one in found if one.event == "fault"} == {2}  # with the FPU and without


def test_each_row_counts_the_switches_of_its_shapes() -> None:
    trace = random_trace(seed=3, events=400)
    kernel = load_kernel("2.6.27")
    hist = replay(trace, kernel)
    backends = [load_backend("native", kernel)]
    found, _ = inject_units(hist, kernel, backends, ["nmi"], policy=POLICIES["seed2006"], watch=watch_all())
    saved = [one for one in found if (one.after, one.before) == ("fpu_save", "write_cr0")]
    saves = price(hist, kernel, backends).backends[0].by_op["fpu_save"].count
    assert sum(one.count for one in saved) >= saves - sum(
        row.count for row in hist.rows if row.unit_type == 3
    )
    assert all(one.units >= 1 and one.steps and one.drawn for one in found)


def test_a_section_shows_where_an_interrupt_and_a_preemption_must_not_come() -> None:
    section: list[Event] = [
        (1, 0, Kind.ENTER_MMU),
        (2, 0, Kind.SET_PTE, 5),
        (3, 0, Kind.LEAVE_MMU),
        (4, 0, Kind.SWITCH, 2),
    ]
    found = {(one.event, one.rule): one for one in replayed(section, "2.6.30", "irq,preempt")}
    raw = found["irq", "H1"]
    assert (raw.backends, raw.steps, raw.count, raw.after, raw.before) == (
        ["xen"],
        [2],
        1,
        "set_pte",
        "leave_lazy_mmu",
    )
    assert found["preempt", "P3"].steps == [1, 2]
    assert ("preempt", "P3") not in {
        (one.event, one.rule) for one in replayed(section, "2.6.31", "preempt", policy="x86-2009")
    }


def test_what_is_broken_already_is_not_found_again() -> None:
    order = "begin write_cr3 fault:vmalloc set_current end"
    document = json.loads(pvreplay("check", order, "-b", "native", "--inject", "nmi", "--format", "json").out)
    assert [one["rule"] for one in document["violations"]] == ["P7"]
    assert document["what_if"] == []


def test_an_injected_op_is_drawn_at_the_step_it_precedes_and_the_message_counts_the_order_s_steps() -> None:
    done = pvreplay("check", "begin write_cr3 load_sp0 set_current end", "-b", "native", "--inject", "fault")
    assert done.code == 0
    assert "before steps 2 to 3, between write_cr3 and set_current" in done.out
    assert "current only from step 3" in " ".join(done.out.split())
    assert "     2  fault_enter:vmalloc+selector  put in   <--" in done.out
    assert pvreplay("check", "begin write_cr3 set_current end", "--inject", "fault", "--strict").code == 1


def test_nothing_is_put_where_it_cannot_come() -> None:
    assert windows("begin load_tls end", "--inject", "preempt") == []
    nested = "irq_enter nmi_enter nmi_exit irq_exit"
    assert windows(f"begin write_cr3 {nested} set_current end", "--inject", "irq", "-b", "native") == [
        ("irq", "P7", [2, 6], ["native"])
    ] or windows(f"begin write_cr3 {nested} set_current end", "--inject", "irq", "-b", "native") == [
        ("irq", "P7", [2], ["native"]),
        ("irq", "P7", [6], ["native"]),
    ]


def test_a_unit_of_many_steps_is_cut_and_the_report_says_so(tmp_path: Any) -> None:
    section: list[Event] = [(1, 0, Kind.ENTER_MMU)]
    for time_ns in range(2, 300):
        section.append((time_ns, 0, Kind.SET_PTE if time_ns % 2 else Kind.FLUSH, time_ns % 2))
    section += [(300, 0, Kind.LEAVE_MMU), (301, 0, Kind.SWITCH, 2)]
    replayed(section, "2.6.30", "nmi", cut=1)


# --- the command ------------------------------------------------------------------------------------------


def test_run_tells_windows_as_text_and_json_and_exits_with_0_unless_strict(tmp_path: Any) -> None:
    trace = tmp_path / "t.txt"
    trace.write_text(PINGPONG)
    text = pvreplay("run", trace, "--inject", "fault,nmi", "-b", "native")
    assert text.code == 0 and "what if an event had come: 2 windows" in text.out
    assert "fault: P7 window  native  23 times" in text.out
    assert "note: --inject nmi: " in text.out
    document = json.loads(pvreplay("run", trace, "--inject", "all", "-b", "native", "-f", "json").out)
    assert {one["event"] for one in document["what_if"]} == {"irq", "nmi", "fault"}
    assert pvreplay("run", trace, "--inject", "fault", "-b", "native", "--strict").code == 1
    assert "what_if" not in json.loads(pvreplay("run", trace, "-b", "native", "-f", "json").out)
    assert pvreplay("run", trace, "--inject", "nmi", "--engine", "step").code == 2


def test_a_saved_report_keeps_its_windows(tmp_path: Any) -> None:
    from pvreplay.report import json as report_json

    trace = tmp_path / "t.txt"
    trace.write_text(PINGPONG)
    encoded = pvreplay("run", trace, "--inject", "all", "-f", "json").out.encode()
    report = report_json.parse(encoded, "r.json")
    again = json.loads(report_json.render(report))
    assert report.what_if and again["what_if"] == json.loads(encoded)["what_if"]


def test_kinds_come_one_by_one_by_comma_or_all() -> None:
    assert check_kinds(["irq", "nmi,irq"]) == ["irq", "nmi"]
    assert check_kinds(["all"]) == list(EVENTS) == list(MEANINGS)
    with pytest.raises(UsageError, match="--inject smi"):
        check_kinds(["smi"])


@pytest.mark.parametrize("name", builtin_kernels())
def test_a_preemption_is_the_kernel_s_own_switch(name: str) -> None:
    kernel = load_kernel(name)
    ops = event_ops("preempt", kernel)
    assert ops[0] == "begin" and ops[-1] == "end"
    assert set(ops[1:-1]) <= kernel.ops()
    assert ("start_context_switch" in ops) == kernel.parks

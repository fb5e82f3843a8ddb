"""Function traces and Xen tracepoints read as pv ops."""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pvreplay.backends.reader import load_backend
from pvreplay.errors import TraceError, UsageError
from pvreplay.kernels.reader import load_kernel
from pvreplay.machine.ops import parse
from pvreplay.replay.histogram import Histogram
from pvreplay.replay.price import price
from pvreplay.replay.result import Report
from pvreplay.replay.run import replay
from pvreplay.replay.step import step_rows
from pvreplay.sources.detect import open_trace
from pvreplay.sources.opstream import OpTrace
from pvreplay.sources.symbols import plain_name, symbols
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import read_all
from pvreplay.trace.names import KINDS_BY_NAME
from tests.cli_helpers import pvreplay, two_lines

RECORDED = Path(__file__).parent / "data" / "sources-xen-ops.function.txt"
HEAD = "# tracer: function\n#\n#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n"
NOP_HEAD = HEAD.replace("function", "nop")


def line(text: str, cpu: int = 0, time: str = "1.000000", who: str = "wrong-9") -> str:
    """A line of ftrace text; the task column says somebody who has nothing to do with it."""
    return f"         {who}     [{cpu:03}] d..2.     {time}: {text}\n"


def switched(prev: str, following: str, cpu: int = 0, state: str = "S") -> str:
    """sched_switch between NAME-PID and NAME-PID."""
    (a, a_pid), (b, b_pid) = prev.rsplit("-", 1), following.rsplit("-", 1)
    return line(
        f"sched_switch: prev_comm={a} prev_pid={a_pid} prev_prio=120 prev_state={state} ==> "
        f"next_comm={b} next_pid={b_pid} next_prio=120",
        cpu,
    )


def trace_of(text: str, graph: bool = False) -> OpTrace:
    return OpTrace(io.BytesIO(text.encode()), graph=graph)  # type: ignore[arg-type]


def ops_of(text: str, graph: bool = False, cpu: int = 0) -> list[str]:
    """The events of one CPU in words; a begin and an on with the task's pid."""
    trace = trace_of(text, graph)
    events, tasks, _ = read_all(trace)
    pids = {task.id: task.pid for task in tasks} | {0: 0}
    words = []
    for event in events:
        kind, arg = Kind(event[2]), event[3]
        if event[1] != cpu:
            continue
        if kind == Kind.OP:
            words.append(trace.meta.ops[arg])
        elif kind in (Kind.BEGIN, Kind.ON):
            words.append(f"{kind.name.lower()} {pids[arg]}")
        else:
            words.append(kind.name.lower())
    return words


def without(words: list[str], *left_out: str) -> list[str]:
    return [word for word in words if word.split()[0] not in left_out]


def functions(*calls: str, cpu: int = 0) -> str:
    return "".join(line(call, cpu) for call in calls)


SWITCH = (
    "paravirt_start_context_switch <-__schedule",
    "switch_mm_irqs_off <-__schedule",
    "load_new_mm_cr3 <-switch_mm_irqs_off",
    "xen_write_cr3 <-load_new_mm_cr3",
    "xen_mc_batch: start batch LAZY_CPU",
    "xen_mmu_write_cr3: kernel cr3 679a000",
    "xen_mmu_write_cr3: user cr3 bbc3000",
    "xen_mc_issue: start batch LAZY_CPU",
    "tlb_flush: pages:-1 reason:flush on task switch (0)",
    "save_fpregs_to_fpstate <-__switch_to",
    "xen_read_msr <-__rdgsbase_inactive",
    "xen_load_tls <-__switch_to",
    "xen_mc_batch: start batch LAZY_CPU",
    "load_TLS_descriptor <-xen_load_tls",
    "xen_mc_entry: op 10(update_descriptor) args [af878060, dff3002000ffff, 0, 0, 0, 0]",
    "load_TLS_descriptor <-xen_load_tls",
    "load_TLS_descriptor <-xen_load_tls",
    "xen_mc_issue: start batch LAZY_CPU",
    "xen_end_context_switch <-__switch_to",
    "xen_mc_flush <-xen_end_context_switch",
    "xen_mc_flush: flushing 2 hypercalls, 48 arg bytes, 1 callbacks",
    "paravirt_end_context_switch <-__switch_to",
    "xen_write_msr <-__wrgsbase_inactive",
    "xen_load_sp0 <-__switch_to",
    "xen_mc_batch: start batch LAZY_NONE",
    "xen_mc_entry: op 3(stack_switch) args [18, ffffc9004064c000, 0, 0, 0, 0]",
    "xen_mc_issue: start batch LAZY_CPU",
    "xen_mc_flush <-xen_mc_issue.constprop.0",
    "xen_mc_flush: flushing 1 hypercalls, 0 arg bytes, 0 callbacks",
    "__switch_to_xtra <-__switch_to",
    "xen_invalidate_io_bitmap <-__switch_to_xtra",
)
"""One switch of a 64-bit Xen PV guest, functions and tracepoints."""
OPS = (
    "start_context_switch",
    "write_cr3",
    "fpu_save",
    "read_msr:gs_base",
    "load_tls:1",
    "end_context_switch",
    "write_msr:gs_base",
    "load_sp0",
    "invalidate_io_bitmap",
)


# --- one switch ------------------------------------------------------------------------------------


def test_a_switch_is_its_ops_each_once_however_many_names_show_it() -> None:
    text = HEAD + switched("a-1", "b-2") + functions(*SWITCH)
    assert ops_of(text) == ["on 1", "begin 2", *OPS, "end"]


def test_a_switch_belongs_to_the_last_sched_switch_of_its_cpu_and_not_to_the_task_column() -> None:
    text = HEAD + switched("a-1", "b-2") + switched("x-7", "y-8", cpu=1) + functions(*SWITCH)
    text += functions(*SWITCH, cpu=1) + switched("b-2", "a-1") + functions(*SWITCH)
    assert without(ops_of(text), *OPS) == ["on 1", "begin 2", "end", "begin 1", "end"]
    assert without(ops_of(text, cpu=1), *OPS) == ["on 7", "begin 8", "end"]


def test_what_comes_after_a_switch_is_outside_it() -> None:
    poke = ("switch_mm_irqs_off <-__text_poke", *SWITCH[2:9], "switch_ldt <-__text_poke")
    text = HEAD + switched("a-1", "b-2") + functions(*SWITCH, *poke, *poke)
    assert ops_of(text)[-3:] == ["end", "write_cr3", "write_cr3"]


def test_two_calls_of_one_function_are_two_ops() -> None:
    text = HEAD + functions("xen_load_gs_index <-mm_release", "xen_load_gs_index <-mm_release")
    assert ops_of(text) == ["load_gs_index", "load_gs_index"]


def test_the_caller_tells_which_msr() -> None:
    text = HEAD + functions(
        "xen_write_msr <-__wrgsbase_inactive", "xen_write_msr <-__switch_to_xtra", "xen_write_msr <-somebody"
    )
    assert without(ops_of(text), "begin", "end") == [
        "write_msr:gs_base",
        "write_msr:debugctl",
        "write_msr:other",
    ]


def test_the_return_to_user_mode_ends_what_belongs_to_it() -> None:
    back = (
        "xen_update_io_bitmap <-exit_to_user_mode_prepare",
        "native_tss_update_io_bitmap <-xen_update_io_bitmap",
    )
    text = HEAD + switched("a-1", "b-2") + functions(*SWITCH, *back)
    restored = functions("switch_fpu_return <-exit_to_user_mode_prepare")
    assert ops_of(text + restored)[-4:] == ["end", "update_io_bitmap", "fpu_restore", "user"]
    fork = functions("xen_load_gs_index <-mm_release")
    assert ops_of(text + fork)[-4:] == ["end", "update_io_bitmap", "user", "load_gs_index"]


def test_a_batch_of_no_known_op_is_told_and_takes_no_write_before_it_along() -> None:
    """Page tables are pinned in a batch of their own, a whole TLB is flushed without a tracepoint."""
    lines = (
        "xen_mmu_set_pte: ptep 0000000000000001 pteval 1 (raw 1)",
        "xen_mmu_pgd_pin: mm 000000009d5e1ecb pgd 000000000d1b1c1d",
        "xen_mc_batch: start batch LAZY_NONE",
        "xen_mc_entry: op 26(mmuext_op) args [ffff88809901ead0, 1, 0, 7ff0, 0, 0]",
        "xen_mc_issue: start batch LAZY_NONE",
        "xen_mc_flush: flushing 14 hypercalls, 0 arg bytes, 0 callbacks",
        "xen_mc_batch: start batch LAZY_NONE",
        "xen_mc_issue: start batch LAZY_NONE",
        "xen_mc_flush: flushing 1 hypercalls, 0 arg bytes, 0 callbacks",
    )
    text = NOP_HEAD + switched("a-1", "b-2") + "".join(line(each) for each in lines)
    trace = trace_of(text)
    events, _, _ = read_all(trace)
    assert trace.doubts == {"switches_without_ops": 1, "batches_of_no_known_op": 2}
    assert [event[2] for event in events].count(Kind.SET_PTE) == 1
    assert ops_of(text)[-1] == ops_of(NOP_HEAD + switched("a-1", "b-2") + line(lines[0]))[-1]


def test_a_switch_that_nothing_told_of_is_one_of_unknown_tasks() -> None:
    trace = trace_of(HEAD + functions(*SWITCH, *SWITCH) + switched("a-1", "b-2") + functions(*SWITCH))
    events, tasks, _ = read_all(trace)
    assert [event[3] for event in events if event[2] == Kind.BEGIN] == [1, 1, 3]
    assert [(task.comm, task.pid) for task in tasks] == [("?", -1), ("a", 1), ("b", 2)]
    assert trace.doubts == {"switches_of_unknown_tasks": 2}


# --- lazy MMU mode ----------------------------------------------------------------------------------

SECTION = (
    "paravirt_enter_lazy_mmu <-copy_page_range",
    "xen_mmu_set_pte: ptep 00000000c1270950 pteval 800000000a770105 (raw 8000000040fdd105)",
    "xen_mc_batch: start batch LAZY_MMU",
    "xen_mc_issue: start batch LAZY_MMU",
    "xen_mmu_set_pte: ptep 0000000002c8290e pteval 800000000a771105 (raw 8000000040fde105)",
    "xen_mc_batch: start batch LAZY_MMU",
    "xen_mc_issue: start batch LAZY_MMU",
    "xen_leave_lazy_mmu <-copy_page_range",
    "xen_mc_flush <-xen_leave_lazy_mmu",
    "xen_mc_flush: flushing 1 hypercalls, 32 arg bytes, 0 callbacks",
    "paravirt_leave_lazy_mmu <-xen_leave_lazy_mmu",
)


def test_a_section_is_entered_and_left_once() -> None:
    assert ops_of(HEAD + functions(*SECTION)) == ["enter_mmu", "set_pte", "set_pte", "leave_mmu"]


def test_a_section_that_a_switch_parks_is_left_before_lazy_cpu_mode_is_on() -> None:
    parked = (
        SECTION[:4],
        SWITCH[:1],
        (
            "xen_leave_lazy_mmu <-paravirt_start_context_switch",
            "paravirt_leave_lazy_mmu <-xen_leave_lazy_mmu",
        ),
        SWITCH[1:22],
        ("paravirt_enter_lazy_mmu <-paravirt_end_context_switch",),
        SWITCH[22:],
    )
    text = (
        HEAD
        + functions(*parked[0])
        + switched("a-1", "b-2")
        + "".join(functions(*part) for part in parked[1:])
    )
    words = ops_of(text)
    assert words[:6] == ["enter_mmu", "set_pte", "on 1", "begin 2", "leave_mmu", "start_context_switch"]
    assert words[10:12] == ["end_context_switch", "enter_mmu"]
    report = report_of(text + functions(*SECTION[7:]))
    assert [one.rule for one in report.violations if one.severity != "perf"] == []


def test_tables_that_are_not_pinned_cost_nothing() -> None:
    batch = ("xen_mc_batch: start batch LAZY_NONE", "xen_mc_issue: start batch LAZY_MMU")
    pmd = "xen_mmu_set_pmd: pmdp 00000000c2c40776 pmdval 000000000f763067 (raw 0000000045fd0067)"
    page = "xen_mmu_alloc_ptpage: mm 00000000826fec7c  pfn f763  level 4  {}"
    text = functions(*batch, pmd, page.format("unpinned"), pmd, *batch, page.format("pinned"), *batch)
    assert ops_of(HEAD + text) == ["set_pmd", "alloc_pte"]


def test_a_pte_is_read_while_its_own_write_is_queued_or_another_s() -> None:
    start = "xen_mmu_ptep_modify_prot_start: mm 1 addr 7ffe000 ptep {} pteval 0 (raw 0)"
    own, other = start.format("0000000002c8290e"), start.format("00000000deadbeef")
    for read, rules in ((other, []), (own, ["H1"])):
        report = report_of(HEAD + functions(*SECTION[:7], read, *SECTION[7:]))
        assert [one.rule for one in report.violations if one.severity != "perf"] == rules
    after = report_of(HEAD + functions(*SECTION, own))
    assert [one.rule for one in after.violations if one.severity != "perf"] == []


# --- tracepoints alone --------------------------------------------------------------------------------


def test_batches_tell_the_lazy_modes_where_no_function_is_traced() -> None:
    events = [text for text in SWITCH if " <-" not in text]
    text = NOP_HEAD + switched("a-1", "b-2") + functions(*events)
    expected = ["start_context_switch", "write_cr3", "load_tls:1", "end_context_switch", "load_sp0"]
    assert ops_of(text) == ["on 1", "begin 2", *expected, "end"]
    section = [text for text in SECTION if " <-" not in text]
    text += functions(*section) + switched("b-2", "a-1") + functions(*events)
    assert ops_of(text)[8:] == ["enter_mmu", "set_pte", "set_pte", "leave_mmu", "begin 1", *expected, "end"]


def test_a_page_table_load_after_the_switch_is_outside_it_with_tracepoints_alone() -> None:
    events = [text for text in SWITCH if " <-" not in text]
    poke = ("xen_mc_batch: start batch LAZY_NONE", *SWITCH[5:7], SWITCH[7], SWITCH[20], SWITCH[8])
    text = NOP_HEAD + switched("a-1", "b-2") + functions(*events, *poke)
    assert ops_of(text)[-3:] == ["load_sp0", "end", "write_cr3"]


# --- cuts and losses ----------------------------------------------------------------------------------


def test_a_switch_cut_by_the_end_or_by_a_loss_is_left_out_and_counted() -> None:
    text = HEAD + switched("a-1", "b-2") + functions(*SWITCH[:10])
    trace = trace_of(text)
    assert [event[2] for event in read_all(trace)[0]] == [Kind.ON]
    assert trace.doubts == {"cut_switches": 1}
    lost = (
        text
        + "CPU:0 [LOST 7 EVENTS]\n"
        + functions(*SWITCH[18:])
        + switched("b-2", "a-1")
        + functions(*SWITCH)
    )
    words = ops_of(lost)
    assert words[:2] == ["on 1", "lost"] and "end_context_switch" not in words[: words.index("on 2")]
    assert words[words.index("on 2") :] == ["on 2", "begin 1", *OPS, "end"]


def test_a_mode_entered_before_the_trace_is_not_left_in_it() -> None:
    assert ops_of(HEAD + functions(*SECTION[7:])) == []
    assert "end_context_switch" not in ops_of(HEAD + functions(*SWITCH[18:]))


def test_hostile_names_and_lines_do_no_harm() -> None:
    text = HEAD + switched("evil ==> next_pid=3-1", "x <-__schedule-2")
    text += line("xen_load_sp0 <-__switch_to", who="a <-b [003] 1.0: xen_load_tls <-__switch_to-5")
    text += (
        "no line at all\n" + line("<-") + line("xen_ <-") + line("xen_mc_entry:") + line("sched_switch: ==>")
    )
    trace = trace_of(text)
    _, tasks, _ = read_all(trace)
    assert {(task.comm, task.pid) for task in tasks} == {("evil ==> next_pid=3", 1), ("x <-__schedule", 2)}
    assert trace.doubts == {"unparsed_lines": 1}
    assert ops_of(text) == ["on 1", "begin 2", "load_sp0", "end"]


# --- function_graph ------------------------------------------------------------------------------------

GRAPH = """\
# tracer: function_graph
#
# CPU  DURATION                  FUNCTION CALLS
# |     |   |                     |   |   |   |
 0)               |  schedule() {
 0)   4.002 us    |    update_rq_clock();
 0)               |    paravirt_start_context_switch() {
 0)   0.100 us    |      xen_leave_lazy_mmu();
 0)   1.000 us    |    }
 0)   8.605 us    |    enter_lazy_tlb();
 0)   1.100 us    |    save_fpregs_to_fpstate();
 0)               |    xen_load_tls() {
 0)   0.100 us    |      load_TLS_descriptor();
 0)   0.100 us    |      load_TLS_descriptor.isra.0();
 0)   1.000 us    |    }
 0) + 10.000 us   |    xen_end_context_switch();
 ------------------------------------------
 0)  make-12    =>    <idle>-0
 ------------------------------------------

 0)   0.900 us    |  xen_load_sp0();
 0)   ==========> |
 0)   <========== |
 0)               |  copy_page_range() {
 0)   0.100 us    |    paravirt_enter_lazy_mmu();
 0)   0.100 us    |    xen_leave_lazy_mmu();
 0)   1.000 us    |  } /* copy_page_range */
"""


def test_function_graph_gives_callers_by_braces_and_tasks_by_bars() -> None:
    expected = ["begin 0", "start_context_switch", "fpu_save", "load_tls:0", "end_context_switch", "load_sp0"]
    assert ops_of(GRAPH, graph=True) == [
        *expected,
        "irq_enter",
        "irq_exit",
        "end",
        "enter_mmu",
        "leave_mmu",
    ]
    trace = trace_of(GRAPH, graph=True)
    read_all(trace)
    assert trace.meta.clock.startswith("lines, not seconds")
    assert trace.meta.format == "function_graph text, as pv ops"


def test_function_graph_with_tasks_times_and_events() -> None:
    text = """\
# tracer: function_graph
#
#     TIME        CPU  TASK/PID         DURATION                  FUNCTION CALLS
#      |          |     |    |           |   |                     |   |   |   |
  240.000001 |   1)   make-12    |               |  schedule() {
  240.000002 |   1)   make-12    |               |  /* sched_switch: prev_comm=make prev_pid=12 \
prev_prio=120 prev_state=S ==> next_comm=cc1 next_pid=13 next_prio=120 */
  240.000003 |   1)   make-12    |   1.100 us    |    load_new_mm_cr3();
  240.000004 |   1)   make-12    |   1.100 us    |    switch_ldt();
"""
    assert ops_of(text, graph=True, cpu=1) == ["on 12", "begin 13", "write_cr3", "end"]
    trace = trace_of(text, graph=True)
    assert read_all(trace)[0][-2][0] == 240_000_003_000 and trace.meta.clock == ""


# --- the recording ------------------------------------------------------------------------------------


def report_of(text: str | bytes, kernel_name: str = "6.1", backend: str = "xen") -> Report:
    kernel = load_kernel(kernel_name)
    data = text if isinstance(text, bytes) else text.encode()
    hist = replay(OpTrace(io.BytesIO(data)), kernel)  # type: ignore[arg-type]
    return price(hist, kernel, [load_backend(backend, kernel)])


def flushes(data: bytes) -> Counter[int]:
    """Sizes of the multicalls that were recorded, those of 0 left out; pinning (13, 14) is no op."""
    sizes = Counter(int(size) for size in re.findall(rb"xen_mc_flush: flushing (\d+)", data))
    return Counter({size: count for size, count in sizes.items() if size in (1, 2)})


def test_the_recorded_ops_are_priced_at_the_multicalls_that_were_recorded() -> None:
    data = RECORDED.read_bytes()
    (xen,) = report_of(data).backends
    assert xen.batch_sizes == flushes(data) == {1: 23}
    assert xen.by_op["load_sp0"].count == xen.by_op["load_tls"].count == data.count(b"sched_switch:") == 10
    alone = b"\n".join(one for one in data.split(b"\n") if b" <-" not in one and b"tracer" not in one)
    assert report_of(alone).backends[0].batch_sizes == flushes(data)


def test_the_recorded_switches_cost_what_the_kernel_s_path_says(tmp_path: Path) -> None:
    kernel = load_kernel("6.1")
    xen = load_backend("xen", kernel)
    ops = price(replay(open_trace(str(RECORDED), level="op"), kernel), kernel, [xen])
    switches = price(replay(open_trace(str(RECORDED)), kernel), kernel, [xen])
    assert ops.switches == switches.switches == 10
    ((recorded,), (simulated,)) = ops.backends, switches.backends
    assert recorded.in_switch.hypercalls - recorded.by_op["invalidate_io_bitmap"].hypercalls == (
        simulated.in_switch.hypercalls
    )
    for op in ("end_context_switch", "load_sp0", "write_msr", "start_context_switch", "load_tls"):
        assert recorded.by_op[op] == simulated.by_op[op], op


def test_the_recording_breaks_no_rule_but_puts_load_sp0_outside_the_batch() -> None:
    report = report_of(RECORDED.read_bytes())
    assert [(one.rule, one.op, one.count) for one in report.violations] == [("W1", "load_sp0", 10)]
    assert report.notes[0].startswith("6.1: ") or "nothing is simulated" in report.notes[0]
    assert any("nothing is simulated" in note for note in report.notes)
    assert report.state["tls"][0] == "observed" and report.state["ops"][0] == "observed"


def test_both_engines_and_the_trace_s_own_forms_agree_on_it(tmp_path: Path) -> None:
    kernel = load_kernel("6.1")

    def told(hist: Histogram) -> Any:
        return hist.rows, hist.sequences, hist.switches

    loop = told(replay(open_trace(str(RECORDED), level="op"), kernel))
    assert told(step_rows(open_trace(str(RECORDED), level="op"), kernel)) == loop
    for name in ("t.bin", "t.txt"):
        assert pvreplay("convert", RECORDED, tmp_path / name, "--level", "op").code == 0
        assert told(replay(open_trace(str(tmp_path / name)), kernel)) == loop
        assert open_trace(str(tmp_path / name), level="op").meta.level == "op"
    assert len(loop[1]) < 40


# --- which level ----------------------------------------------------------------------------------------


def test_a_recording_with_switches_is_read_as_switches_unless_ops_are_asked_for() -> None:
    assert open_trace(str(RECORDED)).meta.level == "switch"
    assert open_trace(str(RECORDED), level="switch").meta.level == "switch"
    assert open_trace(str(RECORDED), level="op").meta.level == "op"


def test_a_function_trace_without_switches_is_read_as_ops(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_text(HEAD + functions(*[text for text in SWITCH if " <-" in text]))
    assert open_trace(str(path)).meta.level == "op"
    graph = tmp_path / "g.txt"
    graph.write_text(GRAPH)
    assert open_trace(str(graph)).meta.format.startswith("function_graph")
    with pytest.raises(TraceError, match="function_graph text"):
        open_trace(str(graph), level="switch")


def test_ops_are_refused_where_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(NOP_HEAD + switched("a-1", "b-2"))
    with pytest.raises(UsageError, match="--level op: ftrace text holds no pv ops"):
        open_trace(str(path), level="op")
    done = pvreplay("run", path, "--level", "op")
    assert done.code == 2 and two_lines(done.err)


def test_run_prices_a_recording_at_either_level() -> None:
    done = pvreplay("run", RECORDED, "--level", "op", "-k", "6.1", "-b", "xen")
    assert done.code == 0 and "(ftrace text, as pv ops)" in done.flat and "nothing is simulated" in done.flat
    assert "(ftrace text)" in pvreplay("run", RECORDED, "-k", "6.1", "-b", "xen").flat


# --- the table --------------------------------------------------------------------------------------------


def test_every_op_of_the_table_is_one_the_machine_knows() -> None:
    assert len(symbols().ops) > 30
    for op in symbols().ops:
        parse(op)


def test_every_entry_of_the_table_has_a_source_and_can_be_reached() -> None:
    import tomllib

    from pvreplay.sources import symbols as module

    document = tomllib.loads(Path(module.PATH).read_text())
    open_ended: set[str] = set()
    for entry in document["symbol"]:
        assert entry["source"], entry["name"]
        assert entry["name"] not in open_ended, f"{entry['name']}: hidden by an entry without callers"
        assert entry.get("kind", "") in ("", *KINDS_BY_NAME)
        if "callers" not in entry:
            open_ended.add(entry["name"])
    for entry in document["event"]:
        assert entry["source"] and ({"ops", "kind", "does"} & set(entry)), f"{entry['name']} means nothing"
    assert set(document["switch"]["start"] + document["switch"]["mm"]) <= open_ended


def test_what_compilers_add_to_a_name_is_taken_off() -> None:
    for name in (b"xen_mc_issue.constprop.0", b"xen_mc_issue.isra.0", b"xen_mc_issue.part.0.constprop.1"):
        assert plain_name(name) == b"xen_mc_issue"
    assert plain_name(b"xen_load_sp0") == b"xen_load_sp0"

"""Lines of ftrace and perf script text, one variant after the other, and what is refused."""

from __future__ import annotations

import io

import pytest

from pvreplay.errors import TraceError
from pvreplay.sources import records as r
from pvreplay.sources.textsniff import sniff_text
from pvreplay.sources.textsource import TextSource
from tests.source_tools import NOFP, WEIRD, drain, records_of, switch

PAYLOAD = b"prev_comm=cc1 prev_pid=7 prev_prio=120 prev_state=S ==> next_comm=make next_pid=9 next_prio=120"
FIELDS = (
    b"prev_comm=cc1 prev_pid=0x7 (7) prev_prio=0x78 (120) prev_state=0x1 (1) "
    b"next_comm=make next_pid=0x9 (9) next_prio=0x78 (120)"
)
RAW = b"prev_comm=cc1 prev_pid=7 prev_prio=120 prev_state=1 next_comm=make next_pid=9 next_prio=120"
PREFIX = b"             cc1-7       [003] d..2.     1.500000: sched_switch: "

SWITCHES = {
    "5.14 and later": ("ftrace", PREFIX + PAYLOAD),
    "flags of four": ("ftrace", b" cc1-7     [003] d..2     1.500000: sched_switch: " + PAYLOAD),
    "real-time flags": ("ftrace", b" cc1-7     [003] dN.2.11     1.500000: sched_switch: " + PAYLOAD),
    "no flags": ("ftrace", b" cc1-7     [003]     1.500000: sched_switch: " + PAYLOAD),
    "thread group": ("ftrace", b" cc1-7   (      6) [003] d..2.     1.500000: sched_switch: " + PAYLOAD),
    "no thread group": ("ftrace", b" cc1-7   (-----) [003] d..2.     1.500000: sched_switch: " + PAYLOAD),
    "time glued to the CPU": ("ftrace", b" cc1-7     [003]1.500000: sched_switch: " + PAYLOAD),
    "seconds since 1970": ("ftrace", b" cc1-7     [003] d..2.1.500000: sched_switch: " + PAYLOAD),
    "nanoseconds": ("ftrace", b" cc1-7     [003] 1.500000000: sched_switch: " + PAYLOAD),
    "padded event": ("ftrace", b" cc1-7     [003]     1.500000: sched_switch:          " + PAYLOAD),
    "TAB first": ("ftrace", b"\t   cc1-7     [003]     1.500000: sched_switch: " + PAYLOAD),
    "carriage return": ("ftrace", PREFIX + PAYLOAD + b"\r"),
    "javascript string": ("ftrace", PREFIX + PAYLOAD + b"\\n\\"),
    "fields option": ("ftrace", PREFIX + FIELDS),
    "trace-cmd -R": ("ftrace", PREFIX + RAW),
    "trace-cmd plugin": ("ftrace", PREFIX + b"cc1:7 [120] S ==> make:9 [120]"),
    "2.6.2x": ("ftrace", PREFIX + b"task cc1:7 [120] (S) ==> make:9 [120]"),
    "sched_switch tracer": (
        "ftrace",
        b" cc1-7     [03]     1.500000:      7:120:S ==> [003]     9:120:R make",
    ),
    "perf script": ("perf", b"   cc1     7 [003]     1.500000: sched:sched_switch: " + PAYLOAD),
    "perf script, pid/tid": ("perf", b"   cc1     6/7 [003]     1.500000: sched:sched_switch: " + PAYLOAD),
    "perf script, period": ("perf", b"   cc1     7 [003]     1.500000:   1 sched:sched_switch: " + PAYLOAD),
    "perf script, padded": (
        "perf",
        b"   cc1     7 [003]     1.500000:         sched:sched_switch: " + PAYLOAD,
    ),
    "perf script plugin": (
        "perf",
        b"   cc1     7 [003]     1.500000: sched:sched_switch: cc1:7 [120] S ==> make:9 [120]",
    ),
    "latency-format": ("latency", b"     cc1-7         3d..2. 1500000us : sched_switch: " + PAYLOAD),
    "latency-format, mark": ("latency", b"     cc1-7         3d..2. 1500000us+: sched_switch: " + PAYLOAD),
    "verbose": (
        "verbose",
        b"             cc1       7   3 1 00000002 0000010c [0016e360] 1500.000ms (+0.002ms): sched_switch: "
        + PAYLOAD,
    ),
}


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("ending", [b"\n", b""])
def test_every_form_of_a_switch_gives_the_same_record(name: str, ending: bytes) -> None:
    style, line = SWITCHES[name]
    found = [one for one in records_of(line + ending, style) if one[2] == r.SWITCH]
    [(time, cpu, _, flags, pid, prev, following, c)] = found
    assert (time, cpu, flags, pid, prev, following) == (1_500_000_000, 3, 0, 7, 7, 9)
    assert c >> 48 == r.STATE_BLOCKED


@pytest.mark.parametrize("name", SWITCHES)
def test_every_form_is_recognised_from_its_content(name: str) -> None:
    style, line = SWITCHES[name]
    assert sniff_text(b"# tracer: nop\n#\n" + line + b"\n") == style


@pytest.mark.parametrize(
    "comm",
    [
        "a b c",
        "x ==> next_comm",
        "p next_pid=7",
        "a-12 [003]",
        "(-----) x",
        "123456789012345",
        "été",
        "",
        "swapper/0",
        "prev_state=R",
        "a=b:c,d|e",
        "tab\there",
        "-1",
        "<...>",
        "-1 [000] 1.0: a",
        "a:1 [1] S ==> b",
    ],
)
@pytest.mark.parametrize("side", ["prev", "next"])
def test_hostile_names_do_not_break_a_switch(comm: str, side: str) -> None:
    names = (comm, "plain") if side == "prev" else ("plain", comm)
    text = switch(169.101728, 1, names[0], 589, "R+", names[1], 77).encode() + b"\n"
    for slow in (False, True):
        source = TextSource(io.BytesIO(text), "ftrace", slow=slow)
        [(time, cpu, kind, _, pid, prev, following, c)] = drain(source)
        assert (time, cpu, kind, pid) == (169_101_728_000, 1, r.SWITCH, 589)
        assert (prev, following) == (589, 77)
        assert source.comms[c & 0xFFFFFF] == names[0].encode()
        assert source.comms[c >> 24 & 0xFFFFFF] == names[1].encode()
        assert c >> 48 == r.STATE_PREEMPTED


def test_a_name_with_a_newline_is_put_together_again() -> None:
    text = switch(1.0, 0, "a\nb", 5, "S", "c\nd", 6).encode() + b"\n"
    text += switch(2.0, 0, "c\nd", 6, "S", "a\nb", 5).encode() + b"\n"
    source = TextSource(io.BytesIO(text), "ftrace")
    found = drain(source)
    assert [(one[5], one[6]) for one in found] == [(5, 6), (6, 5)]
    assert b"a\nb" in source.comms and not source.doubts


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("R", r.STATE_RUNNABLE),
        ("R+", r.STATE_PREEMPTED),
        ("S", r.STATE_BLOCKED),
        ("I", r.STATE_BLOCKED),
        ("D|K", r.STATE_BLOCKED),
        ("Z", r.STATE_DEAD),
        ("X", r.STATE_DEAD),
        ("x", r.STATE_PARKED_OR_DEAD),
        ("0", r.STATE_RUNNABLE),
        ("1", r.STATE_BLOCKED),
        ("64", r.STATE_PARKED_OR_DEAD),
        ("256", r.STATE_PREEMPTED),
        ("1024", r.STATE_PREEMPTED),
        ("4096", r.STATE_PREEMPTED),
        ("130", r.STATE_BLOCKED),
        ("0x20", r.STATE_DEAD),
    ],
)
def test_prev_state_in_letters_and_numbers(state: str, expected: int) -> None:
    [found] = records_of(switch(1.0, 0, "a", 1, state, "b", 2).encode() + b"\n")
    assert found[7] >> 48 == expected


PAYLOADS = {
    "task_newtask: pid=504 comm=sh clone_flags=1200000 oom_score_adj=0": (r.NEWTASK, 504, 0x1200000),
    "task_newtask: pid=0x1f8 (504) comm=sh clone_flags=0x1200000 (18874368) oom_score_adj=0x0 (0)": (
        r.NEWTASK,
        504,
        0x1200000,
    ),
    "sched_process_fork: comm=sh pid=7 child_comm=sh child_pid=504": (r.FORK, 504, 7),
    "sched_process_fork: parent_comm=sh parent_pid=7 child_comm=sh child_pid=504": (r.FORK, 504, 7),
    "sched_process_exec: filename=/bin/ls pid=504 old_pid=505": (r.EXEC, 504, 505),
    "sched_process_exit: comm=a pid=1 prio=2 pid=504 prio=120": (r.EXIT, 504, 0),
    "sched_process_exit: comm=sh pid=504 prio=120 group_dead=true": (r.EXIT, 504, 0),
    "sched_process_free: comm=sh pid=504 prio=120": (r.FREE, 504, 0),
    "task_rename: pid=504 oldcomm=sh newcomm=exe oom_score_adj=0": (r.RENAME, 504, 0),
    "tlb_flush: pages:-1 reason:flush on task switch (0)": (r.TLB_FLUSH, 0, 0xFFFFFFFF),
    "tlb_flush: pages=1 reason=local mm shootdown (3)": (r.TLB_FLUSH, 3, 1),
    "tlb_flush: reason=0x1 (1) pages=0xffffffffffffffff (-1)": (r.TLB_FLUSH, 1, 0xFFFFFFFF),
    "x86_fpu_regs_deactivated: x86/fpu: 00000000f5e22560 load: 1 xfeatures: 217 xcomp_bv: 0": (
        r.FPU_DEACTIVATED,
        0x217,
        1,
    ),
    "x86_fpu_regs_activated: fpu=0xffff8881 (-13138) load_fpu=(1) xfeatures=0xa3 (163) xcomp_bv=0x80 (1)": (
        r.FPU_ACTIVATED,
        0xA3,
        1,
    ),
    "xen_mmu_write_cr3: user cr3 67dd000": (r.XEN_CR3, 1, 0),
    "xen_mmu_write_cr3: kernel=1 cr3=67dd000": (r.XEN_CR3, 0, 0),
    "sys_iopl(level: 3)": (r.SYS_ENTER, r.SYS_IOPL, 3),
    "sys_iopl -> 0x0": (r.SYS_EXIT, r.SYS_IOPL, 0),
    "sys_enter_iopl: level: 0x0003": (r.SYS_ENTER, r.SYS_IOPL, 3),
    "sys_enter_iopl: __syscall_nr=172 level=0x00000003": (r.SYS_ENTER, r.SYS_IOPL, 3),
    "sys_exit_iopl: 0x0": (r.SYS_EXIT, r.SYS_IOPL, 0),
    "sys_enter: NR 172 (3, 0, 80eeff4, 80b906a, bfb5daf0, bfb5db08)": (r.RAW_ENTER, 172, 3),
    "sys_enter: id=172 args=ARRAY[" + ", ".join(["03"] + ["00"] * 47) + "]": (r.RAW_ENTER, 172, 3),
    "sys_exit: NR 172 = -1": (r.RAW_EXIT, 172, 0),
}


@pytest.mark.parametrize("text", PAYLOADS)
def test_events_become_their_record(text: str) -> None:
    line = f"              sh-7       [000] .....     1.000000: {text}\n".encode()
    found = [one for one in records_of(line) if one[2] != r.INFO]
    assert [(one[2], one[5], one[6]) for one in found] == [PAYLOADS[text]]


def test_system_calls_that_do_not_matter_give_nothing() -> None:
    lines = b"".join(
        b"  sh-7  [000] .....     1.000000: " + text + b"\n"
        for text in (
            b"sys_read(fd: 3)",
            b"sys_read -> 0x0",
            b"sys_enter: NR 0 (3)",
            b"schedule <-io_schedule",
        )
    )
    assert records_of(lines) == []


def test_ptrace_keeps_pid_address_and_whether_data_arms_a_breakpoint() -> None:
    line = b"  sh-7  [000] .....  1.000000: sys_ptrace(request: 6, pid: 1ff, addr: 388, data: 701)\n"
    [found] = [one for one in records_of(line) if one[2] == r.SYS_ENTER]
    assert found[5:] == (r.SYS_PTRACE, 6, 0x1FF | 0x388 << 32)
    assert found[3] == r.ARG3_SET | r.ARG3_LOW8


def test_lost_events_are_records_and_overwritten_ones_a_doubt() -> None:
    text = (
        b"# entries-in-buffer/entries-written: 288/6048   #P:2\n"
        + PREFIX
        + PAYLOAD
        + b"\nCPU:1 [LOST 660 EVENTS]\nCPU:0 [LOST EVENTS]\n CPU:3 [17 EVENTS DROPPED]\n"
        + b"##### CPU 1 buffer started ####\n"
    )
    source = TextSource(io.BytesIO(text), "ftrace")
    found = [one for one in drain(source) if one[2] == r.LOST]
    assert [(one[0], one[1], one[5]) for one in found] == [
        (1_500_000_000, 1, 660),
        (1_500_000_000, 0, 0),
        (1_500_000_000, 3, 17),
    ]
    assert source.doubts == {"overwritten_events": 5760}


def test_the_clock_of_counts_is_told() -> None:
    source = TextSource(
        io.BytesIO(b" cc1-7  [003] d..2.    366168: sched_switch: " + PAYLOAD + b"\n"), "ftrace"
    )
    [found] = drain(source)
    assert found[0] == 366168 and "counts" in source.clock


def test_perf_call_chains_between_events_are_skipped() -> None:
    line = b"   cc1     7 [003]     1.500000: sched:sched_switch: " + PAYLOAD + b"\n"
    chain = b"\tffffffff81a2 __schedule+0x3 ([kernel.kallsyms])\n\t           0 [unknown] ([unknown])\n\n"
    source = TextSource(io.BytesIO((line + chain) * 3), "perf")
    assert [one[2] for one in drain(source)] == [r.SWITCH] * 3
    assert not source.doubts


def test_a_task_that_has_exited_has_pid_minus_one_in_perf_script() -> None:
    line = b"          :-1    -1 [001]     2.000000: sched:sched_switch: " + PAYLOAD + b"\n"
    [found] = records_of(line, "perf")
    assert found[4] == 0xFFFFFFFF and found[5:7] == (7, 9)


def test_malformed_lines_of_known_events_are_counted_not_guessed() -> None:
    source = TextSource(
        io.BytesIO(PREFIX + b"prev_comm=cc1 prev_pid=7\n" + PREFIX + PAYLOAD + b"\n" + PREFIX + b"what\n"),
        "ftrace",
    )
    assert len(drain(source)) == 1
    assert source.doubts == {"unparsed_lines": 2}


def test_a_cpu_beyond_the_largest_kernel_is_not_believed() -> None:
    source = TextSource(io.BytesIO(b" a-7  [99999] d..2.  1.5: sched_switch: " + PAYLOAD + b"\n"), "ftrace")
    assert drain(source) == [] and source.doubts == {"unparsed_lines": 1}


REFUSED = {
    "raw": b"# tracer: nop\n#\n18949 0 1101616444061 type: 372\n",
    "hex": b"# tracer: nop\n#\n00005970 00000000 00000352795436b8 type: 188\n",
    "bin": b"# tracer: nop\n#\npY\0\0\0\0\0\0type: 188\n",
    "nocontext-info": b"# tracer: nop\n#\nsched_switch: " + PAYLOAD + b"\n",
    "timehist": b"           time    cpu  task name          wait time  sch delay\n",
    "latency": b"  Task                  |   Runtime ms  |  Count   |\n",
    "map": b"  *A0         166.542328 secs A0 => perf:16\n   A0 *B0     166.546593 secs B0 => sh:5\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_output_that_lacks_what_is_needed_is_refused_with_a_hint(name: str) -> None:
    with pytest.raises(TraceError) as failed:
        sniff_text(REFUSED[name])
    assert failed.value.hint and name.split("-")[0] in failed.value.message


def test_other_text_is_not_taken_for_a_recording() -> None:
    assert sniff_text(b"root:x:0:0:root:/root:/bin/bash\n") == ""
    assert sniff_text(b"2026-11-22 16:00:00 host kernel: [  12.345678] usb 1-1: new device\n") == ""


def test_an_android_page_gives_the_trace_behind_its_scripts() -> None:
    page = b"<!DOCTYPE html>\n<html><script>x = [1];\n</script>\n<!-- BEGIN TRACE -->\n" + PREFIX + PAYLOAD
    assert sniff_text(page) == "ftrace"
    assert len(records_of(page)) == 1


def test_recordings_give_every_switch_that_grep_counts() -> None:
    for path in (NOFP, WEIRD):
        text = path.read_bytes()
        expected = text.count(b": sched_switch: ")
        assert expected > 100
        assert sum(one[2] == r.SWITCH for one in records_of(text)) == expected

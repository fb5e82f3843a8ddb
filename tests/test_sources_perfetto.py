"""Perfetto traces, built field by field: the same switches in every form, and files that are damaged."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.errors import TraceError
from pvreplay.sources import perfetto, perfetto_packets
from pvreplay.sources import records as r
from pvreplay.sources.detect import open_trace
from pvreplay.sources.perfetto import PerfettoSource
from pvreplay.trace.events import CPU_MAX
from tests.perfetto_files import (
    block,
    bundle,
    columns,
    compressed,
    event,
    generic,
    number,
    packed,
    packet,
    switch,
    varint,
)
from tests.source_tools import Found, by_pid, drain, interpreted, read

A, B, IDLE = ("alpha", 100), ("beta", 200), ("swapper", 0)
SLEEPS, DIES = 1, 16
ROWS = [
    (1000, 0, IDLE, 0, A),
    (2000, 1, IDLE, 0, B),
    (3000, 0, A, SLEEPS, IDLE),
    (3500, 0, IDLE, 0, B),
    (4000, 1, B, DIES, A),
]
"""(time, CPU, prev, prev_state, next)."""


def events_of(cpu: int) -> list[bytes]:
    return [switch(time, prev, state, then) for time, on, prev, state, then in ROWS if on == cpu]


def columns_of(cpu: int) -> bytes:
    return columns((time, state, *then) for time, on, _, state, then in ROWS if on == cpu)


def plain() -> bytes:
    """CPU 1's bundle before CPU 0's: the times decide."""
    return packet(number(8, 5), bundle(1, *events_of(1))) + packet(bundle(0, *events_of(0)))


def compact() -> bytes:
    return packet(bundle(1, columns_of(1))) + packet(bundle(0, columns_of(0)))


def source(content: bytes) -> PerfettoSource:
    return PerfettoSource(io.BytesIO(content))


def found_in(content: bytes, room: int = 64) -> list[Found]:
    return drain(source(content), room)


def switches(content: bytes, room: int = 3) -> list[tuple[int, int, int, int, bytes, bytes, int]]:
    """(time, CPU, prev, next, prev name, next name, state) of each switch."""
    trace = source(content)
    return [
        (time, cpu, a, b, trace.comms[c & 0xFFFFFF], trace.comms[c >> 24 & 0xFFFFFF], c >> 48)
        for time, cpu, type, _, _, a, b, c in drain(trace, room)
        if type == r.SWITCH
    ]


CLASS = {0: r.STATE_RUNNABLE, SLEEPS: r.STATE_BLOCKED, DIES: r.STATE_DEAD}
FULL = [
    (time, cpu, prev[1], then[1], prev[0].encode(), then[0].encode(), CLASS[state])
    for time, cpu, prev, state, then in ROWS
]
WITHOUT_PREV = [(time, cpu, 0, b, b"", name, state) for time, cpu, _, b, _, name, state in FULL]


@pytest.fixture(params=["compiled", "interpreted"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "interpreted":
        monkeypatch.setattr(perfetto, "engine", interpreted("_perfetto_cy"))
        monkeypatch.setattr(perfetto_packets, "engine", interpreted("_perfetto_walk_cy"))
        monkeypatch.setattr(perfetto, "generic", interpreted("_perfetto_generic_cy"))


@pytest.mark.parametrize(
    "content",
    [
        plain(),
        packet(compressed(plain())),
        packet(block(133, zstandard.compress(plain()))),
        packet(compressed(packet(bundle(1, *events_of(1))))) + packet(bundle(0, *events_of(0))),
        packet(bundle(1, events_of(1)[0])) + packet(bundle(0, *events_of(0)), bundle(1, events_of(1)[1])),
    ],
    ids=["plain", "zlib", "zstd", "one packed, one not", "bundles of one CPU apart"],
)
def test_events_one_by_one(content: bytes) -> None:
    assert switches(content) == FULL


@pytest.mark.parametrize("content", [compact(), packet(compressed(compact()))], ids=["plain", "zlib"])
def test_columns_have_no_previous_task(content: bytes) -> None:
    assert switches(content) == WITHOUT_PREV
    assert all(flags == r.NO_PREV for *_, flags, _, _, _, _ in [row[:8] for row in found_in(content)])


def test_columns_and_events_of_a_bundle_are_merged_by_time() -> None:
    rename = event(2500, 100, 236, number(1, 100), block(2, b"alpha"), block(3, b"renamed"))
    exits = event(9000, 100, 238, block(1, b"renamed"), number(2, 100))
    found = found_in(packet(bundle(0, rename, exits, columns_of(0))), room=2)
    assert [(time, type) for time, _, type, *_ in found] == [
        *((1000, r.SWITCH), (2500, r.RENAME), (3000, r.SWITCH), (3500, r.SWITCH), (9000, r.EXIT))
    ]


def test_the_same_trace_comes_of_both_forms() -> None:
    full, _ = read(perfetto.open(io.BytesIO(plain())))
    bare, tasks = read(perfetto.open(io.BytesIO(compact())))
    assert [row for row in full if row[0] == "SWITCH"] == [row for row in bare if row[0] == "SWITCH"]
    assert {task.comm for task in tasks.values()} == {"alpha", "beta"}


def test_a_table_of_many_names() -> None:
    rows = [(1000 + i, 0, f"name-{i}", 10 + i) for i in range(500)]
    found = switches(packet(bundle(0, columns(rows))), room=7)
    assert [(time, name, pid) for time, _, _, pid, _, name, _ in found] == [
        (time, name.encode(), pid) for time, _, name, pid in rows
    ]


def test_births_and_deaths() -> None:
    content = packet(
        bundle(
            0,
            event(1, 100, 235, number(1, 101), block(2, b"child"), number(3, 0x10100)),
            event(2, 100, 239, block(1, b"p"), number(2, 100), block(3, b"child"), number(4, 101)),
            event(3, 101, 237, block(1, b"/usr/bin/long-program-name"), number(2, 101), number(3, 102)),
            event(4, 101, 238, block(1, b"x"), number(2, 101)),
            event(5, 100, 240, block(1, b"x"), number(2, 101)),
        )
    )
    trace = source(content)
    assert [
        (type, pid, a, b, trace.comms[c] if c < 10 else c) for _, _, type, _, pid, a, b, c in drain(trace)
    ] == [
        (r.NEWTASK, 100, 101, 0x10100, b"child"),
        (r.FORK, 100, 101, 100, b"child"),
        (r.EXEC, 101, 101, 102, b"long-program-na"),
        (r.EXIT, 101, 101, 0, b""),
        (r.FREE, 100, 101, 0, b""),
    ]


def machine(name: str) -> bytes:
    return packet(block(45, block(1, block(1, b"Linux") + block(3, b"6.1.0") + block(4, name.encode()))))


@pytest.mark.parametrize("joined", [False, True], ids=["one by one", "packed"])
def test_system_calls_of_an_x86_machine(joined: bool) -> None:
    arguments = [3, 0x1_0000_0002, 5, 0x180]
    values = packed(2, arguments) if joined else b"".join(number(2, value) for value in arguments)
    calls = bundle(
        0, event(1, 7, 329, number(1, 172), values), event(2, 7, 330, number(1, 172), number(2, -1))
    )
    unwanted = bundle(0, event(3, 7, 329, number(1, 1), values))
    expected = [
        (1, 0, r.RAW_ENTER, r.ARG1_HIGH | r.ARG3_SET | r.ARG3_LOW8, 7, 172, 3, 2 | 5 << 32),
        (2, 0, r.RAW_EXIT, 0, 7, 172, 0, 0xFFFFFFFFFFFFFFFF),
    ]
    assert found_in(machine("x86_64") + packet(calls) + packet(unwanted)) == expected
    assert source(machine("x86_64") + packet(calls)).word_bits == 64
    assert found_in(machine("aarch64") + packet(calls)) == []


BIG = 0xFFFF8880_12345678
GENERICS = [
    (
        generic(10, 100, "tlb_flush", reason=0, pages=-1),
        (10, 0, r.TLB_FLUSH, 0, 100, 0, 0xFFFFFFFF, 0),
    ),
    (
        generic(20, 100, "tlb/tlb_flush", pages=3, reason=1, note="text"),
        (20, 0, r.TLB_FLUSH, 0, 100, 1, 3, 0),
    ),
    (
        generic(30, 100, "x86_fpu_regs_deactivated", fpu=BIG, load_fpu=1, xfeatures=0x217, xcomp_bv=0),
        (30, 0, r.FPU_DEACTIVATED, 0, 100, 0x217, 1, BIG),
    ),
    (
        generic(40, 100, "x86_fpu_regs_activated", fpu=BIG, load_fpu=0, xfeatures=3, xcomp_bv=0),
        (40, 0, r.FPU_ACTIVATED, 0, 100, 3, 0, BIG),
    ),
    (generic(50, 7, "xen_mmu_write_cr3", kernel=1, cr3=0x679A000), (50, 0, r.XEN_CR3, 0, 7, 0, 0, 0x679A000)),
    (generic(60, 7, "xen_mmu_write_cr3", kernel=0, cr3=0xBBC3000), (60, 0, r.XEN_CR3, 0, 7, 1, 0, 0xBBC3000)),
    (generic(70, 7, "cpu_idle_miss", state=3, reason=1), None),
    (generic(80, 7, "tlb_flush", pages=1), None),
    (event(90, 7, 327, block(1, b"tlb_flush"), block(2, b"\x0a\x7fcut")), None),
    (event(95, 7, 327), None),
]


def test_generic_events_tell_what_switches_leave_behind() -> None:
    content = packet(bundle(0, *(each for each, _ in GENERICS)))
    for room in (2, 64):
        assert found_in(content, room) == [record for _, record in GENERICS if record]


def test_generic_events_stay_in_their_place_among_the_others() -> None:
    content = packet(
        bundle(
            0,
            columns([(1000, 0, *A), (3000, SLEEPS, *B)]),
            generic(500, 0, "unknown", x=1),
            generic(1500, 100, "tlb_flush", reason=0, pages=1),
            generic(2500, 100, "unknown", x=1),
            generic(3500, 100, "tlb_flush", reason=1, pages=1),
        )
    )
    assert [(time, type) for time, _, type, *_ in found_in(content)] == [
        *((1000, r.SWITCH), (1500, r.TLB_FLUSH), (3000, r.SWITCH), (3500, r.TLB_FLUSH)),
    ]
    lost = packet(bundle(0, number(3, 1), generic(500, 0, "unknown", x=1), *events_of(0)))
    assert [type for _, _, type, *_ in found_in(lost)] == [r.LOST, r.SWITCH, r.SWITCH, r.SWITCH]


def test_the_hash_of_every_name_is_its_own() -> None:
    names = [b"tlb_flush", b"x86_fpu_regs_deactivated", b"x86_fpu_regs_activated", b"xen_mmu_write_cr3"]
    names += [b"reason", b"pages", b"xfeatures", b"load_fpu", b"fpu", b"kernel", b"cr3", b"xcomp_bv"]
    assert len({perfetto.generic.hash_name(name) for name in names}) == len(names)


def test_losses_are_told_before_the_next_event() -> None:
    def stats(phase: int, overrun: int) -> bytes:
        return packet(block(34, number(1, phase) + block(2, number(1, 0) + number(3, overrun))))

    lossy = packet(bundle(0, events_of(0)[0])) + packet(bundle(0, *events_of(0)[1:], number(3, 1)))
    unknown = (3000, 0, r.LOST, 0, 0xFFFFFFFF, 0, 0, 0)
    assert found_in(lossy)[1] == unknown
    assert found_in(stats(1, 5) + lossy + stats(2, 12))[1] == (*unknown[:5], 7, 0, 0)
    assert len(found_in(lossy)) == 4


@pytest.mark.parametrize("first_on_sequence", [False, True])
def test_dropped_packets_are_a_loss_unless_they_begin_a_sequence(first_on_sequence: bool) -> None:
    marks = [number(42, 1), number(87, 1)][: 2 if first_on_sequence else 1]
    content = packet(bundle(0, events_of(0)[0])) + packet(bundle(0, *events_of(0)[1:]), *marks)
    types = [type for _, _, type, *_ in found_in(content)]
    assert types.count(r.LOST) == (0 if first_on_sequence else 1)


def test_process_trees_tell_groups_and_kernel_threads() -> None:
    process = block(1, number(1, 100) + number(2, 1) + block(3, b"/bin/alpha"))
    worker = block(1, number(1, 200) + number(2, 2) + block(3, b"beta"))
    thread = block(2, number(1, 300) + number(3, 100) + block(2, b"third"))
    tree = packet(block(2, process + worker + thread))
    more = packet(bundle(1, switch(5000, A, 0, ("third", 300))))
    # the tree stands behind the switches, as traced writes what it learns on the way
    _, tasks = read(perfetto.open(io.BytesIO(plain() + more + tree)))
    found = by_pid(tasks)
    assert found[200].mm == 0
    assert found[300].mm == found[100].mm != 0


def test_the_clock_is_named() -> None:
    assert source(plain()).clock == "boot"
    assert source(packet(bundle(0, *events_of(0), number(5, 3)))).clock == "local"


def test_a_file_cut_inside_a_bundle_gives_what_is_there() -> None:
    whole = packet(bundle(0, *events_of(0)))
    for cut in (1, 20, 60):
        trace = source(whole[:-cut])
        found = [row for row in drain(trace) if row[2] == r.SWITCH]
        assert [row[0] for row in found] == ([1000, 3000] if cut < 60 else [1000])
        assert trace.damage == "the file ends inside a packet"
        assert trace.doubts == {}


def test_a_damaged_file_gives_what_stands_before() -> None:
    trace = source(packet(bundle(0, *events_of(0))) + b"\xff\xff\xff" + plain())
    assert len(drain(trace)) == 3
    assert "no packet at offset" in trace.damage
    trace = source(packet(block(50, b"\x78\x9c is not zlib")) + plain())
    assert len(drain(trace)) == 5
    assert "compressed packets are damaged" in trace.damage


def test_a_malformed_event_is_left_out_and_counted() -> None:
    bad = block(2, number(1, 5) + varint(4 << 3 | 2) + varint(50) + b"too short")
    trace = source(packet(bundle(0, events_of(0)[0], bad, events_of(0)[1])))
    assert [row[0] for row in drain(trace)] == [1000, 3000]
    assert trace.doubts == {"bad_events": 1}


def test_columns_of_different_lengths_end_with_the_shortest() -> None:
    content = block(5, b"x") + packed(1, [10, 1, 1]) + packed(2, [0, 0]) + packed(3, [7, 8])
    trace = source(packet(bundle(0, block(4, content + packed(6, [0, 0])))) + plain())
    assert len([row for row in drain(trace) if row[0] < 100]) == 2
    assert trace.doubts == {"bad_events": 1}


def test_an_impossible_cpu_is_left_out() -> None:
    trace = source(packet(bundle(CPU_MAX, *events_of(0))) + plain())
    assert len(drain(trace)) == 5
    assert trace.doubts == {"cpu_too_high": 1}


def test_packed_packets_in_packed_packets_are_refused() -> None:
    with pytest.raises(TraceError, match="compressed packets inside"):
        source(packet(compressed(packet(compressed(plain())))))


@pytest.mark.parametrize("how", ["file", "gzip", "pipe"])
def test_it_is_recognised_by_its_content(tmp_path: Path, how: str) -> None:
    path = tmp_path / "recording"
    path.write_bytes(gzip.compress(plain()) if how == "gzip" else plain())
    trace = perfetto.open(io.BytesIO(plain())) if how == "pipe" else open_trace(str(path))
    events, _ = read(trace)
    assert (trace.meta.format, [kind for kind, *_ in events].count("SWITCH")) == ("Perfetto", 5)


@pytest.mark.parametrize(
    "text", [b"\n\n\n\n", b"\nHello, this is a text.\n" * 9, b"\n#!/bin/sh\n", b"\x0a\x05"]
)
def test_other_things_are_not_taken_for_it(text: bytes) -> None:
    assert not perfetto.sniff(text)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_ends_in_records_or_a_refusal(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([plain(), compact(), packet(compressed(plain()))])))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = found_in(bytes(content[: data.draw(st.integers(0, len(content)))]), room=5)
    except TraceError:
        return
    assert all(row[1] < CPU_MAX for row in found)

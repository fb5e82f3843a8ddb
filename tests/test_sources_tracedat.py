"""trace.dat: real recordings beside trace-cmd report, and files built piece by piece."""

from __future__ import annotations

import io
import os
import random
import struct
from pathlib import Path

import pytest

from pvreplay.errors import PvreplayError, TraceError
from pvreplay.sources import records as r
from pvreplay.sources import tracedat
from pvreplay.sources.tracedat import TraceDatSource, open_raw
from pvreplay.trace.events import Kind
from tests import binary_files as b
from tests.binary_tools import DAT32, DAT64, listed, run_interpreted, switches
from tests.source_tools import Found, drain

SCHED = {"sched": [b.switch_format()]}


def source(data: bytes) -> TraceDatSource:
    """The records of a trace.dat in memory."""
    return open_raw(io.BytesIO(data), "a.dat")


def pages(count: int = 3, start: int = 1000, task: int = 5, each: int = 30, long: int = 8) -> bytes:
    """Pages of switches to and from idle, 10 ns apart; a page every 100,000 ns."""
    made = b""
    for page in range(count):
        events = b"".join(
            b.ring_event(
                10, b.switch_payload(task, 0, long=long) if i % 2 else b.switch_payload(0, task, long=long)
            )
            for i in range(each)
        )
        made += b.ring_page(start + 100_000 * page, events, long)
    return made


def times(found: list[Found]) -> list[int]:
    """The time of each record."""
    return [record[0] for record in found]


# --- real ones ------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("path", "bits"), [(DAT64, 64), (DAT32, 32)])
def test_a_recording_gives_what_trace_cmd_report_prints(
    path: Path, bits: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zstandard")
    if not compiled:
        run_interpreted(monkeypatch)
    recording = open_raw(str(path))
    assert switches(recording) == listed(path.stem)
    assert recording.word_bits == bits
    assert recording.clock == "global"
    assert recording.origin.startswith("trace-cmd ")
    assert (recording.damage, recording.doubts) == ("", {})


def test_interpreted_and_compiled_agree_on_every_record(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zstandard")
    compiled = drain(open_raw(str(DAT64)), 100)
    run_interpreted(monkeypatch)
    assert drain(open_raw(str(DAT64)), 37) == compiled
    kinds = {record[2] for record in compiled}
    assert kinds >= {
        *(r.SWITCH, r.NEWTASK, r.FORK, r.EXEC, r.EXIT, r.TLB_FLUSH, r.FPU_DEACTIVATED, r.SYS_ENTER),
        *(r.FPU_ACTIVATED, r.RAW_ENTER, r.RAW_EXIT),
    }


# --- versions, compression, instances -------------------------------------------------------------


def test_version_6_7_and_7_packed_give_the_same_records() -> None:
    cpus = [pages(3), pages(3, 1005, 6), b"", pages(1, 50_000, 7)]
    six = drain(source(b.trace_dat6(cpus, SCHED)))
    assert len(six) == 210
    assert {record[1] for record in six} == {0, 1, 3}
    assert times(six) == sorted(times(six))
    assert drain(source(b.trace_dat7({"": cpus}, SCHED)), 11) == six
    assert drain(source(b.trace_dat7({"": cpus}, SCHED, packed=True)), 300) == six


def test_a_32_bit_kernel_has_smaller_page_heads_and_fields() -> None:
    systems = {"sched": [b.switch_format(long=4)]}
    recording = source(b.trace_dat6([pages(2, long=4)], systems, long=4))
    found = drain(recording)
    assert [record[5:7] for record in found[:2]] == [(0, 5), (5, 0)]
    assert (len(found), recording.word_bits) == (60, 32)


def test_events_of_instances_are_read_too() -> None:
    data = b.trace_dat6(
        [b"", b""], SCHED, instances={"one": [pages(1), b""], "two": [b"", pages(1, 1003, 6)]}
    )
    recording = source(data)
    found = drain(recording)
    assert [record[1] for record in found[:4]] == [0, 1, 0, 1]
    assert len(found) == 60
    assert recording.origin.endswith("; instances one, two")


@pytest.mark.parametrize("version", [6, 7])
def test_an_event_that_two_instances_recorded_counts_once(version: int) -> None:
    first, second = pages(2), pages(2, 1002)
    other = pages(1, 60_000, 9)
    if version == 6:
        data = b.trace_dat6([first], SCHED, instances={"again": [second], "other": [other]})
    else:
        data = b.trace_dat7({"": [first], "again": [second], "other": [other]}, SCHED)
    found = drain(source(data), 13)
    assert times(found) == sorted(
        times(drain(source(b.trace_dat6([first], SCHED)))) + [60_010 + 10 * i for i in range(30)]
    )
    assert {record[3] for record in found} == {0}


def test_instances_with_another_clock_are_left_out_and_counted() -> None:
    data = b.trace_dat7({"": [pages(1)], "slow": [pages(1, 2, 8)]}, SCHED, clocks={"slow": "mono"})
    recording = source(data)
    assert len(drain(recording)) == 30
    assert recording.doubts == {"instances_not_read": 1}


# --- clocks ---------------------------------------------------------------------------------------


def test_the_clock_is_named_by_the_option_with_the_brackets() -> None:
    recording = source(b.trace_dat6([pages(1)], SCHED, b.option(4, b"local global [mono] x86-tsc\0")))
    assert recording.clock == "mono"
    assert source(b.trace_dat6([pages(1)], SCHED)).clock == ""


def test_cycles_are_turned_into_ns_when_the_file_says_how() -> None:
    scale = b.option(14, struct.pack("<IIQ", 3 << 30, 31, 1000))
    recording = source(b.trace_dat7({"": [pages(1)]}, SCHED, clock="x86-tsc", options=scale))
    assert times(drain(recording))[:3] == [15, 30, 45]
    assert recording.clock == "x86-tsc"
    assert source(b.trace_dat7({"": [pages(1)]}, SCHED, clock="x86-tsc")).clock == "x86-tsc (cycles)"


# --- losses ---------------------------------------------------------------------------------------


def test_missing_events_are_told_with_the_count_in_the_page() -> None:
    event = b.ring_event(10, b.switch_payload(0, 5))
    first = b.ring_page(1000, event, missed=1, count=77) + b.ring_page(5000, event, missed=0)
    found = drain(source(b.trace_dat6([first], SCHED)))
    assert [(record[0], record[2], record[5]) for record in found] == [
        (1000, r.LOST, 77), (1010, r.SWITCH, 0), (5000, r.LOST, 0), (5010, r.SWITCH, 0)
    ]  # fmt: skip


def test_a_page_without_room_for_the_count_gets_it_from_the_statistics() -> None:
    full = b"".join(b.ring_event(10, b.switch_payload(0, 5)) for _ in range(60))
    statistics = b.option(2, b"CPU: 0\nentries: 0\noverrun: 240\ncommit overrun: 0\ndropped events: 5\n\0")
    found = drain(source(b.trace_dat6([b.ring_page(1000, full, missed=0)], SCHED, statistics)))
    assert [(record[1], record[5]) for record in found if record[2] == r.LOST] == [(0, 245)]


# --- damage ---------------------------------------------------------------------------------------


def test_a_cut_version_6_gives_the_events_before_the_cut() -> None:
    whole = b.trace_dat6([pages(3), pages(3, 1005)], SCHED)
    everything = drain(source(whole))
    recording = source(whole[: len(whole) - 4096 - 2000])
    found = drain(recording)
    assert "CPU 1 has" in recording.damage
    assert [record for record in found if record[1] == 0] == [
        record for record in everything if record[1] == 0
    ]
    there = [record for record in found if record[1] == 1]
    assert 30 < len(there) < 90
    assert there == [record for record in everything if record[1] == 1][: len(there)]
    assert recording.doubts == {}


@pytest.mark.parametrize("packed", [False, True])
def test_a_cut_version_7_is_searched_for_its_pages(packed: bool) -> None:
    whole = b.trace_dat7({"": [pages(4), pages(4, 1005)]}, SCHED, packed=packed)
    everything = drain(source(whole))
    recording = source(whole[: whole.rindex(b"local")])
    assert drain(recording) == everything
    assert "2 CPUs' pages were found by their order" in recording.damage
    shorter = source(whole[: whole.rindex(b"local") - (200 if packed else 5000)])
    found = drain(shorter)
    assert 120 <= len(found) < 240
    assert [record for record in found if record[1] == 0] == [
        record for record in everything if record[1] == 0
    ]


def test_a_cut_behind_the_last_event_is_told() -> None:
    pytest.importorskip("zstandard")
    recording = source(DAT64.read_bytes()[:-10])
    assert len(switches(recording)) == 350
    assert "cut behind the last event" in recording.damage


def test_a_page_with_impossible_sizes_is_passed_over() -> None:
    good, bad = pages(1), bytearray(pages(1, 500_000))
    bad[8:12] = (5000).to_bytes(4, "little")
    recording = source(b.trace_dat6([good + bytes(bad) + pages(1, 900_000)], SCHED))
    assert len(drain(recording)) == 60
    assert recording.doubts == {"bad_pages": 1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b.initial("9"), "version '9'"),
        (b.initial("6", order=1), "big-endian"),
        (b.initial("6")[:-2], "head is cut"),
        (b.initial("6", long=3), "long of 3 bytes"),
        (b.initial("7") + b"lz4\x001\0" + bytes(8), "compressed with 'lz4'"),
        (b"\x17\x08\x44nothing of the kind", "where the tracing head should start"),
    ],
)
def test_what_is_not_read_is_refused_with_a_reason(data: bytes, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        source(data)


LATENCY = b"""# tracer: wakeup
#
  <idle>-0       0d..2. 19949us : sched_switch: prev_comm=idle prev_pid=0 prev_prio=120 prev_state=R ==> \
next_comm=make next_pid=9 next_prio=120
    make-9       0d..2. 19951us : sched_switch: prev_comm=make prev_pid=9 prev_prio=120 prev_state=S ==> \
next_comm=idle next_pid=0 next_prio=120
""".replace(b"\\\n", b"")


@pytest.mark.parametrize("packed", [None, False, True])
def test_the_text_of_a_latency_tracer_is_read_as_text(packed: bool | None) -> None:
    if packed is None:
        whole = b.trace_dat6([], SCHED)
        data = whole[: whole.index(b"flyrecord\0")] + b"latency  \0" + LATENCY
    else:
        whole = b.trace_dat7({"": []}, SCHED, packed=packed)
        body = b.packed_pages(LATENCY) if packed else LATENCY
        at = len(whole)
        start = whole.rindex(struct.pack("<HI", 3, 8 + 1 + 6 + 8))
        entry = b.option(22, struct.pack("<Q", at) + b"\0local\0" + bytes(8))
        assert len(entry) == len(b.option(3, bytes(23)))
        section = struct.pack("<HHIQ", 22, int(packed), 0, len(body)) + body
        data = whole[:start] + entry + whole[start + len(entry) :] + section
    trace = tracedat.open(io.BytesIO(data), {}, "a.dat")
    events = [event for chunk in trace.chunks() for event in chunk.events[1::2]]
    assert [event >> 48 & 0xFF for event in events] == [Kind.ON, Kind.SWITCH, Kind.SWITCH]
    assert trace.meta.origin == "trace-cmd"
    with pytest.raises(TraceError, match="text of a latency tracer"):
        source(data)


def test_a_latency_tracer_without_events_is_named() -> None:
    whole = b.trace_dat6([], SCHED)
    data = whole[: whole.index(b"flyrecord\0")] + b"latency  \0nothing of the kind\n"
    with pytest.raises(TraceError, match="latency tracer without events"):
        tracedat.open(io.BytesIO(data), {}, "a.dat")


@pytest.mark.parametrize("seed", range(60))
def test_damaged_bytes_never_crash(seed: int) -> None:
    rng = random.Random(seed)
    cpus = [pages(2), pages(2, 1005)]
    data = bytearray(
        b.trace_dat7({"": cpus, "x": cpus}, SCHED, seed % 2 == 0) if seed % 3 else b.trace_dat6(cpus, SCHED)
    )
    for _ in range(rng.choice([1, 10, 200])):
        at = rng.randrange(len(data) - 8)
        data[at : at + 8] = rng.choice(
            [b"\xff" * 8, bytes(8), os.urandom(8), len(data).to_bytes(8, "little")]
        )
    try:
        found = drain(source(bytes(data)), 100)
    except PvreplayError:
        return
    assert all(record[1] < 8192 for record in found)

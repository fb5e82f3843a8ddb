"""perf.data: real recordings beside perf script, and files built piece by piece."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.errors import PvreplayError, TraceError
from pvreplay.sources import perfdata_packed, perfdata_parts
from pvreplay.sources import records as r
from pvreplay.sources.perfdata import PerfData
from pvreplay.sources.tracinghead import Cursor
from tests import binary_files as b
from tests.binary_tools import PERF, listed, run_interpreted, switches
from tests.source_tools import DATA, Found, drain

SCHED = {"sched": [b.switch_format()]}


def source(data: bytes) -> PerfData:
    """The records of a perf.data in memory."""
    return PerfData(io.BytesIO(data), "a.data")


def one_event(records: bytes, sample_type: int = b.TRACEPOINT, **more: int) -> bytes:
    """A file with sched_switch alone."""
    return b.perf_file([(b.perf_attr(319, sample_type, **more), [7])], records, SCHED)


def chain(count: int, start: int = 1000, step: int = 10, cpu: int = 0) -> bytes:
    """Switches to and from idle of task 5, *step* ns apart."""
    return b"".join(
        b.perf_sample(
            b.switch_payload(5, 0, b"five", b"idle") if i % 2 else b.switch_payload(0, 5, b"idle", b"five"),
            start + i * step, cpu, 5 if i % 2 else 0,
        )
        for i in range(count)
    )  # fmt: skip


def only(found: list[Found], type: int) -> list[Found]:
    """The records of one type."""
    return [record for record in found if record[2] == type]


# --- a real one -----------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [True, False])
def test_a_32_bit_recording_gives_what_perf_script_prints(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        run_interpreted(monkeypatch)
    recording = PerfData(str(PERF))
    assert switches(recording) == listed("sources-n32-tasklife")
    assert recording.word_bits == 32
    assert recording.origin == "perf 6.1.176 on 6.1.0-50-686-pae i686"
    assert recording.enabled == {"sched:sched_switch", "sched:sched_process_fork"}
    assert (recording.damage, recording.doubts) == ("", {})


def test_interpreted_and_compiled_agree_on_every_record(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = drain(PerfData(str(PERF)), 100)
    run_interpreted(monkeypatch)
    assert drain(PerfData(str(PERF)), 37) == compiled


def test_the_side_band_tells_thread_groups_and_who_has_mappings() -> None:
    found = drain(PerfData(str(PERF)), 100)
    facts = only(found, r.INFO)
    groups = {pid: tgid for _, _, _, _, _, pid, tgid, _ in facts if tgid}
    assert groups[2] == 2
    kernel = {pid for _, _, _, flags, _, pid, _, _ in facts if flags & r.IS_KTHREAD}
    user = {pid for _, _, _, flags, _, pid, _, _ in facts if flags & r.IS_USER}
    assert 2 in kernel
    assert 1 in user
    assert not kernel & user


def test_a_recording_on_a_pipe_is_the_same_as_in_a_file() -> None:
    assert drain(source(PERF.read_bytes()), 64) == drain(PerfData(str(PERF)), 64)


# --- file and pipe --------------------------------------------------------------------------------


def test_pipe_mode_and_file_mode_of_the_same_records_give_the_same() -> None:
    attrs = [(b.perf_attr(319), [7])]
    records = chain(40) + b.finished_round() + chain(41, start=2000) + b.finished_round()
    piped = source(b.perf_pipe(attrs, records, SCHED))
    assert piped.enabled == {"sched:sched_switch"}, "known before the first record is asked for"
    found = drain(piped, 7)
    assert found == drain(source(b.perf_file(attrs, records, SCHED)), 100)
    assert len(found) == 81


def test_a_pipe_that_delivers_a_byte_at_a_time_is_read_to_its_end() -> None:
    data = b.perf_pipe([(b.perf_attr(319), [7])], chain(23), SCHED)

    class Slow(io.RawIOBase):
        at = 0

        def read(self, _size: int = -1) -> bytes:
            self.at += 1
            return data[self.at - 1 : self.at]

    assert len(drain(PerfData(Slow(), "-"))) == 23  # type: ignore[arg-type]


def test_closing_words_of_perf_in_the_pipe_are_no_damage() -> None:
    recording = source(
        b.perf_pipe([(b.perf_attr(319), [7])], chain(4), SCHED) + b"[ perf record: Woken up 1 times ]"
    )
    assert len(drain(recording)) == 4
    assert (recording.damage, recording.doubts) == ("", {"text_behind_records": 1})


# --- samples --------------------------------------------------------------------------------------


@pytest.mark.parametrize("long", [8, 4])
def test_offsets_come_from_the_format_text(long: int) -> None:
    payload = b.switch_payload(3, 4, b"three", b"four", b.ZOMBIE, long=long)
    data = b.perf_file(
        [(b.perf_attr(319), [7])],
        b.perf_sample(payload, 99, 1, 3),
        {"sched": [b.switch_format(long=long)]},
        long,
    )
    recording = source(data)
    ((time, cpu, type, flags, pid, prev, following, c),) = drain(recording)
    assert (time, cpu, type, flags, pid, prev, following) == (99, 1, r.SWITCH, 0, 3, 3, 4)
    assert (recording.comms[c & 0xFFFFFF], recording.comms[c >> 24 & 0xFFFFFF]) == (b"three", b"four")
    assert c >> 48 == r.STATE_DEAD
    assert recording.word_bits == 8 * long


@pytest.mark.parametrize(
    ("state", "meaning"),
    [(0, r.STATE_RUNNABLE), (b.PREEMPTED, r.STATE_PREEMPTED), (1, r.STATE_BLOCKED), (0x402, r.STATE_BLOCKED),
     (0x10, r.STATE_DEAD), (b.ZOMBIE, r.STATE_DEAD)],
)  # fmt: skip
def test_prev_state_is_read_by_the_table_of_its_format(state: int, meaning: int) -> None:
    found = drain(source(one_event(b.perf_sample(b.switch_payload(3, 4, state=state), 1))))
    assert found[0][7] >> 48 == meaning


@pytest.mark.parametrize("id_bit", [b.IDENTIFIER, b.ID])
def test_each_event_is_read_by_its_own_sample_type(id_bit: int) -> None:
    types = (b.TID | b.TIME | id_bit | b.CPU | b.RAW, b.TID | b.TIME | id_bit | b.CPU | b.PERIOD | b.RAW)
    if id_bit == b.IDENTIFIER:
        types = (types[0] | b.STREAM_ID, types[1] | b.IP | b.ADDR)
    attrs = [(b.perf_attr(319, types[0]), [11, 12]), (b.perf_attr(132, types[1]), [21])]
    records = b.perf_sample(b.switch_payload(1, 2), 10, 0, 1, types[0], 12)
    records += b.perf_sample(b.newtask_payload(2, 9, b"child", 0x100), 20, 1, 2, types[1], 21)
    records += b.perf_sample(b.switch_payload(2, 1), 30, 1, 2, types[0], 11)
    recording = source(b.perf_file(attrs, records, {**SCHED, "task": [b.NEWTASK_FORMAT]}))
    found = drain(recording)
    assert [(time, cpu, type, a, flags) for time, cpu, type, _, _, a, flags, _ in found] == [
        (10, 0, r.SWITCH, 1, 2), (20, 1, r.NEWTASK, 9, 0x100), (30, 1, r.SWITCH, 2, 1)
    ]  # fmt: skip
    assert recording.comms[found[1][7]] == b"child"


def test_callgraphs_and_group_reads_before_the_raw_data_are_passed_over() -> None:
    sample_type = b.TRACEPOINT | b.READ | b.CALLCHAIN
    for read_format, read in (
        (0, bytes(8)),
        (1 | 2 | 4 | 16, bytes(40)),
        (8 | 4, (2).to_bytes(8, "little") + bytes(32)),
    ):
        records = b.perf_sample(
            b.switch_payload(1, 2), 10, 3, 1, sample_type, chain=[1, 2, 3, 4], read=read
        ) + b.perf_sample(b.switch_payload(2, 1), 20, 3, 1, sample_type, chain=[], read=read)
        found = drain(source(one_event(records, sample_type, read_format=read_format)))
        assert [(record[0], record[1], record[5], record[6]) for record in found] == [
            (10, 3, 1, 2),
            (20, 3, 2, 1),
        ]


def test_samples_of_other_kinds_of_events_are_passed_over() -> None:
    cycles = b.IDENTIFIER | b.IP | b.TID | b.TIME | b.CPU
    trace = cycles | b.RAW
    attrs = [(b.perf_attr(0, cycles, type=0), [1]), (b.perf_attr(319, trace), [2])]
    records = b.perf_record(9, bytes([1]) + bytes(39)) + b.perf_sample(
        b.switch_payload(1, 2), 5, 0, 1, trace, 2
    )
    recording = source(b.perf_file(attrs, records, SCHED))
    assert len(drain(recording)) == 1
    assert recording.doubts == {}


def test_a_tracepoint_recorded_twice_counts_once() -> None:
    sample_type = b.TRACEPOINT | b.IDENTIFIER
    attrs = [(b.perf_attr(319, sample_type), [1]), (b.perf_attr(319, sample_type), [2])]
    records = b""
    for i in range(20):
        payload = b.switch_payload(5, 0) if i % 2 else b.switch_payload(0, 5)
        records += b.perf_sample(payload, 1000 * i, 0, 5, sample_type, 1)
        records += b.perf_sample(payload, 1000 * i + i % 3, 0, 5, sample_type, 2)
    assert len(drain(source(b.perf_file(attrs, records, SCHED)))) == 20


def test_equal_events_of_one_recorded_event_are_all_kept() -> None:
    sample_type = b.TRACEPOINT | b.IDENTIFIER
    attrs = [(b.perf_attr(319, sample_type), [1]), (b.perf_attr(319, sample_type), [2])]
    once = b.perf_sample(b.switch_payload(5, 5), 10, 0, 5, sample_type, 1)
    assert len(drain(source(b.perf_file(attrs, once * 3, SCHED)))) == 3


def test_system_calls_carry_arguments_and_results() -> None:
    texts = [
        b.sys_enter_format("ioperm", 500, 3),
        b.format_text("sys_exit_ioperm", 501, [("long ret", 16, 8)]),
    ]
    attrs = [(b.perf_attr(number, b.TRACEPOINT | b.IDENTIFIER), [number]) for number in (500, 501)]
    records = b.perf_sample(
        b.sys_payload(500, 9, 173, 0x3F8, 8, 1), 1, 0, 9, b.TRACEPOINT | b.IDENTIFIER, 500
    ) + b.perf_sample(b.sys_payload(501, 9, 173, -1), 2, 0, 9, b.TRACEPOINT | b.IDENTIFIER, 501)
    found = drain(source(b.perf_file(attrs, records, {"syscalls": texts})))
    assert found[0] == (1, 0, r.SYS_ENTER, 0, 9, r.SYS_IOPERM, 0x3F8, 8 | 1 << 32)
    assert found[1] == (2, 0, r.SYS_EXIT, 0, 9, r.SYS_IOPERM, 0, (1 << 64) - 1)


def test_a_32_bit_result_is_sign_extended() -> None:
    text = b.format_text("sys_exit", 502, [("long id", 8, 4), ("long ret", 12, 4)])
    payload = b.sys_payload(502, 9, 110, -22, long=4)
    data = b.perf_file(
        [(b.perf_attr(502), [1])], b.perf_sample(payload, 1, 0, 9), {"raw_syscalls": [text]}, 4
    )
    assert drain(source(data)) == [(1, 0, r.RAW_EXIT, 0, 9, 110, 0, (1 << 64) - 22)]


def test_the_file_of_an_exec_names_the_task_and_may_lie_in_its_payload_only() -> None:
    sample_type = b.TRACEPOINT
    good = b.exec_payload(8, 7, b"/usr/bin/a-name-of-more-than-15")
    bad = bytearray(b.exec_payload(8, 7, b"/bin/x"))
    bad[8:12] = (20 | 500 << 16).to_bytes(4, "little")
    records = b.perf_sample(good, 1, 0, 8, sample_type) + b.perf_sample(bytes(bad), 2, 0, 8, sample_type)
    recording = source(b.perf_file([(b.perf_attr(310), [1])], records, {"sched": [b.EXEC_FORMAT]}))
    first, second = drain(recording)
    assert first[2:7] == (r.EXEC, 0, 8, 8, 7)
    assert recording.comms[first[7]] == b"a-name-of-more-"
    assert second[7] == 0
    assert recording.doubts == {"short_payload": 1}


# --- side band ------------------------------------------------------------------------------------


def side(type: int, body: bytes, time: int, cpu: int = 1, tid: int = 5, misc: int = 0) -> bytes:
    """A side-band record of the event :func:`one_event` records."""
    return b.perf_record(type, body + b.tail(time, cpu, tid), misc)


def words(*values: int) -> bytes:
    """32-bit numbers."""
    return b"".join((value & 0xFFFFFFFF).to_bytes(4, "little") for value in values)


def test_births_renames_and_execs_come_from_the_side_band() -> None:
    time = bytes(8)
    records = side(7, words(50, 50, 51, 50) + time, 10) + side(7, words(60, 50, 60, 51) + time, 20)
    records += side(3, words(60, 60) + b"new-name".ljust(16, b"\0"), 30, tid=60)
    records += side(3, words(60, 60) + b"image".ljust(8, b"\0"), 40, tid=60, misc=1 << 13)
    recording = source(one_event(records))
    found = drain(recording)
    assert [record[:7] for record in found] == [
        (10, 1, r.FORK, r.SAME_GROUP, 5, 51, 50),
        (20, 1, r.FORK, r.OTHER_GROUP, 5, 60, 51),
        (30, 1, r.RENAME, 0, 60, 60, 0),
        (40, 1, r.EXEC, 0, 60, 60, 60),
    ]
    assert [recording.comms[record[7]] for record in found[2:4]] == [b"new-name", b"image"]


def test_deaths_come_from_the_side_band_when_no_switch_tells_them() -> None:
    records = side(4, words(60, 50, 60, 51) + bytes(8), 50, tid=60)
    attrs = [(b.perf_attr(132), [1])]
    alone = source(b.perf_file(attrs, records, {"task": [b.NEWTASK_FORMAT]}))
    assert drain(alone) == [(50, 1, r.EXIT, 0, 60, 60, 0, 0)]
    assert drain(source(one_event(records))) == []


def test_the_side_band_gives_way_to_tracepoints_that_say_more() -> None:
    attrs = [(b.perf_attr(132), [1])]
    records = side(7, words(60, 50, 60, 50) + bytes(8), 20)
    records += b.perf_sample(b.newtask_payload(50, 60, b"x", 0), 21, 1, 50)
    found = drain(source(b.perf_file(attrs, records, {"task": [b.NEWTASK_FORMAT]})))
    assert [record[2] for record in found] == [r.NEWTASK]


def test_losses_are_told_where_they_happened_and_counted_once() -> None:
    lost = (7).to_bytes(8, "little") + (90).to_bytes(8, "little")
    records = side(2, lost, 500) + side(13, (93).to_bytes(8, "little"), 0, cpu=0, tid=0)
    found = drain(source(one_event(chain(2) + records)))
    assert [(record[0], record[1], record[3], record[5]) for record in only(found, r.LOST)] == [
        (500, 1, 0, 90), (1010, 0, r.ANY_CPU, 3)
    ]  # fmt: skip


def test_samples_dropped_by_a_filter_are_not_lost() -> None:
    found = drain(source(one_event(chain(2) + side(13, (93).to_bytes(8, "little"), 0, misc=1 << 15))))
    assert only(found, r.LOST) == []


def test_switch_records_stand_in_for_the_tracepoint() -> None:
    sample_type = b.TID | b.TIME | b.CPU
    attr = b.perf_attr(9, sample_type, type=1, flags=b.SAMPLE_ID_ALL | 1 << 26)
    out = b.perf_record(15, words(6, 6) + b.tail(100, 2, 5, sample_type), 1 << 13)
    into = b.perf_record(15, words(5, 5) + b.tail(101, 2, 6, sample_type))
    assert drain(source(b.perf_file([(attr, [1])], out + into, {}))) == [(101, 2, r.SWITCH, 0, 6, 5, 6, 0)]


def test_unknown_record_types_are_named_and_passed_over() -> None:
    records = b.perf_record(99, bytes(16)) + chain(2) + b.perf_record(99, b"") + b.perf_record(300, bytes(8))
    recording = source(one_event(records))
    assert len(drain(recording)) == 2
    assert recording.doubts == {"record_type_99": 2, "record_type_300": 1}
    assert recording.damage == ""


def test_a_cpu_beyond_the_limit_is_dropped_and_counted() -> None:
    recording = source(one_event(b.perf_sample(b.switch_payload(1, 2), 5, 8192) + chain(1)))
    assert len(drain(recording)) == 1
    assert recording.doubts == {"cpu_too_high": 1}


# --- order ----------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 10**6), st.integers(3, 200))
def test_rounds_are_merged_into_order_of_time(cpus: int, rounds: int, seed: int, room: int) -> None:
    rng = random.Random(seed)
    clock = [0] * cpus
    records, expected = b"", []
    for number in range(rounds):
        read_at = (number + 1) * 10_000
        for cpu in rng.sample(range(cpus), cpus):
            read_at += rng.randrange(50)
            while (time := clock[cpu] + rng.randrange(2000)) < read_at:
                clock[cpu] = time
                records += b.perf_sample(b.switch_payload(len(expected), 0), time, cpu)
                expected.append((time, cpu, len(expected)))
        records += b.finished_round()
    found = [(record[0], record[1], record[5]) for record in drain(source(one_event(records)), room)]
    assert found == sorted(expected, key=lambda entry: entry[0])


def test_equal_times_keep_the_order_of_the_file() -> None:
    records = b"".join(b.perf_sample(b.switch_payload(i, 0), 7, i % 3) for i in range(60))
    found = drain(
        source(one_event(records[: len(records) // 2] + b.finished_round() + records[len(records) // 2 :]))
    )
    assert [record[5] for record in found] == list(range(60))


def test_what_is_held_does_not_grow_with_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perfdata_parts, "PART_BYTES", 64 * 124)
    monkeypatch.setattr(perfdata_parts, "PART_RECORDS", 80)
    held = []
    for rounds in (40, 400):
        records = b"".join(chain(20, start=1000 * i) + b.finished_round() for i in range(rounds))
        recording = source(one_event(records))
        assert len(drain(recording, 16)) == 20 * rounds
        held.append(len(recording._order.held))
    assert held[0] == held[1]


# --- compressed records ---------------------------------------------------------------------------


def compressed(records: bytes, type: int, piece: int = 700) -> bytes:
    """Records in COMPRESSED records of one endless stream, cut anywhere."""
    zstandard = pytest.importorskip("zstandard")
    packer = zstandard.ZstdCompressor().compressobj()
    out = b""
    for at in range(0, len(records), piece):
        data = packer.compress(records[at : at + piece]) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        if type == 83:
            out += b.perf_record(83, len(data).to_bytes(8, "little") + data + bytes(-len(data) % 8))
        else:
            out += b.perf_record(81, data)
        out += b.finished_round()
    return out


@pytest.mark.parametrize("type", [81, 83])
@pytest.mark.parametrize("pipe", [True, False])
def test_compressed_records_may_end_anywhere(type: int, pipe: bool) -> None:
    make = b.perf_pipe if pipe else b.perf_file
    recording = source(make([(b.perf_attr(319), [7])], compressed(chain(101), type), SCHED))
    assert drain(recording) == drain(source(one_event(chain(101))))
    assert recording.damage == ""


def test_a_cut_compressed_record_gives_what_can_be_unpacked() -> None:
    whole = b.perf_pipe([(b.perf_attr(319), [7])], compressed(chain(101), 81), SCHED)
    recording = source(whole[:-30])
    found = drain(recording)
    assert 80 < len(found) <= 101
    assert found == drain(source(one_event(chain(101))))[: len(found)]
    assert "cut" in recording.damage


def test_a_size_that_did_not_fit_its_16_bits_is_found_by_the_count_of_bytes() -> None:
    data = random.Random(1).randbytes(65_519)
    header = (83).to_bytes(4, "little") + bytes(4)  # 65,536 bytes, of which 16 bits are left
    record = header + len(data).to_bytes(8, "little") + data
    cursor = Cursor(record + b"next", 8)
    assert perfdata_packed.payload_of_2(cursor, 0) == data
    assert cursor.pos == len(record)


def test_several_compressed_records_written_as_one_are_taken_apart() -> None:
    first, second = random.Random(2).randbytes(65_519), random.Random(3).randbytes(2711)
    inner = (
        (83).to_bytes(4, "little")
        + bytes(2)
        + (16 + len(second)).to_bytes(2, "little")
        + b"\xff" * 8
        + second
    )
    total = len(first) + len(inner)
    record = (
        (83).to_bytes(4, "little") + bytes(2) + (2728).to_bytes(2, "little") + total.to_bytes(8, "little")
    )
    cursor = Cursor(record + first + inner + b"next", 8)
    assert perfdata_packed.payload_of_2(cursor, 2728) == first + second
    assert cursor.pos == len(record) + total


def test_a_missing_zstd_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from pvreplay.sources import zstd

    def nothing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(zstd, "import_module", nothing)
    with pytest.raises(PvreplayError, match="no zstd library") as caught:
        drain(source(b.perf_file([(b.perf_attr(319), [7])], compressed(chain(9), 81), SCHED)))
    assert "pip install 'pvreplay[zstd]'" in caught.value.hint


# --- damage ---------------------------------------------------------------------------------------


def test_every_cut_of_a_file_gives_the_front_part_and_says_so() -> None:
    whole = PERF.read_bytes()
    rng = random.Random(5)
    data_at, data_size = (int.from_bytes(whole[at : at + 8], "little") for at in (40, 48))
    everything = only(drain(PerfData(str(PERF)), 100), r.SWITCH)
    counts = []
    for size in sorted(rng.randrange(data_at + 60_000, data_at + data_size) for _ in range(25)):
        recording = source(whole[:size])
        found = only(drain(recording, 100), r.SWITCH)
        assert "cut" in recording.damage
        for cpu in (0, 1):
            front = [record[:7] for record in found if record[1] == cpu]
            assert front == [record[:7] for record in everything if record[1] == cpu][: len(front)]
        counts.append(len(found))
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[-1] < len(everything)


def test_without_its_format_sched_switch_is_recognised_by_what_it_holds() -> None:
    whole = one_event(chain(60))
    recording = source(whole[: whole.rindex(b"\x17\x08\x44tracing") + 20])
    found = drain(recording)
    assert [record[5:7] for record in found] == [(5, 0) if i % 2 else (0, 5) for i in range(60)]
    assert "recognised" in recording.damage
    assert recording.word_bits == 64


def test_events_that_are_no_switches_are_not_taken_for_them() -> None:
    attrs = [(b.perf_attr(132), [1])]
    records = b"".join(b.perf_sample(b.newtask_payload(i, i + 1, b"x" * 15, 0), i) for i in range(50))
    whole = b.perf_file(attrs, records, {"task": [b.NEWTASK_FORMAT]})
    recording = source(whole[:-500])
    assert drain(recording) == []
    assert "no event could be recognised" in recording.damage


def test_a_recording_that_was_killed_is_read_to_its_end() -> None:
    data = bytearray(b.perf_file([(b.perf_attr(319), [7])], chain(30), SCHED))
    end = 40 + 8
    size = int.from_bytes(data[end : end + 8], "little")
    start = int.from_bytes(data[40:48], "little")
    data[end : end + 8] = bytes(8)
    recording = source(bytes(data[: start + size]))
    assert len(drain(recording)) == 30
    assert "not closed" in recording.damage


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"2ELIFREP" + bytes(200), "big-endian"),
        (b"PERFFILE" + bytes(200), "first version"),
        (b"PERFILE2" + bytes(30), "header is cut"),
        (b"PERFILE2" + (104).to_bytes(8, "little") + bytes(88), "event attributes"),
        (b"something else entirely", "where b'PERFILE2' should stand"),
    ],
)
def test_what_is_not_read_is_refused_with_a_reason(data: bytes, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        source(data)


def test_a_directory_of_perf_record_threads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="a directory"):
        PerfData(str(tmp_path))


def test_damaged_formats_are_damage_and_not_the_end() -> None:
    data = bytearray(one_event(chain(40)))
    data[data.rindex(b"header_page")] ^= 0xFF
    recording = source(bytes(data))
    assert len(drain(recording)) == 40
    assert "where b'header_page" in recording.damage
    assert "recognised" in recording.damage


def test_one_damaged_format_costs_its_event_alone() -> None:
    systems = {**SCHED, "task": [b.NEWTASK_FORMAT.replace("ID: 132", "ID: ?")]}
    attrs = [(b.perf_attr(319), [1])]
    recording = source(b.perf_file(attrs, chain(4), systems))
    assert len(drain(recording)) == 4
    assert recording.doubts == {"damaged_formats": 1}


@pytest.mark.parametrize("seed", range(60))
def test_damaged_bytes_never_crash(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(
        PERF.read_bytes() if seed % 2 else b.perf_pipe([(b.perf_attr(319), [7])], chain(200), SCHED)
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


def test_files_in_data_are_small() -> None:
    assert all(file.stat().st_size < 100_000 for file in DATA.rglob("*") if file.is_file())


def test_a_stream_of_several_zstd_frames_is_read_to_its_end() -> None:
    zstandard = pytest.importorskip("zstandard")
    from pvreplay.sources import zstd

    packed = b"".join(zstandard.ZstdCompressor().compress(part) for part in (b"one " * 900, b"two", b"three"))
    stream = zstd.open_stream("here")
    out = b"".join(zstd.unpack(stream, packed[at : at + 7], "here") for at in range(0, len(packed), 7))
    assert out == b"one " * 900 + b"twothree"
    assert zstd.unpack(zstd.open_stream("here"), packed, "here") == out

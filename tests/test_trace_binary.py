"""trace.bin: what is written is read, and damage is told and does not spread."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.errors import TraceError, UsageError
from pvreplay.trace import layout
from pvreplay.trace.binary import EVENTS_BLOCK_BYTES, BinaryTrace, BinaryWriter, write_binary
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import Event, ListTrace, pack_events, read_all
from pvreplay.trace.model import Chunk, Meta, Origin, Task, Trace

FIRST = layout.FIRST_EVENTS_BLOCK_BYTES
FULL = FIRST // 16


def encoded(trace: Trace) -> bytes:
    out = io.BytesIO()
    write_binary(trace, out)
    return out.getvalue()


def decoded(raw: bytes) -> BinaryTrace:
    return BinaryTrace.from_stream(io.BytesIO(raw))


def two_blocks() -> ListTrace:
    """A block and a bit of events, as two blocks, on two CPUs."""
    events: list[Event] = [(10 * n, n % 2, Kind.SWITCH, n % 3) for n in range(FULL + 23)]
    return ListTrace(events, [Task(1, "make", mm=1), Task(2, "cc1", mm=2)], [(0, 1), (1, 2)])


def blocks_of(raw: bytes) -> list[tuple[int, layout.Header]]:
    """(offset, header) of each block of a sound file."""
    found, at = [], layout.FILE_HEADER_BYTES
    while at < len(raw):
        header = layout.unpack_header(raw[at : at + layout.BLOCK_HEADER_BYTES])
        assert header
        found.append((at, header))
        at += layout.BLOCK_HEADER_BYTES + header.length + layout.padding(header.length)
    return found


def with_block(raw: bytes, type_: int, payload: bytes, flags: int = 0) -> bytes:
    """*raw* with one more block, right in itself, before its end block."""
    at, end = blocks_of(raw)[-1]
    extra = layout.pack_header(type_, flags, end.number, end.tasks, payload) + payload
    extra += bytes(layout.padding(len(payload)))
    totals = raw[at + layout.BLOCK_HEADER_BYTES :]
    return raw[:at] + extra + layout.pack_header(layout.END, 0, end.number + 1, end.tasks, totals) + totals


# --- round trip -----------------------------------------------------------------

events_lists = st.lists(
    st.tuples(
        st.integers(0, 2**64 - 1),
        st.integers(0, 8191),
        st.integers(0, 255),
        st.integers(0, 2**32 - 1),
        st.integers(0, 255),
    ),
    max_size=50,
)
words32 = st.integers(0, 2**32 - 1)
tasks_lists = st.lists(
    st.builds(
        Task,
        st.just(0),
        st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
        st.integers(-1, 2**31 - 1),
        st.integers(0, 2**24 - 1),
        st.tuples(words32, words32, words32),
        words32,
        st.integers(0, 3),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.integers(0, 255),
        st.booleans(),
    ),
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(events_lists, tasks_lists, st.integers(1, 7))
def test_any_events_and_tasks_come_back(events: list[Event], tasks: list[Task], cut: int) -> None:
    for number, task in enumerate(tasks, 1):
        task.id = number
    trace = ListTrace(events, tasks, [(3, len(tasks))], Meta(), chunk_events=cut)
    back = decoded(encoded(trace))
    assert read_all(back) == read_all(trace)
    assert (back.damage, back.closed) == ("", True)


def test_everything_known_about_a_trace_comes_back() -> None:
    meta = Meta(origin='guest "n64"\n', clock="mono", tool="x 1", cpus=8, level="op", ops=("load_tls", "a b"))
    meta.state = {"mm": Origin("derived", "task_newtask"), "iopl": Origin("assumed", "0", "--assume iopl=3")}
    trace = ListTrace([(1, 0, Kind.OP, 1)], meta=meta)
    trace.doubts = {"out_of_order": 3, "nothing": 0}
    back = decoded(encoded(trace))
    assert (back.meta.cpus, back.meta.ops, back.meta.level) == (8, ("load_tls", "a b"), "op")
    list(back.chunks())
    assert back.doubts == {"out_of_order": 3}
    meta.path, meta.format = back.meta.path, back.meta.format
    assert back.meta == meta


def test_what_is_learnt_while_recording_overrides_what_was_known_at_the_start() -> None:
    meta = Meta(clock="local", state={"fpu": Origin("assumed", "never")})
    out = io.BytesIO()
    writer = BinaryWriter(out, meta)
    meta.cpus, meta.clock, meta.ops = 4, "mono", ("clts",)
    meta.state["fpu"] = Origin("observed", "x86_fpu")
    writer.write(Chunk(pack_events([(1, 0, Kind.OP, 0)])))
    writer.close({}, "a cut recording")
    back = decoded(out.getvalue())
    assert (back.meta.clock, back.meta.cpus) == ("local", 0)
    assert len(list(back.chunks())) == 1
    assert (back.meta.clock, back.meta.ops, back.meta.cpus) == ("mono", ("clts",), 4)
    assert back.meta.state["fpu"] == Origin("observed", "x86_fpu")
    assert back.damage == "a cut recording"


def test_tasks_born_later_stand_before_the_events_that_follow() -> None:
    out = io.BytesIO()
    writer = BinaryWriter(out, Meta())
    for number in range(1, 4):
        chunk = Chunk(pack_events([(number, 0, Kind.SWITCH, number)]), [Task(number)], [(0, number)])
        writer.write(chunk)
    writer.close()
    seen = [
        ([task.id for task in chunk.tasks], chunk.on, chunk.events[0])
        for chunk in decoded(out.getvalue()).chunks()
    ]
    assert seen == [([1], [(0, 1)], 1), ([2], [(0, 2)], 2), ([3], [(0, 3)], 3)]


def test_small_chunks_are_gathered_into_full_blocks() -> None:
    """They double from 4 KiB to 256 KiB, so that a cut costs a short trace little."""
    doubling = [FIRST << n for n in range(6)]
    assert doubling[-1] * 2 == EVENTS_BLOCK_BYTES
    total = sum(doubling) + 2 * EVENTS_BLOCK_BYTES + 16
    events: list[Event] = [(n, 0, Kind.FPU) for n in range(total // 16)]
    raw = encoded(ListTrace(events, chunk_events=1000))
    sizes = [header.length for _, header in blocks_of(raw) if header.type == layout.EVENTS]
    assert sizes == [*doubling, EVENTS_BLOCK_BYTES, EVENTS_BLOCK_BYTES, 16]
    assert read_all(decoded(raw))[0] == [(*event, 0, 0) for event in events]


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk(pack_events([]), [Task(2)]),
        Chunk(pack_events([]), [Task(1, mm=1 << 24)]),
        Chunk(pack_events([]), [Task(1, iopl=4)]),
        Chunk(pack_events([]), [], [(0, 1)]),
        Chunk(pack_events([]), [], [(8192, 0)]),
    ],
)
def test_the_writer_refuses_what_a_reader_would(chunk: Chunk) -> None:
    with pytest.raises(TraceError):
        BinaryWriter(io.BytesIO(), Meta()).write(chunk)


# --- mmap and stream --------------------------------------------------------------


def test_a_mapped_file_is_read_in_place_and_aligned(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    path.write_bytes(encoded(two_blocks()))
    for chunk in BinaryTrace.open(str(path)).chunks():
        assert isinstance(chunk.events.obj, mmap.mmap)
        assert (chunk.events.format, chunk.events.readonly, chunk.offset % 16) == ("Q", True, 0)


def test_a_pipe_gives_what_the_mapped_file_gives(tmp_path: Path) -> None:
    path, pipe = tmp_path / "t.bin", tmp_path / "pipe"
    raw = encoded(two_blocks())
    path.write_bytes(raw)
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(raw,)).start()
    mapped, streamed = BinaryTrace.open(str(path)), BinaryTrace.open(str(pipe))
    assert read_all(streamed) == read_all(mapped) == read_all(two_blocks())
    assert streamed.damage == mapped.damage == ""


def test_bytes_taken_to_find_the_format_are_not_lost() -> None:
    raw = encoded(two_blocks())
    for taken in (0, 1, 16, 47, 48, 300000):
        back = BinaryTrace.from_stream(io.BytesIO(raw[taken:]), head=raw[:taken])
        assert read_all(back) == read_all(two_blocks()), taken


def test_a_reader_knows_where_an_event_is(tmp_path: Path) -> None:
    raw = encoded(two_blocks())
    back = decoded(raw)
    for chunk in back.chunks():
        last = len(chunk.events) // 2 - 1
        at = int(back.where(chunk, last).removeprefix("offset "), 16)
        assert int.from_bytes(raw[at : at + 8], "little") == chunk.events[2 * last]


def test_a_long_mapped_file_is_let_go_behind_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.bin"
    path.write_bytes(encoded(two_blocks()))
    monkeypatch.setattr("pvreplay.trace.feed._RELEASE_BYTES", 4096)
    assert read_all(BinaryTrace.open(str(path))) == read_all(two_blocks())


# --- a file that is none --------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"", "empty"),
        (b"\x7fELF" + bytes(60), "7f 45 4c 46"),
        (layout.MAGIC.replace(b"\r\n", b"\n") + bytes(60), "not a trace.bin"),
        (layout.MAGIC, "cut after 8 bytes"),
        (layout.MAGIC + b"\x02\0" + bytes(6), "version 2; this pvreplay reads version 1"),
        (layout.MAGIC + b"\x01\0\x01" + bytes(5), "reserved"),
    ],
)
def test_what_is_no_trace_is_refused_in_two_lines(raw: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "no.bin"
    path.write_bytes(raw)
    for opener in (lambda: decoded(raw), lambda: BinaryTrace.open(str(path))):
        with pytest.raises(TraceError) as caught:
            opener()
        assert found in caught.value.message
        assert caught.value.hint
        assert "\n" not in caught.value.message + caught.value.hint


def test_a_directory_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="directory"):
        BinaryTrace.open(str(tmp_path))
    with pytest.raises(UsageError, match="No such file"):
        BinaryTrace.open(str(tmp_path / "none"))


def test_a_header_alone_is_a_trace_that_was_not_closed() -> None:
    back = decoded(layout.FILE_HEADER.pack(layout.MAGIC, 1, 0, 0))
    assert read_all(back) == ([], [], [])
    assert "not closed" in back.damage


# --- damage ---------------------------------------------------------------------------


def test_a_file_cut_anywhere_gives_every_whole_block_and_says_what_is_missing() -> None:
    trace = two_blocks()
    raw = encoded(trace)
    events, tasks, on = read_all(trace)
    blocks = blocks_of(raw)
    edges = {at + extra for at, header in blocks for extra in (0, 1, 16, 31, 32, 33, 40, 32 + header.length)}
    for cut in sorted(edge for edge in edges if 16 <= edge < len(raw)):
        back = decoded(raw[:cut])
        got, got_tasks, got_on = read_all(back)
        whole = [header for at, header in blocks if at + 32 + header.length <= cut]
        nr_events = sum(header.length // 16 for header in whole if header.type == layout.EVENTS)
        assert [event for event in got if event[2] != Kind.LOST] == events[:nr_events], cut
        assert got_tasks == (tasks if any(header.type == layout.TASKS for header in whole) else []), cut
        assert got_on == (on if any(header.type == layout.START for header in whole) else []), cut
        assert back.damage and not back.closed, cut


def test_a_cut_events_block_tells_the_bytes_and_events_that_are_missing() -> None:
    raw = encoded(two_blocks())
    at, header = next(block for block in blocks_of(raw) if block[1].type == layout.EVENTS)
    back = decoded(raw[: at + 32 + 1000])
    got = read_all(back)[0]
    assert got == [(0, 0, Kind.LOST, FULL, 0)]
    assert f"offset {at:#x}" in back.damage
    assert f"{header.length - 1000} of {header.length} bytes are missing" in back.damage


def test_every_flipped_bit_of_a_small_file_is_noticed() -> None:
    raw = encoded(ListTrace([(1, 0, Kind.SWITCH, 1), (2, 0, Kind.SWITCH, 0)], [Task(1, "a", mm=1)], [(0, 1)]))
    for at in range(len(raw)):
        bad = bytearray(raw)
        bad[at] ^= 1 << at % 8
        try:
            back = decoded(bytes(bad))
            read_all(back)
        except TraceError:
            continue
        assert back.damage, at


def test_after_a_damaged_events_block_reading_goes_on_with_a_loss(tmp_path: Path) -> None:
    raw = bytearray(encoded(two_blocks()))
    at = next(at for at, header in blocks_of(bytes(raw)) if header.type == layout.EVENTS)
    raw[at + 1000] ^= 4
    path = tmp_path / "bad.bin"
    path.write_bytes(raw)
    for back in (decoded(bytes(raw)), BinaryTrace.open(str(path))):
        got = read_all(back)[0]
        assert got[0] == (0, 0, Kind.LOST, FULL, 0)
        assert got[1:] == read_all(two_blocks())[0][FULL:]
        assert f"offset {at:#x}: checksum of a block (events)" in back.damage
        assert f"23 of the {FULL + 23} events recorded were read" in back.damage


def test_after_a_damaged_header_the_next_block_is_found(tmp_path: Path) -> None:
    raw = bytearray(encoded(two_blocks()))
    at = next(at for at, header in blocks_of(bytes(raw)) if header.type == layout.EVENTS)
    raw[at] ^= 1
    path = tmp_path / "bad.bin"
    path.write_bytes(raw)
    for back in (decoded(bytes(raw)), BinaryTrace.open(str(path))):
        got = read_all(back)[0]
        assert got[0] == (0, 0, Kind.LOST, 0, 0)
        assert got[1:] == read_all(two_blocks())[0][FULL:]
        assert f"{32 + FIRST} bytes skipped" in back.damage


def test_bytes_dropped_in_the_middle_do_not_hide_the_rest(tmp_path: Path) -> None:
    raw = encoded(two_blocks())
    at = next(at for at, header in blocks_of(raw) if header.type == layout.EVENTS)
    raw = raw[: at + 100] + raw[at + 107 :]
    path = tmp_path / "bad.bin"
    path.write_bytes(raw)
    for back in (decoded(raw), BinaryTrace.open(str(path))):
        got = read_all(back)[0]
        assert got[-23:] == read_all(two_blocks())[0][FULL:]
        assert back.closed and back.damage


def test_a_block_that_vanished_is_missed() -> None:
    raw = encoded(two_blocks())
    blocks = blocks_of(raw)
    index = next(index for index, (_, header) in enumerate(blocks) if header.type == layout.EVENTS)
    back = decoded(raw[: blocks[index][0]] + raw[blocks[index + 1][0] :])
    assert read_all(back)[0][0] == (0, 0, Kind.LOST, 0, 0)
    assert "where block" in back.damage


def test_reading_stops_where_tasks_are_missing() -> None:
    raw = bytearray(encoded(two_blocks()))
    at = next(at for at, header in blocks_of(bytes(raw)) if header.type == layout.TASKS)
    raw[at] ^= 1
    back = decoded(bytes(raw))
    events, tasks, _ = read_all(back)
    assert tasks == [] and all(event[2] == Kind.LOST for event in events)
    assert "tasks 1 to 2 are missing" in back.damage


def test_garbage_after_a_killed_recording_is_told() -> None:
    raw = encoded(two_blocks())
    end = blocks_of(raw)[-1][0]
    back = decoded(raw[:end] + b"\xff" * 1000)
    assert len(read_all(back)[0]) == FULL + 23
    assert f"offset {end:#x}: not a block header; 1000 bytes skipped to the end" in back.damage


def test_bytes_after_the_end_are_told() -> None:
    raw = encoded(two_blocks())
    back = decoded(raw + b"x")
    assert read_all(back) == read_all(two_blocks())
    assert f"offset {len(raw):#x}: bytes after the end block" in back.damage


def test_a_killed_recorder_leaves_what_it_had_flushed(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    with open(path, "wb") as out:
        writer = BinaryWriter(out, Meta())
        writer.write(Chunk(pack_events([(1, 0, Kind.FPU)])))
        writer.flush()
        writer.write(Chunk(pack_events([(2, 0, Kind.FPU)])))
        back = BinaryTrace.open(str(path))  # the file as a kill would leave it now
        assert read_all(back)[0] == [(1, 0, Kind.FPU, 0, 0)]
        assert back.damage.startswith("not closed after 1 events")


# --- right checksums, wrong content ------------------------------------------------------


def test_an_unknown_block_is_skipped_only_when_it_says_so() -> None:
    raw = encoded(two_blocks())
    back = decoded(with_block(raw, 77, b"news", layout.OPTIONAL))
    assert read_all(back) == read_all(two_blocks()) and not back.damage
    with pytest.raises(TraceError, match="block type 77"):
        read_all(decoded(with_block(raw, 77, b"news")))


@pytest.mark.parametrize(
    ("type_", "payload", "found"),
    [
        (layout.EVENTS, bytes(24), "24 bytes of events"),
        (layout.EVENTS, b"", "0 bytes of events"),
        (layout.TASKS, b"1234", "4 bytes"),
        (layout.TASKS, layout.TASKS_HEAD.pack(9, 1), "task 9 where 3 is next"),
        (layout.TASKS, layout.TASKS_HEAD.pack(3, 1), "not inside the block"),
        (
            layout.TASKS,
            layout.TASKS_HEAD.pack(3, 1) + layout.pack_task(Task(3)) + bytes(16),
            "16 bytes after",
        ),
        (layout.TASKS, layout.TASKS_HEAD.pack(3, 1) + layout.pack_task(Task(3, mm=1 << 24)), "mm 16777216"),
        (layout.TASKS, layout.TASKS_HEAD.pack(3, 0xFFFFFFFF) + layout.pack_task(Task(3)), "task 4 of"),
        (layout.START, layout.START_ENTRY.pack(8192, 0), "CPU 8192"),
        (layout.START, layout.START_ENTRY.pack(0, 3), "task 3 of 2"),
        (layout.META, b"cpus 9000\n", "cpus 9000"),
        (layout.META, b"state mm guessed\n", "guessed"),
        (layout.META, b'origin "open\n', "does not end"),
        (layout.NAMES, b"kinds on switch\n", "kind 1 is on in this file and switch here"),
        (layout.END, b"", "an end block of 0 bytes"),
    ],
)
def test_a_wrong_value_under_a_right_checksum_is_refused(type_: int, payload: bytes, found: str) -> None:
    with pytest.raises(TraceError) as caught:
        read_all(decoded(with_block(encoded(two_blocks()), type_, payload)))
    assert found in caught.value.message and "offset 0x" in caught.value.message
    assert "checksum is right" in caught.value.hint


def test_an_enormous_block_is_refused_without_reading_it() -> None:
    raw = encoded(two_blocks())
    at, end = blocks_of(raw)[-1]
    head = layout.BLOCK_HEADER.pack(layout.SYNC, 5, 0, 0, end.number, end.tasks, 0xFFFFFFF0, 0, 0)[:28]
    head += (layout.xxh3_64_intdigest(head) & 0xFFFFFFFF).to_bytes(4, "little")
    with pytest.raises(TraceError, match="a block of 4294967280 bytes"):
        read_all(decoded(raw[:at] + head))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2**16))
def test_garbage_never_ends_in_a_traceback(garbage: bytes, at: int) -> None:
    raw = encoded(ListTrace([(1, 0, Kind.SWITCH, 1)], [Task(1, "a", mm=1)], [(0, 1)]))
    at %= len(raw)
    for bad in (garbage, raw[:16] + garbage, raw[:at] + garbage + raw[at + len(garbage) :]):
        with contextlib.suppress(TraceError):
            read_all(decoded(bad))

"""Pages decoded in segments by several threads: the same records, doubts and damage as by one, in order."""

from __future__ import annotations

import io
import os
import random
import signal
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.errors import TraceError
from pvreplay.sources import _tracepoint_cy as engine
from pvreplay.sources import ahead, parallel, rawpages, segments, tracedat
from pvreplay.sources import records as r
from pvreplay.sources.ahead import Ahead
from pvreplay.sources.formats import parse_format, parse_header_page
from pvreplay.sources.pages import PageSource, PageStream, page_layout
from pvreplay.sources.pieces import Data, Piece
from pvreplay.sources.records import RawSource
from pvreplay.sources.segments import SegmentSource, SegmentStream
from pvreplay.sources.tracepoints import Programs
from tests import binary_files as b
from tests.binary_tools import DAT64, PAGES, run_interpreted
from tests.source_tools import Found, drain

SCHED = {"sched": [b.switch_format()]}
Told = tuple[list[Found], list[bytes], dict[str, int], str]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of few records, so that small files have many."""
    monkeypatch.setattr(segments, "SEGMENT", 70)


def random_pages(chance: random.Random, count: int, names: int, cpu: int = 0) -> bytes:
    """Pages of switches among tasks of up to *names* names, with losses, gaps and pages that cannot be."""
    made = b""
    time = 1000 + chance.randrange(500)
    for _ in range(count):
        events = b""
        begin = time
        for _ in range(chance.randrange(0, 56)):
            delta = chance.randrange(200)
            time += delta
            prev, following = (chance.randrange(names) for _ in range(2))
            payload = b.switch_payload(
                prev, following, prev_comm=b"task%d" % prev, next_comm=b"n%d" % (following % 7 + cpu * 7)
            )
            if chance.random() < 0.05:
                payload = payload[: chance.randrange(4, 60)]  # too short
            events += b.ring_event(delta, payload)
        missed = chance.choice([None] * 8 + [0, 1])
        page = b.ring_page(begin, events, missed=missed, count=chance.randrange(1, 9))
        if chance.random() < 0.04:
            page = page[:8] + (5000).to_bytes(8, "little") + page[16:]  # more than a page
        made += page
        time += chance.randrange(3000)
    return made


def told(source: RawSource, room: int = 500) -> Told:
    """All a source has to tell."""
    found = drain(source, room)
    return found, list(source.comms), dict(source.doubts), source.damage


def named(tells: Told) -> tuple[list[tuple[object, ...]], dict[str, int], str]:
    """The same with the names of a switch in place of their numbers."""
    found, names, doubts, damage = tells
    return (
        [
            (*record[:7], names[record[7] & 0xFFFFFF], names[record[7] >> 24 & 0xFFFFFF], record[7] >> 48)
            for record in found
        ],
        doubts,
        damage,
    )


def with_jobs(data: bytes, jobs: int) -> Told:
    """A trace.dat in memory read by a number of threads."""
    return told(tracedat.open_raw(io.BytesIO(data), "a.dat", jobs))


# --- the same as without --------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", range(12))
def test_any_number_of_threads_gives_the_very_same(seed: int) -> None:
    chance = random.Random(seed)
    cpus = [random_pages(chance, chance.randrange(12), 40, cpu) for cpu in range(chance.randrange(1, 5))]
    form = seed % 4
    if form == 0:
        data = b.trace_dat6(cpus, SCHED)
    elif form == 1:
        data = b.trace_dat6(cpus, SCHED, instances={"one": cpus[::-1], "two": cpus})
    else:
        data = b.trace_dat7({"": cpus}, SCHED, packed=form == 3)
    if seed >= 8:
        data = data[: len(data) - chance.randrange(len(data) // 3)]
    try:
        alone = with_jobs(data, 1)
    except TraceError as error:
        for jobs in range(2, 9):
            with pytest.raises(TraceError) as raised:
                with_jobs(data, jobs)
            assert raised.value.message == error.message
        return
    for jobs in range(2, 9):
        assert with_jobs(data, jobs) == alone


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("jobs", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_segments_give_what_one_page_after_the_other_gives(seed: int, jobs: int) -> None:
    chance = random.Random(seed)
    every = [random_pages(chance, chance.randrange(1, 15), 30, cpu) for cpu in range(3)]
    every[1] = every[1][: len(every[1]) - chance.randrange(4096)]
    programs = Programs()
    programs.add(parse_format(b.switch_format(), "sched"))
    layout = page_layout(parse_header_page(b.header_page()), 4096)
    plain = PageSource(
        "p", [PageStream(cpu, iter([data])) for cpu, data in enumerate(every)], layout, programs
    )
    programs = Programs()
    programs.add(parse_format(b.switch_format(), "sched"))
    size = chance.choice([4096, 8192, 5000, 1000])  # pages go over the end of pieces
    streams = [SegmentStream(cpu, blocks(data, size)) for cpu, data in enumerate(every)]
    assert named(told(SegmentSource("p", streams, layout, programs, None, jobs))) == named(told(plain))


@pytest.mark.usefixtures("small")
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), jobs=st.integers(2, 8), flaw=st.integers(0, 10**6))
def test_damaged_chunks_end_a_cpu_at_the_same_place(seed: int, jobs: int, flaw: int) -> None:
    chance = random.Random(seed)
    data = bytearray(
        b.trace_dat7({"": [random_pages(chance, 9, 9), random_pages(chance, 9, 9)]}, SCHED, packed=True)
    )
    start = data.index(b"\0" * 600)  # what stands behind the head's padding are the chunks
    data[start + flaw % (len(data) - start)] ^= 1 << flaw % 8
    try:
        alone = with_jobs(bytes(data), 1)
    except TraceError as error:
        with pytest.raises(TraceError) as raised:
            with_jobs(bytes(data), jobs)
        assert raised.value.message == error.message
        return
    assert with_jobs(bytes(data), jobs) == alone


@pytest.mark.usefixtures("small")
def test_thousands_of_names_are_numbered_in_the_files_order() -> None:
    pages = b""
    for page in range(60):
        events = b"".join(
            b.ring_event(5, b.switch_payload(1, 2, b"p%d-%d" % (page, i), b"n%d" % (page * 13 + i)))
            for i in range(50)
        )
        pages += b.ring_page(1000 + 1000 * page, events)
    data = b.trace_dat6([pages, pages], SCHED)
    alone = with_jobs(data, 1)
    assert len(alone[1]) == 1 + 3000 + 59 * 13 + 50
    for jobs in (2, 5, 8):
        assert with_jobs(data, jobs) == alone


@pytest.mark.usefixtures("small")
def test_real_recordings_read_by_four() -> None:
    pytest.importorskip("zstandard")
    assert told(tracedat.open_raw(str(DAT64), jobs=4)) == told(tracedat.open_raw(str(DAT64)))
    assert told(rawpages.open_raw(str(PAGES), 4)) == told(rawpages.open_raw(str(PAGES)))


@pytest.mark.usefixtures("small")
def test_interpreted_threads_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b.trace_dat6([random_pages(random.Random(5), 6, 30, cpu) for cpu in range(2)], SCHED)
    compiled = with_jobs(data, 3)
    run_interpreted(monkeypatch)
    assert with_jobs(data, 3) == compiled
    assert with_jobs(data, 1) == compiled


# --- errors, ends, bounds -------------------------------------------------------------------------


class Count:
    """How many pieces are in memory, and were at most."""

    def __init__(self) -> None:
        self.alive = self.most = 0
        self._lock = threading.Lock()

    def add(self, more: int) -> None:
        with self._lock:
            self.alive += more
            self.most = max(self.most, self.alive)


class Block:
    """A piece in memory; *error* is raised when it is loaded, once *gate* is open."""

    def __init__(
        self,
        data: Data,
        error: Exception | None = None,
        gate: threading.Event | None = None,
        count: Count | None = None,
    ) -> None:
        self.size = len(data)
        self._data = data
        self._error = error
        self._gate = gate
        self._count = count or Count()

    def load(self) -> tuple[Data, str]:
        self._count.add(1)
        if self._gate is not None:
            self._gate.wait()
        if self._error is not None:
            raise self._error
        return self._data, ""

    def release(self) -> None:
        self._count.add(-1)


def blocks(data: bytes, size: int, count: Count | None = None) -> Iterator[Piece]:
    """Data in pieces."""
    for at in range(0, len(data), size):
        yield Block(data[at : at + size], count=count)


def source_of(streams: list[SegmentStream], jobs: int) -> SegmentSource:
    """A source over streams of switches."""
    programs = Programs()
    programs.add(parse_format(b.switch_format(), "sched"))
    return SegmentSource(
        "p", streams, page_layout(parse_header_page(b.header_page()), 4096), programs, None, jobs
    )


def threads() -> list[threading.Thread]:
    """Those that decode."""
    return [thread for thread in threading.enumerate() if thread.name == "pvreplay-pages"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("jobs", [1, 2, 6])
def test_an_error_in_any_thread_is_raised_where_its_records_would_be(jobs: int) -> None:
    page = random_pages(random.Random(1), 1, 5)
    pieces: list[Piece] = [Block(page) for _ in range(9)]
    pieces[4] = Block(page, TraceError("bad piece", "a hint"))
    source = source_of([SegmentStream(0, iter(pieces))], jobs)
    words = memoryview(bytearray(32 * 1000)).cast("Q")
    with pytest.raises(TraceError, match="bad piece") as raised:
        for _ in range(20):
            source.fill(words, 0)
    assert raised.value.hint == "a hint"
    for thread in threads():
        thread.join(10)
    assert not threads()


@pytest.mark.usefixtures("small")
def test_threads_end_with_the_recording_and_with_a_source_nobody_reads_on() -> None:
    data = random_pages(random.Random(2), 30, 5)
    whole = source_of([SegmentStream(0, blocks(data, 4096))], 4)
    drain(whole, 100)
    left = source_of([SegmentStream(0, blocks(data, 4096))], 4)
    left.fill(memoryview(bytearray(32 * 10)).cast("Q"), 0)
    del left
    for thread in threads():
        thread.join(10)
    assert not threads()


@pytest.mark.usefixtures("small")
def test_an_interrupt_ends_the_wait_for_a_thread() -> None:
    page = random_pages(random.Random(1), 1, 5)
    gate = threading.Event()
    source = source_of([SegmentStream(0, iter([Block(page, gate=gate)]))], 2)
    source.begin()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            source.fill(memoryview(bytearray(32 * 10)).cast("Q"), 0)
            threading.Event().wait(30)
    finally:
        timer.join()
        gate.set()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_pieces_in_memory_do_not_grow_with_the_file(jobs: int) -> None:
    count = Count()
    data = random_pages(random.Random(3), 200, 5)
    drain(source_of([SegmentStream(cpu, blocks(data, 4096, count)) for cpu in range(2)], jobs), 100)
    assert count.alive == 0
    assert 1 <= count.most <= jobs


# --- how many threads there are -------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "decoding", "merging"), [(1, 0, 0), (2, 1, 0), (3, 1, 1), (5, 3, 1)])
def test_as_many_threads_work_as_were_asked_for(
    asked: int, decoding: int, merging: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ahead, "WORTH_BYTES", 1)
    data = b.trace_dat6([random_pages(random.Random(3), 20, 5)], SCHED)
    path = tmp_path / "a.dat"
    path.write_bytes(data)
    for thread in threads():  # of the tests before
        thread.join(10)
    parallel.set_jobs(asked)
    try:
        trace = tracedat.open(str(path))
    finally:
        parallel.set_jobs(0)
    source = trace.source  # type: ignore[attr-defined]
    assert isinstance(source, Ahead) == bool(merging)
    assert len(threads()) == decoding
    assert named(told(source)) == named(with_jobs(data, 1))


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_names_taken_back_leave_the_table_as_it_was(seed: int) -> None:
    chance = random.Random(seed)
    keys, table, state = array("Q", bytes(16 * 64)), array("I", bytes(4 * 128)), array("q", [1, 0, 0, 0])
    names = [(chance.getrandbits(48) | 1, 0) for _ in range(50)]
    known = chance.randrange(25)
    for pair in names[:known]:
        engine.number_of(*pair, keys, table, state)
    before, count = table[:], state[0]
    for pair in names[known:]:
        engine.number_of(*pair, keys, table, state)
    after = table[:]
    engine.forget(keys, count, state[0], table)
    assert (table, count) == (before, 1 + known)
    engine.enter(keys, count, state[0], table)
    assert table == after


def test_only_new_names_are_renumbered_and_only_where_names_stand() -> None:
    records = [
        r.record(1, 0, r.SWITCH, 7, 7, 8, r.switch_c(5, 9, 3)),
        r.record(2, 0, r.SWITCH, 8, 8, 7, r.switch_c(10, 4, 1)),
        r.record(3, 0, r.FORK, 8, 9, 8, 9),
        r.record(4, 0, r.RENAME, 8, 8, 0, 3),
        r.record(5, 0, r.SYS_EXIT, 8, 1, 0, 9),
    ]
    words = array("Q", [word for record in records for word in record])
    engine.renumber(words, 0, 5, 9, array("I", [40, 2]))
    records[0] = r.record(1, 0, r.SWITCH, 7, 7, 8, r.switch_c(5, 40, 3))
    records[1] = r.record(2, 0, r.SWITCH, 8, 8, 7, r.switch_c(2, 4, 1))
    records[2] = r.record(3, 0, r.FORK, 8, 9, 8, 40)
    assert words == array("Q", [word for record in records for word in record])

"""Reading ahead with a second thread: the same records, errors and facts as without it."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.errors import TraceError
from pvreplay.kernels.reader import load_kernel
from pvreplay.replay.run import replay
from pvreplay.sources import ahead, perfdata, rawpages, tracedat
from pvreplay.sources import records as r
from pvreplay.sources.ahead import Ahead, read_ahead
from pvreplay.sources.perfdata import PerfData
from pvreplay.trace.model import Trace
from tests.binary_tools import DAT64, PAGES, PERF
from tests.source_tools import drain


class Counting:
    """A source of *total* records, each a LOST of its number, in bursts; it may fail at one."""

    path = "counting"
    format = "test"
    origin = "here"
    clock = "local"
    word_bits = 64
    enabled: frozenset[str] | None = frozenset({"sched:sched_switch"})

    def __init__(self, total: int, burst: int, fail_at: int = -1) -> None:
        self.comms = [b""]
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self.offset = 0
        self.total = total
        self.burst = burst
        self.fail_at = fail_at
        self.threads: set[int] = set()

    def fill(self, words: memoryview, start: int) -> int:
        self.threads.add(threading.get_ident())
        n = start
        while n < min(len(words) // 4, start + self.burst) and self.offset < self.total:
            if self.offset == self.fail_at:
                raise TraceError("a bad record")
            for place, word in enumerate(r.record(self.offset, 0, r.LOST, -1, self.offset)):
                words[4 * n + place] = word
            self.offset += 1
            n += 1
        if n == start:
            self.damage = "cut"
            self.doubts["at_end"] = 1
        return n


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 300), st.integers(1, 90), st.integers(1, 70), st.integers(1, 50))
def test_every_record_comes_once_and_in_order(total: int, burst: int, room: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "BLOCK", block)
        source = Ahead(Counting(total, burst))
        found = drain(source, room)
    assert [record[5] for record in found] == list(range(total))
    assert (source.damage, source.doubts) == ("cut", {"at_end": 1})
    assert source.fill(memoryview(bytearray(64)).cast("Q"), 0) == 0, "the end stays the end"


def test_it_is_another_thread_that_reads() -> None:
    inner = Counting(100, 7)
    source = Ahead(inner)
    assert (source.path, source.word_bits, source.enabled) == ("counting", 64, inner.enabled)
    drain(source)
    assert len(inner.threads) == 1
    assert threading.get_ident() not in inner.threads


def test_an_error_comes_after_the_records_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "BLOCK", 10)
    source = Ahead(Counting(100, 10, fail_at=30))
    words = memoryview(bytearray(32 * 30)).cast("Q")
    assert source.fill(words, 0) == 30
    with pytest.raises(TraceError, match="a bad record"):
        source.fill(words, 0)
    assert source.fill(words, 0) == 0


def test_a_reader_that_stops_early_leaves_no_thread() -> None:
    source = Ahead(Counting(10**9, 1000))
    assert source.fill(memoryview(bytearray(32 * 10)).cast("Q"), 0) == 10
    readers = [thread for thread in threading.enumerate() if thread.name == "pvreplay-decode"]
    assert readers
    assert all(thread.daemon for thread in readers), "none keeps the process alive"
    del source
    for thread in readers:
        thread.join(10)
        assert not thread.is_alive()


def test_small_recordings_and_single_cpus_are_read_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Counting(1, 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    assert read_ahead(inner, ahead.WORTH_BYTES - 1) is inner
    assert isinstance(read_ahead(inner, ahead.WORTH_BYTES), Ahead)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3})
    assert read_ahead(inner, ahead.WORTH_BYTES) is inner


def opened(name: str) -> Trace:
    """One of the recordings in tests/data."""
    if name == "perfdata":
        return perfdata.open(str(PERF), {}, "x")
    if name == "tracedat":
        pytest.importorskip("zstandard")
        return tracedat.open(str(DAT64), {}, "x")
    return rawpages.open(str(PAGES), {}, "x")


@pytest.mark.parametrize("name", ["perfdata", "tracedat", "rawpages"])
def test_a_recording_replays_the_same_with_and_without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    monkeypatch.setattr(ahead, "WORTH_BYTES", 1 << 62)
    plain = replay(opened(name), load_kernel("2.6.21"))
    monkeypatch.setattr(ahead, "WORTH_BYTES", 0)
    monkeypatch.setattr(ahead, "BLOCK", 50)
    threads: list[int] = []
    fill = PerfData.fill

    def noted(self: PerfData, words: memoryview, start: int) -> int:
        threads.append(threading.get_ident())
        return fill(self, words, start)

    monkeypatch.setattr(PerfData, "fill", noted)
    second = replay(opened(name), load_kernel("2.6.21"))
    assert second.switches == plain.switches > 100
    assert second.rows == plain.rows
    assert (second.doubts, second.damage) == (plain.doubts, plain.damage)
    assert name != "perfdata" or set(threads) - {threading.get_ident()}

"""Whole recordings over a tracefs of files: merged like a file, complete, readable however they end."""

from __future__ import annotations

import io
import os
import random
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from pvreplay.errors import UsageError
from pvreplay.record import session
from pvreplay.record.live import LiveSource, programs_of
from pvreplay.record.reader import CpuReader, Readers
from pvreplay.record.tracefs import Instance
from pvreplay.sources import records as r
from pvreplay.sources.detect import open_trace
from pvreplay.sources.formats import parse_header_page
from pvreplay.trace.events import Kind, unpack
from tests import binary_files as b
from tests.fake_tracefs import FakeTracefs, pages_of, stats
from tests.source_tools import Found

Switch = tuple[int, int, int]


def ring(seed: int, count: int, first_ns: int = 1000) -> list[Switch]:
    """A chain of switches of one CPU: (time, prev, next)."""
    rng = random.Random(seed)
    found, now, running = [], first_ns, 0
    for _ in range(count):
        following = rng.choice([pid for pid in (0, 2001, 2002, 2003) if pid != running])
        found.append((now, running, following))
        now += rng.randrange(1, 5000)
        running = following
    return found


def switches_in(path: Path) -> list[tuple[int, int, int]]:
    """(time, CPU, pid switched to) of every switch of a trace.bin."""
    pids = {0: 0}
    found = []
    for chunk in open_trace(str(path)).chunks():
        pids.update((task.id, task.pid) for task in chunk.tasks)
        for at in range(0, len(chunk.events), 2):
            when, cpu, kind, arg, _ = unpack(chunk.events[at], chunk.events[at + 1])
            if kind == Kind.SWITCH:
                found.append((when, cpu, pids[arg]))
    return found


def file_at(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: open(path, "wb")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTracefs:
    return FakeTracefs(tmp_path / "tracing", monkeypatch)


def test_a_recording_holds_every_switch_by_time(fake: FakeTracefs, tmp_path: Path) -> None:
    chains = [ring(1, 3000), ring(2, 1700, first_ns=500_000)]
    fake.cpus = [pages_of(chain) for chain in chains]
    path = tmp_path / "t.bin"
    settings = session.Settings(["true"])
    outcome = session.record(settings, file_at(path), str(path), root=str(fake.root))
    expected = [(when, cpu, to) for cpu, chain in enumerate(chains) for when, _, to in chain]
    assert switches_in(path) == sorted(expected)
    assert (outcome.status, outcome.lost, outcome.damage) == (0, 0, "")
    assert fake.there == []
    trace = open_trace(str(path))
    list(trace.chunks())
    assert trace.damage == ""
    assert trace.meta.clock == "mono"
    assert trace.meta.cpus == 2
    assert trace.meta.tool.startswith("pvreplay ")
    assert "mm" in trace.meta.state


@pytest.mark.parametrize(
    ("command", "status"), [(["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137), ([], None)]
)
def test_the_status_is_the_commands_as_a_shell_tells_it(
    command: list[str], status: int | None, fake: FakeTracefs, tmp_path: Path
) -> None:
    fake.cpus = [pages_of(ring(1, 5)), b""]
    settings = session.Settings(command, duration_s=None if command else 0.05)
    outcome = session.record(settings, file_at(tmp_path / "t.bin"), "t.bin", root=str(fake.root))
    assert outcome.status == status


def test_a_command_outlives_the_duration(fake: FakeTracefs, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    settings = session.Settings(["sh", "-c", f"sleep 0.4; touch {mark}"], duration_s=0.05)
    outcome = session.record(settings, file_at(tmp_path / "t.bin"), "t.bin", root=str(fake.root))
    assert mark.exists()
    assert 0.05 <= outcome.seconds < 0.4


def test_nothing_is_made_for_a_command_that_does_not_exist(fake: FakeTracefs, tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    with pytest.raises(UsageError, match="no such program"):
        session.record(session.Settings(["no-such-program"]), file_at(path), "t.bin", root=str(fake.root))
    assert fake.made == []
    assert not path.exists()


def test_a_file_that_cannot_be_made_leaves_no_instance(fake: FakeTracefs) -> None:
    def create() -> IO[bytes]:
        raise UsageError("t.bin: No space left on device")

    with pytest.raises(UsageError, match="No space"):
        session.record(session.Settings(["true"]), create, "t.bin", root=str(fake.root))
    assert len(fake.made) == 1
    assert fake.there == []


class Full(io.BytesIO):
    """A file on a full disk."""

    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_ends_the_command_and_leaves_no_instance(fake: FakeTracefs) -> None:
    began = time.monotonic()
    with pytest.raises(OSError, match="No space"):
        session.record(session.Settings(["sleep", "60"]), Full, "t.bin", root=str(fake.root))
    assert time.monotonic() - began < 30
    assert fake.there == []


def test_a_signal_ends_the_recording_in_order_and_a_second_one_the_program(
    fake: FakeTracefs, tmp_path: Path
) -> None:
    fake.cpus = [pages_of(ring(1, 50)), b""]
    path = tmp_path / "t.bin"
    timer = threading.Timer(0.3, os.kill, (os.getpid(), 2))
    timer.start()
    outcome = session.record(session.Settings(), file_at(path), "t.bin", root=str(fake.root))
    assert outcome.signal == 2
    assert len(switches_in(path)) == 50
    assert fake.there == []
    with Instance(str(fake.root)) as instance, Readers(instance, [0], 4096) as readers:
        recording = session.Recording(session.Settings(), instance, readers)
        recording.on_signal(15, None)
        with pytest.raises(KeyboardInterrupt):
            recording.on_signal(2, None)


def test_the_end_of_a_process_ends_the_recording(fake: FakeTracefs, tmp_path: Path) -> None:
    import subprocess

    with subprocess.Popen(["sleep", "0.3"]) as process:
        settings = session.Settings(pid=process.pid)
        outcome = session.record(settings, file_at(tmp_path / "t.bin"), "t.bin", root=str(fake.root))
    assert 0.1 < outcome.seconds < 5
    with pytest.raises(UsageError, match="no such process"):
        session.record(session.Settings(pid=1 << 30), file_at(tmp_path / "u.bin"), "u", root=str(fake.root))


# --- the merge while pages come ---------------------------------------------------------------------


class Live:
    """A LiveSource whose readers' threads are played by the test."""

    def __init__(self, fake: FakeTracefs, cpus: int = 2) -> None:
        self.instance = Instance(str(fake.root))
        self.instance.__enter__()
        session.set_up(self.instance, session.Settings(events="switch"))
        header = parse_header_page(self.instance.read("events", "header_page"))
        self.readers = Readers(self.instance, list(range(cpus)), header.page_size).__enter__()
        self.waits = 0
        self.steps: list[Callable[[], None]] = []
        self.source = LiveSource(self.instance, self.readers, header, programs_of(self.instance), self.check)

    def check(self) -> None:
        """What happens next, each time the source looks whether it is over."""
        self.waits += 1
        if self.steps:
            self.steps.pop(0)()

    def reader(self, cpu: int) -> CpuReader:
        return self.readers.all[cpu]

    def brings(self, cpu: int, pages: bytes) -> Callable[[], None]:
        return lambda: self._bring(cpu, pages)

    def _bring(self, cpu: int, pages: bytes) -> None:
        self.reader(cpu).blocks.append(pages)
        self.reader(cpu).held += len(pages)

    def has_nothing_before(self, cpu: int, bound_ns: int) -> Callable[[], None]:
        return lambda: setattr(self.reader(cpu), "bound_ns", bound_ns)

    def ends(self, *cpus: int) -> Callable[[], None]:
        def end() -> None:
            for cpu in cpus:
                self.reader(cpu).ended = True

        return end

    def one_fill(self, room: int = 4096) -> list[Found]:
        words = memoryview(array("Q", bytes(r.RECORD_BYTES * room)))
        found: list[Found] = []
        for at in range(0, 4 * self.source.fill(words, 0), 4):
            w0, w1, w2, w3 = words[at : at + 4]
            found.append(
                (w0, w1 & 0xFFFF, w1 >> 16 & 0xFF, w1 >> 24 & 0xFF, w1 >> 32, w2 & 0xFFFFFFFF, w2 >> 32, w3)
            )
        return found

    def close(self) -> None:
        self.readers.__exit__()
        self.instance.__exit__()


@pytest.fixture
def live(fake: FakeTracefs, monkeypatch: pytest.MonkeyPatch) -> Live:
    monkeypatch.setattr("pvreplay.record.live.WAIT_S", 0.001)
    made = Live(fake)
    yield made  # type: ignore[misc]
    made.close()


def test_a_cpu_without_pages_holds_the_others_back_at_its_bound(live: Live) -> None:
    chain = [(1000 * n, 0, 5) for n in range(1, 11)]
    live.steps = [live.brings(0, pages_of(chain)), lambda: None, live.has_nothing_before(1, 4500)]
    assert [record[0] for record in live.one_fill()] == [1000, 2000, 3000, 4000]
    live.steps = [live.brings(1, pages_of([(4700, 0, 6)]))]
    # CPU 1 may bring more after its last event, so what is later than that still waits.
    assert [record[:2] for record in live.one_fill()] == [(4700, 1)]
    live.steps = [live.ends(1)]
    assert [record[0] for record in live.one_fill()] == [1000 * n for n in range(5, 11)]
    live.steps = [live.ends(0)]
    assert live.one_fill() == []


@pytest.mark.parametrize("seed", range(6))
def test_the_order_does_not_depend_on_when_pages_come(
    seed: int, fake: FakeTracefs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pvreplay.record.live.WAIT_S", 0.0)
    rng = random.Random(seed)
    live = Live(fake)
    chains = [ring(seed, 900), ring(seed + 50, 400)]
    coming = [[pages_of(chain[at : at + 20]) for at in range(0, len(chain), 20)] for chain in chains]

    def more() -> None:
        cpu = rng.randrange(2)
        if coming[cpu]:
            live.brings(
                cpu, b"".join(coming[cpu].pop(0) for _ in range(min(len(coming[cpu]), rng.randrange(1, 4))))
            )()
        else:
            live.ends(cpu)()

    live.steps = [more] * 2000
    found: list[Found] = []
    while part := live.one_fill(room=rng.randrange(1, 300)):
        found += part
    live.close()
    expected = sorted((when, cpu, to) for cpu, chain in enumerate(chains) for when, _, to in chain)
    assert [(record[0], record[1], record[6]) for record in found] == expected


def test_what_a_cpu_held_back_is_handed_out_when_it_ends_meanwhile(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = live.source._merge

    def ends_behind(words: memoryview, start: int) -> int:
        n = merge(words, start)
        live.ends(0, 1)()
        return n

    monkeypatch.setattr(live.source, "_merge", ends_behind)
    live.steps = [live.brings(0, pages_of([(1000 * n, 0, 5) for n in range(1, 11)]))]
    assert [record[0] for record in live.one_fill()] == [1000 * n for n in range(1, 11)]
    assert live.one_fill() == []


def test_losses_are_told_once_with_the_kernels_count(live: Live, fake: FakeTracefs) -> None:
    folder = fake.root / "instances" / fake.there[0] / "per_cpu/cpu0/stats"
    event = b.ring_event(0, b.switch_payload(0, 5))
    gap = b.ring_page(2000, event, missed=0)

    def lose(now: int) -> Callable[[], None]:
        return lambda: folder.write_text(stats(overrun=now)) and None

    live.steps = [lose(30), live.brings(0, b.ring_page(1000, event) + gap), live.ends(1)]
    found: list[Found] = []
    for _ in range(4):
        found += live.one_fill()
        if len(found) > 2:
            break
    assert [(record[2], record[5]) for record in found] == [(r.SWITCH, 0), (r.LOST, 30), (r.SWITCH, 0)]
    # A second gap the first count had in it already is not told again; what comes at the end is.
    later = b.ring_page(3000, event, missed=0)
    live.steps = [live.brings(0, later), lose(37), live.ends(0)]
    rest: list[Found] = []
    while part := live.one_fill():
        rest += part
    lost = [record[5] for record in (*found, *rest) if record[2] == r.LOST]
    assert sum(lost) == 37
    assert 0 not in lost
    assert live.source.lost == 37


def test_a_count_that_stands_in_the_page_is_believed(live: Live, fake: FakeTracefs) -> None:
    folder = fake.root / "instances" / fake.there[0] / "per_cpu/cpu0/stats"
    folder.write_text(stats(overrun=12))
    page = b.ring_page(2000, b.ring_event(0, b.switch_payload(0, 5)), missed=1, count=12)
    live.steps = [live.brings(0, page), live.ends(0, 1)]
    found = live.one_fill()
    assert [record[5] for record in found if record[2] == r.LOST] == [12]
    assert live.one_fill() == []
    assert live.source.lost == 12


def test_a_reader_that_fails_is_damage_not_a_crash(live: Live) -> None:
    live.reader(1).error = "the pages of CPU 1 could not be read: Input/output error"
    live.steps = [live.brings(0, pages_of(ring(1, 3))), live.ends(0, 1)]
    while live.one_fill():
        pass
    assert live.source.damage.startswith("the pages of CPU 1")


def test_readers_wait_when_what_they_brought_is_not_taken(
    fake: FakeTracefs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pvreplay.record.reader.QUEUE_BYTES", 8192)
    monkeypatch.setattr("pvreplay.record.reader.QUEUE_LEAST", 8192)
    monkeypatch.setattr("pvreplay.record.reader.PIPE_BYTES", 4096)
    fake.cpus = [pages_of(ring(1, 2000)), b""]
    with Instance(str(fake.root)) as instance, Readers(instance, [0], 4096) as readers:
        reader = readers.all[0]
        readers.start()
        readers.finish()
        deadline = time.monotonic() + 5
        while reader.held <= 8192 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert 8192 < reader.held <= 8192 + 4096
        taken = 0
        while not (reader.ended and not reader.blocks):
            taken += len(readers.take(reader) or b"")
        assert taken == len(fake.cpus[0])


def test_what_a_killed_recorder_wrote_can_be_read(
    fake: FakeTracefs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is looked at while the recording still runs."""
    monkeypatch.setattr(session, "FLUSH_S", 0.0)
    chains = [ring(1, 8000), ring(2, 8000)]
    fake.cpus = [pages_of(chain) for chain in chains]
    path = tmp_path / "t.bin"
    seen: list[tuple[int, str]] = []

    def look() -> None:
        copy = tmp_path / "copy.bin"
        copy.write_bytes(path.read_bytes())
        trace = open_trace(str(copy))
        events = sum(len(chunk.events) // 2 for chunk in trace.chunks())
        seen.append((events, trace.damage))

    timer = threading.Timer(1.0, look)
    timer.start()
    session.record(session.Settings(duration_s=1.5), file_at(path), "t.bin", root=str(fake.root))
    timer.join()
    assert seen[0][0] > 8000
    assert "not closed" in seen[0][1]

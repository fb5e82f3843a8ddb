"""perf.data decoded in parts by several threads: the records of one reader, whatever the parts are.

Parts here are small, so that their boundaries fall everywhere; the buffers they are read into too.
"""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import threading
from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.errors import TraceError
from pvreplay.sources import comms, parallel, perfdata, perfdata_parts
from pvreplay.sources import records as r
from pvreplay.sources.ahead import Ahead
from pvreplay.sources.perfdata import PerfData
from pvreplay.sources.tracepoints import CommTable
from tests import binary_files as b
from tests.binary_tools import PERF, run_interpreted
from tests.source_tools import Found, drain
from tests.test_sources_perfdata import compressed

TYPE = b.TRACEPOINT | b.IDENTIFIER
SCHED = {"sched": [b.switch_format(), b.format_text("sched_wakeup", 320, [("pid_t pid", 8, 4)])]}
SWITCH_IDS, WAKEUP_IDS = (7, 8), (9, 10)
ATTRS = [(b.perf_attr(319, TYPE), SWITCH_IDS), (b.perf_attr(320, TYPE), WAKEUP_IDS)]

Told = tuple[list[tuple[object, ...]], str, dict[str, int], int]


@pytest.fixture(autouse=True)
def _worth() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perfdata, "WORTH_BYTES", 0)
        yield
    parallel.set_jobs(0)


class Parts:
    """The sizes of parts and what they are read with, while it lasts."""

    def __init__(self, size: int, records: int, buffer: int, misses: int = 1 << 30) -> None:
        self.patch = pytest.MonkeyPatch()
        self.misses = misses
        self.sizes = {"PART_BYTES": size, "PART_RECORDS": records, "BUFFER": buffer}

    def __enter__(self) -> None:
        for name, value in self.sizes.items():
            self.patch.setattr(perfdata_parts, name, value)
        self.patch.setattr(perfdata, "MISSES", self.misses)

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


def words_of(data: bytes, jobs: int, room: int = 50) -> tuple[list[Found], str, dict[str, int], list[bytes]]:
    """Every record as it is, and what else a source says."""
    source = PerfData(io.BytesIO(data), "a.data", jobs)
    assert source.in_parts == (jobs > 1)
    found = drain(source, room)
    return found, source.damage, source.doubts, source.comms


def told(data: bytes, jobs: int = 1) -> Told:
    """Every record with names instead of their numbers."""
    source = PerfData(io.BytesIO(data), "a.data", jobs)
    found: list[tuple[object, ...]] = []
    for *head, a, other, c in drain(source, 100):
        if head[2] == r.SWITCH:
            names = (source.comms[c & 0xFFFFFF], source.comms[c >> 24 & 0xFFFFFF], c >> 48)
        else:
            names = (source.comms[c],)
        found.append((*head, a, other, *names))
    return found, source.damage, source.doubts, source.samples


# --- recordings made up ---------------------------------------------------------------------------


def tail(time: int, cpu: int, pid: int, id: int = 7) -> bytes:
    """What ends a record that is no sample, as TYPE has it."""
    return b.tail(time, cpu, pid, TYPE, id)


def fooling(rng: random.Random) -> bytes:
    """A payload of records that look right in every way."""
    return b"".join(
        b.perf_sample(b.switch_payload(66, 66, b"fool"), rng.randrange(1 << 40), 0, 66, TYPE, 7)
        for _ in range(rng.choice([1, 3, 40]))
    )


def records_of(seed: int, rounds: int, spoilt: bool = False) -> bytes:
    """Records of three CPUs in rounds, each earlier than what the round after the next begins with.

    Samples of both events, losses, births, names, kernel samples that are too short, and payloads
    that look like records.  *spoilt*: times that no round promises.
    """
    rng = random.Random(seed)
    clock = [0] * 3
    tasks = [(100 + i, f"task{i % 40}".encode() * (1 + i % 3)) for i in range(60)]
    out = b""
    for number in range(rounds):
        for cpu in rng.sample(range(3), 3):
            while (time := clock[cpu] + rng.randrange(1, 900)) < (number + 1) * 10_000:
                clock[cpu] = time
                if spoilt and rng.random() < 0.1:
                    time = rng.randrange(rounds * 10_000)
                pid, comm = rng.choice(tasks[: 3 + number])
                following, next_comm = rng.choice([(0, f"swapper/{cpu}".encode()), *tasks[: 3 + number]])
                kind = rng.random()
                if kind < 0.55:
                    payload = b.switch_payload(
                        pid, following, comm, next_comm, rng.choice([0, 1, 2, 16, 256])
                    )
                    out += b.perf_sample(payload, time, cpu, pid, TYPE, rng.choice(SWITCH_IDS))
                elif kind < 0.85:
                    payload = b"\x40\x01" + rng.randbytes(6 + 4 * rng.randrange(30))
                    out += b.perf_sample(payload, time, cpu, pid, TYPE, rng.choice(WAKEUP_IDS))
                elif kind < 0.88:
                    payload = b"\x40\x01" + bytes(2) + fooling(rng)
                    out += b.perf_sample(payload, time, cpu, pid, TYPE, 9)
                elif kind < 0.90:
                    out += b.perf_sample(b.switch_payload(pid, 0)[:20], time, cpu, pid, TYPE, 7)
                elif kind < 0.91:
                    out += b.perf_sample(b.switch_payload(pid, 0), time, cpu, pid, TYPE, 11)
                elif kind < 0.93:
                    out += b.perf_record(
                        2, (7).to_bytes(8, "little") + bytes([9]) + bytes(7) + tail(time, cpu, 0)
                    )
                elif kind < 0.95:
                    body = pid.to_bytes(4, "little") * 2 + comm[:15].ljust(16, b"\0") + tail(time, cpu, pid)
                    out += b.perf_record(3, body)
                elif kind < 0.97:
                    out += b.perf_record(rng.choice([5, 11, 17, 82]), rng.randbytes(8 * rng.randrange(9)))
                elif kind < 0.99:
                    out += b.perf_record(13, bytes([3]) + bytes(7) + tail(time, cpu, 0))
                else:
                    out += b.perf_record(rng.choice([70, 99]), rng.randbytes(16))
        out += b.finished_round()
    return out


def file_of(records: bytes) -> bytes:
    """A file of both events."""
    return b.perf_file(ATTRS, records, SCHED)


# --- the same records -----------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 12), st.integers(5, 400).map(lambda n: 8 * n),
    st.integers(1, 70), st.sampled_from([1024 * 80, 1 << 17]), st.integers(2, 8), st.booleans(),
)  # fmt: skip
def test_any_number_of_threads_gives_the_words_of_one(
    seed: int, rounds: int, size: int, room: int, buffer: int, jobs: int, spoilt: bool
) -> None:
    data = file_of(records_of(seed, rounds, spoilt))
    with Parts(size, room, buffer):
        assert words_of(data, jobs) == words_of(data, 1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(5, 900).map(lambda n: 8 * n), st.integers(1, 5))
def test_where_parts_begin_changes_nothing_in_a_recording_in_order(
    seed: int, rounds: int, size: int, jobs: int
) -> None:
    data = file_of(records_of(seed, rounds))
    whole = told(data)
    with Parts(size, 60, 1 << 17):
        assert told(data, jobs) == whole
    times = [record[0] for record in whole[0]]
    assert times == sorted(times)  # type: ignore[type-var]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.integers(20, 200).map(lambda n: 8 * n), st.integers(2, 4))
def test_a_cut_file_gives_the_same_front_part_and_says_the_same(
    seed: int, part: float, size: int, jobs: int
) -> None:
    whole = file_of(records_of(seed, 6))
    cut = whole[: len(whole) - 1 - int(part * 4000)]
    with Parts(size, 60, 1 << 17):
        assert words_of(cut, jobs) == words_of(cut, 1)


def test_the_interpreted_walk_gives_the_words_of_the_compiled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_of(records_of(5, 8))
    with Parts(1600, 40, 1 << 17):
        compiled = words_of(data, 3), words_of(data, 1)
        run_interpreted(monkeypatch)
        assert (words_of(data, 3), words_of(data, 1)) == compiled
    assert compiled[0] == compiled[1]


def test_a_real_recording_in_small_parts() -> None:
    data = PERF.read_bytes()
    whole = told(data)
    for size, jobs in ((4096, 2), (20_000, 5), (808, 3)):
        with Parts(size, 50, 1 << 17):
            assert told(data, jobs) == whole


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_switches_are_those_that_were_written(jobs: int) -> None:
    expected, records = [], b""
    for i in range(3000):
        names = (f"n{i % 700}".encode(), f"n{(i * 7) % 700}".encode())
        records += b.perf_sample(b.switch_payload(i, i + 1, *names), 1000 + i, i % 4, i, TYPE, 7)
        expected.append((1000 + i, i % 4, r.SWITCH, 0, i, i, i + 1, *names))
    with Parts(9000, 100, 1 << 17):
        found, damage, doubts, samples = told(file_of(records), jobs)
    assert [record[:9] for record in found] == expected
    assert (damage, doubts, samples) == ("", {}, 3000)


def test_a_part_may_have_more_names_than_its_table_has_room_for() -> None:
    records = b"".join(
        b.perf_sample(b.switch_payload(i, 0, b"a%d" % i, b"b%d" % i), i, 0, i, TYPE, 7) for i in range(6000)
    )
    whole = told(file_of(records))
    assert len({name for record in whole[0] for name in record[7:9]}) == 12_000
    assert told(file_of(records), 2) == whole, "in one part of many names"
    with Parts(50_000, 500, 1 << 17):
        assert words_of(file_of(records), 4) == words_of(file_of(records), 1)


# --- guesses that are wrong -----------------------------------------------------------------------


def guesses(data: bytes, jobs: int = 2) -> tuple[int, int]:
    """(parts that were right, parts that were not)."""
    right = wrong = 0
    adopt = PerfData._adopt

    def counted(self: PerfData) -> None:
        nonlocal right, wrong
        before = self._missed
        adopt(self)
        right += self._missed < before
        wrong += self._missed > before

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PerfData, "_adopt", counted)
        drain(PerfData(io.BytesIO(data), "a.data", jobs))
    return right, wrong


def test_parts_of_an_ordinary_recording_are_guessed_right() -> None:
    records = b"".join(
        b.perf_sample(b.switch_payload(5, i % 2), 10 * i, 0, 5, TYPE, 7 + i % 2) for i in range(900)
    )
    with Parts(3000, 200, 1 << 17):
        assert guesses(file_of(records)) == (-(-len(records) // 3000), 0)


def test_payloads_that_look_like_records_fool_the_guess_and_nobody_else() -> None:
    fake = b"".join(b.perf_sample(b.switch_payload(66, 66), i, 0, 66, TYPE, 7) for i in range(60))
    records = b"".join(
        b.perf_sample(b.switch_payload(5, 0), 10 * i, 0, 5, TYPE, 8)
        + b.perf_sample(b"\x40\x01" + bytes(2) + fake, 10 * i + 5, 0, 5, TYPE, 9)
        for i in range(40)
    )
    data = file_of(records)
    with Parts(7000, 200, 1 << 17):
        assert guesses(data)[1] > 0
        found = words_of(data, 3)
        assert found == words_of(data, 1)
    assert [record[5] for record in found[0]] == [5] * 40


def test_threads_are_given_up_where_no_guess_is_right() -> None:
    # The padding of the first record is short of a whole word, so no record begins at one.
    records = b.perf_record(17, bytes(4)) + b"".join(
        b.perf_sample(b.switch_payload(5, 0), 10 * i, 0, 5, TYPE, 8) for i in range(900)
    )
    data = file_of(records)
    with Parts(2000, 200, 1 << 17, misses=8):
        assert guesses(data) == (0, 9)
        assert words_of(data, 2) == words_of(data, 1)


def test_a_record_longer_than_parts_and_buffers_is_passed_over() -> None:
    big = b.perf_record(17, bytes(60_000))
    sample = b.perf_sample(b.switch_payload(5, 0), 10, 0, 5, TYPE, 8)
    data = file_of(sample * 3 + big + sample * 5 + big * 2 + sample)
    with Parts(1000, 100, 72 * 1024):
        assert words_of(data, 4) == words_of(data, 1)
        assert len(words_of(data, 2)[0]) == 9


# --- what is not decoded in parts -----------------------------------------------------------------


@pytest.mark.parametrize("made", ["twins", "compressed", "pipe", "descriptions"])
def test_what_one_reader_has_to_see_in_order_comes_out_the_same(made: str) -> None:
    records = records_of(3, 5)
    if made == "twins":
        records = b"".join(
            b.perf_sample(b.switch_payload(i, 0), 10 * i, 0, i, TYPE, id) for i in range(300) for id in (7, 8)
        )
        data = b.perf_file([(b.perf_attr(319, TYPE), [id]) for id in (7, 8)], records, SCHED)
    elif made == "compressed":
        data = file_of(compressed(records, 81))
    elif made == "pipe":
        data = b.perf_pipe(ATTRS, records, SCHED)
    else:
        # An event more, described in the middle of the records.
        more = b.perf_record(64, b.perf_attr(319, TYPE) + (12).to_bytes(8, "little"))
        late = b"".join(b.perf_sample(b.switch_payload(i, 0), 10**6 + i, 0, i, TYPE, 12) for i in range(50))
        data = file_of(records + late + more + late)
    with Parts(1200, 50, 1 << 17):
        assert told(data, 4) == told(data, 1)
    assert len(told(data)[0]) >= 50


def test_threads_are_for_large_files_of_one_event_each(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_of(records_of(3, 5))
    monkeypatch.setattr(perfdata, "WORTH_BYTES", len(data))
    assert not PerfData(io.BytesIO(data), "x", 2).in_parts
    monkeypatch.setattr(perfdata, "WORTH_BYTES", 1000)
    assert PerfData(io.BytesIO(data), "x", 2).in_parts
    assert not PerfData(io.BytesIO(data), "x", 1).in_parts
    parallel.set_jobs(3)
    trace = perfdata.open(io.BytesIO(data), {}, "x")
    assert isinstance(trace.source, PerfData) and trace.source.in_parts  # type: ignore[attr-defined]
    twice = b.perf_file([(b.perf_attr(319, TYPE), [id]) for id in (7, 8)], bytes(5 << 20), SCHED)
    trace = perfdata.open(io.BytesIO(twice), {}, "x")
    assert isinstance(trace.source, Ahead)  # type: ignore[attr-defined]


# --- threads and errors ---------------------------------------------------------------------------


def decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pvreplay-decode"]


@pytest.mark.parametrize("jobs", [2, 5])
def test_an_error_in_any_thread_comes_where_its_records_would(
    jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = file_of(records_of(3, 20))
    with Parts(1000, 50, 1 << 17):
        fine = words_of(data, 1)[0]
        bad = len(data) // 1000 // 2
        decode = perfdata_parts._Work.decode

        def fails(self: perfdata_parts._Work, part: perfdata_parts.Part, buffer: bytearray) -> None:
            if part.index == bad:
                raise TraceError("a bad part", "a hint")
            decode(self, part, buffer)

        monkeypatch.setattr(perfdata_parts._Work, "decode", fails)
        source = PerfData(io.BytesIO(data), "a.data", jobs)
        words = memoryview(array("Q", bytes(32)))
        count = 0
        with pytest.raises(TraceError, match="a bad part") as raised:
            while source.fill(words, 0):
                assert words[0] == fine[count][0]
                count += 1
    assert raised.value.hint == "a hint"
    assert count > 20


def test_a_part_that_cannot_be_read_is_read_by_other_means() -> None:
    data = file_of(records_of(3, 9))
    with Parts(1000, 50, 1 << 17):
        source = PerfData(io.BytesIO(data), "a.data", 3)
        assert source._mapped is not None
        directory = os.open("/", os.O_RDONLY)
        os.dup2(directory, source._mapped.file)
        os.close(directory)
        assert drain(source, 50) == words_of(data, 1)[0]


def test_threads_end_with_the_recording_and_with_a_source_nobody_reads_on() -> None:
    data = file_of(records_of(3, 9))
    with Parts(1000, 50, 1 << 17):
        words_of(data, 4)
        left = PerfData(io.BytesIO(data), "a.data", 4)
        left.fill(memoryview(array("Q", bytes(32))), 0)
        assert len(decoders()) >= 1
        del left
    for thread in decoders():
        thread.join(10)
    assert not decoders()


STUCK = """
import sys, threading, time
from pvreplay.sources import perfdata, perfdata_parts
perfdata.WORTH_BYTES = 0
perfdata_parts.PART_BYTES = 1000
def decode(self, part, buffer):
    if threading.current_thread() is not threading.main_thread():
        print("stuck", flush=True)
    time.sleep(600)
if sys.argv[2] == "stuck":
    perfdata_parts._Work.decode = decode
source = perfdata.PerfData(sys.argv[1], jobs=3)
source.fill(memoryview(bytearray(32)).cast("Q"), 0)
print("read", flush=True)
"""


def test_an_interrupt_ends_the_process_whatever_its_threads_are_at() -> None:
    command = [sys.executable, "-c", STUCK, str(PERF), "stuck"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert process.returncode != 0


def test_a_process_ends_while_its_threads_wait_for_work() -> None:
    command = [sys.executable, "-c", STUCK, str(PERF), "no"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "read\n", "")


# --- names ----------------------------------------------------------------------------------------


def test_a_parts_names_get_the_numbers_one_reader_would_have_given() -> None:
    table = CommTable()
    table.add([b"known", b"other"])
    known = comms.Known(table)
    first, second = comms.PartComms(), comms.PartComms()
    for part, names in ((first, [b"x", b"y"]), (second, [b"y", b"known", b"z", b"x"])):
        part.start(known)
        part.names = list(table.names)
        part.add(names)
    records = array("Q")
    for number in range(6):  # of the second part: "", known, other, y, z, x
        records.extend(r.record(0, 0, r.SWITCH, 1, c=r.switch_c(number, 5 - number, 3)))
        records.extend(r.record(0, 0, r.RENAME, 1, c=number))
        records.extend(r.record(0, 0, r.SYS_EXIT, 1, c=number))
    words = memoryview(records)
    comms.adopt(table, first, memoryview(array("Q", bytes(32))), 1)
    assert table.names == [b"", b"known", b"other", b"x", b"y"]
    comms.adopt(table, second, words, 18)
    assert table.names == [b"", b"known", b"other", b"x", b"y", b"z"]
    there = [0, 1, 2, 4, 5, 3]
    for number in range(6):
        assert words[12 * number + 3] == r.switch_c(there[number], there[5 - number], 3)
        assert words[12 * number + 7] == there[number]
        assert words[12 * number + 11] == number, "no comm in this one"

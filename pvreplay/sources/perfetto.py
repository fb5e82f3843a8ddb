"""Perfetto traces: the ftrace events of a protobuf, as traced, the Android tools and the UI write it.

Events come in bundles of one CPU each; the CPUs are merged by time.  In the compact_sched form a
switch has no previous task: that is the one the CPU switched to before, and of a CPU's first switch
it is not known.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import BinaryIO, Final

from pvreplay.sources import _merge_cy as merging
from pvreplay.sources import _perfetto_cy as engine
from pvreplay.sources import _perfetto_generic_cy as generic
from pvreplay.sources import records as rec
from pvreplay.sources.perfetto_packets import CLOCKS, WORD_BITS, Bundles, Packets, Thread, looks_like
from pvreplay.sources.streams import Mapped, map_file, map_stream
from pvreplay.sources.tables import UNKNOWN_PID
from pvreplay.sources.tracepoints import CommTable
from pvreplay.trace.model import Trace

NAME: Final = "Perfetto"
EXTENSIONS: Final = (".pftrace", ".perfetto-trace")
ABOUT: Final = (
    "Perfetto protobuf: ftrace events one by one and compact_sched, packets plain and compressed (zlib, "
    "zstd), generic events (tlb_flush, x86_fpu_*, xen_mmu_write_cr3), lost events, process trees"
)

REGION: Final = 4096
"""Records decoded for a CPU at a time."""
REGION_LEAST: Final = 64
ALL_REGIONS: Final = 1 << 18
NO_LIMIT: Final = (1 << 64) - 1
RAW_MAX: Final = 512


def sniff(head: bytes) -> bool:
    """Whether these first bytes are a Perfetto trace's."""
    return looks_like(head)


def open(source: str | BinaryIO, assume: Mapping[str, str] | None = None, path: str = "-") -> Trace:
    """The trace in a Perfetto file: a path, or a stream (copied, since it is read twice)."""
    from pvreplay.sources.recover import RecoveredTrace

    return RecoveredTrace(PerfettoSource(source, path), assume)


class _Stream:
    """The bundles of one CPU, and how far they are read."""

    __slots__ = ("bundles", "data", "lost", "names", "next", "state")

    def __init__(self, cpu: int, bundles: Bundles, lost: int) -> None:
        self.bundles = bundles
        self.next = 0
        self.lost = lost
        self.names = array("I", bytes(4 * 64))
        self.data = memoryview(b"")
        self.state = array("Q", bytes(8 * engine.STATE_INTS))
        self.state[engine.CPU] = cpu

    def at_end(self) -> bool:
        """Whether the open bundle has nothing left."""
        state = self.state
        return (
            state[engine.AT] >= state[engine.END]
            and not state[engine.PENDING]
            and state[engine.COLUMNS] >= state[engine.COLUMNS + 1]
        )


class PerfettoSource:
    """A RawSource over one Perfetto trace (see ``records.RawSource``).

    Raises TraceError for a file that is none.
    """

    format = NAME

    def __init__(self, source: str | BinaryIO, path: str = "-") -> None:
        self.path = source if isinstance(source, str) else path
        self._mapped: Mapped = map_file(source) if isinstance(source, str) else map_stream(source, b"", path)
        self._packets = packets = Packets(self._mapped, self.path)
        self.origin = f"Linux {packets.release}" if packets.release else ""
        self.clock = CLOCKS.get(packets.clock or 0, "") if packets.cpus else ""
        self.word_bits = WORD_BITS.get(packets.machine, 0)
        self.enabled: frozenset[str] | None = None
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self.offset = 0
        self._comms = CommTable()
        self.comms = self._comms.names
        numbers = bytearray(RAW_MAX)
        if packets.machine in ("", "x86_64", "i386", "i686"):  # other machines count differently
            for number in rec.RAW_NUMBERS:
                numbers[number] = 1
        self._numbers = bytes(numbers)
        self._streams = [
            _Stream(cpu, bundles, packets.lost.get(cpu, 0)) for cpu, bundles in sorted(packets.cpus.items())
        ]
        count = max(1, len(self._streams))
        self._region = max(REGION_LEAST, min(REGION, ALL_REGIONS // count))
        self._words = memoryview(array("Q", bytes(rec.RECORD_BYTES * self._region * count)))
        self._runs = array("q", bytes(16 * count))
        self._heap = array("q", bytes(8 * count))
        self._merge_state = array("q", [0, 0])
        self._field = array("Q", bytes(24))
        self._threads = list(packets.threads.items())
        self._told = 0
        self._start_ns = 0
        self._started = False
        self._ended = False

    def fill(self, words: memoryview, start: int) -> int:
        """As ``records.RawSource`` has it."""
        if not self._started:
            self._start()
        room = len(words) // rec.RECORD_WORDS
        n = self._tell_threads(words, start, room)
        state = self._merge_state
        while n < room:
            n = merging.merge(
                self._words, self._runs, len(self._streams), self._heap, NO_LIMIT, True, words, n, state
            )
            if state[0] < 0:
                break
            self._refill(state[0])
        if n < room:
            self._finish()
        return n

    def _start(self) -> None:
        self._started = True
        for number in range(len(self._streams)):
            self._refill(number)
        firsts = [
            self._words[self._runs[2 * number] * rec.RECORD_WORDS]
            for number in range(len(self._streams))
            if self._runs[2 * number] < self._runs[2 * number + 1]
        ]
        self._start_ns = min(firsts, default=0)
        if not firsts:
            self._threads = []

    def _tell_threads(self, words: memoryview, n: int, room: int) -> int:
        """What process trees say, before the first event."""
        while self._told < len(self._threads) and n < room:
            tid, thread = self._threads[self._told]
            self._told += 1
            name = self._comms.add([thread.name])[thread.name] if thread.name else 0
            record = rec.record(
                self._start_ns, 0, rec.INFO, UNKNOWN_PID, tid, thread.tgid, name, flags=_flags(thread)
            )
            for place, word in enumerate(record):
                words[n * rec.RECORD_WORDS + place] = word
            n += 1
        return n

    def _refill(self, number: int) -> None:
        """Decode the next records of one CPU into its region."""
        stream = self._streams[number]
        first = number * self._region
        found = first
        while found == first:
            if stream.at_end() and not self._open(stream):
                break
            self._comms.make_room(self._region)
            found = engine.scan(
                stream.data, stream.names, self._numbers, self._comms.keys, self._comms.table,
                self._comms.state, self._words, first, first + self._region, stream.state,
            )  # fmt: skip
            self._comms.collect()
            if stream.state[engine.GENERICS]:
                stream.state[engine.GENERICS] = 0
                found = generic.resolve(stream.data, self._words, first, found, self._field)
        self._runs[2 * number] = first
        self._runs[2 * number + 1] = found

    def _open(self, stream: _Stream) -> bool:
        """Go to a CPU's next bundle; False when there is none."""
        bundles, index = stream.bundles, stream.next
        if index >= len(bundles.starts):
            return False
        stream.next += 1
        packed = bool(bundles.unpacked[index])
        stream.data = self._packets.unpacked if packed else self._mapped.data
        if index in bundles.dropped:
            stream.state[engine.LOST] = 1
        comms = self._comms
        while True:
            comms.make_room(len(stream.names))
            count = engine.open_bundle(
                stream.data, bundles.starts[index], bundles.ends[index], stream.names,
                comms.keys, comms.table, comms.state, stream.state,
            )  # fmt: skip
            comms.collect()
            if count <= len(stream.names):
                break
            stream.names = array("I", bytes(4 * (count + count // 2)))
        if stream.state[engine.LOST] and stream.lost:
            stream.state[engine.LOST_COUNT] = min(stream.lost, 0xFFFFFFFF)
            stream.lost = 0
        if not packed:
            self.offset = max(self.offset, bundles.starts[index])
            self._mapped.release_to(self._read_by_all())
        return True

    def _read_by_all(self) -> int:
        """Where the file is done with: before it stands no bundle that is still to be read."""
        return min(
            (
                stream.bundles.starts[stream.next - 1]
                for stream in self._streams
                if stream.next and not stream.bundles.unpacked[stream.next - 1]
            ),
            default=0,
        )

    def _finish(self) -> None:
        if self._ended:
            return
        self._ended = True
        self.damage = self._packets.damage
        self._comms.add_doubts(self.doubts)
        for name, count in self._packets.doubts.items():
            self.doubts[name] = self.doubts.get(name, 0) + count
        bad = sum(stream.state[engine.BAD] for stream in self._streams)
        if bad:
            self.doubts["bad_events"] = bad


def _flags(thread: Thread) -> int:
    return rec.IS_KTHREAD if thread.kthread else rec.IS_USER if thread.user else 0

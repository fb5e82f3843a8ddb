"""perf.data: files and pipes of ``perf record``, read as they are.

The compiled scanner walks the records; this module feeds it buffers (the mapped
file, a pipe's blocks, what compressed records unpack to), handles the records
that describe the others, and merges by time what was found.

perf writes the buffers of the CPUs one after the other, round by round; what is
earlier than the latest record of the round before can no longer come when a
round ends.  So two rounds are held, whatever the length of the recording.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping
from typing import BinaryIO, Final

from pvreplay.errors import TraceError
from pvreplay.sources import _perfdata_cy as engine
from pvreplay.sources import _perfwalk_cy as walking
from pvreplay.sources import perfdata_packed as packed
from pvreplay.sources import perfdata_parts as parts
from pvreplay.sources import records as rec
from pvreplay.sources import zstd
from pvreplay.sources.comms import MANY, adopt
from pvreplay.sources.perfdata_head import (
    MAGIC,
    MAGIC_OLD,
    MAGIC_SWAPPED,
    PIPE_HEADER,
    RECORD_NAMES,
    FileHeader,
    check_magic,
)
from pvreplay.sources.perfdata_order import Order
from pvreplay.sources.perfdata_recording import CALLERS_TYPES, Recording
from pvreplay.sources.streams import Mapped, map_file, map_stream, read_up_to
from pvreplay.sources.tracepoints import CommTable
from pvreplay.sources.tracinghead import Cursor, CutShort
from pvreplay.trace.model import Trace

NAME: Final = "perf.data"
EXTENSIONS: Final = (".data", ".perf")
ABOUT: Final = (
    "perf record, perf sched record: file and pipe mode, zstd, 32- and 64-bit; tracepoints by their own "
    "formats, and the side band (COMM, FORK, EXIT, MMAP, SWITCH)"
)

FILL: Final = 16384
"""Records read from a pipe, or unpacked, before merging again."""
WORTH_BYTES: Final = 1 << 22
"""Records of a smaller file are decoded before threads have started."""
MISSES: Final = 8
"""Parts that may have been guessed wrong, beyond those that were right, before guessing ends."""
BLOCK: Final = 1 << 20
"""Bytes read from a pipe at a time."""
MAX_REST: Final = 1 << 26
"""No record, with what stands behind it, is longer."""
MAX_HELD: Final = 1 << 24
"""Records held for sorting (512 MiB); a file without rounds that needs more is sorted piecemeal."""
NO_LIMIT: Final = (1 << 64) - 1
NO_PLACE: Final = (1 << 63) - 1
PERF_SAYS: Final = b"[ perf record: "


def sniff(head: bytes) -> bool:
    """Whether these first bytes are a perf.data's."""
    return head[:8] in (MAGIC, MAGIC_SWAPPED, MAGIC_OLD)


def open(source: str | BinaryIO, assume: Mapping[str, str] | None = None, path: str = "-") -> Trace:
    """The trace in a perf.data: a path, or a stream (a pipe's, or a whole file's)."""
    from pvreplay.sources.ahead import read_ahead
    from pvreplay.sources.parallel import jobs
    from pvreplay.sources.recover import RecoveredTrace

    recording = PerfData(source, path, jobs())
    if recording.in_parts:
        return RecoveredTrace(recording, assume)
    return RecoveredTrace(read_ahead(recording, recording.size_bytes), assume)


class _Window:
    """Bytes to scan: *data* with the position of its first byte in the file, and how far to go."""

    __slots__ = ("base", "data", "end", "pos")

    def __init__(self, data: memoryview, pos: int, end: int, base: int) -> None:
        self.data = data
        self.pos = pos
        self.end = end
        self.base = base


class PerfData:
    """A RawSource over one perf.data (see ``records.RawSource``).

    A large file is decoded by *jobs* threads at once (``perfdata_parts.py``), with the same records.
    Raises TraceError for a file that is none, is big-endian, or has no readable header.
    """

    format = NAME

    def __init__(self, source: str | BinaryIO, path: str = "-", jobs: int = 1) -> None:
        self.path = source if isinstance(source, str) else path
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self.offset = 0
        self._about = Recording(self.path)
        self._comms = CommTable()
        self.comms = self._comms.names
        self._state = array("Q", bytes(8 * engine.STATE_INTS))
        self._types = array("q", bytes(8 * 256))
        self._mapped: Mapped | None = None
        self._stream: BinaryIO | None = None
        self._zstd: zstd.Stream | None = None
        self._inner: _Window | None = None
        self._carry = b""
        self._order = Order(parts.PART_RECORDS)
        self._limit = 0
        self._at_end = False
        self._finished = False
        self._jobs = jobs
        self._parts: parts.Parts | None = None
        self._part: parts.Part | None = None
        self._missed = 0
        self._outer = self._open(source)
        self._first = self._outer.pos
        if self._outer.pos == PIPE_HEADER or self._stream is not None:
            # A pipe describes itself in its first records: have them read before anybody asks.
            while self._order.used == 0 and not self._at_end:
                self._scan(self._turn_end())
        self.origin = self._about.origin
        self.clock = self._about.clock
        self.word_bits = self._about.word_bits
        self.enabled: frozenset[str] | None = self._about.enabled

    @property
    def size_bytes(self) -> int:
        """The size of the file; as large as can be for a pipe."""
        return len(self._mapped.data) if self._mapped is not None else NO_LIMIT

    @property
    def samples(self) -> int:
        """Samples read so far, of all events."""
        return self._types[9]

    def _open(self, source: str | BinaryIO) -> _Window:
        if isinstance(source, str):
            if os.path.isdir(source):
                raise TraceError(
                    f"{source}: a directory",
                    "Expected a perf.data; open_trace() reads the directory of perf record --threads.",
                )
            self._mapped = map_file(source)
        else:
            head = read_up_to(source, PIPE_HEADER)
            if head[:8] == MAGIC and int.from_bytes(head[8:16], "little") == PIPE_HEADER:
                self._stream = source
                return _Window(memoryview(b""), 0, 0, PIPE_HEADER)
            self._mapped = map_stream(source, head, self.path)
        data = self._mapped.data
        check_magic(data, self.path)
        if len(data) >= PIPE_HEADER and int.from_bytes(data[8:16], "little") == PIPE_HEADER:
            return _Window(data, PIPE_HEADER, len(data), 0)
        header = FileHeader(data, self.path)
        self._about.add_header(header, data)
        self.damage = self._about.damage
        return _Window(data, header.data_at, min(len(data), header.data_at + header.data_size), 0)

    @property
    def in_parts(self) -> bool:
        """Whether several threads decode it."""
        return (
            self._jobs > 1
            and self._mapped is not None
            and self._outer.end - self._outer.pos >= WORTH_BYTES
            and not self._about.compressed
            and not self._about.layouts.has_twins
            and self._comms.state[0] <= MANY
        )

    # --- reading ---------------------------------------------------------------------------------
    def fill(self, words: memoryview, start: int) -> int:
        """As ``records.RawSource`` has it."""
        room = len(words) // rec.RECORD_WORDS
        n = start
        while n < room:
            n = self._order.merge(self._limit, words, n)
            if n < room and not self._read():
                break
        return n

    def _read(self) -> bool:
        """Decode the next records and move the limit; False when everything has been handed out."""
        if self._finished:
            return False
        self._settle()
        end = self._turn_end()
        if self.in_parts and self._inner is None:
            self._adopt()
        while not self._at_end and not self._turn_over(end):
            self._scan(end)
        self._limit = self._state[engine.LIMIT]
        if self._at_end:
            self._finished = True
            self._limit = NO_LIMIT
            self._finish()
        elif self._order.waiting() > MAX_HELD:
            self._doubt("sorted_piecemeal")
            self._limit = max(self._limit, self._state[engine.MAX_TIME])
        self.offset = self._outer.base + self._outer.pos
        if self._mapped is not None:
            self._mapped.release_to(self._outer.pos)
        return True

    def _turn_end(self) -> int:
        """Where in the file reading stops to merge: at the same places whoever decodes the records."""
        if self._mapped is None:
            return NO_PLACE
        done = (self._outer.pos - self._first) // parts.PART_BYTES
        return self._first + (done + 1) * parts.PART_BYTES

    def _turn_over(self, end: int) -> bool:
        if self._inner is None and self._mapped is not None:
            return self._outer.pos >= end
        return self._order.used >= FILL

    def _settle(self) -> None:
        """Free the place of the records decoded last."""
        self._order.settle()
        if self._part is not None and self._parts is not None:
            self._parts.give_back(self._part)
        self._part = None

    def _scan(self, turn_end: int) -> None:
        """Decode up to *turn_end*, or to a record that needs a decision."""
        window = self._inner or self._outer
        about, state, comms, order = self._about, self._state, self._comms, self._order
        layouts, programs = about.layouts, about.programs
        state[engine.POS] = window.pos
        order.used = walking.walk(
            window.data, window.end, NO_PLACE if window is self._inner else turn_end, layouts.rows,
            layouts.id_at, layouts.tail_id, layouts.ids, programs.slots, about.side, layouts.twins,
            order.fresh, order.used, self._types, state, programs.rows, programs.numbers,
            comms.keys, comms.table, comms.state, comms.memo,
        )  # fmt: skip
        comms.collect()
        window.pos = state[engine.POS]
        status = state[engine.STATUS]
        if status == engine.FULL:
            self._settle()
        elif status == engine.COMMS:
            comms.make_room(walking.BATCH)
        elif status == engine.OTHER:
            try:
                self._special(window)
            except CutShort:
                self._ended(window)
            except TraceError as error:
                self._stop(window, error.message)
        elif status == engine.BAD:
            self._stop(window, f"offset {window.base + window.pos:#x}: a record of less than 8 bytes")
        elif status == engine.MORE:
            self._ended(window)

    # --- decoded by other threads ----------------------------------------------------------------
    def _adopt(self) -> None:
        """Take the part that other threads have decoded, if it begins where the one before ended."""
        window = self._outer
        if self._parts is None:
            assert self._mapped is not None
            self._parts = parts.Parts(
                self._about, self._mapped, self._first, window.end, self._comms, self._jobs
            )
        part = self._parts.take((window.pos - self._first) // parts.PART_BYTES)
        if part is None:
            return
        self._part = part
        if part.start != window.pos:
            self._missed += 1
            if self._missed > MISSES:
                self._alone()
            return
        self._missed -= 1
        walking.combine(self._state, self._types, part.state, part.types)
        adopt(self._comms, part.comms, part.words, part.count)
        self._parts.tell(self._comms)
        window.pos = part.state[engine.POS]
        self._order.adopt(part.words, part.count)

    def _alone(self) -> None:
        """Go on without other threads."""
        self._jobs = 1
        if self._parts is not None:
            self._parts.close()
            self._parts = None

    def _ended(self, window: _Window) -> None:
        """The window ends inside a record, or exactly at one's end."""
        rest = bytes(window.data[window.pos : window.end])
        if window is self._inner:
            self._carry = rest
            self._inner = None
            return
        if self._stream is not None and len(rest) < MAX_REST:
            block = self._stream.read(max(BLOCK, 2 * len(rest)))
            if block:
                data = rest + block
                self._outer = _Window(memoryview(data), 0, len(data), window.base + window.pos)
                return
        left = packed.rest_of(rest)
        cut = bool(rest or self._carry)
        if left:
            # Unpack what there is of a compressed record that is cut, and come back here.
            self._note_cut(window)
            window.pos = window.end
            try:
                self._unpack(window, left)
                return
            except TraceError:
                cut = True
        self._stop(window, "the last record is cut" if cut else "")

    def _stop(self, window: _Window, why: str) -> None:
        """End here; *why* is empty for a good end."""
        self._at_end = True
        if why and not self.damage:
            self.damage = f"{why} (after {window.base + window.pos} bytes)"

    def _note_cut(self, window: _Window) -> None:
        if not self.damage:
            self.damage = f"the last record is cut (after {window.base + window.pos} bytes)"

    # --- records that describe the others ----------------------------------------------------------
    def _special(self, window: _Window) -> None:
        """A record the scanner leaves to its caller; raises CutShort when it is not there in whole."""
        cursor = Cursor(window.data, window.pos, window.end, window.base)
        start = cursor.pos
        if bytes(window.data[start : start + len(PERF_SAYS)]) == PERF_SAYS:
            # perf record -o - 2>&1: its closing words stand behind the records.
            self._doubt("text_behind_records")
            self._at_end = True
            return
        type = cursor.u32()
        cursor.u16()
        size = cursor.u16()
        if type in CALLERS_TYPES:
            # It may change the tables that parts are decoded by.
            self._alone()
        if type == packed.COMPRESSED2:
            payload = packed.payload_of_2(cursor, size)
            window.pos = cursor.pos
            self._unpack(window, payload)
            return
        where = f"offset {window.base + start:#x}"
        if size < 8 or type > 0xFFFF:
            raise TraceError(f"{where}: a record of type {type:#x} and {size} bytes")
        cursor.pos = start
        body = memoryview(cursor.take(size))[8:]
        if type == 64:
            self._about.add_attr(body)
        elif type == 66:
            # The record holds the size of what stands behind it, padded to 8 bytes.
            count = int.from_bytes(body[:4], "little")
            at = cursor.need((count + 7) // 8 * 8)
            self._about.add_tracing_data(window.data[at : at + count], window.base + at)
        elif type == 71 and len(body) >= 8:
            cursor.need(int.from_bytes(body[:8], "little"))
        elif type == 80 and len(body) >= 8:
            self._about.add_feature(int.from_bytes(body[:8], "little"), body[8:], window.base + start)
        elif type == packed.COMPRESSED:
            window.pos = cursor.pos
            self._unpack(window, bytes(body))
            return
        elif type not in RECORD_NAMES:
            self._doubt(f"record_type_{type}")
        window.pos = cursor.pos

    def _unpack(self, window: _Window, payload: bytes) -> None:
        """Let the scanner go on in what a compressed record unpacks to."""
        where = f"{self.path}: offset {window.base + window.pos:#x}"
        if window is self._inner:
            raise TraceError(f"{where}: a compressed record inside another")
        if self._zstd is None:
            self._zstd = zstd.open_stream(self.path)
        data = self._carry + zstd.unpack(self._zstd, payload, where)
        self._carry = b""
        self._inner = _Window(memoryview(data), 0, len(data), window.base + window.pos)

    # --- at the end ------------------------------------------------------------------------------
    def _doubt(self, name: str, count: int = 1) -> None:
        if count:
            self.doubts[name] = self.doubts.get(name, 0) + count

    def _finish(self) -> None:
        self._alone()
        state = self._state
        self._comms.add_doubts(self.doubts)
        for name, count in self._about.programs.doubts.items():
            self._doubt(name, count)
        self._doubt("bad_samples", state[engine.BAD_SAMPLES])
        self._doubt("samples_of_unknown_events", state[engine.UNKNOWN_IDS])
        self._doubt("cpu_too_high", state[engine.HIGH_CPUS])
        for type, count in enumerate(self._types):
            if count and type not in RECORD_NAMES:
                self._doubt(f"record_type_{type}", count)
        unseen = state[engine.LOST_SAMPLES] - state[engine.LOST]
        if 0 < unseen < 1 << 63:
            # Read from the kernel's own counters at the end: more than the buffers told.
            time_ns, count = state[engine.MAX_TIME], min(unseen, 0xFFFFFFFF)
            self._order.append(rec.record(time_ns, 0, rec.LOST, -1, count, flags=rec.ANY_CPU))

"""perf.data: files and pipes of ``perf record``, read as they are.

The compiled scanner walks the records; this module finds the descriptions
(attributes, formats, features), feeds it buffers (the mapped file, a pipe's
blocks, what compressed records unpack to) and merges by time what it finds.

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
from pvreplay.sources import _merge_cy as merging
from pvreplay.sources import _perfdata_cy as engine
from pvreplay.sources import _tracepoint_cy as payloads
from pvreplay.sources import records as rec
from pvreplay.sources import tracepoints as tp
from pvreplay.sources import zstd
from pvreplay.sources.perfdata_guess import guess_switch
from pvreplay.sources.perfdata_head import (
    CLOCK_NAMES,
    FEATURE_STRINGS,
    FEATURE_TRACING_DATA,
    FLAG_CONTEXT_SWITCH,
    FLAG_TASK,
    MAGIC,
    MAGIC_OLD,
    MAGIC_SWAPPED,
    MAX_EVENTS,
    PIPE_HEADER,
    RECORD_NAMES,
    Event,
    FileHeader,
    Layouts,
    feature_string,
)
from pvreplay.sources.streams import Mapped, map_file, map_stream, read_up_to
from pvreplay.sources.tracinghead import Cursor, CutShort, read_perf_tracing_data
from pvreplay.trace.model import Trace

NAME: Final = "perf.data"
EXTENSIONS: Final = (".data", ".perf")
ABOUT: Final = (
    "perf record, perf sched record: file and pipe mode, zstd, 32- and 64-bit; tracepoints by their own "
    "formats, and the side band (COMM, FORK, EXIT, MMAP, SWITCH)"
)

BATCH: Final = 2048
"""Records decoded at a time: their place in the file stays in the cache between the two passes."""
FILL: Final = 16384
"""Records asked for before merging again."""
BLOCK: Final = 1 << 20
"""Bytes read from a pipe at a time."""
MAX_HELD: Final = 1 << 24
"""Records held for sorting (512 MiB); a file without rounds that needs more is sorted piecemeal."""

CALLER: Final = 255
"""In the table of side-band records: not the scanner's business."""
PERF_SAYS: Final = b"[ perf record: "


def sniff(head: bytes) -> bool:
    """Whether these first bytes are a perf.data's."""
    return head[:8] in (MAGIC, MAGIC_SWAPPED) or head[:8] == MAGIC_OLD


def open(source: str | BinaryIO, assume: Mapping[str, str] | None = None, path: str = "-") -> Trace:
    """The trace in a perf.data: a path, or a stream (a pipe's, or a whole file's)."""
    from pvreplay.sources.recover import RecoveredTrace

    return RecoveredTrace(PerfData(source, path), assume)


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

    Raises TraceError for a file that is none, is big-endian, or has no readable header.
    """

    format = NAME

    def __init__(self, source: str | BinaryIO, path: str = "-") -> None:
        self.path = source if isinstance(source, str) else path
        self.origin = ""
        self.clock = "perf"
        self.word_bits = 0
        self.enabled: frozenset[str] | None = frozenset()
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self.offset = 0
        self._features: dict[str, str] = {}
        self._events: list[Event] = []
        self._programs = tp.Programs()
        self._comms = tp.CommTable()
        self.comms = self._comms.names
        self._state = array("Q", bytes(8 * engine.STATE_INTS))
        self._types = array("q", bytes(8 * 256))
        self._side = bytearray(256)
        self._side_programs: dict[str, int] = {}
        self._layouts: Layouts | None = None
        self._mapped: Mapped | None = None
        self._stream: BinaryIO | None = None
        self._zstd: zstd.Stream | None = None
        self._inner: _Window | None = None
        self._carry = b""
        self._words = memoryview(array("Q", bytes(rec.RECORD_BYTES * 4 * FILL)))
        self._used = 0
        self._runs = array("q", bytes(16 * 1024))
        self._nr_runs = 0
        self._heap = array("q", bytes(8 * 1024))
        self._merge_state = array("q", [0, 0])
        self._limit = 0
        self._at_end = False
        self._outer = self._open(source)
        self._describe()

    # --- opening ---------------------------------------------------------------------------------
    def _open(self, source: str | BinaryIO) -> _Window:
        if isinstance(source, str):
            self._mapped = map_file(_no_directory(source))
        else:
            head = read_up_to(source, PIPE_HEADER)
            if head[:8] == MAGIC and int.from_bytes(head[8:16], "little") == PIPE_HEADER:
                self._stream = source
                return _Window(memoryview(b""), 0, 0, PIPE_HEADER)
            self._mapped = map_stream(source, head, self.path)
        return self._open_data(self._mapped.data)

    def _open_data(self, data: memoryview) -> _Window:
        magic = bytes(data[:8])
        if magic == MAGIC_SWAPPED:
            raise TraceError(
                f"{self.path}: a big-endian perf.data",
                "x86 is little-endian: such a recording has no paravirt switch path to replay.",
            )
        if magic == MAGIC_OLD:
            raise TraceError(
                f"{self.path}: a perf.data of the first version (Linux 2.6)",
                "Only PERFILE2 is read; convert it with a perf of its time: perf script > trace.txt.",
            )
        if magic != MAGIC:
            raise TraceError(
                f"{self.path}: offset 0: {magic!r} where {MAGIC!r} should stand", "This is no perf.data."
            )
        if len(data) >= PIPE_HEADER and int.from_bytes(data[8:16], "little") == PIPE_HEADER:
            return _Window(data, PIPE_HEADER, len(data), 0)
        header = FileHeader(data, self.path)
        self.damage = header.damage
        self._events = header.events
        for bit, (at, size) in header.features.items():
            if at + size > len(data):
                self.damage = self.damage or "the file is cut: descriptions behind the records are missing"
                continue
            self._feature(bit, data[at : at + size], at)
        end = min(len(data), header.data_at + header.data_size)
        window = _Window(data, header.data_at, end, 0)
        if not self._programs.known and any(event.is_tracepoint for event in self._events):
            self._guess(window)
        return window

    def _guess(self, window: _Window) -> None:
        """Without the formats (they stand at the file's end), recognise sched_switch by its content."""
        found = guess_switch(window.data[window.pos : window.end], self._events)
        how = "its format texts are missing"
        if found is None:
            self.damage = f"{self.damage or how}; no event could be recognised without its format"
            return
        self._programs.add(found)
        self.damage = (
            f"{self.damage or how}; sched_switch was recognised by its chain of pids, no other event can be"
        )

    def _feature(self, bit: int, data: memoryview, at: int) -> None:
        if bit == FEATURE_TRACING_DATA:
            self._tracing_data(data, at)
        elif bit in FEATURE_STRINGS:
            self._features[FEATURE_STRINGS[bit]] = feature_string(data)

    def _tracing_data(self, data: memoryview, at: int) -> None:
        head = read_perf_tracing_data(data, tp.wanted, self.path, at)
        self._programs.add_all(head.formats.values())
        if head.page is not None:
            self.word_bits = head.page.commit_size * 8

    def _describe(self) -> None:
        """What follows from attributes and features."""
        known = {number: name for name, number in self._programs.known.items()}
        ids = {event.config for event in self._events if event.is_tracepoint}
        self.enabled = frozenset(known[number] for number in ids if number in known)
        self.word_bits = self.word_bits or self._programs.word_bits
        for event in self._events:
            if event.clockid >= 0:
                self.clock = CLOCK_NAMES.get(event.clockid, f"clockid {event.clockid}")
        told = self._features
        system = " ".join(told[key] for key in ("hostname", "release", "arch") if told.get(key))
        perf = f"perf {told['version']}" if told.get("version") else "perf"
        self.origin = f"{perf} on {system}" if system else perf
        self._side[:] = self._sideband()
        self._layouts = None

    def _sideband(self) -> bytes:
        """What to do with each type of record that is not a sample."""
        side = bytearray(256)
        for type in (64, 66, 71, 80, 81, 83):
            side[type] = CALLER
        tasks = any(event.flags & FLAG_TASK for event in self._events)
        switches = any(event.flags & FLAG_CONTEXT_SWITCH for event in self._events)
        enabled = self.enabled or frozenset()
        side[1] = side[10] = self._side_program("mmap", tp.PERF_MMAP, rec.INFO, 8, flags=rec.IS_USER)
        side[2] = self._side_program("lost", tp.PERF_LOST, rec.LOST, 16)
        execs = 0 if "sched:sched_process_exec" in enabled else 1
        side[3] = self._side_program(f"comm{execs}", tp.PERF_COMM, rec.RENAME, 8, option=execs)
        if "task:task_newtask" not in enabled:
            side[7] = self._side_program("fork", tp.PERF_TASK, rec.FORK, 16)
            if tasks and "sched:sched_process_fork" in enabled:
                # The side band also says whether the child is a thread: one account of a birth is enough.
                self._programs.slots[self._programs.known["sched:sched_process_fork"]] = 0
        side[4] = self._side_program("exit", tp.PERF_TASK, rec.EXIT, 16, option=1)
        if switches and "sched:sched_switch" not in enabled:
            side[14] = self._side_program("in", tp.PERF_SWITCH, rec.SWITCH, 4, flags=rec.NO_PREV)
            side[15] = self._side_program("switch", tp.PERF_SWITCH, rec.SWITCH, 8, option=1)
        return bytes(side)

    def _side_program(
        self, key: str, handler: int, type: int, least: int, flags: int = 0, option: int = 0
    ) -> int:
        """The number of a program for a side-band record, made once."""
        if key not in self._side_programs:
            row = [0] * payloads.PROGRAM_INTS
            row[tp.HANDLER], row[tp.TYPE], row[tp.LEAST] = handler, type, least
            row[tp.PID], row[tp.FLAGS], row[4] = -1, flags, option
            self._side_programs[key] = self._programs.add_row(row)
        return self._side_programs[key]

    def _new_layouts(self) -> Layouts:
        self._layouts = Layouts(self._events, self._programs.slots)
        return self._layouts

    # --- reading ---------------------------------------------------------------------------------
    def fill(self, words: memoryview, start: int) -> int:
        """As ``records.RawSource`` has it."""
        room = len(words) // rec.RECORD_WORDS
        n = start
        while n < room:
            n = merging.merge(
                self._words,
                self._runs,
                self._nr_runs,
                self._heap,
                self._limit,
                False,
                words,
                n,
                self._merge_state,
            )
            if n < room and not self._read():
                break
        return n

    def _read(self) -> bool:
        """Decode the next records and move the limit; False when everything has been handed out."""
        if self._at_end:
            return False
        self._nr_runs = merging.compact(self._words, self._runs, self._nr_runs, self._merge_state)
        self._used = first = self._merge_state[0]
        capacity = len(self._words) // rec.RECORD_WORDS
        if first + FILL > capacity:
            grown = memoryview(array("Q", bytes(rec.RECORD_BYTES * capacity * 2)))
            grown[: first * rec.RECORD_WORDS] = self._words[: first * rec.RECORD_WORDS]
            self._words = grown
        while self._used < first + FILL and not self._at_end:
            self._scan()
        self._cut_runs(first)
        self._limit = self._state[engine.LIMIT]
        if self._at_end:
            self._limit = (1 << 64) - 1
            self._finish()
        elif self._used - first + self._held() > MAX_HELD:
            self._doubt("sorted_piecemeal")
            self._limit = max(self._limit, self._state[engine.MAX_TIME])
        self.offset = self._outer.base + self._outer.pos
        if self._mapped is not None:
            self._mapped.release_to(self._outer.pos)
        return True

    def _held(self) -> int:
        return sum(self._runs[2 * k + 1] - self._runs[2 * k] for k in range(self._nr_runs))

    def _cut_runs(self, first: int) -> None:
        """Find the ascending runs in what was decoded from record *first* on."""
        while True:
            self._nr_runs = merging.find_runs(
                self._words, first, self._used, self._runs, self._nr_runs, self._merge_state
            )
            first = self._merge_state[0]
            if first >= self._used:
                break
            self._runs.extend(array("q", bytes(8 * len(self._runs))))
            self._heap = array("q", bytes(4 * len(self._runs)))

    def _scan(self) -> None:
        """One batch of records, or one record that needs a decision."""
        window = self._inner or self._outer
        layouts = self._layouts or self._new_layouts()
        state = self._state
        state[engine.POS] = window.pos
        first = self._used
        found = engine.scan(
            window.data, window.end, layouts.rows, layouts.id_at, layouts.tail_id, layouts.ids,
            self._programs.slots, self._side, layouts.twins, self._words, first, first + BATCH,
            self._types, state,
        )  # fmt: skip
        if found > first:
            self._comms.make_room(found - first)
            found = payloads.decode(
                window.data, self._words, first, found, 0, self._programs.rows, self._programs.numbers,
                self._comms.keys, self._comms.table, self._comms.state,
            )  # fmt: skip
            self._comms.collect()
        self._used = found
        window.pos = state[engine.POS]
        status = state[engine.STATUS]
        if status == engine.OTHER:
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

    def _ended(self, window: _Window) -> None:
        """The window ends inside a record, or exactly at one's end."""
        rest = bytes(window.data[window.pos : window.end])
        if window is self._inner:
            self._carry = rest
            self._inner = None
        elif self._stream is not None:
            block = self._stream.read(max(BLOCK, 2 * len(rest)) if len(rest) < 1 << 26 else 0)
            if block:
                data = rest + block
                self._outer = _Window(memoryview(data), 0, len(data), window.base + window.pos)
            else:
                self._stop(window, "the last record is cut" if rest else "")
        elif rest or self._carry:
            self._stop(window, "the last record is cut")
        else:
            self._at_end = True

    def _stop(self, window: _Window, why: str) -> None:
        """End here; *why* is empty for a good end."""
        self._at_end = True
        if why and not self.damage:
            self.damage = f"{why} (after {window.base + window.pos} bytes)"

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
        if type == 83:
            self._compressed2(window, cursor, size)
            return
        if size < 8:
            raise TraceError(f"offset {window.base + start:#x}: a record of {size} bytes")
        cursor.pos = start
        body = memoryview(cursor.take(size))[8:]
        if type == 64:
            self._attr(body)
        elif type == 66:
            self._tracing_record(cursor, body)
        elif type == 71 and len(body) >= 8:
            cursor.need(int.from_bytes(body[:8], "little"))
        elif type == 80 and len(body) >= 8:
            self._feature(int.from_bytes(body[:8], "little"), body[8:], window.base + start)
            self._describe()
        elif type == 81:
            window.pos = cursor.pos
            self._unpack(window, bytes(body))
            return
        elif type > 0xFFFF:
            raise TraceError(f"offset {window.base + start:#x}: a record of type {type:#x}")
        elif type not in RECORD_NAMES:
            self._doubt(f"record_type_{type}")
        window.pos = cursor.pos

    def _attr(self, body: memoryview) -> None:
        """HEADER_ATTR: an attribute of the size it names itself, then its ids."""
        size = int.from_bytes(body[4:8], "little") or 64
        if size < 64 or size > len(body) or len(self._events) >= MAX_EVENTS:
            raise TraceError(f"an event attribute of {size} bytes in a record of {len(body)}")
        ids = array("Q", bytes(body[size : size + (len(body) - size) // 8 * 8])).tolist()
        self._events.append(Event(body[:size], ids))
        self._layouts = None
        self._describe()

    def _tracing_record(self, cursor: Cursor, body: memoryview) -> None:
        """HEADER_TRACING_DATA: its size, and behind the record the data, padded to 8 bytes."""
        size = int.from_bytes(body[:4], "little")
        at = cursor.need((size + 7) // 8 * 8)
        self._tracing_data(memoryview(cursor.data)[at : at + size], cursor.base + at)
        self._describe()

    # --- compressed records ----------------------------------------------------------------------
    def _compressed2(self, window: _Window, cursor: Cursor, size: int) -> None:
        """COMPRESSED2: u64 bytes of zstd data, the data, padding.

        perf 6.16 stores the padded size in 16 bits without looking: where it does not fit, the
        size is wrong, there is no padding, and the count of bytes alone is right.
        """
        start = cursor.pos - 8
        count = cursor.u64()
        padded = (16 + count + 7) // 8 * 8
        if count > 1 << 26:
            raise TraceError(f"offset {window.base + start:#x}: {count} bytes in a compressed record")
        payload = cursor.take(count)
        cursor.pos = start
        cursor.need(padded if padded == size else 16 + count)
        window.pos = cursor.pos
        if 16 + count > 65535:
            # Several records written as one: those behind the first have headers of their own.
            first = 65535 - 16
            pieces = [payload[:first]]
            at = first
            while at + 16 <= count:
                inner = int.from_bytes(payload[at + 6 : at + 8], "little")
                if payload[at : at + 4] != b"\x53\0\0\0" or inner < 16:
                    raise TraceError(f"offset {window.base + start:#x}: a compressed record of records")
                pieces.append(payload[at + 16 : at + inner])
                at += inner
            payload = b"".join(pieces)
        self._unpack(window, payload)

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
        state = self._state
        self._comms.add_doubts(self.doubts)
        for name, count in self._programs.doubts.items():
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
            self._append(
                rec.record(
                    state[engine.MAX_TIME], 0, rec.LOST, -1, min(unseen, 0xFFFFFFFF), flags=rec.ANY_CPU
                )
            )

    def _append(self, record: tuple[int, int, int, int]) -> None:
        """Add one record at the end of what is held."""
        first = self._used
        if (first + 1) * rec.RECORD_WORDS > len(self._words):
            grown = memoryview(array("Q", bytes(2 * rec.RECORD_BYTES * (first + 1))))
            grown[: first * rec.RECORD_WORDS] = self._words[: first * rec.RECORD_WORDS]
            self._words = grown
        for place, word in enumerate(record):
            self._words[first * rec.RECORD_WORDS + place] = word
        self._used += 1
        self._cut_runs(first)


def _no_directory(path: str) -> str:
    """perf record --threads makes a directory; its records are in several files."""
    if os.path.isdir(path):
        raise TraceError(
            f"{path}: a directory",
            "perf record --threads is not read; record without it, or use perf inject.",
        )
    return path

"""perf.data's header: event attributes with their ids, feature sections, record names.

Facts: tools/perf/Documentation/perf.data-file-format.txt and
include/uapi/linux/perf_event.h.  All numbers are little-endian; a big-endian
file is refused.
"""

from __future__ import annotations

from array import array
from typing import Final

from pvreplay.errors import TraceError
from pvreplay.sources import _perfdata_cy as engine
from pvreplay.sources.tracinghead import Buffer, Cursor, CutShort

MAGIC: Final = b"PERFILE2"
MAGIC_SWAPPED: Final = b"2ELIFREP"
MAGIC_OLD: Final = b"PERFFILE"
PIPE_HEADER: Final = 16
FILE_HEADER: Final = 104

TYPE_TRACEPOINT: Final = 2
BY_PAYLOAD: Final = 255
MAX_EVENTS: Final = 4096
MAX_IDS: Final = 1 << 20
FEW_IDS: Final = 1 << 14
"""Places in a table of ids (256 KiB), more than which stay in no cache."""
ATTR_LEAST: Final = 64
"""PERF_ATTR_SIZE_VER0: type, size, config, period, sample_type, read_format, flags, ..."""

# sample_type bits
IP: Final = 1 << 0
TID: Final = 1 << 1
TIME: Final = 1 << 2
ADDR: Final = 1 << 3
READ: Final = 1 << 4
CALLCHAIN: Final = 1 << 5
ID: Final = 1 << 6
CPU: Final = 1 << 7
PERIOD: Final = 1 << 8
STREAM_ID: Final = 1 << 9
RAW: Final = 1 << 10
IDENTIFIER: Final = 1 << 16

BEFORE_RAW: Final = (IDENTIFIER, IP, TID, TIME, ADDR, ID, STREAM_ID, CPU, PERIOD)
"""The fixed part of a sample, 8 bytes each, in order."""
TAIL: Final = (TID, TIME, ID, STREAM_ID, CPU, IDENTIFIER)
"""What ends every other record (sample_id_all), 8 bytes each, in order."""

FLAG_TASK: Final = 1 << 13
FLAG_SAMPLE_ID_ALL: Final = 1 << 18
FLAG_USE_CLOCKID: Final = 1 << 25
FLAG_CONTEXT_SWITCH: Final = 1 << 26

CLOCK_NAMES: Final = {0: "realtime", 1: "mono", 4: "mono_raw", 7: "boot", 11: "tai"}

FEATURE_TRACING_DATA: Final = 1
FEATURE_STRINGS: Final = {3: "hostname", 4: "release", 5: "version", 6: "arch"}
FEATURE_COMPRESSED: Final = 27

RECORD_NAMES: Final = {
    1: "MMAP", 2: "LOST", 3: "COMM", 4: "EXIT", 5: "THROTTLE", 6: "UNTHROTTLE", 7: "FORK", 8: "READ",
    9: "SAMPLE", 10: "MMAP2", 11: "AUX", 12: "ITRACE_START", 13: "LOST_SAMPLES", 14: "SWITCH",
    15: "SWITCH_CPU_WIDE", 16: "NAMESPACES", 17: "KSYMBOL", 18: "BPF_EVENT", 19: "CGROUP",
    20: "TEXT_POKE", 21: "AUX_OUTPUT_HW_ID", 22: "CALLCHAIN_DEFERRED",
    64: "HEADER_ATTR", 65: "HEADER_EVENT_TYPE", 66: "HEADER_TRACING_DATA", 67: "HEADER_BUILD_ID",
    68: "FINISHED_ROUND", 69: "ID_INDEX", 70: "AUXTRACE_INFO", 71: "AUXTRACE", 72: "AUXTRACE_ERROR",
    73: "THREAD_MAP", 74: "CPU_MAP", 75: "STAT_CONFIG", 76: "STAT", 77: "STAT_ROUND",
    78: "EVENT_UPDATE", 79: "TIME_CONV", 80: "HEADER_FEATURE", 81: "COMPRESSED",
    82: "FINISHED_INIT", 83: "COMPRESSED2", 84: "BPF_METADATA", 85: "SCHEDSTAT_CPU",
    86: "SCHEDSTAT_DOMAIN",
}  # fmt: skip
"""Record types known by name; the others are skipped and counted by number."""


class Event:
    """One perf_event_attr and the ids its samples carry."""

    __slots__ = ("clockid", "config", "flags", "ids", "read_format", "sample_type", "type")

    def __init__(self, attr: Buffer, ids: list[int]) -> None:
        cursor = Cursor(attr)
        self.type = cursor.u32()
        cursor.u32()
        self.config = cursor.u64()
        cursor.u64()
        self.sample_type = cursor.u64()
        self.read_format = cursor.u64()
        self.flags = cursor.u64()
        self.clockid = -1
        if self.flags & FLAG_USE_CLOCKID and len(attr) >= 96:
            cursor.pos = 92
            self.clockid = cursor.u32()
        self.ids = ids

    @property
    def is_tracepoint(self) -> bool:
        """Its samples are a tracepoint's and carry the payload."""
        return self.type == TYPE_TRACEPOINT and bool(self.sample_type & RAW)

    def sample_offset(self, bit: int) -> int:
        """Where a part of the fixed sample stands, from the record's start; 0 when it is not there."""
        return _offset(8, BEFORE_RAW, self.sample_type, bit)

    def tail_size(self) -> int:
        """Bytes that end the records that are not samples."""
        if not self.flags & FLAG_SAMPLE_ID_ALL:
            return 0
        return 8 * sum(1 for part in TAIL if self.sample_type & part)

    def tail_offset(self, bit: int) -> int:
        """How far from a record's end a part of its tail starts; 0 when it is not there."""
        if not self.flags & FLAG_SAMPLE_ID_ALL or not self.sample_type & bit:
            return 0
        return self.tail_size() - _offset(0, TAIL, self.sample_type, bit)

    def layout(self, program: int, twin: int) -> list[int]:
        """The numbers ``_perfdata_cy.scan`` reads samples by.

        *program* is what to do with them (0 nothing, BY_PAYLOAD); *twin* is a bit, 0 for a lone event.
        """
        fixed = 8 + 8 * sum(1 for part in BEFORE_RAW if self.sample_type & part)
        row = [0] * engine.LAYOUT_INTS
        row[0] = program if self.is_tracepoint else 0
        row[1] = fixed
        row[2] = self.sample_offset(TID)
        row[3] = self.sample_offset(TIME)
        row[4] = self.sample_offset(CPU)
        row[5] = fixed
        row[6] = self.tail_offset(TID)
        row[7] = self.tail_offset(TIME)
        row[8] = self.tail_offset(CPU)
        row[9] = self.tail_size()
        row[10] = (1 if self.sample_type & READ else 0) | (2 if self.sample_type & CALLCHAIN else 0)
        row[11] = self.read_format & 31
        row[12] = twin
        return row


def _offset(at: int, parts: tuple[int, ...], sample_type: int, bit: int) -> int:
    for part in parts:
        if part == bit:
            return at if sample_type & bit else 0
        if sample_type & part:
            at += 8
    return 0


class Layouts:
    """All events of a file, in the arrays the compiled scanner takes.

    *slots* are the programs by tracepoint; without it every tracepoint's payload is looked at.
    *id_at* and *tail_id* are 0 where one layout does for all samples.
    """

    def __init__(self, events: list[Event], slots: bytearray | None = None) -> None:
        groups: dict[int, list[int]] = {}
        for number, event in enumerate(events):
            if event.is_tracepoint:
                groups.setdefault(event.config, []).append(number)
        twins = {
            number: 1 << min(place, 63)
            for group in groups.values()
            if len(group) > 1
            for place, number in enumerate(group)
        }
        # A signed array: bit 63 would not fit, and nobody names one tracepoint 63 times.
        self.rows = array("q")
        for number, event in enumerate(events):
            program = BY_PAYLOAD if slots is None else slots[event.config] if event.config < len(slots) else 0
            self.rows.extend(event.layout(program, min(twins.get(number, 0), 1 << 62)))
        if not events:
            self.rows.extend([0] * engine.LAYOUT_INTS)
        self.has_twins = bool(twins)
        self.twins = array("Q", bytes(32 * engine.CPU_LIMIT if twins else 32))
        self.id_at = self.tail_id = 0
        if len(events) > 1:
            first = next((event for event in events if event.is_tracepoint), events[0])
            if first.sample_type & IDENTIFIER:
                self.id_at, self.tail_id = 8, 8
            else:
                self.id_at, self.tail_id = first.sample_offset(ID), first.tail_offset(ID)
            if not self.id_at:
                # Recordings from before ids were sampled: the tracepoints share one layout.
                self.rows = self.rows[:0]
                self.rows.extend(first.layout(BY_PAYLOAD, 0))
                self.tail_id = 0
        ids = {id for event in events for id in event.ids}
        size = 1 << max(4, (4 * len(ids)).bit_length())
        # Every sample looks its event up: where a larger table has each id in its own place, it pays.
        while size < min(FEW_IDS, 64 * len(ids)) and len({engine.id_spot(id, size - 1) for id in ids}) < len(
            ids
        ):
            size *= 2
        self.ids = array("Q", bytes(16 * size))
        for number, event in enumerate(events):
            for id in event.ids:
                self._enter(id, number, size - 1)

    def _enter(self, id: int, number: int, mask: int) -> None:
        spot = engine.id_spot(id, mask)
        while self.ids[spot * 2 + 1] and self.ids[spot * 2] != id:
            spot = (spot + 1) & mask
        self.ids[spot * 2] = id
        self.ids[spot * 2 + 1] = number + 1


class FileHeader:
    """The header of a perf.data written to a file; offsets and sizes in bytes.

    *damage* says what of it lies beyond the end of a file cut short.
    """

    def __init__(self, data: Buffer, path: str) -> None:
        try:
            self._read(Cursor(data), path)
        except CutShort as cut:
            raise TraceError(
                f"{path}: the header is cut: {cut}", f"A perf.data starts with {FILE_HEADER} bytes of header."
            ) from None

    def _read(self, cursor: Cursor, path: str) -> None:
        total = len(cursor.data)
        cursor.pos = 8
        cursor.u64()
        attr_size = cursor.u64()
        attrs_at, attrs_size = cursor.u64(), cursor.u64()
        self.data_at, self.data_size = cursor.u64(), cursor.u64()
        cursor.u64()
        cursor.u64()
        bits = int.from_bytes(cursor.take(32), "little")
        if not ATTR_LEAST + 16 <= attr_size <= 4096 or attrs_size // attr_size > MAX_EVENTS:
            raise TraceError(
                f"{path}: {attrs_size} bytes of event attributes of {attr_size} bytes each",
                "Expected at least 80 bytes an attribute; the header is damaged.",
            )
        self.events: list[Event] = []
        for at in range(attrs_at, attrs_at + attrs_size - attr_size + 1, attr_size):
            cursor.pos = at
            attr = cursor.take(attr_size - 16)
            ids_at, ids_size = cursor.u64(), cursor.u64()
            cursor.pos = ids_at
            if ids_size // 8 > MAX_IDS:
                raise CutShort(ids_at, ids_size)
            ids = array("Q", cursor.take(ids_size // 8 * 8)).tolist()
            self.events.append(Event(attr, ids))
        if self.data_at > total:
            raise CutShort(self.data_at, self.data_size)
        self.damage = ""
        if self.data_size == 0 and self.data_at < total:
            # perf writes the size when it ends; what follows are the records all the same.
            self.damage = "the recording was not closed (data size 0 in the header)"
            self.data_size = total - self.data_at
            bits = 0
        self.features: dict[int, tuple[int, int]] = {}
        cursor.pos = self.data_at + self.data_size
        try:
            for bit in range(1, 256):
                if bits >> bit & 1:
                    self.features[bit] = (cursor.u64(), cursor.u64())
        except CutShort:
            missing = self.data_at + self.data_size - total
            self.damage = (
                f"the file is cut: the header tells of {self.data_size} bytes of records, "
                f"the last {missing} and the descriptions behind them are missing"
                if missing > 0
                else "the file is cut inside the table of its descriptions"
            )


def check_magic(data: Buffer, path: str) -> None:
    """Raises TraceError for bytes that are no perf.data, or one that is not read here."""
    magic = bytes(data[:8])
    if magic == MAGIC_SWAPPED:
        raise TraceError(
            f"{path}: a big-endian perf.data",
            "x86 is little-endian: such a recording has no paravirt switch path to replay.",
        )
    if magic == MAGIC_OLD:
        raise TraceError(
            f"{path}: a perf.data of the first version (Linux 2.6)",
            "Only PERFILE2 is read; convert it with a perf of its time: perf script > trace.txt.",
        )
    if magic != MAGIC:
        raise TraceError(f"{path}: offset 0: {magic!r} where {MAGIC!r} should stand", "This is no perf.data.")


def feature_string(data: Buffer) -> str:
    """A perf_header_string: its length, then the text and zeros."""
    try:
        cursor = Cursor(data)
        return cursor.take(cursor.u32()).split(b"\0", 1)[0].decode("utf-8", "replace")
    except CutShort:
        return ""

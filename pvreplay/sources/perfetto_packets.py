"""The packets of a Perfetto trace: where each CPU's bundles are, and what the rest says.

A first pass walks the packets without looking into the events.  What compressed packets hold of
bundles goes to an unnamed temporary file, so memory has 17 bytes a bundle and nothing of the events.
"""

from __future__ import annotations

import tempfile
import zlib
from array import array
from collections.abc import Iterator
from typing import Final

from pvreplay.errors import TraceError
from pvreplay.sources import _perfetto_walk_cy as engine
from pvreplay.sources import zstd
from pvreplay.sources.streams import Mapped
from pvreplay.trace.events import CPU_MAX

ROWS: Final = 4096
LEAST: Final = 12
"""Bytes of the shortest trace with an event."""
UNPACKED_MAX: Final = 1 << 28
"""No compressed_packets hold more once unpacked (traced packs 512 KiB at a time)."""
_CPU: Final = 1
_FTRACE_CLOCK: Final = 5
"""Fields of a bundle (ftrace_event_bundle.proto).  The CPU stands first in all known to be written."""
CLOCKS: Final = {0: "boot", 1: "", 2: "global", 3: "local", 4: "mono_raw"}
"""FtraceClock; boot is traced's default and is not written down."""
WORD_BITS: Final = {"x86_64": 64, "aarch64": 64, "riscv64": 64, "i386": 32, "i686": 32, "armv7l": 32}

Field = tuple[int, int, int | memoryview]
"""(number, wire type, value)."""


class Bundles:
    """The bundles of one CPU: *starts* and *ends* in the file, or in what was unpacked."""

    __slots__ = ("dropped", "ends", "starts", "unpacked")

    def __init__(self) -> None:
        self.starts = array("Q")
        self.ends = array("Q")
        self.unpacked = bytearray()
        """1 for a bundle that stands in Packets.unpacked."""
        self.dropped: set[int] = set()
        """Bundles before which packets were dropped."""


class Thread:
    """What process trees say of a thread."""

    __slots__ = ("kthread", "name", "tgid", "user")

    def __init__(self, tgid: int, name: bytes, kthread: bool, user: bool) -> None:
        self.tgid = tgid
        self.name = name
        self.kthread = kthread
        self.user = user


class Packets:
    """A first look at a whole Perfetto trace.

    Raises TraceError when it has no packet at its start, or compressed packets that cannot be unpacked.
    """

    def __init__(self, mapped: Mapped, path: str) -> None:
        self.path = path
        self.cpus: dict[int, Bundles] = {}
        self.threads: dict[int, Thread] = {}
        """By tid, what was said first."""
        self.lost: dict[int, int] = {}
        """Events each CPU's kernel buffer lost while it was traced."""
        self.machine = ""
        self.release = ""
        self.clock: int | None = None
        self.damage = ""
        self.doubts: dict[str, int] = {}
        self.unpacked = memoryview(b"")
        self._first: dict[int, int] = {}
        data = mapped.data
        with tempfile.TemporaryFile() as self._file:
            at, status = self._walk(data, mapped)
            self._file.flush()
            if self._file.tell():
                self.unpacked = Mapped(self._file.fileno()).data
        if status == engine.P_BAD:
            if not at:
                raise TraceError(f"{path}: no packet of a Perfetto trace at its start")
            self.damage = f"no packet at offset {at:#x}; {len(data) - at} bytes are left"
        elif status == engine.P_CUT:
            self.damage = self.damage or "the file ends inside a packet"

    def _walk(self, data: memoryview, mapped: Mapped | None = None) -> tuple[int, int]:
        """Take in the packets of *data*; where that stopped, and why."""
        rows = array("Q", bytes(8 * engine.ROW_INTS * ROWS))
        state = array("Q", [0, 0, 0])
        while True:
            engine.packets(data, len(data), rows, state)
            for row in range(0, engine.ROW_INTS * state[engine.P_ROWS], engine.ROW_INTS):
                self._take(data, rows[row], rows[row + 1], rows[row + 2], mapped is None)
            if mapped is not None:
                mapped.release_to(state[engine.P_POS])
            if state[engine.P_STATUS] != engine.P_FULL:
                break
        return state[engine.P_POS], state[engine.P_STATUS]

    def _take(self, data: memoryview, what: int, start: int, end: int, unpacked: bool) -> None:
        field = what & 0xFFFFFFFF
        if field == engine.BUNDLE:
            self._bundle(data, start, end, unpacked, bool(what >> 32))
        elif field == engine.PROCESS_TREE:
            self._tree(data[start:end])
        elif field == engine.STATS:
            self._stats(data[start:end])
        elif field == engine.SYSTEM_INFO:
            self._system(data[start:end])
        elif unpacked:
            raise TraceError(f"{self.path}: compressed packets inside compressed packets")
        else:
            self._unpack(bytes(data[start:end]), field == engine.ZSTD, start)

    def _unpack(self, packed: bytes, with_zstd: bool, start: int) -> None:
        where = f"{self.path}: offset {start:#x}"
        if with_zstd:
            content = zstd.unpack(zstd.open_stream(self.path), packed, where)
        else:
            unpacker = zlib.decompressobj()
            try:
                content = unpacker.decompress(packed, UNPACKED_MAX)
            except zlib.error as error:
                self.damage = self.damage or f"offset {start:#x}: compressed packets are damaged: {error}"
                return
            if not unpacker.eof:
                self.damage = self.damage or f"offset {start:#x}: compressed packets are cut"
        at, status = self._walk(memoryview(content))
        if status:
            self.damage = self.damage or (
                f"offset {start:#x}: of compressed packets {at} of {len(content)} bytes are sound"
            )

    def _bundle(self, data: memoryview, start: int, end: int, unpacked: bool, dropped: bool) -> None:
        cpu = engine.number_of(data, start, end, _CPU)
        if cpu >= CPU_MAX:
            self.doubts["cpu_too_high"] = self.doubts.get("cpu_too_high", 0) + 1
            return
        if self.clock is None:
            self.clock = engine.number_of(data, start, end, _FTRACE_CLOCK)
        if unpacked:
            at = self._file.tell()
            self._file.write(data[start:end])
            start, end = at, at + end - start
        bundles = self.cpus.setdefault(cpu, Bundles())
        if dropped and len(bundles.starts):
            bundles.dropped.add(len(bundles.starts))
        bundles.starts.append(start)
        bundles.ends.append(end)
        bundles.unpacked.append(unpacked)

    # --- what is not an event ----------------------------------------------------------------
    def _tree(self, data: memoryview) -> None:
        """ProcessTree: processes (1) and threads (2)."""
        for number, _, value in message(data):
            if not isinstance(value, memoryview):
                continue
            if number == 1:
                pid, parent, told, words = 0, -1, False, []
                for field, _, inner in message(value):
                    if isinstance(inner, memoryview):
                        if field == 3:
                            words.append(bytes(inner))
                    elif field == 1:
                        pid = inner
                    elif field == 2:
                        parent = inner
                    elif field == 8:
                        told = bool(inner)
                path = bool(words) and words[0].startswith(b"/")
                # the children of kthreadd are kernel threads, or programs the kernel has started
                kthread = told or pid == 2 or (parent == 2 and not path)
                self._thread(pid, Thread(pid, b"", kthread, path and not kthread))
            elif number == 2:
                tid = tgid = 0
                name = b""
                for field, _, inner in message(value):
                    if isinstance(inner, memoryview):
                        if field == 2:
                            name = bytes(inner[:15])
                    elif field == 1:
                        tid = inner
                    elif field == 3:
                        tgid = inner
                self._thread(tid, Thread(tgid, name, False, False))

    def _thread(self, tid: int, thread: Thread) -> None:
        if 0 < tid < 1 << 31 and tid not in self.threads:
            self.threads[tid] = thread

    def _stats(self, data: memoryview) -> None:
        """FtraceStats: the kernel's own counts of losses, at the start (phase 1) and at the end (2)."""
        phase = 0
        for number, _, value in message(data):
            if number == 1 and isinstance(value, int):
                phase = value
            elif number == 2 and isinstance(value, memoryview):
                counts = {field: inner for field, _, inner in message(value) if isinstance(inner, int)}
                cpu = counts.get(1, 0)
                lost = counts.get(3, 0) + counts.get(8, 0)
                if phase == 1:
                    self._first[cpu] = lost
                elif phase == 2 and cpu in self._first:
                    self.lost[cpu] = max(0, lost - self._first[cpu])

    def _system(self, data: memoryview) -> None:
        """SystemInfo.utsname: release (3) and machine (4)."""
        for number, _, value in message(data):
            if number == 1 and isinstance(value, memoryview):
                for field, _, inner in message(value):
                    if isinstance(inner, memoryview):
                        text = bytes(inner[:200]).decode("utf-8", "replace")
                        if field == 3:
                            self.release = text
                        elif field == 4:
                            self.machine = text


def message(data: memoryview) -> Iterator[Field]:
    """The fields of a message (not for events); ends where it is malformed."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value: int | memoryview
        if tag & 7 == 0:
            value, at = _varint(data, at)
        elif tag & 7 == 2:
            size, at = _varint(data, at)
            value = data[at : at + size]
            at += size
        elif tag & 7 in (1, 5):
            size = 8 if tag & 7 == 1 else 4
            value = int.from_bytes(data[at : at + size], "little")
            at += size
        else:
            return
        if at > len(data):
            return
        yield tag >> 3, tag & 7, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """(number, where it ends); where it ends is behind the data when it is cut."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    return value, len(data) + 1


def looks_like(head: bytes) -> bool:
    """Whether *head* begins a Trace message: packets, one after the other, of fields that packets have."""
    at, seen, known = 0, 0, 0
    data = memoryview(head)
    while at < len(data) >= LEAST:
        if data[at] != 0x0A:
            return False
        size, start = _varint(data, at + 1)
        if start > len(data):
            break
        if not 0 < size < 1 << 29:
            return False
        inner = start
        while inner < min(start + size, len(data)):
            tag, value = _varint(data, inner)
            if value > len(data):
                break
            if not 0 < tag >> 3 < 4096 or tag & 7 not in (0, 1, 2, 5):
                return False
            known += tag in _PACKET_TAGS
            if tag & 7 == 0:
                _, inner = _varint(data, value)
            elif tag & 7 == 2:
                length, value = _varint(data, value)
                inner = value + length
                if value <= len(data) and inner > start + size:
                    return False
            else:
                inner = value + (8 if tag & 7 == 1 else 4)
        seen += 1
        at = start + size
    return seen > 0 and known > 0


_PACKET_TAGS: Final = frozenset(
    # ftrace_events, process_tree, clock_snapshot, timestamp, trusted_uid, trusted_packet_sequence_id,
    # trace_config, ftrace_stats, trace_stats, synchronization_marker, system_info, compressed_packets,
    # trace_uuid, zstd_compressed_packets
    number << 3 | wire
    for number, wire in (
        *((1, 2), (2, 2), (6, 2), (8, 0), (3, 0), (10, 0), (33, 2), (34, 2), (35, 2), (36, 2), (45, 2)),
        *((50, 2), (89, 2), (133, 2)),
    )
)
"""Fields that tell a TracePacket from chance."""

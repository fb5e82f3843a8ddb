"""trace.dat's head: where each CPU's pages are, and what describes them.

Version 6 is one head followed by options and a table; version 7 is a chain of
sections found through options (trace-cmd.dat.v6(5), trace-cmd.dat.v7(5)).
Both end up as a :class:`TraceDat`.
"""

from __future__ import annotations

from typing import Final

from pvreplay.errors import TraceError
from pvreplay.sources.streams import Mapped
from pvreplay.sources.tracedat_cut import packed_starts, plain_starts
from pvreplay.sources.tracedat_packed import Unpacker
from pvreplay.sources.tracinghead import (
    Buffer,
    Cursor,
    CutShort,
    TracingHead,
    Wanted,
    read_event_formats,
    read_ftrace_formats,
    read_header_info,
    read_initial,
    skip_sized,
)

MAX_CPUS: Final = 8192
MAX_OPTIONS: Final = 65536

# Options
DONE: Final = 0
CPUSTAT: Final = 2
BUFFER: Final = 3
TRACECLOCK: Final = 4
UNAME: Final = 5
VERSION: Final = 9
TSC2NSEC: Final = 14
STRINGS: Final = 15
HEADER_INFO: Final = 16
FTRACE_FORMATS: Final = 17
EVENT_FORMATS: Final = 18
KALLSYMS: Final = 19
BUFFER_TEXT: Final = 22

OPTIONS_SECTION: Final = 0
FLAG_COMPRESSED: Final = 1


class CpuData:
    """Where one CPU's pages are: *offset* and *size* in the file, packed in chunks or as they are."""

    __slots__ = ("cpu", "offset", "packed", "size")

    def __init__(self, cpu: int, offset: int, size: int, packed: bool) -> None:
        self.cpu = cpu
        self.offset = offset
        self.size = size
        self.packed = packed


class BufferData:
    """One tracing instance's buffer; the top one has no name."""

    __slots__ = ("clock", "cpus", "name", "page_size")

    def __init__(self, name: str, clock: str, page_size: int, cpus: list[CpuData]) -> None:
        self.name = name
        self.clock = clock
        self.page_size = page_size
        self.cpus = cpus


class TraceDat:
    """Everything the head of a trace.dat says.

    *text_at* is where the text of a latency trace starts, -1 when there is none.
    """

    def __init__(self, mapped: Mapped, path: str, wanted: Wanted) -> None:
        self.data: Buffer = mapped.data
        self.path = path
        self.head = TracingHead()
        self.buffers: list[BufferData] = []
        self.damage = ""
        self.clock = ""
        self.uname = ""
        self.recorder = ""
        self.lost: dict[int, int] = {}
        """CPU -> events the kernel's statistics say were overwritten or dropped."""
        self.cycles: tuple[int, int, int] | None = None
        self.kallsyms: Buffer = b""
        """The kernel's symbols; of a version 7 file only when formats of "ftrace" are *wanted*."""
        self.text_at = -1
        self.compression = "none"
        self.text_packed = False
        self.unpacker = Unpacker(path, "none")
        self._wanted = wanted
        self._options_seen = 0
        cursor = Cursor(self.data)
        try:
            read_initial(cursor, self.head, path)
            if self.head.version == "6":
                self._read_v6(cursor)
            elif self.head.version == "7":
                self._read_v7(cursor)
            else:
                raise TraceError(
                    f"{path}: trace.dat version {self.head.version!r}",
                    "Versions 6 and 7 are read; convert it: trace-cmd convert --file-version 6.",
                )
        except CutShort as cut:
            self._cut(cut)

    def _cut(self, cut: CutShort) -> None:
        """The head itself is cut: nothing to read if the formats or the pages are missing."""
        if self.head.page is None or not self.head.formats:
            raise TraceError(
                f"{self.path}: the head is cut: {cut}",
                "The formats stand first; no event can be read without.",
            )
        self.damage = f"the file is cut: {cut}"

    # --- version 6 -------------------------------------------------------------------------------
    def _read_v6(self, cursor: Cursor) -> None:
        read_header_info(cursor, self.head, self.path)
        read_ftrace_formats(cursor, self.head, self._wanted, self.path)
        read_event_formats(cursor, self.head, self._wanted, self.path)
        start, size = skip_sized(cursor)
        self.kallsyms = self.data[start : start + size]
        skip_sized(cursor)
        cursor.need(cursor.u64())
        cpus = self._cpu_count(cursor.u32())
        kind = cursor.take(10)
        instances: list[tuple[int, str]] = []
        if kind == b"options  \0":
            self._options_v6(cursor, instances)
            kind = cursor.take(10)
        self._table_v6(cursor, kind, "", cpus)
        for offset, name in instances:
            there = Cursor(self.data, offset)
            self._table_v6(there, there.take(10), name, cpus)

    def _options_v6(self, cursor: Cursor, instances: list[tuple[int, str]]) -> None:
        while (number := cursor.u16()) != DONE:
            body = Cursor(cursor.take(cursor.u32()))
            self._count_option()
            if number == BUFFER:
                offset = body.u64()
                instances.append((offset, body.cstring().decode("utf-8", "replace")))
            else:
                self._option(number, body)

    def _table_v6(self, cursor: Cursor, kind: bytes, name: str, cpus: int) -> None:
        if kind == b"latency  \0":
            self.text_at = cursor.pos
            return
        if kind != b"flyrecord\0":
            raise TraceError(
                f"{self.path}: offset {cursor.pos - 10:#x}: {kind!r} where the CPU table should stand",
                "Expected 'flyrecord', 'latency' or 'options'.",
            )
        found = []
        for cpu in range(cpus):
            offset, size = cursor.u64(), cursor.u64()
            found.append(CpuData(cpu, offset, size, False))
        self.buffers.append(BufferData(name, "", 0, found))

    def _cpu_count(self, count: int) -> int:
        if count > MAX_CPUS:
            raise TraceError(f"{self.path}: {count} CPUs", f"At most {MAX_CPUS}; the head is damaged.")
        return count

    # --- version 7 -------------------------------------------------------------------------------
    def _read_v7(self, cursor: Cursor) -> None:
        self.compression = cursor.cstring(64).decode("ascii", "replace")
        cursor.cstring(64)
        if self.compression not in ("none", "zstd", "zlib"):
            raise TraceError(
                f"{self.path}: compressed with {self.compression!r}",
                "zstd, zlib and none are read; convert it: trace-cmd convert --compression none.",
            )
        self.unpacker = Unpacker(self.path, self.compression)
        at = cursor.u64()
        sections: dict[int, int] = {}
        behind = cursor.pos
        visited: set[int] = set()
        while at and at not in visited:
            visited.add(at)
            try:
                section, behind = self._section(at, OPTIONS_SECTION)
                at = self._options_v7(section, sections)
            except CutShort as cut:
                self.damage = f"the file is cut: {cut}"
                break
        if HEADER_INFO not in sections or EVENT_FORMATS not in sections:
            # The options that tell where everything is are beyond the cut: walk the sections instead.
            behind = self._walk(cursor.pos, sections)
        read_header_info(self._at(sections, HEADER_INFO), self.head, self.path)
        if "ftrace" in self._wanted and FTRACE_FORMATS in sections:
            read_ftrace_formats(self._at(sections, FTRACE_FORMATS), self.head, self._wanted, self.path)
        read_event_formats(self._at(sections, EVENT_FORMATS), self.head, self._wanted, self.path)
        if "ftrace" in self._wanted and KALLSYMS in sections:
            table = self._at(sections, KALLSYMS)
            self.kallsyms = table.take(table.u32())
        if self.damage and not self.buffers and self.text_at < 0:
            self._salvage_buffers(behind)
        elif not self.damage and behind < len(self.data):
            self._check_last(behind)

    def _at(self, sections: dict[int, int], number: int) -> Cursor:
        if number not in sections:
            raise CutShort(len(self.data), 1)
        return self._section(sections[number], number)[0]

    def _section(self, at: int, expected: int) -> tuple[Cursor, int]:
        """(contents, where the next one starts) of the section at *at*."""
        cursor = Cursor(self.data, at)
        number, flags, size = self._section_header(cursor)
        if number != expected:
            raise TraceError(
                f"{self.path}: offset {at:#x}: section {number} where section {expected} should stand"
            )
        start = cursor.need(size)
        body: Buffer = self.data[start : start + size]
        if flags & FLAG_COMPRESSED:
            inner = Cursor(body, base=start)
            packed, plain = inner.u32(), inner.u32()
            body = self.unpacker.unpack(inner.take(packed), plain, start)
        return Cursor(body, base=start), cursor.pos

    @staticmethod
    def _section_header(cursor: Cursor) -> tuple[int, int, int]:
        """(number, flags, size) of a section."""
        number, flags = cursor.u16(), cursor.u16()
        cursor.u32()
        return number, flags, cursor.u64()

    def _options_v7(self, cursor: Cursor, sections: dict[int, int]) -> int:
        """Read one options section; where the next one is, 0 for none."""
        while True:
            number = cursor.u16()
            body = Cursor(cursor.take(cursor.u32()))
            self._count_option()
            if number == DONE:
                return body.u64()
            if number == BUFFER:
                self._buffer_v7(body)
            elif number == BUFFER_TEXT:
                inner = Cursor(self.data, body.u64())
                self.text_packed = bool(self._section_header(inner)[1] & FLAG_COMPRESSED)
                self.text_at = inner.pos
            elif number in (HEADER_INFO, FTRACE_FORMATS, EVENT_FORMATS, KALLSYMS):
                sections[number] = body.u64()
            else:
                self._option(number, body)

    def _buffer_v7(self, body: Cursor) -> None:
        at = body.u64()
        name = body.cstring().decode("utf-8", "replace")
        clock = body.cstring().decode("utf-8", "replace")
        page_size = body.u32()
        header = Cursor(self.data, at)
        packed = bool(self._section_header(header)[1] & FLAG_COMPRESSED)
        cpus = []
        for _ in range(self._cpu_count(body.u32())):
            cpu, offset, size = body.u32(), body.u64(), body.u64()
            cpus.append(CpuData(cpu, offset, size, packed))
        self.buffers.append(BufferData(name, clock, page_size, cpus))

    def _check_last(self, at: int) -> None:
        """The names of the sections stand last; a cut there takes no event."""
        cursor = Cursor(self.data, at)
        try:
            number, _, size = self._section_header(cursor)
            if number == STRINGS:
                cursor.need(size)
        except CutShort:
            self.damage = "the file is cut behind the last event: the names of its sections are missing"

    # --- version 7, cut ----------------------------------------------------------------------------
    def _walk(self, at: int, sections: dict[int, int]) -> int:
        """Note every whole section from *at* on; where the first one that is cut starts."""
        while True:
            cursor = Cursor(self.data, at)
            try:
                number, _, size = self._section_header(cursor)
                cursor.need(size)
            except CutShort:
                return at
            if number == BUFFER:
                return at
            sections.setdefault(number, at)
            at = cursor.pos

    def _salvage_buffers(self, at: int) -> None:
        """The table of the CPUs' data stands behind the data: find the CPUs in the data itself."""
        cursor = Cursor(self.data, at)
        try:
            number, flags, _ = self._section_header(cursor)
        except CutShort:
            return
        if number != BUFFER:
            return
        page = self.head.page_size
        first = (cursor.pos + page - 1) // page * page
        packed = bool(flags & FLAG_COMPRESSED)
        starts = (packed_starts if packed else plain_starts)(self.data, first, page)
        if not starts:
            return
        cpus = [
            CpuData(cpu, start, end - start, packed)
            for cpu, (start, end) in enumerate(zip(starts, [*starts[1:], len(self.data)], strict=True))
        ]
        self.buffers.append(BufferData("", "", 0, cpus))
        self.damage += f"; {len(cpus)} CPUs' pages were found by their order"

    # --- options both versions have ------------------------------------------------------------------
    def _count_option(self) -> None:
        self._options_seen += 1
        if self._options_seen > MAX_OPTIONS:
            raise TraceError(f"{self.path}: more than {MAX_OPTIONS} options", "The head is damaged.")

    def _option(self, number: int, body: Cursor) -> None:
        text = bytes(body.data).split(b"\0", 1)[0].decode("utf-8", "replace").strip()
        if number == TRACECLOCK:
            self.clock = text
        elif number == UNAME:
            self.uname = text
        elif number == VERSION:
            self.recorder = text
        elif number == CPUSTAT:
            self._statistics(text)
        elif number == TSC2NSEC and len(body.data) >= 16:
            factor, shift = body.u32(), body.u32()
            if shift <= 32:
                self.cycles = (body.u64(), factor, shift)

    def _statistics(self, text: str) -> None:
        """``per_cpu/cpuN/stats`` after a line "CPU: N"."""
        cpu, lost, known = -1, 0, False
        for line in text.splitlines():
            name, _, value = line.partition(":")
            value = value.strip()
            if not (value.isascii() and value.isdigit()):
                continue
            if name == "CPU":
                cpu = int(value)
            elif name in ("overrun", "dropped events"):
                lost += int(value)
                known = True
        if known and cpu >= 0:
            self.lost[cpu] = self.lost.get(cpu, 0) + lost

    def recorded_by(self) -> str:
        """Which trace-cmd, on which machine."""
        recorder = f"trace-cmd {self.recorder}" if self.recorder else "trace-cmd"
        return f"{recorder} on {self.uname}" if self.uname else recorder

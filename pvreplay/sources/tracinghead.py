"""The head trace.dat and perf's tracing data share: formats and page layout.

Both start with the bytes 17 08 44 "tracing", a version text, the byte order and
the size of a long, and then hold copies of tracefs files.  Version 7 of
trace.dat keeps the same parts in sections; each part has its own reader here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Set

from pvreplay.errors import TraceError
from pvreplay.sources.formats import Format, PageHeader, parse_format, parse_header_page

MAGIC = b"\x17\x08\x44tracing"
Buffer = bytes | memoryview
Wanted = Mapping[str, Set[str]]
"""system -> events whose formats are worth reading."""


class CutShort(Exception):
    """The bytes end inside a structure; *need* bytes were wanted at *offset*."""

    def __init__(self, offset: int, need: int) -> None:
        super().__init__(f"offset {offset:#x}: {need} bytes wanted, the data ends")
        self.offset = offset
        self.need = need


class Cursor:
    """Reads little-endian numbers, strings and blocks from a buffer, range-checked.

    Raises CutShort instead of reading past *end*.
    """

    __slots__ = ("base", "data", "end", "pos")

    def __init__(self, data: Buffer, pos: int = 0, end: int | None = None, base: int = 0) -> None:
        self.data = data
        self.pos = pos
        self.end = len(data) if end is None else min(end, len(data))
        self.base = base
        """Added to positions in messages: where *data* begins in its file."""

    def need(self, count: int) -> int:
        """Move past *count* bytes and return where they start."""
        at = self.pos
        if count < 0 or at < 0 or count > self.end - at:
            raise CutShort(self.base + at, count)
        self.pos = at + count
        return at

    def u8(self) -> int:
        return self.data[self.need(1)]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        at = self.need(8)
        return int.from_bytes(self.data[at : at + 8], "little")

    def take(self, count: int) -> bytes:
        at = self.need(count)
        return bytes(self.data[at : at + count])

    def cstring(self, limit: int = 4096) -> bytes:
        """A zero-terminated string of at most *limit* bytes, without its zero."""
        at = self.pos
        window = bytes(self.data[at : min(self.end, at + limit)])
        length = window.find(b"\0")
        if length < 0:
            raise CutShort(self.base + at, limit)
        self.pos = at + length + 1
        return window[:length]

    def unpack(self, form: struct.Struct) -> tuple[int, ...]:
        values: tuple[int, ...] = form.unpack_from(self.data, self.need(form.size))
        return values


class TracingHead:
    """What the head says: *formats* by event ID, *page* layout of the ring buffer."""

    __slots__ = ("bad_formats", "formats", "long_size", "page", "page_size", "version")

    def __init__(self) -> None:
        self.version = ""
        self.long_size = 8
        self.page_size = 4096
        self.page: PageHeader | None = None
        self.formats: dict[int, Format] = {}
        self.bad_formats = 0
        """Wanted formats that could not be understood."""


def read_initial(cursor: Cursor, head: TracingHead, where: str) -> None:
    """The magic, version, byte order, size of long and of a page.

    Raises TraceError for another magic or a big-endian recording.
    """
    magic = cursor.take(len(MAGIC))
    if magic != MAGIC:
        raise TraceError(
            f"{where}: offset {cursor.base:#x}: {magic!r} where the tracing head should start",
            f"Expected {MAGIC!r}.",
        )
    head.version = cursor.cstring(16).decode("ascii", "replace")
    order = cursor.u8()
    if order != 0:
        raise TraceError(
            f"{where}: a big-endian recording (byte order {order})",
            "x86 is little-endian: such a recording has no paravirt switch path to replay.",
        )
    head.long_size = cursor.u8()
    if head.long_size not in (4, 8):
        raise TraceError(
            f"{where}: a long of {head.long_size} bytes", "Expected 4 or 8; the head is damaged."
        )
    head.page_size = cursor.u32()


def read_header_info(cursor: Cursor, head: TracingHead, where: str) -> None:
    """``header_page`` and ``header_event``, each with its name and size before it."""
    for name in (b"header_page\0", b"header_event\0"):
        at = cursor.base + cursor.pos
        found = cursor.take(len(name))
        if found != name:
            raise TraceError(f"{where}: offset {at:#x}: {found!r} where {name!r} should stand")
        text = cursor.take(cursor.u64())
        if name == b"header_page\0" and text.strip():
            head.page = parse_header_page(text.decode("ascii", "replace"), f"{where}: header_page")


def read_ftrace_formats(cursor: Cursor, head: TracingHead, wanted: Wanted, where: str) -> None:
    """The formats of the tracers' own entries, system "ftrace"; those *wanted* are kept."""
    _read_formats(cursor, head, "ftrace", wanted.get("ftrace"), where)


def read_event_formats(cursor: Cursor, head: TracingHead, wanted: Wanted, where: str) -> None:
    """The formats of all events, system by system; those *wanted* are kept."""
    for _ in range(cursor.u32()):
        system = cursor.cstring().decode("utf-8", "replace")
        _read_formats(cursor, head, system, wanted.get(system), where)


def _read_formats(cursor: Cursor, head: TracingHead, system: str, names: Set[str] | None, where: str) -> None:
    """There may be thousands, of which a few are wanted: the others are only stepped over."""
    data = cursor.data
    for _ in range(cursor.u32()):
        size = cursor.u64()
        at = cursor.need(size)
        if names is None:
            continue
        first = bytes(data[at : at + min(size, 128)]).split(b"\n", 1)[0]
        name = first[5:].strip().decode("utf-8", "replace") if first.startswith(b"name:") else ""
        if name in names:
            text = bytes(data[at : at + size]).decode("utf-8", "replace")
            try:
                event = parse_format(text, system, f"{where}: format of {system}:{name}")
            except TraceError:
                head.bad_formats += 1
                continue
            head.formats[event.id] = event


def skip_sized(cursor: Cursor) -> tuple[int, int]:
    """kallsyms and printk formats: a 32-bit size and text, (start, size) of which is given."""
    size = cursor.u32()
    return cursor.need(size), size


def read_perf_tracing_data(data: Buffer, wanted: Wanted, where: str, base: int = 0) -> TracingHead:
    """perf's copy of the head (HEADER_TRACING_DATA), at *base* in its file.

    A head cut short keeps what was read; raises TraceError for one that is damaged.
    """
    head = TracingHead()
    cursor = Cursor(data, base=base)
    try:
        read_initial(cursor, head, where)
        read_header_info(cursor, head, where)
        read_ftrace_formats(cursor, head, wanted, where)
        read_event_formats(cursor, head, wanted, where)
    except CutShort:
        pass
    return head

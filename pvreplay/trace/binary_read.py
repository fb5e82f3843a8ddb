"""Read trace.bin: whole blocks from an mmap without copying, or from a pipe.

Whatever the file holds, every whole block is given and ``damage`` says what is
missing.  :class:`~pvreplay.errors.TraceError` is for a file that is no trace.bin
of this version, and for entries that are wrong although their checksum is right.
"""

from __future__ import annotations

import stat
import sys
from array import array
from collections.abc import Iterator
from io import FileIO
from typing import IO, NamedTuple

from xxhash import xxh3_64_intdigest

from pvreplay.errors import TraceError, UsageError
from pvreplay.trace import layout
from pvreplay.trace.events import CPU_MAX, NKINDS, Kind
from pvreplay.trace.feed import Feed, MappedFeed, StreamFeed
from pvreplay.trace.metatext import META_KEYS, MetaError, apply_meta
from pvreplay.trace.model import Chunk, Meta, Task
from pvreplay.trace.names import KIND_NAMES
from pvreplay.trace.quote import from_bytes, words
from pvreplay.trace.renames import KEY, Renames

_RIGHT_SUM = "The block's checksum is right, so its writer wrote it so; record or convert again."
_FORMAT = "trace.bin"


class _Block(NamedTuple):
    type: int
    payload: memoryview
    offset: int
    """Of the payload."""


class _Gap(NamedTuple):
    events: int
    """Events lost in a damaged block, 0 when it cannot be known."""
    offset: int


class BinaryTrace:
    """A trace.bin as a :class:`~pvreplay.trace.model.Trace`; read once, front to back.

    ``closed`` tells whether the recorder wrote its end block.
    """

    def __init__(self, feed: Feed, path: str) -> None:
        self.meta = Meta(path=path, format=_FORMAT)
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self.closed = False
        self._damages: list[str] = []
        self._feed = feed
        self._tasks = 0
        self._renames = Renames()
        self._events = 0
        self._suspect = b""
        """The payload just read, if its checksum was wrong."""
        self.trusted = False
        """Set while somebody else checks the events read meanwhile: their checksums are left alone."""
        self._file_header()
        self._blocks = self._read_blocks()
        # What is known from the start is there before the first chunk is asked for.
        self._ahead: _Block | _Gap | None = None
        for block in self._blocks:
            if not self._about_trace(block):
                self._ahead = block
                break

    @classmethod
    def open(cls, path: str) -> BinaryTrace:
        """Open a file by mmap; anything that cannot be mapped is streamed.

        Raises :class:`~pvreplay.errors.UsageError` when there is no such file and
        :class:`~pvreplay.errors.TraceError` when it is not a trace.bin.
        """
        try:
            file = open(path, "rb", buffering=0)  # noqa: SIM115 - a stream stays open
        except IsADirectoryError:
            raise TraceError(f"{path}: a directory", "A trace is a file, or - for stdin.") from None
        except OSError as error:
            reason = error.strerror or "cannot be opened"
            raise UsageError(f"{path}: {reason}", "Name a trace that can be read.") from None
        return cls.from_file(file, path)

    @classmethod
    def from_file(cls, file: FileIO, path: str) -> BinaryTrace:
        """Read an open file: mapped when it is a regular one, else streamed."""
        from os import fstat

        status = fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return cls.from_stream(file, path)
        if not status.st_size:
            raise TraceError(f"{path}: an empty file", "A trace.bin has a header of 16 bytes at least.")
        feed = MappedFeed.of(file.fileno())
        file.close()
        return cls(feed, path)

    @classmethod
    def from_stream(cls, fileobj: IO[bytes], path: str = "-", head: bytes = b"") -> BinaryTrace:
        """Read a pipe or any binary file object with ``readinto``.

        *head* are bytes already taken from it, to find out what it is.
        """
        return cls(StreamFeed(fileobj, head), path)

    def chunks(self) -> Iterator[Chunk]:
        """Yield a chunk a block of events; a damaged block gives a ``lost`` event instead."""
        tasks: list[Task] = []
        on: list[tuple[int, int]] = []
        time_ns = cpu = 0
        for block in self._all_blocks():
            if isinstance(block, _Gap):
                view = memoryview(array("Q", (time_ns, block.events | cpu << 32 | Kind.LOST << 48)))
                yield Chunk(view.toreadonly(), tasks, on, block.offset)
                tasks, on = [], []
            elif block.type == layout.EVENTS:
                view = block.payload.cast("Q")
                self._events += len(view) // 2
                time_ns, cpu = view[-2], view[-1] >> 32 & 0xFFFF
                yield Chunk(view, tasks, on, block.offset)
                tasks, on = [], []
            elif block.type == layout.TASKS:
                tasks += self._task_block(block)
            elif block.type == layout.START:
                on += self._start_block(block)
            elif block.type == layout.END:
                self._end(block)
                break
            else:
                self._about_trace(block)
        if tasks or on:
            yield Chunk(memoryview(array("Q")).toreadonly(), tasks, on, self._feed.pos)

    def size_bytes(self) -> int:
        """Bytes of the file; 0 when it is not mapped."""
        return self._feed.size if isinstance(self._feed, MappedFeed) else 0

    def again(self) -> BinaryTrace | None:
        """The same file, to be read once more from its beginning; None when it is not mapped."""
        return BinaryTrace(self._feed.again(), self.meta.path) if isinstance(self._feed, MappedFeed) else None

    def end_as(self, other: BinaryTrace) -> None:
        """Know what *other* knows, which :meth:`again` gave and which was read to the end."""
        self.meta, self.doubts, self.damage, self.closed = (
            other.meta,
            other.doubts,
            other.damage,
            other.closed,
        )

    def where(self, chunk: Chunk, index: int) -> str:
        """Where event *index* of *chunk* is in the file, for messages."""
        return f"offset {chunk.offset + 16 * index:#x}"

    # --- blocks -----------------------------------------------------------------

    def _file_header(self) -> None:
        path = self.meta.path
        raw = bytes(self._feed.take(layout.FILE_HEADER_BYTES))
        if not raw:
            raise TraceError(f"{path}: empty", "A trace.bin has a header of 16 bytes at least.")
        if raw[: len(layout.MAGIC)] != layout.MAGIC[: len(raw)]:
            hint = f"A trace.bin starts with {layout.MAGIC.hex(' ')}."
            if raw[1:4] == layout.MAGIC[1:4]:
                hint = "It is a trace.bin that went through a text-mode copy; copy it again as binary."
            raise TraceError(f"{path}: starts with {raw[:8].hex(' ')}, not a trace.bin", hint)
        if len(raw) < layout.FILE_HEADER_BYTES:
            raise TraceError(f"{path}: cut after {len(raw)} bytes, inside the file header", "Copy it again.")
        _, version, zero, zeros = layout.FILE_HEADER.unpack(raw)
        if version != layout.VERSION:
            raise TraceError(
                f"{path}: trace.bin version {version}; this pvreplay reads version {layout.VERSION}",
                "Convert it to text with the pvreplay that wrote it, or install that version.",
            )
        if zero or zeros:
            raise TraceError(f"{path}: offset 0xa: reserved bytes are not 0", "Copy the file again.")
        if sys.byteorder != "little":
            raise TraceError(f"{path}: little-endian, and this machine is not", "Use the text form here.")

    def _all_blocks(self) -> Iterator[_Block | _Gap]:
        if self._ahead is not None:
            yield self._ahead
            self._ahead = None
        yield from self._blocks

    def _read_blocks(self) -> Iterator[_Block | _Gap]:
        """Every block whose checksums are right; gaps where events are known to be missing."""
        feed = self._feed
        number = 0
        while True:
            offset = feed.pos
            raw = feed.take(layout.BLOCK_HEADER_BYTES)
            if not raw:
                self._damaged(
                    f"not closed after {self._events} events: the recorder was killed, or the file was cut"
                )
                return
            if len(raw) < layout.BLOCK_HEADER_BYTES:
                short = layout.BLOCK_HEADER_BYTES - len(raw)
                self._damaged(f"offset {offset:#x}: cut inside a block header, {short} of 32 bytes missing")
                return
            header = layout.unpack_header(raw)
            if header is None:
                # Bytes may be missing from a damaged block before, so search that too.
                found = feed.find_block(self._suspect + bytes(raw))
                how_far = f"{feed.pos - offset} bytes skipped" if feed.pos > offset else "gone back"
                to_end = "" if found else " to the end"
                self._damaged(f"offset {offset:#x}: not a block header; {how_far}{to_end}")
                self._suspect = b""
                if not found:
                    return
                yield _Gap(0, offset)
                number = -1
                continue
            self._suspect = b""
            if header.number != number >= 0:
                self._damaged(f"offset {offset:#x}: block {header.number} where block {number} is next")
                if header.number < number:
                    return
                yield _Gap(0, offset)
            number = header.number + 1
            if header.tasks != self._tasks:
                self._damaged(
                    f"offset {offset:#x}: stopped, tasks {self._tasks + 1} to {header.tasks} are missing"
                )
                return
            payload = self._payload(header, offset)
            if isinstance(payload, _Gap):
                yield payload
            elif payload is None:
                return
            elif 0 < header.type < len(layout.TYPE_NAMES):
                if header.type == layout.EVENTS and (not payload or len(payload) % 16):
                    raise TraceError(
                        f"{self.meta.path}: offset {offset:#x}: a block of {len(payload)} bytes of events",
                        _RIGHT_SUM,
                    )
                yield _Block(header.type, payload, offset + layout.BLOCK_HEADER_BYTES)
            elif not header.flags & layout.OPTIONAL:
                raise TraceError(
                    f"{self.meta.path}: offset {offset:#x}: block type {header.type}, not known here",
                    "A newer pvreplay wrote it, and it must not be skipped; read it with that one.",
                )

    def _payload(self, header: layout.Header, offset: int) -> memoryview | _Gap | None:
        """The checked payload; a gap to go on after; or None when reading must stop."""
        feed = self._feed
        name = layout.TYPE_NAMES[header.type] if header.type < len(layout.TYPE_NAMES) else "unknown"
        if header.length > layout.PAYLOAD_MAX:
            raise TraceError(
                f"{self.meta.path}: offset {offset:#x}: a block of {header.length} bytes",
                f"At most {layout.PAYLOAD_MAX} are allowed. {_RIGHT_SUM}",
            )
        payload = feed.take(header.length)
        if len(payload) < header.length:
            missing = header.length - len(payload)
            what = f"cut inside a block ({name}), {missing} of {header.length} bytes are missing"
            if header.type == layout.EVENTS:
                what += f", {header.length // 16} events"
            self._damaged(f"offset {offset:#x}: {what}")
            return _Gap(header.length // 16, offset) if header.type == layout.EVENTS else None
        pad = feed.skip(layout.padding(header.length))
        if any(pad):
            self._damaged(f"offset {offset:#x}: the padding of the block ({name}) is not 0")
        if self.trusted and header.type == layout.EVENTS:
            return payload
        checksum = xxh3_64_intdigest(payload)
        if checksum == header.checksum:
            return payload
        self._suspect = bytes(payload) + pad
        self._damaged(
            f"offset {offset:#x}: checksum of a block ({name}) is {checksum:016x}, not {header.checksum:016x}"
        )
        if header.type == layout.EVENTS:
            return _Gap(header.length // 16, offset)
        if header.type in (layout.TASKS, layout.NAMES):
            return None  # what follows names what was in it
        return _Gap(0, offset)

    # --- what is in a block -------------------------------------------------------

    def _about_trace(self, block: _Block | _Gap) -> bool:
        """Take in a meta or names block; False when it is another."""
        if isinstance(block, _Gap) or block.type not in (layout.META, layout.NAMES):
            return False
        for line in from_bytes(bytes(block.payload)).split("\n"):
            try:
                found = words(line)
                if found and block.type == layout.NAMES:
                    self._names_line(found)
                elif found and found[0] == KEY:
                    self._renames.apply_line(found)
                elif found and found[0] in META_KEYS:  # others are from a newer writer
                    damage = apply_meta(found, self.meta, self.doubts)
                    if damage and damage not in self._damages:
                        self._damaged(damage)
            except ValueError as error:
                expected = error.expected if isinstance(error, MetaError) else "a line as in traces/FORMAT.md"
                raise TraceError(
                    f"{self.meta.path}: offset {block.offset:#x}: {error}",
                    f"Expected {expected}. {_RIGHT_SUM}",
                ) from None
        return True

    def _names_line(self, found: list[str]) -> None:
        if found[0] == "kinds":
            for number, name in enumerate(found[1:NKINDS], 1):
                if name != KIND_NAMES[number]:
                    raise ValueError(f"kind {number} is {name} in this file and {KIND_NAMES[number]} here")
        elif found[0] == "ops":
            self.meta.ops = tuple(found[1:])

    def _task_block(self, block: _Block) -> list[Task]:
        payload = block.payload
        try:
            if len(payload) < layout.TASKS_HEAD.size:
                raise ValueError(f"a tasks block of {len(payload)} bytes")
            first, count = layout.TASKS_HEAD.unpack_from(payload)
            if first != self._tasks + 1:
                raise ValueError(f"task {first} where {self._tasks + 1} is next")
            tasks = layout.unpack_tasks(payload, first, count)
        except ValueError as error:
            raise TraceError(f"{self.meta.path}: offset {block.offset:#x}: {error}", _RIGHT_SUM) from None
        self._tasks += count
        self._renames.add(tasks)
        return tasks

    def _start_block(self, block: _Block) -> list[tuple[int, int]]:
        size = layout.START_ENTRY.size
        pairs: list[tuple[int, int]] = []
        problem = f"a start block of {len(block.payload)} bytes" if len(block.payload) % size else ""
        if not problem:
            for cpu, task in layout.START_ENTRY.iter_unpack(block.payload):
                if cpu >= CPU_MAX or task > self._tasks:
                    problem = f"CPU {cpu} runs task {task} of {self._tasks}"
                pairs.append((cpu, task))
        if problem:
            raise TraceError(f"{self.meta.path}: offset {block.offset:#x}: {problem}", _RIGHT_SUM)
        return pairs

    def _end(self, block: _Block) -> None:
        self.closed = True
        if len(block.payload) < layout.END_PAYLOAD.size:
            raise TraceError(
                f"{self.meta.path}: offset {block.offset:#x}: an end block of {len(block.payload)} bytes",
                _RIGHT_SUM,
            )
        events, tasks = layout.END_PAYLOAD.unpack_from(block.payload)
        if events != self._events:
            self._damaged(f"{self._events} of the {events} events recorded were read")
        elif tasks != self._tasks:
            self._damaged(f"{self._tasks} of the {tasks} tasks recorded were read")
        end = self._feed.pos
        if self._feed.skip(1):
            self._damaged(f"offset {end:#x}: bytes after the end block")

    def _damaged(self, what: str) -> None:
        self._damages.append(what)
        more = len(self._damages) - 1
        self.damage = self._damages[0]
        if more:
            self.damage += (
                f"; {self._damages[-1]}" if more == 1 else f"; {more} more, last {self._damages[-1]}"
            )

"""Where the bytes of a trace.bin come from: a mapped file, or a stream read once.

Both hand out views by position and can search for the next block after damage.
"""

from __future__ import annotations

import mmap
import sys
from typing import IO, Protocol

from pvreplay.trace import layout

_RELEASE_BYTES = 32 << 20
"""A mapped file is let go this far behind the reader, so that resident memory stays flat."""
_AHEAD_BYTES = 1 << 20
_POPULATE_READ = 22
"""MADV_POPULATE_READ of Linux 5.14 (include/uapi/asm-generic/mman-common.h); mmap has no name for it."""


class Feed(Protocol):
    """Bytes, front to back."""

    pos: int

    def take(self, size: int) -> memoryview:
        """The next *size* bytes, fewer at the end; valid until the next :meth:`take`."""
        ...

    def skip(self, size: int) -> bytes:
        """The next few bytes, fewer at the end; views handed out stay valid."""
        ...

    def find_block(self, bad: bytes) -> bool:
        """Move to the next block header after *bad*, the bytes just taken that are none."""
        ...


class MappedFeed:
    """A regular file through mmap: views of the page cache, nothing copied."""

    def __init__(self, mapped: mmap.mmap) -> None:
        self._map = mapped
        self._view = memoryview(mapped)
        self.pos = 0
        self._released = 0
        self._there = 0 if sys.platform == "linux" and len(mapped) > _AHEAD_BYTES else sys.maxsize
        """Pages up to here are mapped."""

    @classmethod
    def of(cls, fileno: int) -> MappedFeed:
        """The open file *fileno*, which may be closed then."""
        mapped = mmap.mmap(fileno, 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_SEQUENTIAL"):
            mapped.madvise(mmap.MADV_SEQUENTIAL)
        return cls(mapped)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self._view)

    def again(self) -> MappedFeed:
        """The same file from its beginning, for a reader in another thread."""
        return MappedFeed(self._map)

    def take(self, size: int) -> memoryview:
        start = self.pos
        if start + 2 * size > self._there and start < len(self._view):
            self._map_ahead(start)
        view = self._view[start : start + size]
        self.pos = start + len(view)
        if start - self._released >= _RELEASE_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            whole_pages = start // mmap.PAGESIZE * mmap.PAGESIZE - self._released
            self._map.madvise(mmap.MADV_DONTNEED, self._released, whole_pages)
            self._released += whole_pages
        return view

    def _map_ahead(self, start: int) -> None:
        """Have the pages from *start* on mapped at once: the loop fetches what it reads next ahead."""
        first = start // mmap.PAGESIZE * mmap.PAGESIZE
        size = min(_AHEAD_BYTES, len(self._view) - first)
        self._there = first + size if size == _AHEAD_BYTES else sys.maxsize
        try:
            self._map.madvise(_POPULATE_READ, first, size)
        except OSError:  # a kernel before 5.14, or a file that is being cut
            self._there = sys.maxsize

    def skip(self, size: int) -> bytes:
        return bytes(self.take(size))

    def find_block(self, bad: bytes) -> bool:
        at = self.pos - len(bad) + 1
        while (at := self._map.find(layout.SYNC, at)) >= 0:
            raw = self._view[at : at + layout.BLOCK_HEADER_BYTES]
            if len(raw) == layout.BLOCK_HEADER_BYTES and layout.unpack_header(raw):
                self.pos = at
                return True
            at += 1
        self.pos = len(self._view)
        return False


class StreamFeed:
    """A pipe or any binary file object, read once into one buffer that is used again."""

    def __init__(self, fileobj: IO[bytes], head: bytes = b"") -> None:
        self._file = fileobj
        self._ahead = head
        self._buffer = memoryview(bytearray(layout.EVENTS_BLOCK_BYTES))
        self.pos = 0

    def take(self, size: int) -> memoryview:
        if size > len(self._buffer):
            self._buffer = memoryview(bytearray(size))
        buffer = self._buffer
        ready = min(size, len(self._ahead))
        if ready:
            buffer[:ready] = self._ahead[:ready]
            self._ahead = self._ahead[ready:]
        while ready < size:
            got = self._file.readinto(buffer[ready:size])  # type: ignore[attr-defined]
            if not got:
                break
            ready += got
        self.pos += ready
        return buffer[:ready].toreadonly()

    def skip(self, size: int) -> bytes:
        out = self._ahead[:size]
        self._ahead = self._ahead[size:]
        while len(out) < size and (more := self._file.read(size - len(out))):
            out += more
        self.pos += len(out)
        return out

    def find_block(self, bad: bytes) -> bool:
        window = bad[1:]
        base = self.pos - len(window)  # file position of window[0]
        need = layout.BLOCK_HEADER_BYTES
        while True:
            at = 0
            while (at := window.find(layout.SYNC, at)) >= 0 and at + need <= len(window):
                if layout.unpack_header(window[at : at + need]):
                    self._ahead = window[at:] + self._ahead
                    self.pos = base + at
                    return True
                at += 1
            keep = max(0, len(window) - need + 1)
            base += keep
            more = self.skip(1 << 16)
            window = window[keep:] + more
            if not more:
                self.pos = base + len(window)
                return False

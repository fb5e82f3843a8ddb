"""Bytes of a recording: mapped files whose pages are given back as reading goes on, and copies of
streams that have to be read at any place.
"""

from __future__ import annotations

import builtins
import mmap
import os
from collections.abc import Iterator
from typing import BinaryIO, Final

from pvreplay.errors import TraceError

BLOCK: Final = 1 << 20
RELEASE: Final = 1 << 23
"""Bytes of a mapped file read before they are given back."""


class Mapped:
    """A file mapped for reading; *data* is all of it, and *file* reads it, too."""

    __slots__ = ("_map", "_released", "data", "file")

    def __init__(self, fileno: int) -> None:
        size = os.fstat(fileno).st_size
        self._map = mmap.mmap(fileno, 0, access=mmap.ACCESS_READ) if size else None
        self.data = memoryview(self._map or b"")
        self._released = 0
        self.file = os.dup(fileno)

    def __del__(self) -> None:
        os.close(self.file)

    def release(self, start: int, end: int) -> None:
        """Take the whole pages of [start, end) out of this process's memory; they can be read again."""
        start = (start + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        end = end // mmap.PAGESIZE * mmap.PAGESIZE
        if self._map is not None and end > start:
            self._map.madvise(mmap.MADV_DONTNEED, start, end - start)

    def release_to(self, end: int) -> None:
        """Give back what was read before *end*, once it is enough to matter."""
        if end - self._released >= RELEASE:
            self.release(self._released, end)
            self._released = end

    def blocks(self, start: int, end: int, unit: int) -> Iterator[memoryview]:
        """[start, end) in blocks of whole *unit* bytes, each given back when the next is asked for."""
        step = max(unit, RELEASE // unit * unit)
        for at in range(start, end, step):
            stop = min(end, at + step)
            yield self.data[at:stop]
            self.release(at, stop)


def map_file(path: str) -> Mapped:
    """A file by its path.  Raises TraceError when it cannot be opened."""
    try:
        with builtins.open(path, "rb") as file:
            return Mapped(file.fileno())
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}") from None


def map_stream(stream: BinaryIO, head: bytes, path: str) -> Mapped:
    """All of *head* and what *stream* still gives, copied to an unnamed temporary file.

    Raises TraceError when there is no room for the copy.
    """
    import tempfile

    try:
        with tempfile.TemporaryFile() as copy:
            copy.write(head)
            while block := stream.read(BLOCK):
                copy.write(block)
            copy.flush()
            return Mapped(copy.fileno())
    except OSError as error:
        raise TraceError(
            f"{path}: cannot be copied to a temporary file: {error.strerror}",
            "This format is read at many places at once: store it in a file and name that, or set TMPDIR.",
        ) from None


def read_up_to(stream: BinaryIO, count: int) -> bytes:
    """*count* bytes, or what there is."""
    parts = b""
    while len(parts) < count:
        part = stream.read(count - len(parts))
        if not part:
            break
        parts += part
    return parts

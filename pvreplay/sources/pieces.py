"""Pieces of a CPU's pages: parts of a file that any thread can fetch, none depending on another."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Protocol

from pvreplay.errors import TraceError
from pvreplay.sources.streams import Mapped

Data = memoryview | bytes


class Piece(Protocol):
    """*size* bytes of pages.

    :meth:`load` may be called in any thread.  It gives the bytes, and what is wrong with them, ""
    when nothing is; where there are fewer than *size* the CPU's pages end.
    :meth:`release` says that they are not needed any more.
    """

    size: int

    def load(self) -> tuple[Data, str]: ...

    def release(self) -> None: ...


class MappedPiece:
    """Bytes of a mapped file as they stand there."""

    __slots__ = ("_end", "_mapped", "_problem", "_start", "size")

    def __init__(self, mapped: Mapped, start: int, end: int, problem: str = "") -> None:
        self._mapped = mapped
        self._start = start
        self._end = end
        self._problem = problem
        self.size = end - start

    def load(self) -> tuple[Data, str]:
        """As ``Piece`` has it."""
        return self._mapped.data[self._start : self._end], self._problem

    def release(self) -> None:
        """As ``Piece`` has it."""
        _give_back(self._mapped, self._start, self._end)


class PackedPiece:
    """Compressed chunks of a mapped file: (offset, compressed bytes, bytes) of each."""

    __slots__ = ("_chunks", "_mapped", "_problem", "_unpack", "size")

    def __init__(
        self,
        mapped: Mapped,
        chunks: list[tuple[int, int, int]],
        unpack: Callable[[bytes, int, int], bytes],
        problem: str = "",
    ) -> None:
        self._mapped = mapped
        self._chunks = chunks
        self._unpack = unpack
        self._problem = problem
        self.size = sum(plain for _, _, plain in chunks)

    def load(self) -> tuple[Data, str]:
        """As ``Piece`` has it."""
        parts = []
        try:
            for at, packed, plain in self._chunks:
                parts.append(self._unpack(bytes(self._mapped.data[at : at + packed]), plain, at))
        except TraceError as error:
            return b"".join(parts), error.message
        return b"".join(parts), self._problem

    def release(self) -> None:
        """As ``Piece`` has it."""
        if self._chunks:
            at, packed, _ = self._chunks[-1]
            _give_back(self._mapped, self._chunks[0][0], at + packed)


def _give_back(mapped: Mapped, start: int, end: int) -> None:
    """Release [start, end) of a file, with the memory page that the bytes before share."""
    mapped.release(start // mmap.PAGESIZE * mmap.PAGESIZE, end)


def mapped_pieces(mapped: Mapped, start: int, end: int, step: int, problem: str = "") -> Iterator[Piece]:
    """[start, end) of a file in pieces of *step* bytes; *problem* is told with the first."""
    if start >= end:
        yield MappedPiece(mapped, start, start, problem)
    for at in range(start, end, step):
        yield MappedPiece(mapped, at, min(end, at + step), problem if at == start else "")

"""The CPUs' data of a trace.dat in pieces, and the text of a latency tracer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pvreplay.sources.pieces import PackedPiece, Piece, mapped_pieces
from pvreplay.sources.streams import BLOCK, Mapped
from pvreplay.sources.tracedat_head import CpuData, TraceDat
from pvreplay.sources.tracinghead import Cursor, CutShort

MAX_CHUNKS: Final = 4096
"""Chunks of a piece, however small they are."""


def pieces(dat: TraceDat, cpu: CpuData, mapped: Mapped, page_size: int, step: int) -> Iterator[Piece]:
    """The pages of one CPU in pieces of about *step* bytes, which is whole pages."""
    if cpu.packed:
        return _packed(dat, cpu, mapped, page_size, step)
    end = min(len(dat.data), cpu.offset + cpu.size)
    problem = ""
    if end < cpu.offset + cpu.size:
        there = max(0, end - cpu.offset)
        problem = f"the file is cut: CPU {cpu.cpu} has {there} of {cpu.size} bytes"
    return mapped_pieces(mapped, cpu.offset, end, step, problem)


def _packed(dat: TraceDat, cpu: CpuData, mapped: Mapped, page_size: int, step: int) -> Iterator[Piece]:
    # The size in the table does not count the 4 bytes of the count; the chunks tell their own.
    cursor = Cursor(dat.data, cpu.offset)
    chunks: list[tuple[int, int, int]] = []
    size = 0
    problem = ""
    try:
        for _ in range(cursor.u32()):
            packed, plain = cursor.u32(), cursor.u32()
            chunks.append((cursor.need(packed), packed, plain))
            size += plain
            if (size >= step and size % page_size == 0) or len(chunks) == MAX_CHUNKS:
                yield PackedPiece(mapped, chunks, dat.unpacker.unpack)
                chunks, size = [], 0
    except CutShort as cut:
        problem = f"the file is cut: CPU {cpu.cpu}: {cut}"
    if chunks or problem:
        yield PackedPiece(mapped, chunks, dat.unpacker.unpack, problem)


def text(dat: TraceDat, mapped: Mapped) -> tuple[bytes, str]:
    """The text of a latency tracer, and what is wrong with it or ""."""
    whole = CpuData(0, dat.text_at, len(dat.data) - dat.text_at, dat.text_packed)
    parts, damage = [], ""
    for piece in pieces(dat, whole, mapped, 1, BLOCK):
        data, problem = piece.load()
        parts.append(bytes(data))
        damage = damage or problem
        if len(data) < piece.size:
            break
    return b"".join(parts), damage

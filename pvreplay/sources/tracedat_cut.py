"""trace.dat version 7 without its last options, which hold the table of the CPUs' data.

Where each CPU's data starts then has to be read off the data itself; the CPUs are numbered in order.
"""

from __future__ import annotations

from typing import Final

from pvreplay.sources.tracinghead import Buffer, Cursor, CutShort

MAX_CPUS: Final = 8192


def packed_starts(data: Buffer, at: int, page: int) -> list[int]:
    """Each CPU's data is a count of chunks and the chunks, from a page's start on."""
    starts: list[int] = []
    while at < len(data) and len(starts) < MAX_CPUS:
        starts.append(at)
        cursor = Cursor(data, at)
        try:
            for _ in range(cursor.u32()):
                packed = cursor.u32()
                cursor.u32()
                cursor.need(packed)
        except CutShort:
            break
        at = (cursor.pos + page - 1) // page * page
    return starts


def plain_starts(data: Buffer, at: int, page: int) -> list[int]:
    """A CPU's pages are in order of time: where time steps back, the next CPU's begin."""
    starts: list[int] = []
    last = -1
    for start in range(at, len(data) - page + 1, page):
        time = int.from_bytes(data[start : start + 8], "little")
        if time < last or not starts:
            starts.append(start)
        last = time
    return starts

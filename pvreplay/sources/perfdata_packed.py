"""perf record -z: records that hold other records, compressed as one endless zstd stream."""

from __future__ import annotations

from typing import Final

from pvreplay.errors import TraceError
from pvreplay.sources import zstd
from pvreplay.sources.tracinghead import Cursor

COMPRESSED: Final = 81
COMPRESSED2: Final = 83
MAX_PAYLOAD: Final = 1 << 26
RECORD_MOST: Final = 65535
"""A record's size has 16 bits."""
GUESS_BYTES: Final = 1 << 22
"""Unpacked bytes looked at to recognise sched_switch without its format."""


def payload_of_2(cursor: Cursor, size: int) -> bytes:
    """The zstd data of a COMPRESSED2 record, whose header (it says *size*) *cursor* has just read.

    The record is u64 bytes of data, the data, padding.  perf 6.16 stores the padded size in 16 bits
    without looking: where it does not fit, the size is wrong, there is no padding, and the count of
    bytes alone is right (tools/perf/builtin-record.c, record__pushfn).  Raises CutShort, TraceError.
    """
    start = cursor.pos - 8
    count = cursor.u64()
    where = f"offset {cursor.base + start:#x}"
    if count > MAX_PAYLOAD:
        raise TraceError(f"{where}: {count} bytes in a compressed record")
    payload = cursor.take(count)
    cursor.pos = start
    padded = (16 + count + 7) // 8 * 8
    cursor.need(padded if padded == size else 16 + count)
    if 16 + count <= RECORD_MOST:
        return payload
    # Several records written as one: those behind the first have headers of their own.
    at = RECORD_MOST - 16
    pieces = [payload[:at]]
    while at + 16 <= count:
        inner = int.from_bytes(payload[at + 6 : at + 8], "little")
        if int.from_bytes(payload[at : at + 4], "little") != COMPRESSED2 or inner < 16:
            raise TraceError(f"{where}: a compressed record of records, the next is not at {at}")
        pieces.append(payload[at + 16 : at + inner])
        at += inner
    return b"".join(pieces)


def rest_of(record: bytes) -> bytes:
    """The zstd data in a record that is cut; nothing when it is not a compressed one."""
    type = int.from_bytes(record[:4], "little")
    if type == COMPRESSED:
        return record[8:]
    return record[16:] if type == COMPRESSED2 else b""


def unpacked_start(data: memoryview, path: str) -> bytes:
    """What the first compressed records of *data* hold, as far as they can be unpacked."""
    parts: list[bytes] = []
    pos, total = 0, 0
    stream: zstd.Stream | None = None
    while len(data) - pos >= 16 and total < GUESS_BYTES:
        type = int.from_bytes(data[pos : pos + 4], "little")
        size = int.from_bytes(data[pos + 6 : pos + 8], "little")
        if type in (COMPRESSED, COMPRESSED2):
            stream = stream or zstd.open_stream(path)
            try:
                parts.append(zstd.unpack(stream, rest_of(bytes(data[pos : pos + size])), path))
            except TraceError:
                break
            total += len(parts[-1])
        pos += max(size, 8)
    return b"".join(parts)

"""Perfetto traces made in code: protobuf's wire format, and the messages the tests need.

Field numbers: Perfetto's protos/perfetto/trace/trace_packet.proto, ftrace/ftrace_event.proto,
ftrace/ftrace_event_bundle.proto, ftrace/sched.proto, ftrace/task.proto, ps/process_tree.proto.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable


def varint(value: int) -> bytes:
    """A number; a negative one takes 10 bytes."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def packed(field: int, values: Iterable[int]) -> bytes:
    return block(field, b"".join(varint(value) for value in values))


def packet(*fields: bytes) -> bytes:
    """One TracePacket of a Trace."""
    return block(1, b"".join(fields))


def bundle(cpu: int, *fields: bytes) -> bytes:
    """A packet's ftrace_events."""
    return block(1, number(1, cpu) + b"".join(fields))


def event(time_ns: int, pid: int, kind: int, *fields: bytes) -> bytes:
    """One FtraceEvent of a bundle; *kind* is the field of its payload."""
    return block(2, number(1, time_ns) + number(2, pid) + block(kind, b"".join(fields)))


def switch(time_ns: int, prev: tuple[str, int], state: int, following: tuple[str, int]) -> bytes:
    return event(
        *(time_ns, prev[1], 4, block(1, prev[0].encode()), number(2, prev[1]), number(3, 120)),
        *(number(4, state), block(5, following[0].encode()), number(6, following[1]), number(7, 120)),
    )


def generic(time_ns: int, pid: int, name: str, **fields: int | str) -> bytes:
    """An event without a message of its own (ftrace/generic.proto); negative numbers are int_value."""

    def value(given: int | str) -> bytes:
        if isinstance(given, str):
            return block(3, given.encode())
        return number(4 if given < 0 else 5, given)

    parts = [block(2, block(1, field.encode()) + value(given)) for field, given in fields.items()]
    return event(time_ns, pid, 327, block(1, name.encode()), *parts)


def columns(switches: Iterable[tuple[int, int, str, int]]) -> bytes:
    """compact_sched of (time, prev_state, next name, next pid)."""
    rows = list(switches)
    names = list(dict.fromkeys(name for _, _, name, _ in rows))
    times = [row[0] for row in rows]
    content = b"".join(block(5, name.encode()) for name in names)
    content += packed(1, [b - a for a, b in zip([0, *times], times, strict=False)])
    content += packed(2, [row[1] for row in rows])
    content += packed(3, [row[3] for row in rows])
    content += packed(4, [120 for _ in rows])
    content += packed(6, [names.index(row[2]) for row in rows])
    return block(4, content)


def compressed(*packets: bytes) -> bytes:
    """A packet's compressed_packets."""
    return block(50, zlib.compress(b"".join(packets)))

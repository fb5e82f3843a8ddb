"""The packets of a Perfetto trace, compiled: where the bundles of events are, and what describes them.

The wire format is that of protobuf (https://protobuf.dev/programming-guides/encoding/); the numbers
of fields are those of Perfetto's protos/perfetto/trace/trace_packet.proto.
"""

# ruff: noqa: F722  (Cython's types are not Python's)
from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython

if cython.compiled:
    from cython.cimports.pvreplay.sources._perfetto_cy import after as _after
    from cython.cimports.pvreplay.sources._perfetto_cy import skip as _skip
    from cython.cimports.pvreplay.sources._perfetto_cy import varint as _varint
else:
    from pvreplay.sources._perfetto_cy import after as _after
    from pvreplay.sources._perfetto_cy import skip as _skip
    from pvreplay.sources._perfetto_cy import varint as _varint

COMPILED = cython.compiled

# Rows of packets(): field of TracePacket | dropped << 32, start, end.
ROW_INTS = 3
BUNDLE = 1
PROCESS_TREE = 2
STATS = 34
SYSTEM_INFO = 45
ZLIB = 50
ZSTD = 133
WHOLE = 0  # not a field: the packets are read to the end of the data

# Indexes of packets()' state.
P_POS = 0
P_ROWS = 1
P_STATUS = 2
P_FULL = 1
P_CUT = 2  # the last packet ends behind the data
P_BAD = 3  # no packet at P_POS

_ROW_INTS = cython.declare(cython.Py_ssize_t, ROW_INTS)
_P_POS = cython.declare(cython.Py_ssize_t, P_POS)
_P_ROWS = cython.declare(cython.Py_ssize_t, P_ROWS)
_P_STATUS = cython.declare(cython.Py_ssize_t, P_STATUS)
_BUNDLE = cython.declare(cython.ulonglong, BUNDLE)
_PROCESS_TREE = cython.declare(cython.ulonglong, PROCESS_TREE)
_STATS = cython.declare(cython.ulonglong, STATS)
_SYSTEM_INFO = cython.declare(cython.ulonglong, SYSTEM_INFO)
_ZLIB = cython.declare(cython.ulonglong, ZLIB)
_ZSTD = cython.declare(cython.ulonglong, ZSTD)
_WHOLE = cython.declare(cython.ulonglong, WHOLE)
_P_FULL = cython.declare(cython.ulonglong, P_FULL)
_P_CUT = cython.declare(cython.ulonglong, P_CUT)
_P_BAD = cython.declare(cython.ulonglong, P_BAD)


@cython.boundscheck(False)
@cython.wraparound(False)
def packets(
    data: "const unsigned char[::1]",
    end: cython.Py_ssize_t,
    rows: cython.ulonglong[::1],
    state: cython.ulonglong[::1],
) -> None:
    """Walk the packets of a Trace message from state[P_POS] on and leave a row for each field of use.

    state[P_STATUS] tells why it stopped: WHOLE at the end, P_FULL when a packet's rows may have no
    room, P_CUT, P_BAD.  A cut packet's rows are there, cut at *end*.
    """
    pos: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_P_POS])
    n: cython.Py_ssize_t = 0
    first: cython.Py_ssize_t
    i: cython.Py_ssize_t
    room: cython.Py_ssize_t = len(rows) // _ROW_INTS
    at: cython.Py_ssize_t
    stop: cython.Py_ssize_t
    after: cython.Py_ssize_t
    start: cython.Py_ssize_t
    tag: cython.ulonglong
    size: cython.ulonglong
    field: cython.ulonglong
    dropped: cython.ulonglong
    begun: cython.ulonglong
    status: cython.ulonglong = _WHOLE
    with cython.nogil:
        while pos < end:
            if n * 2 > room:
                status = _P_FULL
                break
            if data[pos] != 0x0A:
                status = _P_BAD
                break
            at = _after(data, pos + 1, end)
            if at > end:
                status = _P_CUT
                break
            size = _varint(data, pos + 1, end)
            stop = end
            if size > cython.cast(cython.ulonglong, end - at):
                status = _P_CUT
            else:
                stop = at + cython.cast(cython.Py_ssize_t, size)
            first = n
            dropped = 0
            begun = 0
            while at < stop:
                after = _after(data, at, stop)
                if after > stop:
                    break
                tag = _varint(data, at, stop)
                field = tag >> 3
                start = after
                after = _skip(data, start, stop, tag & 7)
                if after > stop and (status != _P_CUT or tag & 7 != 2 or _after(data, start, stop) > stop):
                    break
                if after > stop:
                    after = stop
                if tag & 7 == 2 and (field in (_BUNDLE, _PROCESS_TREE, _STATS, _SYSTEM_INFO, _ZLIB, _ZSTD)):
                    if n < room:
                        rows[n * _ROW_INTS] = field
                        rows[n * _ROW_INTS + 1] = cython.cast(cython.ulonglong, _after(data, start, stop))
                        rows[n * _ROW_INTS + 2] = cython.cast(cython.ulonglong, after)
                        n += 1
                elif tag == 336:  # previous_packet_dropped
                    dropped = _varint(data, start, stop) != 0
                elif tag == 696:  # first_packet_on_sequence
                    begun = _varint(data, start, stop) != 0
                at = after
            if dropped and not begun:
                for i in range(first, n):
                    rows[i * _ROW_INTS] |= cython.cast(cython.ulonglong, 1) << 32
            pos = stop
            if status == _P_CUT:
                break
        state[_P_POS] = cython.cast(cython.ulonglong, pos)
        state[_P_ROWS] = cython.cast(cython.ulonglong, n)
        state[_P_STATUS] = status


@cython.boundscheck(False)
@cython.wraparound(False)
def number_of(
    data: "const unsigned char[::1]", at: cython.Py_ssize_t, stop: cython.Py_ssize_t, field: cython.ulonglong
) -> int:
    """A bundle's first varint *field*, 0 when there is none."""
    tag: cython.ulonglong
    after: cython.Py_ssize_t
    value: cython.ulonglong = 0
    with cython.nogil:
        while at < stop:
            after = _after(data, at, stop)
            if after > stop:
                break
            tag = _varint(data, at, stop)
            if tag == field << 3:
                value = _varint(data, after, stop)
                break
            at = _skip(data, after, stop, tag & 7)
    return value

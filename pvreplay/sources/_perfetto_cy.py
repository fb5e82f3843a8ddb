"""Perfetto's protobuf, compiled: packets found, ftrace bundles of one CPU turned into raw records.

The wire format is that of protobuf (https://protobuf.dev/programming-guides/encoding/); the numbers
of fields are those of Perfetto's protos/perfetto/trace (trace_packet.proto, ftrace/*.proto).  A
bundle holds events as messages, scheduler events as columns (compact_sched), or both; ``scan``
merges the two by time.
"""

# ruff: noqa: F722  (Cython's types are not Python's)
from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython

from pvreplay.sources import records
from pvreplay.sources._perfetto_generic_cy import GENERIC

COMPILED = cython.compiled

_M32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
_M64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)

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

# Indexes of scan's state, one for each CPU.
AT = 0  # next field of the bundle
END = 1
CPU = 2
COLUMNS = 3  # (next, end) of compact_sched's timestamps, states, pids, names
TIME = 11  # of the last switch of the columns
PENDING = 12  # an event that waits for its turn stands in ...
HELD = 13  # ... four words
BAD = 17  # events or columns that cannot be
LOST = 18  # events were lost before the next record
LOST_COUNT = 19  # how many, 0 not known
INTERNED = 20  # names in the bundle's table
GENERICS = 21  # events left to _perfetto_generic_cy
FIELDS = 24  # numbers of a message's fields 1 to 8, then starts and lengths of its strings
ARGS = 48  # their number, then the arguments of a system call
STATE_INTS = 56

_ROW_INTS = cython.declare(cython.Py_ssize_t, ROW_INTS)
_P_POS = cython.declare(cython.Py_ssize_t, P_POS)
_P_ROWS = cython.declare(cython.Py_ssize_t, P_ROWS)
_P_STATUS = cython.declare(cython.Py_ssize_t, P_STATUS)
_AT = cython.declare(cython.Py_ssize_t, AT)
_END = cython.declare(cython.Py_ssize_t, END)
_CPU = cython.declare(cython.Py_ssize_t, CPU)
_COLUMNS = cython.declare(cython.Py_ssize_t, COLUMNS)
_TIME = cython.declare(cython.Py_ssize_t, TIME)
_PENDING = cython.declare(cython.Py_ssize_t, PENDING)
_HELD = cython.declare(cython.Py_ssize_t, HELD)
_BAD = cython.declare(cython.Py_ssize_t, BAD)
_LOST = cython.declare(cython.Py_ssize_t, LOST)
_LOST_COUNT = cython.declare(cython.Py_ssize_t, LOST_COUNT)
_INTERNED = cython.declare(cython.Py_ssize_t, INTERNED)
_GENERICS = cython.declare(cython.Py_ssize_t, GENERICS)
_FIELDS = cython.declare(cython.Py_ssize_t, FIELDS)
_ARGS = cython.declare(cython.Py_ssize_t, ARGS)
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
_SWITCH = cython.declare(cython.ulonglong, records.SWITCH << 16)
_NO_PREV = cython.declare(cython.ulonglong, records.NO_PREV << 24)
_NEWTASK = cython.declare(cython.ulonglong, records.NEWTASK << 16)
_FORK = cython.declare(cython.ulonglong, records.FORK << 16)
_EXEC = cython.declare(cython.ulonglong, records.EXEC << 16)
_EXIT = cython.declare(cython.ulonglong, records.EXIT << 16)
_FREE = cython.declare(cython.ulonglong, records.FREE << 16)
_RENAME = cython.declare(cython.ulonglong, records.RENAME << 16)
_GENERIC = cython.declare(cython.ulonglong, GENERIC << 16)
_LOSS = cython.declare(cython.ulonglong, records.LOST << 16)
_RAW_ENTER = cython.declare(cython.ulonglong, records.RAW_ENTER << 16)
_RAW_EXIT = cython.declare(cython.ulonglong, records.RAW_EXIT << 16)
_RUNNABLE = cython.declare(cython.ulonglong, records.STATE_RUNNABLE)
_PREEMPTED = cython.declare(cython.ulonglong, records.STATE_PREEMPTED)
_BLOCKED = cython.declare(cython.ulonglong, records.STATE_BLOCKED)
_DEAD = cython.declare(cython.ulonglong, records.STATE_DEAD)
_PARKED_OR_DEAD = cython.declare(cython.ulonglong, records.STATE_PARKED_OR_DEAD)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _varint(
    data: "const unsigned char[::1]", at: cython.Py_ssize_t, stop: cython.Py_ssize_t
) -> cython.ulonglong:
    """The number at *at*; what a missing end would add is 0."""
    value: cython.ulonglong = 0
    shift: cython.int = 0
    byte: cython.ulonglong
    while at < stop and shift < 64:
        byte = data[at]
        value |= ((byte & 0x7F) << shift) & _M64
        if byte < 0x80:
            break
        shift += 7
        at += 1
    return value


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _after(
    data: "const unsigned char[::1]", at: cython.Py_ssize_t, stop: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Where the number at *at* ends; stop + 1 when it does not, within 10 bytes."""
    last: cython.Py_ssize_t = at + 10
    if last > stop:
        last = stop
    while at < last:
        if data[at] < 0x80:
            return at + 1
        at += 1
    return stop + 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _skip(
    data: "const unsigned char[::1]", at: cython.Py_ssize_t, stop: cython.Py_ssize_t, wire: cython.ulonglong
) -> cython.Py_ssize_t:
    """Where the field whose value is at *at* ends; behind *stop* when it is cut or cannot be."""
    size: cython.ulonglong
    after: cython.Py_ssize_t
    if wire == 0:
        return _after(data, at, stop)
    if wire == 2:
        after = _after(data, at, stop)
        if after > stop:
            return stop + 1
        size = _varint(data, at, stop)
        if size > cython.cast(cython.ulonglong, stop - after):
            return stop + 1
        return after + cython.cast(cython.Py_ssize_t, size)
    if wire == 1:
        return at + 8
    if wire == 5:
        return at + 4
    return stop + 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _name(
    data: "const unsigned char[::1]",
    at: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    state: cython.longlong[::1],
) -> cython.ulonglong:
    """The number of a name (15 bytes of it count), entered as ``_tracepoint_cy`` enters names."""
    low: cython.ulonglong = 0
    high: cython.ulonglong = 0
    mixed: cython.ulonglong
    mask: cython.ulonglong = cython.cast(cython.ulonglong, len(table)) - 1
    spot: cython.ulonglong
    number: cython.ulonglong
    i: cython.Py_ssize_t
    if size > 15:
        size = 15
    for i in range(size):
        if data[at + i] == 0:
            break
        if i < 8:
            low |= cython.cast(cython.ulonglong, data[at + i]) << (8 * i)
        else:
            high |= cython.cast(cython.ulonglong, data[at + i]) << (8 * i - 64)
    if low == 0:
        return 0
    mixed = (low * cython.cast(cython.ulonglong, 0x9E3779B97F4A7C15)) & _M64
    mixed = mixed ^ ((high * cython.cast(cython.ulonglong, 0xC2B2AE3D27D4EB4F)) & _M64)
    mixed = mixed ^ (mixed >> 29)
    spot = (mixed ^ (mixed >> 43)) & mask
    while True:
        number = table[cython.cast(cython.Py_ssize_t, spot)]
        if number == 0:
            break
        if (
            keys[cython.cast(cython.Py_ssize_t, number * 2)] == low
            and keys[cython.cast(cython.Py_ssize_t, number * 2 + 1)] == high
        ):
            return number
        spot = (spot + 1) & mask
    number = cython.cast(cython.ulonglong, state[0])
    if number > 0xFFFFFF or cython.cast(cython.Py_ssize_t, number * 2 + 1) >= len(keys):
        state[2] += 1
        return 0
    state[0] += 1
    keys[cython.cast(cython.Py_ssize_t, number * 2)] = low
    keys[cython.cast(cython.Py_ssize_t, number * 2 + 1)] = high
    table[cython.cast(cython.Py_ssize_t, spot)] = cython.cast(cython.uint, number)
    return number


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _state_class(state: cython.ulonglong) -> cython.ulonglong:
    """STATE_* of a prev_state: as ``textevents.state_class`` takes numbers."""
    if state == 0:
        return _RUNNABLE
    if state & 0x30:
        return _DEAD
    if state == 64:
        return _PARKED_OR_DEAD
    if state == 256 or state == 1024 or state == 2048 or state == 4096:
        return _PREEMPTED
    return _BLOCKED


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
def cpu_of(data: "const unsigned char[::1]", at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> int:
    """The CPU of a bundle: its field 1, which stands first in all that is known to write bundles."""
    tag: cython.ulonglong
    after: cython.Py_ssize_t
    while at < stop:
        after = _after(data, at, stop)
        if after > stop:
            break
        tag = _varint(data, at, stop)
        if tag == 8:
            return _varint(data, after, stop)
        at = _skip(data, after, stop, tag & 7)
    return 0


@cython.boundscheck(False)
@cython.wraparound(False)
def clock_of(data: "const unsigned char[::1]", at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> int:
    """A bundle's ftrace_clock, 0 when it names none."""
    tag: cython.ulonglong
    after: cython.Py_ssize_t
    clock: cython.ulonglong = 0
    with cython.nogil:
        while at < stop:
            after = _after(data, at, stop)
            if after > stop:
                break
            tag = _varint(data, at, stop)
            if tag == 40:
                clock = _varint(data, after, stop)
                break
            at = _skip(data, after, stop, tag & 7)
    return clock


@cython.boundscheck(False)
@cython.wraparound(False)
def open_bundle(
    data: "const unsigned char[::1]",
    start: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    names: cython.uint[::1],
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    comms: cython.longlong[::1],
    state: cython.ulonglong[::1],
) -> int:
    """Let the next ``scan`` begin with the bundle [start, stop).

    *names* is for the bundle's table of names.  Returns their number: when it is more than *names*
    holds, call again with a longer one (nothing is changed but *names*).
    """
    at: cython.Py_ssize_t = start
    after: cython.Py_ssize_t
    last: cython.Py_ssize_t
    tag: cython.ulonglong
    column: cython.Py_ssize_t
    count: cython.Py_ssize_t = 0
    compact: cython.Py_ssize_t = 0
    compact_end: cython.Py_ssize_t = 0
    lost: cython.ulonglong = 0
    bad: cython.ulonglong = 0
    i: cython.Py_ssize_t
    with cython.nogil:
        while at < stop:
            after = _after(data, at, stop)
            if after > stop:
                break
            tag = _varint(data, at, stop)
            last = _skip(data, after, stop, tag & 7)
            if tag == 34:  # compact_sched
                if compact:
                    bad += 1
                compact = _after(data, after, stop)
                compact_end = last
                if compact_end > stop:
                    compact_end = stop
            elif tag == 24 and _varint(data, after, stop):
                lost = 1
            at = last
        for i in range(8):
            state[_COLUMNS + i] = 0
        at = compact
        while at < compact_end:
            after = _after(data, at, compact_end)
            if after > compact_end:
                break
            tag = _varint(data, at, compact_end)
            last = _skip(data, after, compact_end, tag & 7)
            if tag & 7 == 2:
                after = _after(data, after, compact_end)
                if last > compact_end:
                    last = compact_end
                column = -1
                if tag == 42:
                    if count < len(names):
                        names[count] = cython.cast(
                            cython.uint, _name(data, after, last - after, keys, table, comms)
                        )
                    count += 1
                elif tag == 10:
                    column = 0
                elif tag == 18:
                    column = 2
                elif tag == 26:
                    column = 4
                elif tag == 50:
                    column = 6
                if column >= 0:
                    if state[_COLUMNS + column]:
                        bad += 1
                    else:
                        state[_COLUMNS + column] = cython.cast(cython.ulonglong, after)
                        state[_COLUMNS + column + 1] = cython.cast(cython.ulonglong, last)
            at = last
        if count <= len(names):
            state[_AT] = cython.cast(cython.ulonglong, start)
            state[_END] = cython.cast(cython.ulonglong, stop)
            state[_TIME] = 0
            state[_PENDING] = 0
            state[_BAD] += bad
            state[_LOST] |= lost
            state[_INTERNED] = cython.cast(cython.ulonglong, count)
    return count


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _fields(
    data: "const unsigned char[::1]",
    at: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    state: cython.ulonglong[::1],
) -> cython.bint:
    """Leave the fields 1 to 8 of a message in state[FIELDS ...]; False when it is malformed."""
    tag: cython.ulonglong
    field: cython.Py_ssize_t
    after: cython.Py_ssize_t
    last: cython.Py_ssize_t
    inner: cython.Py_ssize_t
    i: cython.Py_ssize_t
    for i in range(_FIELDS, _ARGS + 1):
        state[i] = 0
    while at < stop:
        after = _after(data, at, stop)
        if after > stop:
            return False
        tag = _varint(data, at, stop)
        last = _skip(data, after, stop, tag & 7)
        if last > stop:
            return False
        if 8 <= tag < 72:
            field = cython.cast(cython.Py_ssize_t, (tag >> 3) - 1)
            if tag & 7 == 0:
                state[_FIELDS + field] = _varint(data, after, stop)
                if tag == 16 and state[_ARGS] < 6:
                    state[_ARGS] += 1
                    state[_ARGS + cython.cast(cython.Py_ssize_t, state[_ARGS])] = state[_FIELDS + field]
            elif tag & 7 == 2:
                after = _after(data, after, stop)
                state[_FIELDS + 8 + field] = cython.cast(cython.ulonglong, after)
                state[_FIELDS + 16 + field] = cython.cast(cython.ulonglong, last - after)
                if tag == 18:
                    inner = after
                    while inner < last and state[_ARGS] < 6:
                        state[_ARGS] += 1
                        state[_ARGS + cython.cast(cython.Py_ssize_t, state[_ARGS])] = _varint(
                            data, inner, last
                        )
                        inner = _after(data, inner, last)
        at = last
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _string(
    data: "const unsigned char[::1]",
    field: cython.Py_ssize_t,
    base: cython.bint,
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    comms: cython.longlong[::1],
    state: cython.ulonglong[::1],
) -> cython.ulonglong:
    """The number of the name in a field; of a path with *base*, of its last part."""
    at: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_FIELDS + 7 + field])
    size: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_FIELDS + 15 + field])
    i: cython.Py_ssize_t = size
    if base:
        while i > 0 and data[at + i - 1] != 47:
            i -= 1
        at += i
        size -= i
    return _name(data, at, size, keys, table, comms)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _event(
    data: "const unsigned char[::1]",
    at: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    raw_numbers: "const unsigned char[::1]",
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    comms: cython.longlong[::1],
    state: cython.ulonglong[::1],
    words: cython.ulonglong[::1],
    w: cython.Py_ssize_t,
) -> cython.int:
    """Write the record of one FtraceEvent to *words* from *w* on: 1, 0 for one of no use, -1 a bad one."""
    tag: cython.ulonglong
    after: cython.Py_ssize_t
    last: cython.Py_ssize_t
    time: cython.ulonglong = 0
    pid: cython.ulonglong = _M32
    kind: cython.ulonglong = 0
    body: cython.Py_ssize_t = 0
    body_end: cython.Py_ssize_t = 0
    type: cython.ulonglong
    flags: cython.ulonglong = 0
    a: cython.ulonglong
    b: cython.ulonglong
    c: cython.ulonglong
    number: cython.ulonglong
    while at < stop:
        after = _after(data, at, stop)
        if after > stop:
            return -1
        tag = _varint(data, at, stop)
        last = _skip(data, after, stop, tag & 7)
        if last > stop:
            return -1
        if tag == 8:
            time = _varint(data, after, stop)
        elif tag == 16:
            pid = _varint(data, after, stop) & _M32
        elif tag & 7 == 2:
            number = tag >> 3
            if number == 4 or 235 <= number <= 240 or 327 <= number <= 330:
                kind = number
                body = _after(data, after, stop)
                body_end = last
        at = last
    if kind == 0 or kind == 328:
        return 0
    if kind == 327:
        words[w] = time
        words[w + 1] = state[_CPU] | _GENERIC | pid << 32
        words[w + 2] = cython.cast(cython.ulonglong, body)
        words[w + 3] = cython.cast(cython.ulonglong, body_end)
        state[_GENERICS] += 1
        return 1
    if not _fields(data, body, body_end, state):
        return -1
    a = state[_FIELDS + 1]
    b = 0
    c = 0
    if kind == 4:
        type = _SWITCH
        b = state[_FIELDS + 5]
        c = _string(data, 1, False, keys, table, comms, state)
        c |= _string(data, 5, False, keys, table, comms, state) << 24
        c |= _state_class(state[_FIELDS + 3]) << 48
    elif kind == 235:
        type = _NEWTASK
        a = state[_FIELDS]
        b = state[_FIELDS + 2]
        c = _string(data, 2, False, keys, table, comms, state)
    elif kind == 236:
        type = _RENAME
        a = state[_FIELDS]
        c = _string(data, 3, False, keys, table, comms, state)
    elif kind == 237:
        type = _EXEC
        b = state[_FIELDS + 2]
        c = _string(data, 1, True, keys, table, comms, state)
    elif kind == 238:
        type = _EXIT
    elif kind == 239:
        type = _FORK
        a = state[_FIELDS + 3]
        b = state[_FIELDS + 1]
        c = _string(data, 3, False, keys, table, comms, state)
    elif kind == 240:
        type = _FREE
    else:
        a = state[_FIELDS]
        if a >= cython.cast(cython.ulonglong, len(raw_numbers)):
            return 0
        if raw_numbers[cython.cast(cython.Py_ssize_t, a)] == 0:
            return 0
        if kind == 330:
            type = _RAW_EXIT
            c = state[_FIELDS + 1]
        else:
            type = _RAW_ENTER
            for at in range(_ARGS + 1 + cython.cast(cython.Py_ssize_t, state[_ARGS]), _ARGS + 7):
                state[at] = 0
            b = state[_ARGS + 1] & _M32
            c = (state[_ARGS + 2] & _M32) | (state[_ARGS + 3] & _M32) << 32
            if state[_ARGS + 2] >> 32:
                flags |= 1
            if state[_ARGS + 3] >> 32:
                flags |= 2
            if state[_ARGS + 4]:
                flags |= 4
            if state[_ARGS + 4] & 0xFF:
                flags |= 8
    words[w] = time
    words[w + 1] = state[_CPU] | type | flags << 24 | pid << 32
    words[w + 2] = (a & _M32) | (b & _M32) << 32
    words[w + 3] = c
    return 1


@cython.boundscheck(False)
@cython.wraparound(False)
def scan(
    data: "const unsigned char[::1]",
    names: cython.uint[::1],
    raw_numbers: "const unsigned char[::1]",
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    comms: cython.longlong[::1],
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    room: cython.Py_ssize_t,
    state: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """Write records of the open bundle to *words* from *first* on; returns their end.

    Stops before *room*, or at the end of the bundle: state[AT] is then its end and nothing is
    pending.  *raw_numbers*: 1 for each number of a system call that gives a record.
    """
    n: cython.Py_ssize_t = first
    w: cython.Py_ssize_t
    at: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_AT])
    end: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_END])
    times: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_COLUMNS])
    times_end: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_COLUMNS + 1])
    states: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_COLUMNS + 2])
    states_end: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_COLUMNS + 3])
    pids: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_COLUMNS + 4])
    pids_end: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_COLUMNS + 5])
    spots: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_COLUMNS + 6])
    spots_end: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[_COLUMNS + 7])
    after: cython.Py_ssize_t
    last: cython.Py_ssize_t
    tag: cython.ulonglong
    time: cython.ulonglong
    index: cython.ulonglong
    found: cython.int
    i: cython.Py_ssize_t
    whole: cython.Py_ssize_t = len(data)
    with cython.nogil:
        while n < room - 1:
            w = n * 4
            if state[_LOST]:
                w += 4
            found = 0
            if state[_PENDING] == 0:
                while at < end and found == 0:
                    after = _after(data, at, end)
                    tag = 0
                    last = end + 1
                    if after <= end:
                        tag = _varint(data, at, end)
                        last = _skip(data, after, end, tag & 7)
                    if last > end:
                        if end < whole:
                            state[_BAD] += 1
                        at = end
                        break
                    if tag == 18:
                        after = _after(data, after, end)
                        found = _event(data, after, last, raw_numbers, keys, table, comms, state, words, w)
                        if found < 0:
                            state[_BAD] += 1
                            found = 0
                    at = last
                if found and times < times_end:
                    for i in range(4):
                        state[_HELD + i] = words[w + i]
                    state[_PENDING] = 1
                    found = 0
            if found == 0:
                if times < times_end:
                    last = _after(data, times, times_end)
                    time = (state[_TIME] + _varint(data, times, times_end)) & _M64
                    if state[_PENDING] == 0 or time < state[_HELD]:
                        times = last
                        state[_TIME] = time
                        if states >= states_end or pids >= pids_end or spots >= spots_end:
                            if end < whole:
                                state[_BAD] += 1
                            times = times_end
                            continue
                        index = _varint(data, spots, spots_end)
                        words[w] = time
                        words[w + 1] = state[_CPU] | _SWITCH | _NO_PREV | _M32 << 32
                        words[w + 2] = (_varint(data, pids, pids_end) & _M32) << 32
                        words[w + 3] = _state_class(_varint(data, states, states_end)) << 48
                        if index < state[_INTERNED]:
                            words[w + 3] |= (
                                cython.cast(cython.ulonglong, names[cython.cast(cython.Py_ssize_t, index)])
                                << 24
                            )
                        states = _after(data, states, states_end)
                        pids = _after(data, pids, pids_end)
                        spots = _after(data, spots, spots_end)
                        found = 1
                if found == 0 and state[_PENDING]:
                    for i in range(4):
                        words[w + i] = state[_HELD + i]
                    state[_PENDING] = 0
                    found = 1
            if found == 0:
                break
            if state[_LOST]:
                words[w - 4] = words[w]
                words[w - 3] = state[_CPU] | _LOSS | _M32 << 32
                words[w - 2] = state[_LOST_COUNT]
                words[w - 1] = 0
                state[_LOST] = 0
                state[_LOST_COUNT] = 0
                n += 1
            n += 1
        state[_AT] = cython.cast(cython.ulonglong, at)
        state[_COLUMNS] = cython.cast(cython.ulonglong, times)
        state[_COLUMNS + 2] = cython.cast(cython.ulonglong, states)
        state[_COLUMNS + 4] = cython.cast(cython.ulonglong, pids)
        state[_COLUMNS + 6] = cython.cast(cython.ulonglong, spots)
    return n

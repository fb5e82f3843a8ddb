"""Perfetto's ftrace bundles of one CPU, compiled: protobuf turned into raw records.

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


@cython.ccall
@cython.nogil
@cython.exceptval(check=False)
def varint(
    data: "const unsigned char[::1]", at: cython.Py_ssize_t, stop: cython.Py_ssize_t
) -> cython.ulonglong:
    """:func:`_varint` for other modules: what they call is not inlined here."""
    return _varint(data, at, stop)


@cython.ccall
@cython.nogil
@cython.exceptval(check=False)
def after(
    data: "const unsigned char[::1]", at: cython.Py_ssize_t, stop: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """:func:`_after` for other modules."""
    return _after(data, at, stop)


@cython.ccall
@cython.nogil
@cython.exceptval(check=False)
def skip(
    data: "const unsigned char[::1]", at: cython.Py_ssize_t, stop: cython.Py_ssize_t, wire: cython.ulonglong
) -> cython.Py_ssize_t:
    """:func:`_skip` for other modules."""
    return _skip(data, at, stop, wire)

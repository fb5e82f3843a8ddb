"""perf's stream of records to records of ours in one go, compiled: memory and files.

:func:`walk` finds (``_perfdata_cy``) and decodes (``_tracepoint_cy``) a few hundred records at a time,
and the most frequent ones, switches and what is not wanted, at once.  :func:`part` does the same
from the middle of a file, and :func:`combine` puts together what parts have counted.
"""

# ruff: noqa: F722  (Cython's types are not Python's)
from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython

if cython.compiled:
    from cython.cimports.pvreplay.hints import fetch_ahead, pread
    from cython.cimports.pvreplay.sources._perfdata_cy import event_of, guess, scan
    from cython.cimports.pvreplay.sources._tracepoint_cy import comm_of, decode_range
    from cython.cimports.pvreplay.sources.loads import load32, load64
else:
    from os import preadv

    from pvreplay.sources._perfdata_cy import event_of, guess, scan
    from pvreplay.sources._tracepoint_cy import comm_of
    from pvreplay.sources._tracepoint_cy import decode as decode_range
    from pvreplay.sources.loads import load32, load64

COMPILED = cython.compiled

_M32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
_M64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
_NO_END = cython.declare(cython.Py_ssize_t, 1 << 62)
BATCH = 256  # records found before they are decoded
_BATCH = cython.declare(cython.Py_ssize_t, BATCH)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _plain_switch(layouts: cython.longlong[::1], programs: cython.longlong[::1]) -> cython.Py_ssize_t:
    """The first event whose samples are sched_switch and nothing but fixed parts; -1 when none is."""
    event: cython.Py_ssize_t
    lay: cython.Py_ssize_t
    p: cython.Py_ssize_t
    for event in range(len(layouts) // 16):
        lay = event * 16
        p = cython.cast(cython.Py_ssize_t, layouts[lay]) * 20
        if (
            0 < layouts[lay] < 255
            and layouts[lay + 3] != 0
            and layouts[lay + 4] != 0
            and layouts[lay + 10] == 0
            and layouts[lay + 12] == 0
            and programs[p] == 2
            and programs[p + 3] >= 0
            and programs[p + 8] == 16
            and (programs[p + 10] == 8 or programs[p + 10] == 4)
        ):
            return event
    return -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
@cython.boundscheck(False)
@cython.wraparound(False)
def _switches(
    data: "const unsigned char[::1]",
    end: cython.Py_ssize_t,
    until: cython.Py_ssize_t,
    wanted: cython.Py_ssize_t,
    layouts: cython.longlong[::1],
    id_at: cython.Py_ssize_t,
    ids: cython.ulonglong[::1],
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    room: cython.Py_ssize_t,
    types: cython.longlong[::1],
    state: cython.ulonglong[::1],
    programs: cython.longlong[::1],
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    comms: cython.longlong[::1],
    memo: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """The records of the samples that follow, as long as they are what most are.

    That is, switches (event *wanted*, see :func:`_plain_switch`) and events that are not wanted;
    ``scan`` and ``decode_range`` take the first that is neither, and would have given these the same
    records.  Nothing here is worth a reason to stop: state[POS] is where it did.
    """
    pos: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[0])
    n: cython.Py_ssize_t = first
    mask: cython.ulonglong = cython.cast(cython.ulonglong, len(ids) // 2) - 1
    lay: cython.Py_ssize_t = wanted * 16
    p: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, layouts[lay]) * 20
    time_at: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, layouts[lay + 3])
    cpu_at: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, layouts[lay + 4])
    raw_at: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, layouts[lay + 5]) + 4
    least: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, programs[p + 2])
    prev_at: cython.Py_ssize_t = raw_at + cython.cast(cython.Py_ssize_t, programs[p + 4])
    next_at: cython.Py_ssize_t = raw_at + cython.cast(cython.Py_ssize_t, programs[p + 5])
    prev_comm_at: cython.Py_ssize_t = raw_at + cython.cast(cython.Py_ssize_t, programs[p + 6])
    next_comm_at: cython.Py_ssize_t = raw_at + cython.cast(cython.Py_ssize_t, programs[p + 7])
    state_at: cython.Py_ssize_t = raw_at + cython.cast(cython.Py_ssize_t, programs[p + 9])
    long_state: cython.bint = programs[p + 10] == 8
    pid_at: cython.Py_ssize_t = raw_at + cython.cast(cython.Py_ssize_t, programs[p + 3])
    head: cython.ulonglong = cython.cast(cython.ulonglong, programs[p + 1] << 16 | programs[p + 11] << 24)
    dead: cython.ulonglong = cython.cast(cython.ulonglong, programs[p + 12])
    near: cython.Py_ssize_t = id_at + 8
    recent: cython.ulonglong = cython.cast(cython.ulonglong, len(memo) // 3) - 1
    samples: cython.longlong = 0
    most: cython.ulonglong = state[8]
    word: cython.ulonglong
    id: cython.ulonglong
    entry: cython.ulonglong
    size: cython.Py_ssize_t
    length: cython.Py_ssize_t
    event: cython.longlong
    time: cython.ulonglong
    cpu: cython.ulonglong
    prev: cython.ulonglong
    following: cython.ulonglong
    value: cython.ulonglong
    low: cython.ulonglong
    high: cython.ulonglong
    spot: cython.Py_ssize_t
    c: cython.ulonglong
    while n < room and pos < until and end - pos > near:
        word = load64(data, pos)
        if cython.compiled:
            fetch_ahead(data, pos)
        size = cython.cast(cython.Py_ssize_t, word >> 48)
        if word & _M32 != 9 or size < near or size > end - pos:
            break
        event = 0
        if id_at:
            id = load64(data, pos + id_at)
            entry = (id * cython.cast(cython.ulonglong, 0x9E3779B1)) & _M32
            entry = ((entry ^ (entry >> 15)) & mask) * 2
            if ids[cython.cast(cython.Py_ssize_t, entry)] == id:
                event = cython.cast(cython.longlong, ids[cython.cast(cython.Py_ssize_t, entry + 1)]) - 1
            else:
                event = event_of(id, ids, mask)
        if event != wanted:
            if event < 0 or layouts[event * 16] != 0:
                break
            samples += 1
            pos += size
            continue
        if size < raw_at + least:
            break
        length = cython.cast(cython.Py_ssize_t, load32(data, pos + raw_at - 4))
        cpu = load32(data, pos + cpu_at)
        if length < least or length > size - raw_at or cpu >= 8192:
            break
        time = load64(data, pos + time_at)
        prev = load32(data, pos + prev_at)
        following = load32(data, pos + next_at)
        low = load64(data, pos + prev_comm_at)
        high = load64(data, pos + prev_comm_at + 8)
        value = prev if prev else cpu
        spot = cython.cast(cython.Py_ssize_t, value & recent) * 3
        if memo[spot] == low and memo[spot + 1] == high:
            c = memo[spot + 2]
        else:
            c = comm_of(data, pos + prev_comm_at, 16, keys, table, comms, memo, value)
        low = load64(data, pos + next_comm_at)
        high = load64(data, pos + next_comm_at + 8)
        value = following if following else cpu
        spot = cython.cast(cython.Py_ssize_t, value & recent) * 3
        if memo[spot] == low and memo[spot + 1] == high:
            c |= memo[spot + 2] << 24
        else:
            c |= comm_of(data, pos + next_comm_at, 16, keys, table, comms, memo, value) << 24
        value = load64(data, pos + state_at) if long_state else load32(data, pos + state_at)
        if programs[p + 14] != 0:
            if value & dead:
                c |= cython.cast(cython.ulonglong, 2) << 48
            elif value & cython.cast(cython.ulonglong, programs[p + 13]):
                c |= cython.cast(cython.ulonglong, 4) << 48
            elif value & cython.cast(cython.ulonglong, programs[p + 14]):
                c |= cython.cast(cython.ulonglong, 3) << 48
            else:
                c |= cython.cast(cython.ulonglong, 1) << 48
        words[n * 4] = time
        words[n * 4 + 1] = cpu | head | load32(data, pos + pid_at) << 32
        words[n * 4 + 2] = prev | following << 32
        words[n * 4 + 3] = c
        if time > most:
            most = time
        n += 1
        samples += 1
        pos += size
    state[0] = cython.cast(cython.ulonglong, pos)
    state[8] = most
    types[9] += samples
    return n


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _walk(
    data: "const unsigned char[::1]",
    end: cython.Py_ssize_t,
    until: cython.Py_ssize_t,
    layouts: cython.longlong[::1],
    id_at: cython.Py_ssize_t,
    tail_id: cython.Py_ssize_t,
    ids: cython.ulonglong[::1],
    slots: "const unsigned char[::1]",
    sideband: "const unsigned char[::1]",
    twins: cython.ulonglong[::1],
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    types: cython.longlong[::1],
    state: cython.ulonglong[::1],
    programs: cython.longlong[::1],
    numbers: "const unsigned char[::1]",
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    comms: cython.longlong[::1],
    memo: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """``scan`` and ``decode_range`` in turns, a batch at a time, see :func:`walk`."""
    switch: cython.Py_ssize_t = _plain_switch(layouts, programs)
    before: cython.ulonglong
    steps: cython.Py_ssize_t
    n: cython.Py_ssize_t = first
    found: cython.Py_ssize_t
    batch: cython.Py_ssize_t
    room: cython.Py_ssize_t = len(words) // 4
    names: cython.longlong = len(keys) // 2
    while True:
        if n >= room:
            state[1] = 1
            break
        if comms[0] + 2 * _BATCH + 1 > names and names <= 0x1000000:
            state[1] = 5
            break
        batch = n + _BATCH
        if batch > room:
            batch = room
        steps = _NO_END
        if switch >= 0:
            before = state[0]
            n = _switches(
                data, end, until, switch, layouts, id_at, ids, words, n, batch, types, state, programs,
                keys, table, comms, memo,
            )  # fmt: skip
            if n >= batch:
                state[1] = 1
                continue
            # Most likely it is a single record that is neither: unless that was so the last time.
            steps = 1 if state[0] - before > 1024 else 64
        found = scan(
            data, end, until, layouts, id_at, tail_id, ids, slots, sideband, twins, words, n, batch,
            steps, types, state,
        )  # fmt: skip
        if found > n:
            n = decode_range(data, words, n, found, 0, programs, numbers, keys, table, comms, memo)
        if state[1] != 1:
            break
    return n


def walk(
    data: "const unsigned char[::1]",
    end: cython.Py_ssize_t,
    until: cython.Py_ssize_t,
    layouts: cython.longlong[::1],
    id_at: cython.Py_ssize_t,
    tail_id: cython.Py_ssize_t,
    ids: cython.ulonglong[::1],
    slots: "const unsigned char[::1]",
    sideband: "const unsigned char[::1]",
    twins: cython.ulonglong[::1],
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    types: cython.longlong[::1],
    state: cython.ulonglong[::1],
    programs: cython.longlong[::1],
    numbers: "const unsigned char[::1]",
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    comms: cython.longlong[::1],
    memo: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """Scan and decode in turns, a batch at a time; returns the end of what is in *words*.

    Stops also before a record that starts at or behind *until* (REACHED; with *until* > *end* never),
    and when there may be no room for the names of another batch (COMMS).  The payloads of a batch are
    in the cache when they are decoded.
    """
    with cython.nogil:
        first = _walk(
            data, end, until, layouts, id_at, tail_id, ids, slots, sideband, twins, words, first, types,
            state, programs, numbers, keys, table, comms, memo,
        )  # fmt: skip
    return first  # noqa: RET504


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _read(
    file: cython.int, buffer: cython.uchar[::1], count: cython.Py_ssize_t, at: cython.longlong
) -> cython.Py_ssize_t:
    """Read up to *count* bytes at *at* into *buffer*; how many there were, -1 when they cannot be read."""
    total: cython.Py_ssize_t = 0
    got: cython.Py_ssize_t = 1
    while got > 0 and total < count:
        if cython.compiled:
            got = pread(file, cython.address(buffer[total]), count - total, at + total)
        else:
            got = preadv(file, [buffer[total:count]], at + total)
        if got < 0:
            return -1
        total += got
    return total


def part(
    file: cython.int,
    start: cython.longlong,
    end: cython.longlong,
    until: cython.longlong,
    buffer: cython.uchar[::1],
    layouts: cython.longlong[::1],
    id_at: cython.Py_ssize_t,
    tail_id: cython.Py_ssize_t,
    ids: cython.ulonglong[::1],
    slots: "const unsigned char[::1]",
    sideband: "const unsigned char[::1]",
    twins: cython.ulonglong[::1],
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    types: cython.longlong[::1],
    state: cython.ulonglong[::1],
    programs: cython.longlong[::1],
    numbers: "const unsigned char[::1]",
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    comms: cython.longlong[::1],
    memo: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """As :func:`walk`, of an open file's bytes from *start* to *end*, read into *buffer* piece by piece.

    With state[START] = 0, where the first record at or behind *start* begins is guessed: payloads can
    imitate records, so whoever uses the result has to make sure that the records before end there.
    Otherwise *start* is where a record begins.  A buffer holds 72 KiB at least.
    """
    n: cython.Py_ssize_t = first
    at: cython.longlong = start
    got: cython.Py_ssize_t
    begin: cython.Py_ssize_t
    count: cython.longlong
    slack: cython.longlong = 4096
    with cython.nogil:
        while True:
            # Behind *until* only the end of the last record is needed.
            count = until - at + slack
            if count > len(buffer):
                count = len(buffer)
            if count > end - at:
                count = end - at
            got = _read(file, buffer, count, at)
            if got < 0:
                state[0] = cython.cast(cython.ulonglong, at)
                state[1] = 6
                break
            begin = 0
            if state[11] == 0:
                begin = guess(buffer, got, id_at, ids)
                if begin < 0:
                    break
                state[11] = cython.cast(cython.ulonglong, at + begin + 1)
            state[0] = cython.cast(cython.ulonglong, begin)
            n = _walk(
                buffer, got, until - at, layouts, id_at, tail_id, ids, slots, sideband, twins, words, n,
                types, state, programs, numbers, keys, table, comms, memo,
            )  # fmt: skip
            begin = cython.cast(cython.Py_ssize_t, state[0])
            state[0] = cython.cast(cython.ulonglong, at + begin)
            if state[1] != 0 or got < count or at + got >= end:
                break
            if begin == 0:
                # A record longer than what was read of it.
                slack = 65536
            at += begin
    return n


def combine(
    state: cython.ulonglong[::1],
    types: cython.longlong[::1],
    after: cython.ulonglong[::1],
    more: cython.longlong[::1],
) -> None:
    """Add the counts and the marks of a part (*after*, *more*) to those of all before it.

    The part was read with *state* and *types* of zeros: its LAST_ROUND and LIMIT are the latest times
    before its last round and the one before that, as far as the part knows.
    """
    i: cython.Py_ssize_t
    rounds: cython.longlong = more[68]
    before: cython.ulonglong = state[8]
    for i in range(256):
        types[i] += more[i]
    for i in range(2, 8):
        state[i] = (state[i] + after[i]) & _M64
    if rounds == 1:
        state[10] = state[9]
    if rounds > 1:
        state[10] = after[10] if after[10] > before else before
    if rounds > 0:
        state[9] = after[9] if after[9] > before else before
    if after[8] > before:
        state[8] = after[8]

"""Tracepoint payloads to raw records: the second half of every binary decoder, compiled.

A format's own scanner (perf records, ring-buffer pages) finds events and leaves
four words for each: time; CPU, program and thread; offset of the payload; its
length.  :func:`decode` turns them in place into the records of ``records.py``.
What to read where is a *program* a row of ``PROGRAM_INTS`` numbers, made from the
format texts by ``tracepoints.py``; nothing here knows an offset by heart.

Every read lies inside the payload: a program's smallest length is compared with
the payload's, and the scanner has checked that the payload lies in the buffer.
"""

# ruff: noqa: F722  (Cython's types are not Python's)
from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython

from pvreplay.sources import records

if cython.compiled:
    from cython.cimports.pvreplay.sources.loads import load16, load32, load64
else:
    from pvreplay.sources.loads import load16, load32, load64

COMPILED = cython.compiled

# Types of records.py that perf's own records become, and those with a comm.
_REC_SWITCH = cython.declare(cython.ulonglong, records.SWITCH)
_REC_NEWTASK = cython.declare(cython.ulonglong, records.NEWTASK)
_REC_FORK = cython.declare(cython.ulonglong, records.FORK)
_REC_EXEC = cython.declare(cython.ulonglong, records.EXEC)
_REC_RENAME = cython.declare(cython.ulonglong, records.RENAME)
_REC_INFO = cython.declare(cython.ulonglong, records.INFO)

_M32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
_M64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)

PROGRAM_INTS = 20

# What a program does, its first number (tracepoints.py names them).
_GENERIC = cython.declare(cython.int, 1)
_SWITCH = cython.declare(cython.int, 2)
_SYS_ENTER = cython.declare(cython.int, 3)
_SYS_EXIT = cython.declare(cython.int, 4)
_PERF_COMM = cython.declare(cython.int, 5)
_PERF_TASK = cython.declare(cython.int, 6)
_PERF_MMAP = cython.declare(cython.int, 7)
_PERF_SWITCH = cython.declare(cython.int, 8)
_PERF_LOST = cython.declare(cython.int, 9)
_VALUE = cython.declare(cython.int, 10)

# What a generic program's c is.
_C_NUMBER = cython.declare(cython.int, 1)
_C_SIGNED = cython.declare(cython.int, 2)
_C_COMM = cython.declare(cython.int, 3)
_C_LOCATED = cython.declare(cython.int, 4)
_C_BASENAME = cython.declare(cython.int, 5)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _number(
    data: "const unsigned char[::1]", at: cython.Py_ssize_t, size: cython.longlong, signed: cython.bint
) -> cython.ulonglong:
    """A field of 0 (nothing), 1, 2, 4 or 8 bytes, sign-extended to 64 bits on demand."""
    value: cython.ulonglong
    if size == 4:
        value = load32(data, at)
        if signed and value >> 31:
            value |= cython.cast(cython.ulonglong, 0xFFFFFFFF00000000)
        return value
    if size == 8:
        return load64(data, at)
    if size == 2:
        value = load16(data, at)
        if signed and value >> 15:
            value |= cython.cast(cython.ulonglong, 0xFFFFFFFFFFFF0000)
        return value
    if size == 1:
        value = data[at]
        if signed and value >> 7:
            value |= cython.cast(cython.ulonglong, 0xFFFFFFFFFFFFFF00)
        return value
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _cut_at_zero(word: cython.ulonglong) -> cython.ulonglong:
    """The word with everything from its first zero byte on cleared."""
    zeros: cython.ulonglong = (
        (word - cython.cast(cython.ulonglong, 0x0101010101010101))
        & ~word
        & cython.cast(cython.ulonglong, 0x8080808080808080)
    )
    lowest: cython.ulonglong
    if zeros == 0:
        return word
    lowest = zeros & ((0 - zeros) & _M64)
    return word & (((lowest >> 7) - 1) & _M64)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _hash(low: cython.ulonglong, high: cython.ulonglong) -> cython.ulonglong:
    mixed: cython.ulonglong = (low * cython.cast(cython.ulonglong, 0x9E3779B97F4A7C15)) & _M64
    mixed = mixed ^ ((high * cython.cast(cython.ulonglong, 0xC2B2AE3D27D4EB4F)) & _M64)
    mixed = mixed ^ (mixed >> 29)
    return mixed ^ (mixed >> 43)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _intern(
    low: cython.ulonglong,
    high: cython.ulonglong,
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    state: cython.longlong[::1],
) -> cython.ulonglong:
    """The number of a comm of two words; a new one gets the next number, an empty one 0."""
    mask: cython.ulonglong = cython.cast(cython.ulonglong, len(table)) - 1
    spot: cython.ulonglong
    number: cython.ulonglong
    low = _cut_at_zero(low)
    if low >> 56 == 0:
        if low == 0:
            return 0
        high = 0
    else:
        high = _cut_at_zero(high)
    spot = _hash(low, high) & mask
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
@cython.nogil
@cython.exceptval(check=False)
def _short_word(
    data: "const unsigned char[::1]", at: cython.Py_ssize_t, size: cython.longlong
) -> cython.ulonglong:
    """Up to eight bytes as a word, missing ones zero."""
    value: cython.ulonglong = 0
    i: cython.Py_ssize_t = 0
    while i < size and i < 8:
        value |= cython.cast(cython.ulonglong, data[at + i]) << cython.cast(cython.ulonglong, i * 8)
        i += 1
    return value


@cython.ccall
@cython.nogil
@cython.exceptval(check=False)
def comm_of(
    data: "const unsigned char[::1]",
    at: cython.Py_ssize_t,
    size: cython.longlong,
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    state: cython.longlong[::1],
    memo: cython.ulonglong[::1],
    owner: cython.ulonglong,
) -> cython.ulonglong:
    """The number of the comm in *size* bytes at *at*, of which 16 count; *owner*: whose it is, by pid."""
    low: cython.ulonglong
    high: cython.ulonglong
    spot: cython.Py_ssize_t
    number: cython.ulonglong
    if size >= 16:
        # Few tasks switch most of the time: the last ones' bytes are kept as they came.
        low = load64(data, at)
        high = load64(data, at + 8)
        spot = cython.cast(cython.Py_ssize_t, owner & (cython.cast(cython.ulonglong, len(memo) // 3) - 1)) * 3
        if memo[spot] == low and memo[spot + 1] == high:
            return memo[spot + 2]
        number = _intern(low, high, keys, table, state)
        memo[spot] = low
        memo[spot + 1] = high
        memo[spot + 2] = number
        return number
    return _intern(_short_word(data, at, size), _short_word(data, at + 8, size - 8), keys, table, state)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _located(
    data: "const unsigned char[::1]",
    payload: cython.Py_ssize_t,
    length: cython.Py_ssize_t,
    at: cython.Py_ssize_t,
    relative: cython.bint,
    basename: cython.bint,
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    state: cython.longlong[::1],
    memo: cython.ulonglong[::1],
) -> cython.ulonglong:
    """The number of the string a __data_loc word points to (cut to a comm's 15 bytes)."""
    word: cython.ulonglong = load32(data, at)
    start: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, word & 0xFFFF)
    size: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, word >> 16)
    i: cython.Py_ssize_t
    if relative:
        start += at - payload + 4
    if start > length or size > length - start:
        state[1] += 1
        return 0
    start += payload
    i = 0
    while i < size and data[start + i] != 0:
        i += 1
    size = i
    if basename:
        while i > 0 and data[start + i - 1] != 47:
            i -= 1
        start += i
        size -= i
    if size > 15:
        size = 15
    return comm_of(data, start, size, keys, table, state, memo, 0)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _state_class(
    value: cython.ulonglong, p: cython.Py_ssize_t, programs: cython.longlong[::1]
) -> cython.ulonglong:
    """records.STATE_* of a prev_state, by the masks of its own print format."""
    if programs[p + 14] == 0:
        return 0
    if value & cython.cast(cython.ulonglong, programs[p + 12]):
        return 2
    if value & cython.cast(cython.ulonglong, programs[p + 13]):
        return 4
    if value & cython.cast(cython.ulonglong, programs[p + 14]):
        return 3
    return 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
@cython.boundscheck(False)
@cython.wraparound(False)
def decode_range(
    data: "const unsigned char[::1]",
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    last: cython.Py_ssize_t,
    tag: cython.ulonglong,
    programs: cython.longlong[::1],
    numbers: "const unsigned char[::1]",
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    state: cython.longlong[::1],
    memo: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """Turn the found events [first, last) of *words* into records, in place; returns their end.

    *tag* is added to every record's word 1 (an instance's number, see ``_merge_cy.drop_twins``).

    *programs*: ``PROGRAM_INTS`` numbers a program.  *numbers*: 512 bytes, nonzero where a raw
    system call number is worth a record.  *keys*: two words a comm; *table*: comm numbers by hash,
    a power of two, at least half empty.  The caller leaves room for two new comms an event.
    *state*: [0] the next comm number, [1] payloads too short or strings out of range (counted up),
    [2] comms that found no room (counted up).  *memo*: a power of two times (two words of a comm as
    recorded, its number), zero at the start: that of the empty comm is 0.
    """
    src: cython.Py_ssize_t
    dst: cython.Py_ssize_t = first
    w: cython.Py_ssize_t
    p: cython.Py_ssize_t
    at: cython.Py_ssize_t
    length: cython.Py_ssize_t
    handler: cython.longlong
    w1: cython.ulonglong
    head: cython.ulonglong
    pid: cython.ulonglong
    a: cython.ulonglong
    b: cython.ulonglong
    c: cython.ulonglong
    flags: cython.ulonglong
    value: cython.ulonglong
    misc: cython.ulonglong
    size: cython.longlong
    kind: cython.longlong
    spot: cython.Py_ssize_t
    low: cython.ulonglong
    high: cython.ulonglong
    last_low: cython.ulonglong = 0
    last_high: cython.ulonglong = 0
    last_comm: cython.ulonglong = 0  # of the empty comm
    for src in range(first, last):
        w = src * 4
        w1 = words[w + 1]
        at = cython.cast(cython.Py_ssize_t, words[w + 2])
        length = cython.cast(cython.Py_ssize_t, words[w + 3] & _M32)
        p = cython.cast(cython.Py_ssize_t, (w1 >> 16) & 0xFFFF) * 20
        if length < programs[p + 2]:
            state[1] += 1
            continue
        handler = programs[p]
        pid = w1 >> 32
        if programs[p + 3] >= 0:
            pid = load32(data, at + programs[p + 3])
        flags = cython.cast(cython.ulonglong, programs[p + 11])
        head = (w1 & 0xFFFF) | cython.cast(cython.ulonglong, programs[p + 1]) << 16
        if handler == _SWITCH:
            a = load32(data, at + programs[p + 4])
            b = load32(data, at + programs[p + 5])
            size = programs[p + 8]
            if size >= 16:
                # Who is switched out is who was switched to before, most of the time.
                spot = at + programs[p + 6]
                low = load64(data, spot)
                high = load64(data, spot + 8)
                if low != last_low or high != last_high:
                    last_low = low
                    last_high = high
                    # Each CPU has an idle task of its own name.
                    value = a if a else w1 & 0xFFFF
                    last_comm = comm_of(data, spot, size, keys, table, state, memo, value)
                c = last_comm
                spot = at + programs[p + 7]
                low = load64(data, spot)
                high = load64(data, spot + 8)
                if low != last_low or high != last_high:
                    last_low = low
                    last_high = high
                    value = b if b else w1 & 0xFFFF
                    last_comm = comm_of(data, spot, size, keys, table, state, memo, value)
                c |= last_comm << 24
            else:
                c = comm_of(data, at + programs[p + 6], size, keys, table, state, memo, a)
                c |= comm_of(data, at + programs[p + 7], size, keys, table, state, memo, b) << 24
            value = _number(data, at + programs[p + 9], programs[p + 10], False)
            c |= _state_class(value, p, programs) << 48
        elif handler == _GENERIC:
            a = pid
            if programs[p + 4] >= 0:
                a = _number(data, at + programs[p + 4], programs[p + 5], False)
            a = (a ^ cython.cast(cython.ulonglong, programs[p + 12])) & _M32
            b = 0
            if programs[p + 6] >= 0:
                b = _number(data, at + programs[p + 6], programs[p + 7], False) & _M32
            c = 0
            kind = programs[p + 10]
            if kind in (_C_NUMBER, _C_SIGNED):
                c = _number(data, at + programs[p + 8], programs[p + 9], kind == _C_SIGNED)
            elif kind == _C_COMM:
                c = comm_of(data, at + programs[p + 8], programs[p + 9], keys, table, state, memo, a)
            elif kind >= _C_LOCATED:
                c = _located(
                    data,
                    at,
                    length,
                    at + programs[p + 8],
                    programs[p + 13] != 0,
                    kind == _C_BASENAME,
                    keys,
                    table,
                    state,
                    memo,
                )
        elif handler in (_SYS_ENTER, _SYS_EXIT):
            if programs[p + 4] >= 0:
                a = cython.cast(cython.ulonglong, programs[p + 4])
            else:
                a = _number(data, at + programs[p + 5], programs[p + 6], False)
                if a >= 512 or numbers[cython.cast(cython.Py_ssize_t, a)] == 0:
                    continue
            size = programs[p + 10]
            if handler == _SYS_EXIT:
                b = 0
                c = _number(data, at + programs[p + 7], size, True)
            else:
                b = 0
                if programs[p + 7] >= 0:
                    b = _number(data, at + programs[p + 7], size, False) & _M32
                c = 0
                if programs[p + 8] >= 0:
                    value = _number(data, at + programs[p + 8], size, False)
                    c = value & _M32
                    if value >> 32:
                        flags |= 1
                if programs[p + 9] >= 0:
                    value = _number(data, at + programs[p + 9], size, False)
                    c |= (value & _M32) << 32
                    if value >> 32:
                        flags |= 2
                if programs[p + 12] >= 0:
                    value = _number(data, at + programs[p + 12], size, False)
                    if value:
                        flags |= 4
                    if value & 0xFF:
                        flags |= 8
        elif handler == _VALUE:
            a = words[w + 2] & _M32
            b = 0
            c = 0
        else:
            # perf's own records: the payload is what follows the record's header.
            misc = words[w + 3] >> 32
            value = load32(data, at)
            b = 0
            c = 0
            if handler == _PERF_COMM:
                # u32 pid, tid; char comm[].  Bit 13 of misc: it comes from exec.
                # Without a time it is perf's own account of the tasks that were there before.
                a = load32(data, at + 4)
                c = comm_of(data, at + 8, length - 8, keys, table, state, memo, a)
                if words[w] == 0:
                    head = (w1 & 0xFFFF) | _REC_INFO << 16
                    b = value
                elif (misc >> 13) & 1 and programs[p + 4]:
                    head = (w1 & 0xFFFF) | _REC_EXEC << 16
                    b = a
            elif handler == _PERF_TASK:
                # u32 pid, ppid, tid, ptid; u64 time: a birth, or (program number 4) a death.
                a = load32(data, at + 8)
                if programs[p + 4] == 0:
                    b = load32(data, at + 12)
                    flags = 1 if value == load32(data, at + 4) else 2
                    if words[w] == 0:
                        # Synthesized: the children of kthreadd (2), and kthreadd, are kernel threads.
                        head = (w1 & 0xFFFF) | _REC_INFO << 16
                        flags = 1 if b == 2 or (a == 2 and b == 0) else 0
                        b = value
            elif handler == _PERF_MMAP:
                # u32 pid, tid; ...: whoever has a mapping of a file is no kernel thread.
                if words[w] != 0 or value == _M32 or value == 0:
                    continue
                a = load32(data, at + 4)
                b = value
            elif handler == _PERF_SWITCH:
                # u32 next_prev_pid, next_prev_tid.  Only the half "in" makes a switch.
                if (misc >> 13) & 1:
                    continue
                a = load32(data, at + 4)
                b = pid
                if programs[p + 4] == 0:  # without the other side's number
                    a = 0
            elif handler == _PERF_LOST:
                # u64 id, lost
                value = load64(data, at + 8)
                a = value if value < _M32 else _M32
            else:
                continue
        words[dst * 4] = words[w]
        words[dst * 4 + 1] = head | flags << 24 | pid << 32 | tag
        words[dst * 4 + 2] = a | b << 32
        words[dst * 4 + 3] = c
        dst += 1
    return dst


def decode(
    data: "const unsigned char[::1]",
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    last: cython.Py_ssize_t,
    tag: cython.ulonglong,
    programs: cython.longlong[::1],
    numbers: "const unsigned char[::1]",
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    state: cython.longlong[::1],
    memo: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """:func:`decode_range` for callers in Python."""
    with cython.nogil:
        last = decode_range(data, words, first, last, tag, programs, numbers, keys, table, state, memo)
    return last  # noqa: RET504


@cython.boundscheck(False)
@cython.wraparound(False)
def rehash(keys: cython.ulonglong[::1], count: cython.ulonglong, table: cython.uint[::1]) -> None:
    """Enter the comms 1 .. *count* - 1 of *keys* into an empty hash table, a power of two long."""
    enter(keys, 1, count, table)


@cython.boundscheck(False)
@cython.wraparound(False)
def enter(
    keys: cython.ulonglong[::1], first: cython.ulonglong, count: cython.ulonglong, table: cython.uint[::1]
) -> None:
    """Enter the comms *first* .. *count* - 1 of *keys* into a hash table that has none of them."""
    number: cython.ulonglong
    spot: cython.ulonglong
    mask: cython.ulonglong = cython.cast(cython.ulonglong, len(table)) - 1
    for number in range(first, count):
        spot = (
            _hash(
                keys[cython.cast(cython.Py_ssize_t, number * 2)],
                keys[cython.cast(cython.Py_ssize_t, number * 2 + 1)],
            )
            & mask
        )
        while table[cython.cast(cython.Py_ssize_t, spot)] != 0:
            spot = (spot + 1) & mask
        table[cython.cast(cython.Py_ssize_t, spot)] = cython.cast(cython.uint, number)


@cython.boundscheck(False)
@cython.wraparound(False)
def forget(
    keys: cython.ulonglong[::1], first: cython.ulonglong, count: cython.ulonglong, table: cython.uint[::1]
) -> None:
    """Take the comms *first* .. *count* - 1, the last that came in, out of a hash table again.

    The last to come in ends its chain of places, so its place can simply be freed.
    """
    number: cython.ulonglong = count
    spot: cython.ulonglong
    mask: cython.ulonglong = cython.cast(cython.ulonglong, len(table)) - 1
    while number > first:
        number -= 1
        spot = (
            _hash(
                keys[cython.cast(cython.Py_ssize_t, number * 2)],
                keys[cython.cast(cython.Py_ssize_t, number * 2 + 1)],
            )
            & mask
        )
        while table[cython.cast(cython.Py_ssize_t, spot)] != number:
            spot = (spot + 1) & mask
        table[cython.cast(cython.Py_ssize_t, spot)] = 0


def number_of(
    low: cython.ulonglong,
    high: cython.ulonglong,
    keys: cython.ulonglong[::1],
    table: cython.uint[::1],
    state: cython.longlong[::1],
) -> int:
    """The number of a comm given as its two words; a new one gets the next number."""
    return _intern(low, high, keys, table, state)


@cython.boundscheck(False)
@cython.wraparound(False)
def renumber(
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    last: cython.Py_ssize_t,
    known: cython.ulonglong,
    numbers: "const unsigned int[::1]",
) -> None:
    """Give the comms of records [first, last) whose number is *known* or more that of *numbers*.

    *numbers* holds one for each comm from number *known* on.
    """
    i: cython.Py_ssize_t
    type: cython.ulonglong
    c: cython.ulonglong
    comm: cython.ulonglong
    with cython.nogil:
        for i in range(first, last):
            type = (words[i * 4 + 1] >> 16) & 0xFF
            c = words[i * 4 + 3]
            if type == _REC_SWITCH:
                comm = c & 0xFFFFFF
                if comm >= known:
                    c = (c >> 24) << 24 | numbers[cython.cast(cython.Py_ssize_t, comm - known)]
                comm = (c >> 24) & 0xFFFFFF
                if comm >= known:
                    comm = numbers[cython.cast(cython.Py_ssize_t, comm - known)]
                    c = (c >> 48) << 48 | comm << 24 | (c & 0xFFFFFF)
                words[i * 4 + 3] = c
            elif type in (_REC_NEWTASK, _REC_FORK, _REC_EXEC, _REC_RENAME, _REC_INFO) and c >= known:
                words[i * 4 + 3] = numbers[cython.cast(cython.Py_ssize_t, c - known)]

"""The kernel's ring-buffer pages (trace_pipe_raw, the CPU data of trace.dat), compiled.

:func:`scan` walks the events of whole pages and leaves four words for each that
is wanted, as ``_tracepoint_cy.decode`` takes them.  Event headers are those of
the kernel's ring buffer (include/linux/ring_buffer.h, kernel/trace/ring_buffer.c):
five bits of type and length, 27 bits of time since the event before.
"""

# ruff: noqa: F722  (Cython's types are not Python's)
from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython

if cython.compiled:
    from cython.cimports.pvreplay.hints import PV_PREFETCH
    from cython.cimports.pvreplay.sources.loads import load32
else:
    from pvreplay.sources.loads import load32

COMPILED = cython.compiled

_M32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
_M64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)

# Indexes of scan's state.
PAGE = 0  # offset of the current page, or of the next one to look at
EVENT = 1  # offset of the next event in the current page, 0 before the page's header was read
END = 2  # end of the current page's events
TIME = 3  # time of the last event
BAD_PAGES = 4  # pages whose sizes cannot be (the rest of each is skipped)
PAGES = 5  # pages finished
MISSED = 6  # pages before which events are missing
STATE_INTS = 7

AHEAD = cython.declare(cython.Py_ssize_t, 2048)


@cython.boundscheck(False)
@cython.wraparound(False)
def scan(
    data: "const unsigned char[::1]",
    end: cython.Py_ssize_t,
    layout: cython.longlong[::1],
    slots: "const unsigned char[::1]",
    cpu: cython.ulonglong,
    lost_slot: cython.ulonglong,
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    room: cython.Py_ssize_t,
    state: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """Find the wanted events of the pages [state[PAGE], end); returns the end of what is in *words*.

    *layout*: page size, offset of the time, of the commit word, its size, offset of the data.
    *slots*: 65536 program numbers by event ID, 0 for an event that is not wanted.  Pages that miss
    events get one of *lost_slot* first.  Stops when *room* records are in *words* or less than a
    page is left, and continues there on the next call with the same *state*.
    """
    page_size: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, layout[0])
    time_at: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, layout[1])
    commit_at: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, layout[2])
    commit_size: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, layout[3])
    data_at: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, layout[4])
    page: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[0])
    at: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[1])
    stop: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, state[2])
    time: cython.ulonglong = state[3]
    n: cython.Py_ssize_t = first
    commit: cython.ulonglong
    header: cython.ulonglong
    kind: cython.ulonglong
    delta: cython.ulonglong
    stamp: cython.ulonglong
    size: cython.Py_ssize_t
    payload: cython.Py_ssize_t
    slot: cython.ulonglong
    near: cython.Py_ssize_t = end - AHEAD
    if room > len(words) // 4:
        room = len(words) // 4
    with cython.nogil:
        while n < room:
            if at == 0:
                if end - page < page_size:
                    break
                time = load32(data, page + time_at) | load32(data, page + time_at + 4) << 32
                commit = load32(data, page + commit_at)
                size = cython.cast(cython.Py_ssize_t, commit & 0x7FFFFFF)
                if size > page_size - data_at:
                    state[4] += 1
                    size = 0
                at = page + data_at
                stop = at + size
                if (commit >> 31) & 1:
                    state[6] += 1
                    # Events are missing before this page; their number stands after the data if
                    # bit 30 says so and there was room for it.
                    words[n * 4] = time
                    words[n * 4 + 1] = cpu | lost_slot << 16
                    words[n * 4 + 2] = 0
                    words[n * 4 + 3] = 0
                    if (commit >> 30) & 1 and size + commit_size <= page_size - data_at:
                        words[n * 4 + 2] = load32(data, stop)
                        if commit_size == 8 and load32(data, stop + 4) != 0:
                            words[n * 4 + 2] = _M32
                    n += 1
                    continue
            if stop - at < 4:
                page += page_size
                at = 0
                state[5] += 1
                continue
            header = load32(data, at)
            if cython.compiled:  # noqa: SIM102  (known when it is compiled)
                # Memory is slower than this loop: have what comes soon on its way.
                if at < near:
                    PV_PREFETCH(cython.address(data[at + AHEAD]))
            kind = header & 31
            delta = header >> 5
            if kind >= 1 and kind <= 28:
                payload = at + 4
                size = cython.cast(cython.Py_ssize_t, kind) * 4
                at = payload + size
            elif stop - at < 8:
                # Nothing but padding to the end of the page has no second word.
                if not (kind == 29 and delta == 0):
                    state[4] += 1
                at = stop
                continue
            elif kind == 0:
                stamp = load32(data, at + 4)
                payload = at + 8
                if stamp < 4 or stamp - 4 > cython.cast(cython.ulonglong, stop - payload):
                    state[4] += 1
                    at = stop
                    continue
                size = cython.cast(cython.Py_ssize_t, stamp) - 4
                at = payload + ((size + 3) // 4) * 4
            elif kind == 29:
                stamp = load32(data, at + 4)
                if delta == 0:
                    at = stop
                elif stamp < 4 or stamp > cython.cast(cython.ulonglong, stop - at - 4):
                    state[4] += 1
                    at = stop
                else:
                    time = (time + delta) & _M64
                    at += 4 + ((cython.cast(cython.Py_ssize_t, stamp) + 3) // 4) * 4
                continue
            else:
                stamp = (load32(data, at + 4) << 27) | delta
                at += 8
                if kind == 30:
                    time = (time + stamp) & _M64
                else:
                    # An absolute time holds 59 bits; the upper five are the last time's.
                    stamp |= (time >> 59) << 59
                    if stamp < time and time >> 59 != 0:
                        stamp = (stamp + (cython.cast(cython.ulonglong, 1) << 59)) & _M64
                    time = stamp
                continue
            if at > stop:
                state[4] += 1
                at = stop
                continue
            time = (time + delta) & _M64
            if size < 2:
                continue
            slot = slots[
                cython.cast(cython.Py_ssize_t, data[payload])
                | cython.cast(cython.Py_ssize_t, data[payload + 1]) << 8
            ]
            if slot:
                words[n * 4] = time
                words[n * 4 + 1] = cpu | slot << 16
                words[n * 4 + 2] = cython.cast(cython.ulonglong, payload)
                words[n * 4 + 3] = cython.cast(cython.ulonglong, size)
                n += 1
        state[0] = cython.cast(cython.ulonglong, page)
        state[1] = cython.cast(cython.ulonglong, at)
        state[2] = cython.cast(cython.ulonglong, stop)
        state[3] = time
    return n


@cython.boundscheck(False)
@cython.wraparound(False)
def scale_times(
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    last: cython.Py_ssize_t,
    offset: cython.ulonglong,
    factor: cython.ulonglong,
    shift: cython.ulonglong,
) -> None:
    """Turn cycles into ns: (time - *offset*) * *factor* >> *shift*, with *factor* and *shift* of 32 bits.

    A time before *offset* becomes 0.
    """
    i: cython.Py_ssize_t
    time: cython.ulonglong
    with cython.nogil:
        for i in range(first, last):
            time = words[i * 4]
            if time < offset:
                words[i * 4] = 0
                continue
            time -= offset
            # In two halves of 32 bits: the product may have 96.
            words[i * 4] = (
                (((time & _M32) * factor) >> shift) + ((((time >> 32) * factor) << (32 - shift)) & _M64)
            ) & _M64

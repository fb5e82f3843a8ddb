"""xentrace records, compiled: walked and counted.

A record is a word (event in bits 0-27, number of extra words in 28-30, bit 31: a 64-bit cycle counter
follows), the counter, the extra words: xen/include/public/trace.h, struct t_rec.
"""

# ruff: noqa: F722  (Cython's types are not Python's)
from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython

if cython.compiled:
    from cython.cimports.pvreplay.sources.loads import load32
else:
    from pvreplay.sources.loads import load32

COMPILED = cython.compiled

_M32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
_MIX = cython.declare(cython.ulonglong, 0x9E3779B1)

# Indexes of scan's state.
RECORDS = 0
CPU = 1  # whose records these are
CPUS = 2  # the highest CPU + 1
FIRST_CYCLES = 3
LAST_CYCLES = 4
LOST = 5
OTHER_EVENTS = 6  # records of events that found no room in the table
OTHER_CALLS = 7  # hypercalls with a number above CALLS - 1
STATE_INTS = 8

EVENTS = 4096  # slots of the table of events: event + 1, records
MOST_EVENTS = 3072
CALLS = 64  # hypercalls by number; those of multicalls in the second half

# Events of use (xen/include/public/trace.h).
LOST_RECORDS = 0x1F001
CPU_CHANGE = 0x1F003
HYPERCALL = 0x201001  # Xen before 4.3: the number stands behind the address
HYPERCALL_V2 = 0x20100D
SUBCALL = 0x20200E


@cython.boundscheck(False)
@cython.wraparound(False)
def scan(
    data: "const unsigned char[::1]",
    end: cython.Py_ssize_t,
    events: cython.ulonglong[::1],
    calls: cython.ulonglong[::1],
    state: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """Count the whole records of the first *end* bytes; where the first that is not whole begins."""
    pos: cython.Py_ssize_t = 0
    at: cython.Py_ssize_t
    extra: cython.Py_ssize_t
    size: cython.Py_ssize_t
    spot: cython.Py_ssize_t
    head: cython.ulonglong
    event: cython.ulonglong
    number: cython.ulonglong
    used: cython.ulonglong = 0
    records: cython.ulonglong = 0
    cycles: cython.ulonglong
    for spot in range(EVENTS):
        used += events[spot * 2] != 0
    with cython.nogil:
        while end - pos >= 4:
            head = load32(data, pos)
            event = head & 0x0FFFFFFF
            extra = cython.cast(cython.Py_ssize_t, (head >> 28) & 7)
            at = pos + 4
            if head >> 31:
                at += 8
            size = at - pos + 4 * extra
            if size > end - pos:
                break
            if head >> 31:
                cycles = load32(data, pos + 4) | load32(data, pos + 8) << 32
                if state[3] == 0 or cycles < state[3]:
                    state[3] = cycles
                if cycles > state[4]:
                    state[4] = cycles
            records += 1
            spot = cython.cast(cython.Py_ssize_t, (((event * _MIX) & _M32) >> 15) & 4095)
            while True:
                number = events[spot * 2]
                if number == event + 1:
                    events[spot * 2 + 1] += 1
                    break
                if number == 0:
                    if used < 3072:
                        used += 1
                        events[spot * 2] = event + 1
                        events[spot * 2 + 1] = 1
                    else:
                        state[6] += 1
                    break
                spot = (spot + 1) & 4095
            if extra:
                if event == 0x20100D or event == 0x20200E:
                    number = load32(data, at) & 0xFFFFF
                    if number >= 64:
                        state[7] += 1
                    elif event == 0x20200E:
                        calls[cython.cast(cython.Py_ssize_t, 64 + number)] += 1
                    else:
                        calls[cython.cast(cython.Py_ssize_t, number)] += 1
                elif event & ~cython.cast(cython.ulonglong, 0x100) == 0x201001:
                    number = load32(data, pos + size - 4)
                    if number >= 64:
                        state[7] += 1
                    else:
                        calls[cython.cast(cython.Py_ssize_t, number)] += 1
                elif event == 0x1F003:
                    state[1] = load32(data, at)
                    if state[1] < 8192 and state[1] >= state[2]:
                        state[2] = state[1] + 1
                elif event == 0x1F001:
                    state[5] += load32(data, at)
            pos += size
        state[0] += records
    return pos

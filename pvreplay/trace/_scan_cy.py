"""Count what a trace holds, without replaying it: the loop behind ``pvreplay info``.

Compiled by Cython when the package is built, and the same file interpreted.
Every index is a field of a fixed width, and the caller's arrays have a place for
each of its values, so no input can be out of bounds.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython


def scan(
    events: "const unsigned long long[::1]",  # noqa: F722
    kinds: cython.ulonglong[::1],
    cpus: cython.ulonglong[::1],
    totals: cython.ulonglong[::1],
) -> None:
    """Add a chunk to the counts.

    *events* are two words an event.  *kinds* (256) and *cpus* (65536) count events;
    *totals* are [lowest time, highest time, lost events, losses of unknown size].
    """
    at: cython.Py_ssize_t
    end: cython.Py_ssize_t = events.shape[0] - 1
    time_ns: cython.ulonglong
    word: cython.ulonglong
    kind: cython.ulonglong
    low: cython.ulonglong = totals[0]
    high: cython.ulonglong = totals[1]
    at = 0
    while at < end:
        time_ns = events[at]
        word = events[at + 1]
        at += 2
        low = time_ns if time_ns < low else low
        high = time_ns if time_ns > high else high
        kind = word >> 48 & 0xFF
        kinds[kind] += 1
        cpus[word >> 32 & 0xFFFF] += 1
        if kind == 28:  # Kind.LOST
            totals[2] += word & 0xFFFFFFFF
            totals[3] += (word & 0xFFFFFFFF) == 0
    totals[0] = low
    totals[1] = high

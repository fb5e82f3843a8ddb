"""Merging streams of records by time, compiled: a k-way merge over ascending runs.

Words are those of ``records.py``: four a record, the first its time.  Equal
times keep the order of the runs, and the order inside a run is never changed.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython

COMPILED = cython.compiled

TWIN_NS = 100_000
"""Two tracing instances stamp one event within this time of each other."""


@cython.boundscheck(False)
@cython.wraparound(False)
def find_runs(
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    last: cython.Py_ssize_t,
    runs: cython.longlong[::1],
    count: cython.Py_ssize_t,
    state: cython.longlong[::1],
) -> cython.Py_ssize_t:
    """Cut the records [first, last) into ascending runs, appended to *runs* (start, end) from *count*.

    The last run is made longer if it ends at *first* and the records go on ascending.

    Returns the new number of runs.  state[0] is where it stopped (short of *last* when *runs* is
    full), state[1] the number of records it read that are earlier than the one before them.
    """
    i: cython.Py_ssize_t = first
    room: cython.Py_ssize_t = len(runs) // 2
    time: cython.ulonglong
    before: cython.ulonglong
    with cython.nogil:
        if count > 0 and i < last and runs[count * 2 - 1] == i and words[i * 4] >= words[i * 4 - 4]:
            # The last run goes on.
            while i < last and words[i * 4] >= words[i * 4 - 4]:
                i += 1
            runs[count * 2 - 1] = i
        while i < last and count < room:
            runs[count * 2] = i
            before = words[i * 4]
            i += 1
            while i < last:
                time = words[i * 4]
                if time < before:
                    state[1] += 1
                    break
                before = time
                i += 1
            runs[count * 2 + 1] = i
            count += 1
        state[0] = i
    return count


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _before(
    words: cython.ulonglong[::1],
    runs: cython.longlong[::1],
    x: cython.longlong,
    y: cython.longlong,
) -> cython.bint:
    """Whether run *x* comes before run *y*: by the time of its next record, then by its number."""
    tx: cython.ulonglong = words[runs[x * 2] * 4]
    ty: cython.ulonglong = words[runs[y * 2] * 4]
    return tx < ty or (tx == ty and x < y)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _sift(
    words: cython.ulonglong[::1],
    runs: cython.longlong[::1],
    heap: cython.longlong[::1],
    size: cython.Py_ssize_t,
    at: cython.Py_ssize_t,
) -> cython.void:
    """Let the run at *at* sink to its place."""
    child: cython.Py_ssize_t
    mine: cython.longlong = heap[at]
    while True:
        child = at * 2 + 1
        if child >= size:
            break
        if child + 1 < size and _before(words, runs, heap[child + 1], heap[child]):
            child += 1
        if not _before(words, runs, heap[child], mine):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = mine


@cython.boundscheck(False)
@cython.wraparound(False)
def merge(
    words: cython.ulonglong[::1],
    runs: cython.longlong[::1],
    count: cython.Py_ssize_t,
    heap: cython.longlong[::1],
    limit: cython.ulonglong,
    stop: cython.bint,
    out: cython.ulonglong[::1],
    start: cython.Py_ssize_t,
    state: cython.longlong[::1],
) -> cython.Py_ssize_t:
    """Write the records of *count* runs with a time of at most *limit* to *out*, by time, from *start* on.

    *runs* (next, end) is updated; *heap* needs room for *count*.  Stops when *out* is full, when
    nothing at or before *limit* is left, or, with *stop*, when a run that was not empty is:
    state[0] is then that run's number, otherwise -1.  Returns the number of records now in *out*.
    """
    size: cython.Py_ssize_t = 0
    room: cython.Py_ssize_t = len(out) // 4
    n: cython.Py_ssize_t = start
    k: cython.Py_ssize_t
    i: cython.Py_ssize_t
    end: cython.Py_ssize_t
    run: cython.longlong
    other: cython.longlong
    bound: cython.ulonglong
    time: cython.ulonglong
    with cython.nogil:
        state[0] = -1
        for k in range(count):
            if runs[k * 2] < runs[k * 2 + 1]:
                heap[size] = k
                size += 1
        k = size // 2
        while k > 0:
            k -= 1
            _sift(words, runs, heap, size, k)
        while size > 0 and n < room:
            run = heap[0]
            i = cython.cast(cython.Py_ssize_t, runs[run * 2])
            end = cython.cast(cython.Py_ssize_t, runs[run * 2 + 1])
            bound = limit
            if size > 1:
                # Up to the next run's first record this run goes out without another look at the heap.
                other = heap[1]
                if size > 2 and _before(words, runs, heap[2], other):
                    other = heap[2]
                time = words[runs[other * 2] * 4]
                if other < run:
                    time -= 1  # this run's first record is earlier, so it is not 0
                if time < bound:
                    bound = time
            if words[i * 4] > limit:
                break
            while i < end and n < room:
                time = words[i * 4]
                if time > bound:
                    break
                out[n * 4] = time
                out[n * 4 + 1] = words[i * 4 + 1]
                out[n * 4 + 2] = words[i * 4 + 2]
                out[n * 4 + 3] = words[i * 4 + 3]
                n += 1
                i += 1
            runs[run * 2] = i
            if i == end:
                if stop:
                    state[0] = run
                    break
                size -= 1
                heap[0] = heap[size]
            if size > 0:
                _sift(words, runs, heap, size, 0)
    return n


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _earlier(heads: cython.ulonglong[::1], x: cython.longlong, y: cython.longlong) -> cython.bint:
    """Whether run *x* comes before run *y*: by the time of its next record, then by its number."""
    return heads[x] < heads[y] or (heads[x] == heads[y] and x < y)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _sink(
    heads: cython.ulonglong[::1], heap: cython.longlong[::1], size: cython.Py_ssize_t, at: cython.Py_ssize_t
) -> cython.void:
    """Let the run at *at* sink to its place."""
    child: cython.Py_ssize_t
    mine: cython.longlong = heap[at]
    while True:
        child = at * 2 + 1
        if child >= size:
            break
        if child + 1 < size and _earlier(heads, heap[child + 1], heap[child]):
            child += 1
        if not _earlier(heads, heap[child], mine):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = mine


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _copy_until(
    words: cython.ulonglong[::1],
    i: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    bound: cython.ulonglong,
    out: cython.ulonglong[::1],
    n: cython.Py_ssize_t,
    room: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Copy records [i, end) to *out* while their times are at most *bound*; where it stopped."""
    while i < end and n < room:
        if words[i * 4] > bound:
            break
        out[n * 4] = words[i * 4]
        out[n * 4 + 1] = words[i * 4 + 1]
        out[n * 4 + 2] = words[i * 4 + 2]
        out[n * 4 + 3] = words[i * 4 + 3]
        n += 1
        i += 1
    return i


@cython.boundscheck(False)
@cython.wraparound(False)
def merge_held(
    held: cython.ulonglong[::1],
    fresh: cython.ulonglong[::1],
    runs: cython.longlong[::1],
    split: cython.Py_ssize_t,
    count: cython.Py_ssize_t,
    heap: cython.longlong[::1],
    heads: cython.ulonglong[::1],
    limit: cython.ulonglong,
    out: cython.ulonglong[::1],
    start: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """As :func:`merge`, of runs in two places: those below *split* in *held*, the others in *fresh*.

    *heap* and *heads* need room for *count*.
    """
    size: cython.Py_ssize_t = 0
    room: cython.Py_ssize_t = len(out) // 4
    n: cython.Py_ssize_t = start
    k: cython.Py_ssize_t
    i: cython.Py_ssize_t
    end: cython.Py_ssize_t
    run: cython.Py_ssize_t
    other: cython.Py_ssize_t
    bound: cython.ulonglong
    with cython.nogil:
        for k in range(count):
            i = cython.cast(cython.Py_ssize_t, runs[k * 2])
            if i < runs[k * 2 + 1]:
                heads[k] = held[i * 4] if k < split else fresh[i * 4]
                if heads[k] <= limit:
                    heap[size] = k
                    size += 1
        k = size // 2
        while k > 0:
            k -= 1
            _sink(heads, heap, size, k)
        while size > 0 and n < room:
            run = cython.cast(cython.Py_ssize_t, heap[0])
            i = cython.cast(cython.Py_ssize_t, runs[run * 2])
            end = cython.cast(cython.Py_ssize_t, runs[run * 2 + 1])
            bound = limit
            if size > 1:
                # Up to the next run's first record this run goes out without another look at the heap.
                other = cython.cast(cython.Py_ssize_t, heap[1])
                if size > 2 and _earlier(heads, heap[2], other):
                    other = cython.cast(cython.Py_ssize_t, heap[2])
                bound = heads[other]
                if other < run:
                    bound -= 1  # this run's first record is earlier, so it is not 0
            k = i
            if run < split:
                i = _copy_until(held, i, end, bound, out, n, room)
            else:
                i = _copy_until(fresh, i, end, bound, out, n, room)
            n += i - k
            runs[run * 2] = i
            if i < end:
                heads[run] = held[i * 4] if run < split else fresh[i * 4]
            if i == end or heads[run] > limit:
                size -= 1
                heap[0] = heap[size]
            if size > 0:
                _sink(heads, heap, size, 0)
    return n


@cython.boundscheck(False)
@cython.wraparound(False)
def left_over(runs: cython.longlong[::1], first: cython.Py_ssize_t, last: cython.Py_ssize_t) -> int:
    """The number of records in runs [first, last)."""
    k: cython.Py_ssize_t
    total: cython.longlong = 0
    for k in range(first, last):
        total += runs[k * 2 + 1] - runs[k * 2]
    return total


@cython.boundscheck(False)
@cython.wraparound(False)
def hold(
    held: cython.ulonglong[::1],
    used: cython.Py_ssize_t,
    fresh: cython.ulonglong[::1],
    runs: cython.longlong[::1],
    split: cython.Py_ssize_t,
    count: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Move what is left in *fresh* behind the *used* records of *held*; empty runs go.

    There must be room for it.  Returns the number of runs, which are all in *held* now.
    """
    k: cython.Py_ssize_t
    i: cython.Py_ssize_t
    end: cython.Py_ssize_t
    kept: cython.Py_ssize_t = 0
    n: cython.Py_ssize_t = used
    with cython.nogil:
        for k in range(count):
            i = cython.cast(cython.Py_ssize_t, runs[k * 2])
            end = cython.cast(cython.Py_ssize_t, runs[k * 2 + 1])
            if i >= end:
                continue
            if k < split:
                runs[kept * 2] = i
                runs[kept * 2 + 1] = end
            else:
                runs[kept * 2] = n
                runs[kept * 2 + 1] = n + end - i
                n += (
                    _copy_until(
                        fresh, i, end, cython.cast(cython.ulonglong, 0xFFFFFFFFFFFFFFFF), held, n, n + end - i
                    )
                    - i
                )
            kept += 1
    return kept


@cython.boundscheck(False)
@cython.wraparound(False)
def compact(
    words: cython.ulonglong[::1],
    runs: cython.longlong[::1],
    count: cython.Py_ssize_t,
    state: cython.longlong[::1],
) -> cython.Py_ssize_t:
    """Move what is left of *count* runs (in order of place) to the front of *words*; empty runs go.

    Returns the number of runs left; state[0] is the end of the records kept.
    """
    k: cython.Py_ssize_t
    i: cython.Py_ssize_t
    kept: cython.Py_ssize_t = 0
    n: cython.Py_ssize_t = 0
    with cython.nogil:
        for k in range(count):
            if runs[k * 2] >= runs[k * 2 + 1]:
                continue
            i = cython.cast(cython.Py_ssize_t, runs[k * 2])
            runs[kept * 2] = n
            while i < runs[k * 2 + 1]:
                words[n * 4] = words[i * 4]
                words[n * 4 + 1] = words[i * 4 + 1]
                words[n * 4 + 2] = words[i * 4 + 2]
                words[n * 4 + 3] = words[i * 4 + 3]
                n += 1
                i += 1
            runs[kept * 2 + 1] = n
            kept += 1
        state[0] = n
    return kept


@cython.boundscheck(False)
@cython.wraparound(False)
def drop_twins(
    words: cython.ulonglong[::1],
    first: cython.Py_ssize_t,
    last: cython.Py_ssize_t,
    twin_ns: cython.ulonglong,
    seen: cython.ulonglong[::1],
) -> cython.Py_ssize_t:
    """Of records [first, last), drop those another tracing instance has recorded too.

    The instance (0 to 15) stands in bits 28-31 of word 1 and is cleared.  One hit of a tracepoint
    that several instances record gives equal records, next to each other on their CPU and at most
    *twin_ns* apart.  *seen*: five words a CPU, zero at the start.  Returns the new end.
    """
    i: cython.Py_ssize_t
    n: cython.Py_ssize_t = first
    s: cython.Py_ssize_t
    w1: cython.ulonglong
    bit: cython.ulonglong
    with cython.nogil:
        for i in range(first, last):
            w1 = words[i * 4 + 1]
            bit = cython.cast(cython.ulonglong, 1) << ((w1 >> 28) & 15)
            w1 = (w1 >> 32) << 32 | (w1 & cython.cast(cython.ulonglong, 0x0FFFFFFF))
            s = cython.cast(cython.Py_ssize_t, w1 & 0xFFFF) * 5
            if (
                seen[s + 1] == w1
                and seen[s + 2] == words[i * 4 + 2]
                and seen[s + 3] == words[i * 4 + 3]
                and seen[s + 4] & bit == 0
                and words[i * 4] - seen[s] <= twin_ns
            ):
                seen[s + 4] |= bit
                continue
            seen[s] = words[i * 4]
            seen[s + 1] = w1
            seen[s + 2] = words[i * 4 + 2]
            seen[s + 3] = words[i * 4 + 3]
            seen[s + 4] = bit
            words[n * 4] = words[i * 4]
            words[n * 4 + 1] = w1
            words[n * 4 + 2] = words[i * 4 + 2]
            words[n * 4 + 3] = words[i * 4 + 3]
            n += 1
    return n

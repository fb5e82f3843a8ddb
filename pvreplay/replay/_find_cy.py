"""Find a switch among events without replaying them: the loops behind ``pvreplay show``.

Compiled by Cython when the package is built, and the same file interpreted.  A
switch is a SWITCH event or the BEGIN of an op-level window.  The numbers of an
event are of fixed width or checked before they become an index.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython


def nth(events: "const unsigned long long[::1]", skip: cython.Py_ssize_t) -> cython.Py_ssize_t:  # noqa: F722
    """The index of the switch after *skip* others; -1 - n when there are only n."""
    at: cython.Py_ssize_t
    count: cython.Py_ssize_t = events.shape[0] // 2
    kind: cython.ulonglong
    passed: cython.Py_ssize_t = 0
    for at in range(count):
        kind = events[2 * at + 1] >> 48 & 0xFF
        if kind == 1 or kind == 29:  # Kind.SWITCH, Kind.BEGIN
            if passed == skip:
                return at
            passed += 1
    return -1 - passed


def since(events: "const unsigned long long[::1]", time_ns: cython.ulonglong) -> cython.Py_ssize_t:  # noqa: F722
    """The index of the first switch at *time_ns* or later, -1 when there is none."""
    at: cython.Py_ssize_t
    count: cython.Py_ssize_t = events.shape[0] // 2
    kind: cython.ulonglong
    for at in range(count):
        kind = events[2 * at + 1] >> 48 & 0xFF
        if (kind == 1 or kind == 29) and events[2 * at] >= time_ns:
            return at
    return -1


def of_task(
    events: "const unsigned long long[::1]",  # noqa: F722
    wanted: cython.uchar[::1],
    current: cython.uint[::1],
) -> cython.Py_ssize_t:
    """The index of the first switch to or from a wanted task, -1 when there is none.

    *wanted* has a byte a task, *current* (65536) who runs on each CPU; it is
    brought up to date.  A task beyond *wanted* is not wanted.
    """
    at: cython.Py_ssize_t
    count: cython.Py_ssize_t = events.shape[0] // 2
    tasks: cython.ulonglong = wanted.shape[0]
    word: cython.ulonglong
    kind: cython.ulonglong
    cpu: cython.ulonglong
    task: cython.ulonglong
    before: cython.ulonglong
    for at in range(count):
        word = events[2 * at + 1]
        kind = word >> 48 & 0xFF
        if kind == 1 or kind == 29 or kind == 2:  # Kind.ON tells who runs, and is no switch
            cpu = word >> 32 & 0xFFFF
            task = word & 0xFFFFFFFF
            before = current[cpu]
            if kind != 2:
                if task < tasks and wanted[task]:
                    return at
                if before < tasks and wanted[before]:
                    return at
            current[cpu] = cython.cast(cython.uint, task)
    return -1


def next_on_cpu(
    events: "const unsigned long long[::1]",  # noqa: F722
    start: cython.Py_ssize_t,
    cpu: cython.ulonglong,
) -> cython.Py_ssize_t:
    """The index of the first event on *cpu* from *start* on, -1 when there is none."""
    at: cython.Py_ssize_t
    count: cython.Py_ssize_t = events.shape[0] // 2
    for at in range(start, count):
        if (events[2 * at + 1] >> 32 & 0xFFFF) == cpu:
            return at
    return -1

"""How many threads may work at once on reading a recording: one setting for all sources."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MOST: Final = 64
"""More threads than this are never asked for: the records are merged by one."""

_jobs = 0


def set_jobs(count: int) -> None:
    """Let *count* threads work at once, in this process, for sources opened from now on.

    1 reads everything in the thread that asks; 0 goes back to one a CPU.
    """
    global _jobs
    _jobs = max(0, min(count, MOST))


def jobs() -> int:
    """Threads that may work at once: what was set, else the CPUs this process may use."""
    return _jobs or min(len(os.sched_getaffinity(0)), MOST)


@contextmanager
def shared_by(readers: int) -> Iterator[None]:
    """While *readers* recordings are read side by side, each may use its share of the threads."""
    global _jobs
    before = _jobs
    _jobs = max(1, jobs() // readers)
    try:
        yield
    finally:
        _jobs = before

"""Which pieces of task state a recording has a source for, its evidence left aside."""

from __future__ import annotations

from typing import NamedTuple


class Told(NamedTuple):
    """Which pieces of task state the state stream has a source for."""

    births: bool
    execs: bool
    exits: bool
    io: bool
    tls: bool
    ldt: bool
    notsc: bool
    blockstep: bool
    user_returns: bool
    parentless_io: bool
    """The I/O bitmap is told by a probe that does not tell its caller."""
    i386: bool
    """Raw system calls count in i386's table."""

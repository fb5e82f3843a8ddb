"""Traces and a runner for the command line's tests."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import NamedTuple

from pvreplay.__main__ import main

PINGPONG = """\
# pvreplay trace 1
cpus 1
task 1 comm=ping mm=1 fpu=1
task 2 comm=pong mm=2
on 0 1
""" + "".join(f"0.{n:09d} 0 switch {2 - n % 2}\n" for n in range(23))
"""23 switches between two processes; ping's FPU registers are live at the first."""

NO_SWITCH = """\
# pvreplay trace 1
cpus 1
task 1 comm=ping mm=1
on 0 1
0.000000001 0 fpu
"""

LEAVE_LATE = """\
extends = "2.6.21"
[[change]]
move = "leave_lazy_cpu"
after = "loadsegment"
"""
"""A kernel that leaves lazy CPU mode after the segment load: H1 on every backend that queues."""

WITH_TLS = """\
# pvreplay trace 1
cpus 1
task 1 comm=ping mm=1 tls=1,0,0 gs=1
task 2 comm=pong mm=2 tls=2,0,0 gs=1
on 0 1
0.000000001 0 switch 2
0.000000002 0 switch 1
"""
"""Two threads' worth of TLS: the segment load after the batch matters."""


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def flat(self) -> str:
        """What was printed, its lines joined: where a line breaks depends on how long a path in it is."""
        return " ".join(self.out.split())


def pvreplay(*args: str | Path) -> Done:
    """Run the command in this process."""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(arg) for arg in args])
        out.flush()
    return Done(code, out.buffer.getvalue().decode(), err.getvalue())  # type: ignore[attr-defined]


def two_lines(err: str) -> bool:
    """An error of ours: one or two lines, the first with our name, no traceback."""
    lines = err.splitlines()
    return 1 <= len(lines) <= 2 and lines[0].startswith("pvreplay: ") and "Traceback" not in err

"""What a renderer for CI needs beside the report: where files stand, which findings fail."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from pvreplay.replay.result import Severity, Violation

STDIN = "stdin"
"""What CI is told as the file when a trace was read from standard input."""


class Place(NamedTuple):
    """Where an event stands in its file: line from 1, or the byte its record starts at."""

    line: int = 1
    byte_offset: int | None = None


class Spot(NamedTuple):
    """What a place is looked up by: trace, number of the first event, step of the sequence."""

    path: str
    event: int
    step: int

    @classmethod
    def of(cls, path: str, violation: Violation) -> Spot:
        """Of a violation that was seen somewhere."""
        assert violation.first is not None
        return cls(path, violation.first.event, violation.step)


class Context(NamedTuple):
    """How a report is shown to a CI system.

    *strict* and *lenient* are the options of the same name: performance findings fail
    too, a damaged trace does not.  *summary* says that a job summary is written beside
    it, which holds everything.  Paths are told relative to *base* (the root of the
    repository), as seen from *cwd*; both are absolute or empty.  *places* is
    where violations were seen first, *lines* (file, name of a step) -> its line.
    """

    strict: bool = False
    lenient: bool = False
    summary: bool = False
    base: str = ""
    cwd: str = ""
    places: Mapping[Spot, Place] = {}
    lines: Mapping[tuple[str, str], int] = {}

    def fails(self, severity: Severity) -> bool:
        """Whether a violation of *severity* sets exit code 1."""
        return self.strict or severity != "perf"

    def inside(self, path: str) -> str:
        """*path* relative to *base* with ``/`` between folders; "" when it is not below it."""
        if path in ("", "-"):
            return ""
        whole = os.path.normpath(os.path.join(self.cwd, path))
        if os.path.isabs(whole):
            base = os.path.normpath(self.base) if self.base else ""
            if not base or not whole.startswith(base.rstrip(os.sep) + os.sep):
                return ""
            whole = whole[len(base.rstrip(os.sep)) + 1 :]
        elif whole.split(os.sep, 1)[0] == os.pardir:
            return ""
        return whole.replace(os.sep, "/")

    def file(self, path: str) -> str:
        """A relative name for *path* in any case: the last part of it when it is not below *base*."""
        if path in ("", "-"):
            return STDIN
        return self.inside(path) or os.path.basename(os.path.normpath(path)) or STDIN

    def place(self, path: str, violation: Violation) -> Place:
        """Where in *path* a violation was seen first; line 1 when that is not known."""
        if violation.first is None:
            return Place()
        return self.places.get(Spot.of(path, violation), Place())


PLAIN: Final = Context()
"""Nothing is known but the report."""

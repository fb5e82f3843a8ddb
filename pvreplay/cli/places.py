"""Where in a trace file a violation stands, for those who point at it: line, or byte offset."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pvreplay.replay.result import Violation
from pvreplay.report.context import Place, Spot
from pvreplay.trace.events import Kind, unpack
from pvreplay.trace.model import Chunk

RECORDINGS = ("ftrace text", "perf script text")
"""Formats whose events were recovered from lines: found again by time and CPU."""


def find_places(path: str, violations: Iterable[Violation], assume: Mapping[str, str]) -> dict[Spot, Place]:
    """Where each of *violations* was seen first; those of a trace of pv ops at the op itself.

    Reads the file again, up to the last of them.  One that cannot be placed is left
    out: standard input, a compressed or binary recording.
    """
    wanted = {Spot.of(path, violation): violation for violation in violations if violation.first}
    if not wanted or not os.path.isfile(path):
        return {}
    from pvreplay.sources.detect import open_trace

    trace: Any = open_trace(path, assume=assume)
    if hasattr(trace, "where"):
        return dict(_counted(trace, wanted))
    if trace.meta.format.startswith(RECORDINGS):
        return dict(_by_time(path, wanted))
    return {}


def find_lines(path: str) -> dict[tuple[str, str], int]:
    """(*path*, name) -> the first line of a kernel's own file that holds the name in quotes."""
    import re

    quoted = re.compile(rb"""["']([\w:.@-]+)["']""")
    found: dict[tuple[str, str], int] = {}
    if not path.endswith(".toml") or not os.path.isfile(path):
        return found
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            for name in quoted.findall(line.partition(b"#")[0]):
                found.setdefault((path, name.decode("utf-8", "surrogateescape")), number)
    return found


class _Search:
    """The way from the first event of a sequence to the op at fault."""

    def __init__(self, spot: Spot, violation: Violation) -> None:
        assert violation.first is not None
        self.spot = spot
        self.event = violation.first.event
        self.cpu = violation.first.cpu
        self.op = violation.op
        self.left = violation.step
        self.start = Place()
        self.found: Place | None = None

    def look(self, trace: Any, chunk: Chunk, before: int) -> bool:
        """Look at *chunk*, whose first event is number *before*; whether the search is over."""
        count = len(chunk.events) // 2
        index = max(0, self.event - before)
        if before <= self.event < before + count:
            self.start = _place(trace.where(chunk, index))
            if trace.meta.level != "op":
                return True
        for place in range(index, count):
            _, cpu, kind, arg, _ = unpack(chunk.events[2 * place], chunk.events[2 * place + 1])
            if cpu != self.cpu:
                continue
            if self.left == 0:
                if kind == Kind.OP and trace.meta.ops[arg & 0xFFFF] == self.op:
                    self.found = _place(trace.where(chunk, place))
                return True
            if kind == Kind.BEGIN and before + place != self.event:
                return True
            self.left -= 1
        return False


def _place(where: str) -> Place:
    kind, _, number = where.partition(" ")
    return Place(int(number)) if kind == "line" else Place(1, int(number, 16))


def _counted(trace: Any, wanted: dict[Spot, Violation]) -> Iterator[tuple[Spot, Place]]:
    """In a trace that knows the place of an event of a chunk."""
    searches = [_Search(spot, violation) for spot, violation in wanted.items()]
    before = 0
    for chunk in trace.chunks():
        after = before + len(chunk.events) // 2
        open_still = []
        for search in searches:
            if search.event >= after or not search.look(trace, chunk, before):
                open_still.append(search)
            else:
                yield search.spot, search.found or search.start
        searches = open_still
        if not searches:
            return
        before = after
    for search in searches:
        yield search.spot, search.start


def _by_time(path: str, wanted: dict[Spot, Violation]) -> Iterator[tuple[Spot, Place]]:
    """The first line with the time of an event and its CPU."""
    import re

    stamp = re.compile(rb"(\d+)\.(\d{6}|\d{9}):")
    by_time: dict[int, list[tuple[Spot, bytes]]] = {}
    for spot, violation in wanted.items():
        if first := violation.first:
            by_time.setdefault(first.time_ns, []).append((spot, b"[%03d]" % first.cpu))
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            for seconds, fraction in stamp.findall(line):
                time_ns = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, b"0"))
                for spot, cpu in by_time.get(time_ns, []):
                    if cpu in line:
                        yield spot, Place(number)
                if time_ns in by_time:
                    by_time[time_ns] = [one for one in by_time[time_ns] if one[1] not in line]
                    if not by_time[time_ns]:
                        del by_time[time_ns]
            if not by_time:
                return

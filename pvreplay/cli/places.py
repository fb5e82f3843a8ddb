"""Where in a trace file an event stands, for those who point at it: line, or byte offset."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from pvreplay.replay.result import First
from pvreplay.report.context import Place

RECORDINGS = ("ftrace text", "perf script text")
"""Formats whose events were recovered from lines: found again by time and CPU."""


def find_places(path: str, firsts: Iterable[First | None], assume: Mapping[str, str]) -> dict[int, Place]:
    """Event number -> place, for the events of *firsts*.

    Reads the file again, up to the last of them.  An event that cannot be placed is
    left out: standard input, a compressed or binary recording.
    """
    wanted = {first.event: first for first in firsts if first is not None}
    if not wanted or not os.path.isfile(path):
        return {}
    from pvreplay.sources.detect import open_trace

    trace = open_trace(path, assume=assume)
    if hasattr(trace, "where"):
        return dict(_counted(trace, sorted(wanted)))
    if trace.meta.format.startswith(RECORDINGS):
        return dict(_by_time(path, wanted))
    return {}


def _counted(trace: object, wanted: list[int]) -> Iterator[tuple[int, Place]]:
    """Of a trace that knows the place of an event in a chunk."""
    before = 0
    for chunk in trace.chunks():  # type: ignore[attr-defined]
        after = before + len(chunk.events) // 2
        while wanted and wanted[0] < after:
            kind, _, number = trace.where(chunk, wanted[0] - before).partition(" ")  # type: ignore[attr-defined]
            yield wanted.pop(0), Place(int(number)) if kind == "line" else Place(1, int(number, 16))
        if not wanted:
            return
        before = after


def _by_time(path: str, wanted: dict[int, First]) -> Iterator[tuple[int, Place]]:
    """The first line with the time of an event and its CPU."""
    import re

    stamp = re.compile(rb"(\d+)\.(\d{6}|\d{9}):")
    by_time: dict[int, list[First]] = {}
    for first in wanted.values():
        by_time.setdefault(first.time_ns, []).append(first)
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            for seconds, fraction in stamp.findall(line):
                time_ns = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, b"0"))
                for first in list(by_time.get(time_ns, ())):
                    if b"[%03d]" % first.cpu in line:
                        yield first.event, Place(number)
                        by_time[time_ns].remove(first)
                        if not by_time[time_ns]:
                            del by_time[time_ns]
            if not by_time:
                return

"""Lines of ftrace text and `perf script` text, each taken by itself: the slow and obvious parser.

    ftrace        <comm>-<pid> [(<tgid>)] [<cpu>] [<flags>] <time>: <event>
    perf script   <comm> <pid>[/<tid>] [<cpu>] <time>: [<count>] <event>
    latency       <comm>-<pid> <cpu><flags> <time>us<mark>: <event>          (latency-format)
    verbose       <comm> <pid> <cpu> <flags> <depth> <index> [<time>] <rel>ms (+<rel>ms): <event>

A name of 15 bytes can hold what looks like the end of a prefix.  So: of all the places where a
prefix can end, the last that leaves a name of at most 15 bytes, else the first (old Android tools
write longer names).  A prefix behind the event's own text always leaves more.
"""

from __future__ import annotations

import re
from array import array
from typing import Final

from pvreplay.sources import records as r
from pvreplay.sources.tables import UNKNOWN_PID
from pvreplay.sources.textevents import EventParser
from pvreplay.trace.events import CPU_MAX

Record = tuple[int, int, int, int]
Prefix = tuple[bytes, int, int, int, int, bytes]
"""(name, pid, tgid or 0, CPU, time, what follows)."""

_BY_NAME: Final = frozenset({r.NEWTASK, r.FORK, r.EXEC, r.SYS_ENTER, r.RAW_ENTER})
"""Records of a task that may never have been seen in a switch: its name stands in the prefix only."""

_TIME: Final = rb"(\d{1,19}(?:\.\d{1,9})?): *"
_FLAGS: Final = rb"(?:[.a-zA-Z*#][.a-zA-Z0-9*#+]{2,7}?)?\s*"
_FTRACE: Final = re.compile(rb"-(\d{1,10})\s+(?:\(\s*(\d{1,10}|-+)\)\s+)?\[(\d{1,5})\]\s*" + _FLAGS + _TIME)
_PERF: Final = re.compile(
    rb"\s(?:-?\d{1,10}/)?(-?\d{1,10})\s+\[(\d{1,5})\]\s*" + _TIME + rb"(?:\d+\s+(?=\w+:\w))?"
)
_LATENCY: Final = re.compile(rb"-(\d{1,10})\s+(\d{1,5}?)" + _FLAGS + rb"(\d{1,19})us.?\s*: ")
_VERBOSE: Final = re.compile(
    rb"\s(\d{1,10})\s+(\d{1,5})\s+\d+\s+[0-9a-f]{8}\s+[0-9a-f]{8,16}\s+\[([0-9a-f]{1,16})\]\s+"
    rb"-?\d+\.\d{3}ms \(\+-?\d+\.\d{3}ms\): "
)
_EVENT: Final = re.compile(rb"(?:\w+:)?(\w+):(?:\s+(.*)|)$", re.DOTALL)
_LOST: Final = re.compile(rb"CPU:(\d{1,5}) \[(?:LOST )?(\d*) ?EVENTS(?: DROPPED)?\]")
_ENTRIES: Final = re.compile(rb"# entries-in-buffer/entries-written: (\d+)/(\d+)(?:\s+#P:(\d+))?")
_TRACER: Final = re.compile(rb"# tracer: (\w+)")
_A_LINE_EACH: Final = (b"nop", b"function")
"""Tracers that write each entry of the buffer as one line; function_graph writes a pair as one."""

COMM_MAX: Final = 15
STYLES: Final = ("ftrace", "perf", "latency", "verbose")


class LineParser:
    """Turns lines of one style into records, and keeps what the lines tell about the recording."""

    def __init__(self, style: str, events: EventParser) -> None:
        self.style = style
        self._events = events
        self._named: dict[int, int] = {}
        self.groups = array("Q", bytes(8 * 1024))
        """What the TGID column last said, by pid & 1023: pid | tgid << 32."""
        self.integer_clock = False
        """Some time had no decimal point: what it counts is not known."""
        self.overwritten = 0
        """Entries the recording had already overwritten when it was read out."""
        self.bad_lines = 0
        """Lines of a known event that could not be parsed."""
        self.last_ns = 0
        self.pending = b""
        self.entries = 0
        """Lines of an event seen here, whether it gave a record or not."""
        self.cpus = 0
        """A bit for each CPU of those lines, modulo 64."""
        self._tracer = b""
        self._headers: list[tuple[int, int]] = []
        self._losses = False

    def parse(self, line: bytes) -> list[Record]:
        """Records of one line (without its newline): mostly none or one."""
        if line.endswith(b"\\n\\"):
            line = line[:-3]  # a line of a JavaScript string in old Android pages
        if self.pending:
            if self.prefix(line) is None and self.pending.count(b"\n") < COMM_MAX:
                joined = self.pending + b"\n" + line
                found = self._parse(joined)
                self.pending = joined if found is None else b""
                return found or []
            self.finish()
        found = self._parse(line)
        if found is None:
            self.pending = line  # a name with a newline in it goes on in the next line
            return []
        return found

    def finish(self) -> None:
        """After the last line."""
        if self.pending:
            self.bad_lines += 1
            self.pending = b""

    def missing(self, entries: int, cpus: int) -> int:
        """How many of the entries that the header names are no line here; *entries* and *cpus* are
        those of the lines another scanner took.

        0 where the header does not bind.  With several headers, another tracer or entries lost while
        the buffer was printed, lines are not entries; and `per_cpu/cpuN/trace` has the entries of all
        CPUs in its header (print_event_info in kernel/trace/trace.c), so that one CPU's lines of a
        machine that has more say nothing.
        """
        if len(self._headers) != 1 or self._tracer not in _A_LINE_EACH or self._losses:
            return 0
        named, online = self._headers[0]
        if online != 1 and (self.cpus | cpus).bit_count() < 2:
            return 0
        return max(0, named - self.entries - entries)

    def _parse(self, line: bytes) -> list[Record] | None:
        """None: a known event, but malformed."""
        prefix = self.prefix(line)
        if prefix is None:
            return self._other(line)
        comm, pid, tgid, cpu, time_ns, text = prefix
        if not self.pending:  # else it was counted when its first line came
            self.entries += 1
            self.cpus |= 1 << (cpu & 63)
        if cpu >= CPU_MAX:
            return None
        named = _EVENT.match(text)
        try:
            fields = self._events.parse(named[1], named[2] or b"", pid) if named else False
            if fields is False:
                fields = self._events.parse_unnamed(text, pid)
        except ValueError:  # a number that is none
            return None
        if fields is None:
            return None
        self.last_ns = time_ns
        result = []
        if tgid and self.groups[pid & 1023] != pid | tgid << 32:
            self.groups[pid & 1023] = pid | tgid << 32
            result.append(r.record(time_ns, cpu, r.INFO, pid, pid, tgid))
        if not isinstance(fields, bool):
            kind, a, b, c, flags = fields
            if kind in _BY_NAME and comm != b"<...>":
                name = self._events.intern(comm)
                if self._named.get(pid) != name:
                    self._named[pid] = name
                    result.append(r.record(time_ns, cpu, r.INFO, pid, pid, 0, name))
            result.append(r.record(time_ns, cpu, kind, pid, a, b, c, flags))
        return result

    def prefix(self, line: bytes) -> Prefix | None:
        """The prefix of an event line; None for any other line."""
        if self.style == "ftrace":
            found = _choose(_FTRACE, line)
            if found is None:
                return None
            tgid = int(found[2]) if found[2] and found[2][:1] != b"-" else 0
            pid, cpu, time_ns = int(found[1]), int(found[3]), self._time(found[4])
        elif self.style == "perf":
            found = _choose(_PERF, line)
            if found is None:
                return None
            pid, cpu, time_ns, tgid = int(found[1]), int(found[2]), self._time(found[3]), 0
        elif self.style == "latency":
            found = _choose(_LATENCY, line)
            if found is None:
                return None
            pid, cpu, time_ns, tgid = int(found[1]), int(found[2]), 1000 * int(found[3]), 0
        else:
            found = _choose(_VERBOSE, line)
            if found is None:
                return None
            pid, cpu, time_ns, tgid = int(found[1]), int(found[2]), 1000 * int(found[3], 16), 0
        comm = line[: found.start()].lstrip()
        time_ns &= 0xFFFFFFFFFFFFFFFF
        return comm, pid & 0xFFFFFFFF, tgid & 0xFFFFFFFF, cpu, time_ns, line[found.end() :]

    def _time(self, text: bytes) -> int:
        seconds, dot, fraction = text.partition(b".")
        if not dot:
            self.integer_clock = True
            return int(text)
        return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, b"0"))

    def _other(self, line: bytes) -> list[Record] | None:
        """Headers, losses, and everything that is no event."""
        found = _LOST.search(line[:80])
        if found and line.lstrip().startswith(b"CPU:"):
            cpu = int(found[1])
            self._losses = True
            if cpu < CPU_MAX:
                return [r.record(self.last_ns, cpu, r.LOST, UNKNOWN_PID, int(found[2] or b"0"))]
        found = _ENTRIES.match(line)
        if found:
            self.overwritten += max(0, int(found[2]) - int(found[1]))
            self._headers.append((int(found[1]), int(found[3] or b"0")))
            return []
        found = _TRACER.match(line)
        if found:
            self._tracer = found[1]
        return []


def _choose(pattern: re.Pattern[bytes], line: bytes) -> re.Match[bytes] | None:
    """The end of the prefix: see the head of this file."""
    start = len(line) - len(line.lstrip(b" \t"))
    best = found = pattern.search(line, max(0, start - 1))
    while found is not None and found.start() - start <= COMM_MAX:
        best = found
        found = pattern.search(line, found.start() + 1)
    return best

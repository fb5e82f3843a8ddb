"""Which text a recording is, from its first lines; and what cannot be used, with the reason."""

from __future__ import annotations

import re
from typing import Final

from pvreplay.errors import TraceError
from pvreplay.sources.textevents import EventParser
from pvreplay.sources.textlines import STYLES, LineParser

_REFUSED: Final = (
    (
        re.compile(rb"^# tracer: .*\0", re.S),
        "ftrace output of the `bin` option, which leaves the fields of events out",
        "Record with `echo 0 > /sys/kernel/tracing/options/bin`.",
    ),
    (
        re.compile(rb"^\s*\d+ \d+ \d+ type: \d+", re.M),
        "ftrace text of the `raw` option, which leaves the fields of events out",
        "Record with `echo 0 > /sys/kernel/tracing/options/raw`.",
    ),
    (
        re.compile(rb"^[0-9a-f]{8} [0-9a-f]{8} [0-9a-f]{16} ", re.M),
        "ftrace text of the `hex` option, which leaves the fields of events out",
        "Record with `echo 0 > /sys/kernel/tracing/options/hex`.",
    ),
    (
        re.compile(rb"^\s*sched_switch: +prev_comm=", re.M),
        "ftrace text without task, CPU and time (the `nocontext-info` option)",
        "Record with `echo 1 > /sys/kernel/tracing/options/context-info`.",
    ),
    (
        re.compile(rb"^\s*time\s+cpu\s+task name\s+wait time", re.M),
        "the output of `perf sched timehist`, which leaves the previous task's state out",
        "Give perf.data itself, or `perf script` of it.",
    ),
    (
        re.compile(rb"^\s*Task\s+\|\s+Runtime ms\s+\|", re.M),
        "the output of `perf sched latency`, which is a summary",
        "Give perf.data itself, or `perf script` of it.",
    ),
    (
        re.compile(rb"^ +(?:\*?[A-Z.-][0-9A-Z]? +)+\d+\.\d+ secs", re.M),
        "the output of `perf sched map`, which names no pids after their first switch",
        "Give perf.data itself, or `perf script` of it.",
    ),
    (
        re.compile(rb"^# CPU +(?:TASK/PID +)?DURATION +FUNCTION CALLS", re.M),
        "function_graph text, whose lines carry no time and task",
        "Record sched_switch with the tracer nop or function instead.",
    ),
)


def sniff_text(head: bytes) -> str:
    """The style ("ftrace", "perf", "latency", "verbose") of text that starts with *head*; "" when it
    is none.  TraceError for text of tools that leave out what a replay needs."""
    if b"\0" in head and not head.startswith(b"# tracer:"):
        return ""
    counts = dict.fromkeys(STYLES, 0)
    parsers = [LineParser(style, EventParser(lambda name: 0)) for style in STYLES]
    lines = head.split(b"\n")
    for line in lines[:400]:
        # the style whose prefix ends first: another one's may be found in the event's text
        ends = [(len(line) - len(found[-1]), p.style) for p in parsers if (found := p.prefix(line))]
        if ends:
            counts[min(ends)[1]] += 1
    best = max(STYLES, key=lambda style: counts[style])
    if counts[best]:
        return best
    for pattern, what, hint in _REFUSED:
        if pattern.search(head):
            raise TraceError(what, hint)
    if b"# tracer:" in head or is_page(head):
        return "ftrace"
    return ""


def is_page(head: bytes) -> bool:
    """Whether it is an HTML page, of systrace or catapult: the trace may begin far behind its scripts."""
    start = head[:1024].lower()
    return b"<!doctype html" in start or b"<html" in start

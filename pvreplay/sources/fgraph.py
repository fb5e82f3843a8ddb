"""Lines of the function_graph tracer: calls with their callers, and who runs.

    # CPU  DURATION                  FUNCTION CALLS
     1)               |  schedule() {
     1)   8.605 us    |    enter_lazy_tlb();
     0)               |    /* sched_switch: prev_comm=... */
     ------------------------------------------
     0)    <idle>-0    =>   kworker-7
     ------------------------------------------

A caller is the function whose brace is open.  The tracer prints neither time
(unless funcgraph-abstime is set) nor task, but a bar with both pids when
another task's lines follow on a CPU: in the middle of the switch.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

_BAR: Final = re.compile(rb"\s*(\d+)\)\s+(.*)-(\d+)\s+=>\s+(.*)-(\d+)\s*$")
_LINE: Final = re.compile(rb"\s*(?:(\d+\.\d+) \|\s*)?(\d+)\)(.*)$", re.DOTALL)
_CALL: Final = re.compile(rb"([A-Za-z_][\w.]*)\(\)(;| \{)")
_CLOSE: Final = re.compile(rb"\}(?: /\* ([A-Za-z_][\w.]*) \*/)?")
_EVENT: Final = re.compile(rb"/\* ([a-z]\w*): (.*) \*/\s*$", re.DOTALL)


class GraphLine(NamedTuple):
    """One line that says something: *a* and *b* depend on *what*.

    call: function and caller (b"" when not known).  event: tracepoint and
    text.  task: pid and comm of who runs now.  irq: b"enter" or b"exit".
    """

    what: Literal["call", "event", "task", "irq"]
    cpu: int
    time_ns: int
    a: bytes
    b: bytes


class GraphReader:
    """Line by line; the call stacks of all tasks are kept."""

    def __init__(self) -> None:
        self.timed = False
        """Some line had a time."""
        self.left, self.left_name = -1, b""
        """Whose lines ended at the last bar."""
        self._columns = 1
        self._lines = 0
        self._running: dict[int, tuple[int, int]] = {}
        self._stacks: dict[tuple[int, int], list[bytes]] = {}

    def read(self, line: bytes) -> GraphLine | None:
        """What *line* says; None for a header, a brace, or anything else."""
        self._lines += 1
        bar = _BAR.match(line)
        if bar:
            cpu, pid = int(bar[1]), int(bar[5])
            self._running[cpu] = (pid, cpu if pid == 0 else -1)
            self.left, self.left_name = int(bar[3]), bar[2].strip()
            return GraphLine("task", cpu, self._lines, bar[5], bar[4].strip())
        found = _LINE.match(line)
        if found is None:
            if line.startswith(b"#") and b"FUNCTION CALLS" in line:
                self._columns = 2 if b"TASK/PID" in line else 1
            return None
        cpu = int(found[2])
        text = (
            found[3].split(b"|", self._columns)[-1].strip() if found[3].count(b"|") >= self._columns else b""
        )
        if b"==========> |" in found[3] or b"<========== |" in found[3]:
            what = b"enter" if b"==========> |" in found[3] else b"exit"
            return GraphLine("irq", cpu, self._time(found[1]), what, b"")
        return self._function(cpu, self._time(found[1]), text)

    def _function(self, cpu: int, time_ns: int, text: bytes) -> GraphLine | None:
        stack = self._stacks.setdefault(self._running.get(cpu, (-1, cpu)), [])
        event = _EVENT.match(text)
        if event:
            return GraphLine("event", cpu, time_ns, event[1], event[2])
        call = _CALL.match(text)
        if call:
            caller = stack[-1] if stack else b""
            if call[2] == b" {":
                stack.append(call[1])
            return GraphLine("call", cpu, time_ns, call[1], caller)
        closed = _CLOSE.match(text)
        if closed and stack:
            # a named brace closes that function, whatever was lost inside
            while stack.pop() != closed[1] and closed[1] and stack:
                pass
        return None

    def _time(self, text: bytes | None) -> int:
        if not text:
            return self._lines
        self.timed = True
        seconds, _, fraction = text.partition(b".")
        return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, b"0")[:9])


def is_graph(head: bytes) -> bool:
    """Whether text that begins with *head* is the function_graph tracer's."""
    return b"# tracer: function_graph" in head or re.search(rb"^# .*FUNCTION CALLS", head, re.M) is not None

"""Every switch, in order, against another tool: per CPU, the sequence of (prev pid, next pid).

    python tests/crosscheck/sequences.py RECORDING...

Text recordings are parsed again here by one plain regular expression a line; perf.data goes through
`perf script`, trace.dat through `trace-cmd report`.  A recording may also be read through its
text (`perf script -i X | pvreplay run -`): pass --through-text.  Exit 1 when anything differs.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys

from pvreplay.errors import PvreplayError
from pvreplay.sources.detect import open_trace
from pvreplay.sources.recover import RecoveredTrace
from pvreplay.sources.textsniff import sniff_text
from pvreplay.sources.textsource import TextSource
from pvreplay.trace.events import Kind, unpack
from pvreplay.trace.model import Trace

LINE = re.compile(rb"\[(\d{3})\]\s*(?:\S+\s+)?[\d.]+: +(?:sched:)?sched_switch:\s")
PIDS = (
    re.compile(
        rb" prev_pid=(?:0x[0-9a-f]+ \()?(\d+)\)? .* next_pid=(?:0x[0-9a-f]+ \()?(\d+)\)? [^=]*=[^=]*$"
    ),
    re.compile(rb":(\d+) \[\d+\] \S+ ==> .*:(\d+) \[\d+\]\s*$"),
)
PIDS_OF: dict[int, list[int]] = {}
EXECS: set[int] = set()
Sequences = dict[int, list[tuple[int, int]]]


def text_of(path: str) -> bytes:
    """The recording as text, by the tool it belongs to."""
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith(b"PERFILE2"):
        return subprocess.run(["perf", "script", "-i", path], capture_output=True).stdout
    if data.startswith(b"\x17\x08\x44tracing"):
        return subprocess.run(["trace-cmd", "report", "-R", "-i", path], capture_output=True).stdout
    return data


def plain(text: bytes) -> Sequences:
    """The sequences by a regular expression a line."""
    found: Sequences = {}
    for line in text.split(b"\n"):
        line = line.removesuffix(b"\\n\\")
        cpu = LINE.search(line)
        if cpu:
            pids = next((m for m in (p.search(line, cpu.end() - 1) for p in PIDS) if m), None)
            if pids:
                found.setdefault(int(cpu[1]), []).append((int(pids[1]), int(pids[2])))
    return found


def ours(trace: Trace) -> dict[int, list[tuple[int, int]]]:
    """CPU -> (prev task, next task) of the trace's switches; tasks by number."""
    found: dict[int, list[tuple[int, int]]] = {}
    current: dict[int, int] = {}
    for chunk in trace.chunks():
        PIDS_OF.update({task.id: [task.pid] for task in chunk.tasks})
        for i in range(0, len(chunk.events), 2):
            _, cpu, kind, arg, _ = unpack(chunk.events[i], chunk.events[i + 1])
            if kind == Kind.SWITCH:
                found.setdefault(cpu, []).append((current[cpu], arg))
            elif kind == Kind.EXEC:
                EXECS.add(current[cpu])
            if kind in (Kind.SWITCH, Kind.ON):
                current[cpu] = arg
    return found


def is_pid(pid: int, task: int) -> bool:
    """Whether a task has this pid.  A thread that calls exec takes its leader's: one more."""
    pids = PIDS_OF[task]
    if pid not in pids and task in EXECS and len(pids) == 1:
        pids.append(pid)
    return pid in pids


def agree(expected: Sequences, found: dict[int, list[tuple[int, int]]]) -> bool:
    """Whether both are the same switches."""
    return all(
        len(expected.get(cpu, [])) == len(found.get(cpu, []))
        and all(
            is_pid(a, p) and is_pid(b, n) for (a, b), (p, n) in zip(expected[cpu], found[cpu], strict=True)
        )
        for cpu in set(expected) | set(found)
    )


def main(args: list[str]) -> int:
    through_text = "--through-text" in args
    different = 0
    for path in args:
        if path.startswith("--"):
            continue
        name = path.rsplit("/", 1)[-1]
        text = text_of(path)
        expected = plain(text)
        PIDS_OF.clear()
        PIDS_OF[0] = [0]
        EXECS.clear()
        try:
            if through_text:
                stream = io.BytesIO(text)
                trace: Trace = RecoveredTrace(TextSource(stream, sniff_text(text[:65536]), name))
            else:
                trace = open_trace(path)
            found = ours(trace)
        except PvreplayError as error:
            print(f"{name}: {error.message} / {error.hint}")
            continue
        same = agree(expected, found)
        different += not same
        counts = " ".join(f"{cpu}:{len(found.get(cpu, []))}" for cpu in sorted(expected))
        total = sum(len(pairs) for pairs in expected.values())
        print(f"{'same' if same else 'DIFFERENT':10} {total:8} switches  {name}  ({counts}) {trace.doubts}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

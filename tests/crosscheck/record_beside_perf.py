"""`pvreplay record` beside `perf record -a -e sched:sched_switch`: the same switches on every CPU.

    python tests/crosscheck/record_beside_perf.py [LOOPS] [EVENTS]

Both record the same `perf bench sched pipe` (LOOPS operations, 200,000 by default; EVENTS full or
switch), perf around us.  Per CPU, our sequence of (prev, next) must be a part of perf's as it stands,
nothing must be lost, and the report must be there within a second of the command's end.  Needs root,
tracefs and perf.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pvreplay.sources.detect import open_trace
from pvreplay.trace.events import Kind, unpack

LINE = re.compile(rb"\[(\d+)\]\s+(\d+)\.(\d{9}): +sched:sched_switch: .* prev_pid=(\d+) .* next_pid=(\d+) ")
PERF = ("perf", "record", "-q", "-a", "-k", "mono", "-m", "16M", "-e", "sched:sched_switch", "-o")
EDGE_NS = 50_000_000
START = 50
"""Switches whose order finds the place in perf's sequence."""

Switches = dict[int, list[tuple[int, int, int]]]


def perfs(path: Path) -> Switches:
    """CPU -> (time, prev, next) by perf script."""
    command = ("perf", "script", "--ns", "-i", str(path), "-F", "cpu,time,event,trace")
    text = subprocess.run(command, capture_output=True, check=True).stdout
    found: Switches = {}
    for line in text.split(b"\n"):
        match = LINE.search(line + b" ")
        if match:
            cpu, seconds, ns, prev, following = map(int, match.groups())
            found.setdefault(cpu, []).append((seconds * 10**9 + ns, prev, following))
    return found


def ours(path: Path) -> tuple[Switches, int]:
    """CPU -> (time, prev, next) of our file, and the events lost."""
    pids = {0: 0}
    running: dict[int, int] = {}
    found: Switches = {}
    lost = 0
    trace = open_trace(str(path))
    for chunk in trace.chunks():
        pids.update((task.id, task.pid) for task in chunk.tasks)
        for at in range(0, len(chunk.events), 2):
            when, cpu, kind, arg, _ = unpack(chunk.events[at], chunk.events[at + 1])
            if kind == Kind.SWITCH:
                found.setdefault(cpu, []).append((when, pids[running[cpu]], pids[arg]))
            if kind in (Kind.SWITCH, Kind.ON):
                running[cpu] = arg
            lost += arg if kind == Kind.LOST else 0
    return found, lost + trace.doubts.get("lost_unknown", 0)


def place(mine: list[tuple[int, int]], theirs: list[tuple[int, int]]) -> int:
    """Where *mine* begins in *theirs*, -1 for nowhere."""
    head = mine[:START]
    for at in range(len(theirs) - len(head) + 1):
        if theirs[at : at + len(head)] == head and theirs[at : at + len(mine)] == mine:
            return at
    return -1


def compare(mine: Switches, theirs: Switches) -> bool:
    """Print a line a CPU; whether all are equal."""
    equal = True
    for cpu, switches in sorted(mine.items()):
        first, last = switches[0][0], switches[-1][0]
        window = [s for s in theirs.get(cpu, []) if first - EDGE_NS <= s[0] <= last + EDGE_NS]
        at = place([s[1:] for s in switches], [s[1:] for s in window])
        equal &= at >= 0
        apart = sorted(abs(a[0] - b[0]) for a, b in zip(switches, window[max(at, 0) :], strict=False))
        print(
            f"CPU {cpu}: {len(switches):,} switches, {'identical' if at >= 0 else 'DIFFERENT'};"
            f" perf has {len(window):,} in the window and 50 ms around it;"
            f" median distance of the stamps {apart[len(apart) // 2]:,} ns"
        )
    return equal


def main(loops: str = "200000", events: str = "full") -> int:
    """Record with both, compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        perf = subprocess.Popen((*PERF, str(folder / "perf.data")), stdout=subprocess.DEVNULL)
        time.sleep(1.5)
        bench = folder / "bench.sh"
        bench.write_text(f"perf bench sched pipe -l {loops}\nexec date +%s.%N\n")
        command = (sys.executable, "-m", "pvreplay", "record", "-o", str(folder / "ours.bin"))
        done = subprocess.run(
            (*command, "--events", events, "--", "sh", str(bench)), capture_output=True, text=True
        )
        end = time.time()
        time.sleep(0.5)
        perf.send_signal(signal.SIGINT)
        perf.wait()
        print(done.stderr, end="")
        if done.returncode:
            print(f"record ended with {done.returncode}")
            return 1
        ended = float(re.findall(r"^\d{9,}\.\d{9}$", done.stdout, re.M)[-1])
        mine, lost = ours(folder / "ours.bin")
        equal = compare(mine, perfs(folder / "perf.data"))
        print(f"{lost:,} events lost; report {end - ended:.2f} s after the command's end")
        return 0 if equal and not lost and end - ended < 1 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""ftrace text: `pvreplay run` beside a Python regular expression a line, whole processes, the same file."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench.lines import Line, by_turns, spread
from tests.bench.process import pvreplay, run

PEER = Path(__file__).parent / "peer_regex.py"
GOAL = 8
TASKS = 64
CPUS = 4

HEAD = """# tracer: nop
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
"""


def write(path: Path, lines: int) -> None:
    """sched_switch lines of four CPUs, whose tasks take turns with idle and with each other."""
    running = [(f"swapper/{cpu}", 0) for cpu in range(CPUS)]
    tasks = [(f"worker:{number % 7}", 1000 + number) for number in range(TASKS)]
    with path.open("w") as file:
        file.write(HEAD)
        for number in range(lines):
            cpu = number % CPUS
            turn = number // CPUS
            comm, pid = running[cpu]
            following = tasks[(cpu + 5 * turn) % TASKS] if turn % 3 else (f"swapper/{cpu}", 0)
            if following[1] == pid:
                following = tasks[(cpu + 5 * turn + 1) % TASKS]
            running[cpu] = following
            shown = "<idle>" if pid == 0 else comm
            seconds, micros = divmod(1_000_000_000 + 3 * number, 1_000_000)
            file.write(
                f"{shown:>16}-{pid:<7} [{cpu:03}] d..2. {seconds:5}.{micros:06}: sched_switch: "
                f"prev_comm={comm} prev_pid={pid} prev_prio=120 prev_state={'R' if turn % 2 else 'S'} ==> "
                f"next_comm={following[0]} next_pid={following[1]} next_prio=120\n"
            )


def measure(runs: int, lines: int = 2_000_000) -> Iterator[Line]:
    """One line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.txt"
        write(path, lines)
        ours = pvreplay("run", str(path), "--format", "json")
        theirs = [sys.executable, str(PEER), str(path)]
        report = json.loads(run(ours).output)
        counted = {cpu: row["count"] for cpu, row in report["backends"][0]["by_cpu"].items()}
        assert counted == json.loads(run(theirs).output) and sum(counted.values()) == lines
        mine, peers = by_turns(runs, lambda: run(ours).seconds, lambda: run(theirs).seconds)
        size = path.stat().st_size
    yield Line(
        what="ftrace text",
        unit="M lines/s",
        ours=lines / median(mine) / 1e6,
        peer=lines / median(peers) / 1e6,
        peer_name="a Python regular expression a line",
        goal=GOAL,
        spread=spread(mine),
        notes=[f"{lines:,} lines", f"{size / median(mine) / 1e6:.0f} MB/s"],
    )

"""Shells fork and exec short programs without end, as a build does.

A shell copies its page tables (a lazy MMU section), forks and waits; the child tears down the copy,
gets a new mm by exec, takes page faults, and exits after one or a few slices.  New mms are numbered
in a ring of 65536, far longer than a CPU stays lazily attached to a dead one.

Numbers: about three switches for each short process is what a recording of a storm of 150 processes
on Linux 6.18 shows (454 judged switches).  Assumptions: two shells a CPU, at most 64 children
alive; slices of 50 to 500 microseconds; 20 to 100 PTEs copied and torn down, 1 to 16 written by a
fault (fault-around of 64 KiB), 4 to 24 faults after exec; a third of the programs use the FPU at
start, half of the slices after that.
"""

from __future__ import annotations

from typing import Final

from pvreplay.synth.params import Option, Params
from pvreplay.synth.profile import ALWAYS, BECOME, FAULT, IDLE, IRQ, LAST, SECTION, Act, Profile, act
from pvreplay.trace.events import Kind

OPTIONS: Final = {
    "ptes": Option(100, 20, 1024, "most PTEs copied at fork and torn down at exec and exit"),
    "fpu": Option(333, 0, 1000, "programs in a thousand that use the FPU at start"),
}


def build(p: Params) -> Profile:
    """Shells, and slots for their children."""
    children = p.count(2 * p.cpus + 64, 2 * p.cpus + 1) - 2 * p.cpus
    tables = (20, p["ptes"])
    profile = Profile(p.cpus, migrate_ppm=20_000)
    profile.role(IDLE, [("child", 30), ("program", 20), ("leaving", 20), ("shell", 30)], (10_000, 100_000))
    profile.role(
        "shell",
        [("child", 65), ("program", 10), ("leaving", 20), (IDLE, 5)],
        (50_000, 200_000),
        [Act(SECTION, ALWAYS, (1, 1), tables), Act(Kind.FORK, ALWAYS, (1, 1), "child"), act(IRQ, 50)],
    )
    profile.role(
        "child",
        [("shell", 40), ("leaving", 40), ("program", 15), (IDLE, 5)],
        (100_000, 500_000),
        [
            Act(SECTION, ALWAYS, (1, 1), tables),
            Act(Kind.EXEC),
            Act(FAULT, ALWAYS, (4, 24), (1, 16)),
            act(Kind.FPU, p["fpu"]),
            Act(BECOME, ALWAYS, (1, 1), "leaving"),
            Act(BECOME, ALWAYS // 8, (1, 1), "program"),
        ],
    )
    working = [act(Kind.FPU, p["fpu"] // 2), Act(FAULT, ALWAYS, (0, 8), (1, 16))]
    row = [("shell", 40), ("child", 20), ("leaving", 30), (LAST, 5), (IDLE, 5)]
    leave = Act(BECOME, ALWAYS // 2, (1, 1), "leaving")
    profile.role("program", row, (50_000, 500_000), [*working, leave])
    gone = [Act(SECTION, ALWAYS, (1, 1), tables), Act(Kind.EXIT)]
    profile.role("leaving", row, (50_000, 500_000), [*working, *gone])
    profile.role("dead", [], (0, 0))
    for cpu in range(p.cpus):
        for _ in range(2):
            profile.libc_task("shell", "sh", mm=profile.mm(), cpu=cpu)
    profile.slots("dead", "cc1", children)
    return profile

"""Groups of senders and receivers over sockets, as hackbench does.

Models hackbench and ``perf bench sched messaging``: every sender of a group writes to every
receiver of the group, so a CPU runs a few senders until the sockets are full, then their receivers,
and is hardly ever idle.

Numbers: 40 tasks a group (20 senders, 20 receivers) is what both programs do; ten groups is the
default of perf bench.  Here one group is the default, so that small traces see every task.
Assumptions: slices of 5 to 50 microseconds; after a sender a sender runs next in 50 of 100 cases
and a receiver in 47, after a receiver a receiver in 55 and a sender in 42, idle else; 2 slices of
1000 use the FPU (a C library's wide copies); one task in 100 picks is taken from another CPU's
queue.
"""

from __future__ import annotations

from typing import Final

from pvreplay.synth.params import Option, Params
from pvreplay.synth.profile import IDLE, IRQ, Profile, act
from pvreplay.trace.events import Kind

OPTIONS: Final = {
    "groups": Option(1, 1, 1000, "groups of senders and receivers; the tasks are divided among them"),
    "threads": Option(0, 0, 1, "1: the tasks of a group are threads of one process"),
}


def build(p: Params) -> Profile:
    """Senders and receivers in equal numbers, spread over the CPUs."""
    tasks = p.count(40 * p["groups"], 2 * p["groups"])
    profile = Profile(p.cpus, migrate_ppm=10_000)
    acts = [act(Kind.FPU, 2), act(IRQ, 10)]
    profile.role(IDLE, [("receiver", 2), ("sender", 1)], (1_000, 20_000))
    profile.role("sender", [("sender", 50), ("receiver", 47), (IDLE, 3)], (5_000, 50_000), acts)
    profile.role("receiver", [("receiver", 55), ("sender", 42), (IDLE, 3)], (5_000, 50_000), acts)
    mms = [profile.mm() for _ in range(p["groups"])] if p["threads"] else []
    for number in range(tasks):
        group, role = number // 2 % p["groups"], ("sender", "receiver")[number % 2]
        mm = mms[group] if mms else profile.mm()
        profile.libc_task(role, f"{role}-{group}", mm=mm, cpu=number // 2 % p.cpus)
    return profile

"""A game server: ticks, worker threads, network, much idle time.

At each tick the main thread wakes, computes (always with the FPU), lets its workers compute physics
(always with the FPU), sends, and sleeps.  The network thread runs when packets arrive; a logger
process writes now and then; kernel threads serve the network.

Numbers: 66 ticks a second is the fixed rate of Counter-Strike: Source and Team Fortress 2, 30 that
of Left 4 Dead (Valve, Source Multiplayer Networking).  Assumptions: 4 worker threads, slices of 0.2
to 2 ms for the main thread and workers and of 10 to 50 microseconds for all else, who follows whom
as written below; idle lasts up to a tick.
"""

from __future__ import annotations

from typing import Final

from pvreplay.synth.params import Option, Params
from pvreplay.synth.profile import ALWAYS, FAULT, IDLE, IRQ, LAST, Act, Profile, act
from pvreplay.trace.events import Kind

OPTIONS: Final = {"tick": Option(66, 1, 1000, "ticks a second")}


def build(p: Params) -> Profile:
    """Main thread, network thread and workers of one mm, a logger, and a kernel thread a CPU."""
    workers = p.count(4 + 3, 4) - 3
    tick_ns = 1_000_000_000 // p["tick"]
    profile = Profile(p.cpus, migrate_ppm=100_000)
    profile.role(
        IDLE,
        [("main", 30), ("network", 40), (LAST, 15), ("ksoftirqd", 10), ("logger", 5)],
        (10_000, tick_ns),
        [act(IRQ, 700), act(Kind.FLUSH_IPI, 5)],
    )
    compute = [Act(Kind.FPU), act(IRQ, 300), act(FAULT, 20, (1, 4), (1, 2))]
    long, short = (200_000, 2_000_000), (10_000, 50_000)
    profile.role("main", [("worker", 70), ("network", 10), (IDLE, 20)], long, compute)
    profile.role("worker", [("worker", 50), ("main", 25), (IDLE, 25)], long, compute)
    profile.role(
        "network", [("main", 20), (LAST, 30), (IDLE, 50)], short, [act(Kind.FPU, 100), act(IRQ, 500)]
    )
    profile.role("logger", [(LAST, 50), (IDLE, 50)], short, [Act(FAULT, ALWAYS // 5, (1, 1), (1, 1))])
    profile.role("ksoftirqd", [(LAST, 60), ("network", 20), (IDLE, 20)], short, user=False)
    server = profile.mm()
    for role in ("main", "network"):
        profile.libc_task(role, role, mm=server, fpu_counter=0)
    for _ in range(workers):
        profile.libc_task("worker", "worker", mm=server)
    profile.libc_task("logger", "logger", mm=profile.mm())
    for cpu in range(p.cpus):
        profile.task("ksoftirqd", f"ksoftirqd/{cpu}", cpu=cpu)
    return profile

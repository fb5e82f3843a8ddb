"""A server process: a dispatcher, worker threads, kernel threads.

The dispatcher hands requests to workers of the same mm.  Nearly all switches stay in one mm, the
thread pointer in the GDT's TLS slot changes at each of them, and the way to idle or to a kernel
thread and back to a worker leaves the mm loaded (lazy TLB), unless a flush IPI arrives meanwhile.

Assumptions, all of it: a dispatcher and 16 workers, a kernel thread a CPU; slices of 20 to 200
microseconds (a request), 5 to 20 for the dispatcher and kernel threads; rows of who follows whom as
written below; the FPU in 50 slices of 1000; a flush IPI at 20 of 1000 idle slices (munmap of
another thread); a page fault in 100 slices of 1000.
"""

from __future__ import annotations

from typing import Final

from pvreplay.synth.params import Option, Params
from pvreplay.synth.profile import FAULT, IDLE, IRQ, LAST, Profile, act
from pvreplay.trace.events import Kind

OPTIONS: Final = {
    "fpu": Option(50, 0, 1000, "worker slices in a thousand that use the FPU"),
    "flush": Option(20, 0, 1000, "idle slices in a thousand that a TLB flush IPI reaches"),
}


def build(p: Params) -> Profile:
    """One process of a dispatcher and workers, and a kernel thread a CPU."""
    workers = p.count(17, 2) - 1
    profile = Profile(p.cpus, migrate_ppm=50_000)
    flushed = [act(Kind.FLUSH_IPI, p["flush"])]
    profile.role(
        IDLE, [(LAST, 50), ("worker", 30), ("dispatcher", 15), ("kworker", 5)], (10_000, 200_000), flushed
    )
    profile.role("dispatcher", [("worker", 80), (IDLE, 20)], (5_000, 20_000), [act(IRQ, 300)])
    work = [act(Kind.FPU, p["fpu"]), act(FAULT, 100, (1, 1), (1, 4)), act(IRQ, 50)]
    profile.role(
        "worker", [("dispatcher", 40), ("worker", 25), (IDLE, 30), ("kworker", 5)], (20_000, 200_000), work
    )
    profile.role("kworker", [(LAST, 80), (IDLE, 20)], (5_000, 20_000), flushed, user=False)
    mm = profile.mm()
    profile.libc_task("dispatcher", "dispatcher", mm=mm, cpu=0)
    for _ in range(workers):
        profile.libc_task("worker", "worker", mm=mm)
    for cpu in range(p.cpus):
        profile.task("kworker", f"kworker/{cpu}", cpu=cpu)
    return profile

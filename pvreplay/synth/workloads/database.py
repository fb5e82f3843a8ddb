"""A database: a process a connection, clients, I/O kernel threads.

A client sends a statement, its backend computes and answers; at commit the backend waits for the
log, and a kernel thread or idle runs.  All mms differ unless ``threads`` makes the server one
process, as MySQL is.

Numbers: seven statements a transaction, of which one waits for the log, are those of pgbench's
TPC-B-like script (BEGIN, five statements, END).  Assumptions: 16 connections; slices of 50 to 300
microseconds for a backend and 10 to 30 for the others; floating point in 50 of 1000 backend slices;
a disk or network interrupt in 200 of 1000; page faults in shared buffers in 300 of 1000; who
follows whom as written below.
"""

from __future__ import annotations

from typing import Final

from pvreplay.synth.params import Option, Params
from pvreplay.synth.profile import FAULT, IDLE, IRQ, LAST, Profile, act
from pvreplay.trace.events import Kind

OPTIONS: Final = {
    "threads": Option(0, 0, 1, "1: the server is one process with a thread for each connection"),
    "fpu": Option(50, 0, 1000, "backend slices in a thousand that use the FPU"),
}


def build(p: Params) -> Profile:
    """Pairs of client and backend, two background processes, a kernel thread a CPU."""
    pairs = (p.count(2 * 16 + 2, 4) - 2) // 2
    profile = Profile(p.cpus, migrate_ppm=50_000)
    idle_acts = [act(IRQ, 500), act(Kind.FLUSH_IPI, 10)]
    idle_row = [
        ("backend", 40),
        ("client", 25),
        (LAST, 20),
        ("kjournald", 10),
        ("walwriter", 3),
        ("checkpointer", 2),
    ]
    profile.role(IDLE, idle_row, (5_000, 200_000), idle_acts)
    work = [act(Kind.FPU, p["fpu"]), act(IRQ, 200), act(FAULT, 300, (1, 8), (1, 3))]
    # Of seven statements six go back to the client and one waits for the log.
    after = [("client", 60), ("backend", 20), ("kjournald", 10), (IDLE, 10)]
    profile.role("backend", after, (50_000, 300_000), work)
    profile.role(
        "client", [("backend", 70), ("client", 15), (IDLE, 15)], (10_000, 30_000), [act(Kind.FPU, 10)]
    )
    for name in ("walwriter", "checkpointer"):
        profile.role(name, [(LAST, 30), ("kjournald", 40), (IDLE, 30)], (10_000, 30_000), [act(IRQ, 100)])
    profile.role(
        "kjournald", [(LAST, 40), ("backend", 40), (IDLE, 20)], (10_000, 30_000), [act(IRQ, 300)], user=False
    )
    server = profile.mm() if p["threads"] else 0
    for number in range(pairs):
        for role in ("client", "backend"):
            mm = server if server and role == "backend" else profile.mm()
            profile.libc_task(role, role, mm=mm, cpu=number % p.cpus)
    for name in ("walwriter", "checkpointer"):
        profile.libc_task(name, name, mm=server or profile.mm())
    for cpu in range(p.cpus):
        profile.task("kjournald", f"kjournald/{cpu}", cpu=cpu)
    return profile

"""Two tasks wake each other: the known workload, predictable by hand.

Models ``perf bench sched pipe``: a pair of processes on one CPU passes a token through pipes, so
every switch goes to the other process, with another mm.  One pair a CPU.  Task 1 runs before the
first event, and with 23 switches task 2 is switched to 12 times and task 1 11 times.

Numbers: 1110 ns between switches is the native two-task switch that I. Molnar measured for the KVM
paravirt patches of January 2007 (message-id 20070105215223.GA5361@elte.hu).  No FPU use, no TLS
segments, and separate processes are choices, and options.
"""

from __future__ import annotations

from typing import Final

from pvreplay.errors import UsageError
from pvreplay.synth.params import Option, Params
from pvreplay.synth.profile import IDLE, Profile, act
from pvreplay.trace.events import Kind

OPTIONS: Final = {
    "threads": Option(0, 0, 1, "1: the two are threads of one process"),
    "tls": Option(0, 0, 1, "1: each has a TLS segment in GDT slot 0 and in %gs"),
    "fpu": Option(0, 0, 1000, "slices in a thousand that use the FPU"),
}
SWITCH_NS: Final = 1110


def build(p: Params) -> Profile:
    """One pair a CPU; exactly two tasks a CPU."""
    if p.count(2 * p.cpus, 2 * p.cpus) != 2 * p.cpus:
        raise UsageError(f"synth pingpong: {p.tasks} tasks", f"Expected {2 * p.cpus}: one pair a CPU.")
    profile = Profile(p.cpus)
    profile.role(IDLE, [("pair", 1)], (SWITCH_NS, SWITCH_NS))
    profile.role("pair", [("pair", 1)], (SWITCH_NS, SWITCH_NS), [act(Kind.FPU, p["fpu"])])
    make = profile.libc_task if p["tls"] else profile.task
    for cpu in range(p.cpus):
        shared = profile.mm() if p["threads"] else 0
        pair = [make("pair", name, mm=shared or profile.mm(), cpu=cpu) for name in ("ping", "pong")]
        profile.first[cpu] = pair[0]
    return profile

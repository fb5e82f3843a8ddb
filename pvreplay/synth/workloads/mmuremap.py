"""Loops of mmap and munmap: lazy MMU sections of many PTE writes.

Between few switches, every slice enters lazy MMU mode several times, writes 1 to ``ptes`` PTEs and
leaves.  Only legal orders: a PTE is read before the first write of a section or after a flush, an
interrupt inside a section touches no PTE, and a section is left where it was entered.  ``preempt``
lets a switch interrupt a section, which is legal only on kernels that park the mode (from 2.6.31
on).

Numbers: 512 PTEs are one page table page (64-bit and PAE), the most one section of zap_pte_range
and its like can write; the default of 128 is on both sides of Xen's 32 entries a batch and KVM's 42
writes a queue. Assumptions: 4 tasks a CPU, 1 to 8 sections a slice of 0.1 to 2 ms, 50 of 1000
sections interrupted, 100 with a read, 20 with a flush.
"""

from __future__ import annotations

from typing import Final

from pvreplay.synth.params import Option, Params
from pvreplay.synth.profile import ALWAYS, FAULT, IDLE, PREEMPTED, SECTION, Act, Profile, act
from pvreplay.trace.events import Kind

OPTIONS: Final = {
    "ptes": Option(128, 1, 1024, "most PTE writes of one section"),
    "sections": Option(8, 1, 64, "most sections of one slice"),
    "irq": Option(50, 0, 1000, "sections in a thousand with an interrupt inside"),
    "read": Option(100, 0, 1000, "sections in a thousand that read a PTE before the first write"),
    "flush": Option(20, 0, 1000, "sections in a thousand that flush in the middle and read back"),
    "preempt": Option(0, 0, 1000, "slices in a thousand that end inside a section (legal from 2.6.31)"),
}


def build(p: Params) -> Profile:
    """Equal tasks, each with its own mm."""
    tasks = p.count(4 * p.cpus, 1)
    profile = Profile(
        p.cpus,
        migrate_ppm=10_000,
        section_irq_ppm=p["irq"] * 1000,
        section_read_ppm=p["read"] * 1000,
        section_flush_ppm=p["flush"] * 1000,
    )
    ptes = (1, p["ptes"])
    acts = [
        Act(SECTION, ALWAYS, (1, p["sections"]), ptes),
        act(FAULT, 500, (1, 4), (1, 1)),
        act(PREEMPTED, p["preempt"], ptes),
    ]
    profile.role(IDLE, [("remap", 1)], (10_000, 100_000), [act(Kind.FLUSH_IPI, 100)])
    profile.role("remap", [("remap", 15), (IDLE, 1)], (100_000, 2_000_000), acts)
    for number in range(tasks):
        profile.libc_task("remap", "remap", mm=profile.mm(), cpu=number % p.cpus)
    return profile

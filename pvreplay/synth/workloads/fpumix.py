"""Tasks that never, rarely, often and always use the FPU.

``always`` tasks pass the eager threshold (fpu_counter above 5) and wrap the 8-bit counter;
``often`` (80 of 100 slices) climb and fall back; ``rarely`` (5 of 100) take #NM each time;
``never`` shows what other tasks cost. A few slices use the FPU in the kernel (copies, RAID), and an
exec clears used_math now and then.

Assumptions: 8 tasks a CPU, in equal numbers; slices of 0.1 to 10 ms; 10 kernel uses and 1 exec in
1000 slices; one switch in 16 to idle.  The threshold and the wrap are Linux 2.6.20's
(include/linux/sched.h:909-916).
"""

from __future__ import annotations

from typing import Final

from pvreplay.synth.params import Option, Params
from pvreplay.synth.profile import IDLE, IRQ, Profile, act
from pvreplay.trace.events import Kind

OPTIONS: Final = {
    "rarely": Option(50, 0, 1000, "slices in a thousand of the tasks that rarely use the FPU"),
    "often": Option(800, 0, 1000, "slices in a thousand of the tasks that often use it"),
    "kernel": Option(10, 0, 1000, "slices in a thousand with a use by the kernel"),
}
SLICE_NS: Final = (100_000, 10_000_000)


def build(p: Params) -> Profile:
    """Four kinds of task in equal numbers."""
    kinds = {"never": 0, "rarely": p["rarely"], "often": p["often"], "always": 1000}
    tasks = p.count(8 * p.cpus, len(kinds))
    profile = Profile(p.cpus, migrate_ppm=10_000)
    row = [(kind, 1) for kind in kinds]
    profile.role(IDLE, row, SLICE_NS)
    for kind, per_mille in kinds.items():
        acts = [act(Kind.FPU, per_mille), act(Kind.KERNEL_FPU, p["kernel"]), act(Kind.EXEC, 1), act(IRQ, 500)]
        profile.role(kind, [(name, 15) for name, _ in row] + [(IDLE, 4)], SLICE_NS, acts)
    for number in range(tasks):
        kind = list(kinds)[number % len(kinds)]
        profile.libc_task(kind, f"fpu-{kind}", mm=profile.mm(), cpu=number // len(kinds) % p.cpus)
    return profile

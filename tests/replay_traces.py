"""Random traces over every event kind, and kernels with every combination of rules: data for tests."""

from __future__ import annotations

import copy
import random
from itertools import product

from pvreplay.kernels.model import FpuRules, Kernel
from pvreplay.kernels.reader import load_kernel
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import Event, ListTrace
from pvreplay.trace.model import Meta, Task

OPS = ("write_cr3", "load_tls", "set_ldt", "clts")

WEIGHTS: dict[Kind, int] = {
    Kind.SWITCH: 40,
    Kind.FPU: 12,
    Kind.ON: 1,
    Kind.EXEC: 2,
    Kind.FORK: 2,
    Kind.EXIT: 1,
    Kind.FLUSH_IPI: 4,
    Kind.ENTER_MMU: 5,
    Kind.LEAVE_MMU: 6,
    Kind.SET_PTE: 8,
    Kind.BEGIN: 2,
    Kind.OP: 4,
    Kind.END: 2,
    Kind.USER: 5,
}
"""How often a kind is drawn; 2 for those not named."""


def kernels() -> list[Kernel]:
    """Every combination of what the replay asks of a kernel, on the steps of 2.6.21."""
    base = load_kernel("2.6.21")
    found = []
    for parks, needs_math, reset, above in product((False, True), (False, True), (False, True), (0, 5, 255)):
        fpu = FpuRules(model="lazy", eager_above=above, eager_needs_used_math=needs_math, reset_on_exec=reset)
        found.append(with_rules(base, fpu, parks))
    for parks, drops in product((False, True), (False, True)):
        found.append(with_rules(base, FpuRules(model="none", drop_on_exit=drops), parks))
    return found


def with_rules(base: Kernel, fpu: FpuRules, parks: bool) -> Kernel:
    """*base* with other FPU rules, parking or not."""
    kernel = copy.copy(base)
    kernel.fpu, kernel.parks = fpu, parks
    return kernel


def random_task(rng: random.Random, number: int) -> Task:
    """A task in any state; a third are kernel threads, mm numbers are shared."""
    return Task(
        number,
        comm=f"t{number}",
        mm=rng.choice([0, rng.randrange(1, 6), rng.randrange(1, 6)]),
        tls=(rng.randrange(2), rng.randrange(2), rng.randrange(2)),
        ldt=rng.choice([0, 0, 7]),
        iopl=rng.choice([0, 0, 3]),
        dr=rng.random() < 0.2,
        io_bitmap=rng.random() < 0.2,
        notsc=rng.random() < 0.2,
        gs=rng.random() < 0.3,
        blockstep=rng.random() < 0.1,
        fpu=rng.random() < 0.3,
        fpu_counter=rng.choice([0, 3, 5, 6, 254, 255]),
        used_math=rng.random() < 0.5,
    )


def random_event(rng: random.Random, time_ns: int, cpus: int, tasks: int) -> Event:
    """Any valid event."""
    kind = rng.choices(list(Kind), [WEIGHTS.get(kind, 2) for kind in Kind])[0]
    arg = flags = 0
    if kind in (Kind.SWITCH, Kind.ON, Kind.BEGIN, Kind.FOR):
        arg = rng.randrange(tasks + 1)
    elif kind is Kind.FORK:
        arg = rng.randrange(1, tasks + 1)
    elif kind is Kind.EXEC:
        arg = rng.randrange(1, 8)
    elif kind is Kind.TLS:
        arg, flags = rng.randrange(3), rng.randrange(3)
    elif kind is Kind.IOPL:
        arg = rng.randrange(4)
    elif kind is Kind.LDT:
        arg = rng.choice([0, 7, 8])
    elif kind in (Kind.IO_BITMAP, Kind.DR, Kind.NOTSC, Kind.GS, Kind.BLOCKSTEP):
        arg = rng.randrange(2)
    elif kind is Kind.SET_PTE:
        arg = rng.choice([0, 1, 2, 32, 700])
    elif kind is Kind.LOST:
        arg = rng.randrange(3)
    elif kind is Kind.OP:
        arg = rng.randrange(len(OPS)) | rng.randrange(2) << 16
    return time_ns, rng.randrange(cpus), int(kind), arg, flags


def random_trace(
    seed: int, events: int, *, cpus: int = 3, tasks: int = 9, chunk_events: int = 1 << 14
) -> ListTrace:
    """A valid trace of *events* events drawn with *seed*; times mostly rise."""
    rng = random.Random(seed)
    time_ns = 1000
    drawn = []
    for _ in range(events):
        time_ns = max(time_ns + rng.choice([-40, 0, 1, 100, 100, 5000]), 0)
        drawn.append(random_event(rng, time_ns, cpus, tasks))
    return ListTrace(
        drawn,
        [random_task(rng, number) for number in range(1, tasks + 1)],
        [(cpu, rng.randrange(tasks + 1)) for cpu in range(0, cpus, 2)],
        Meta(path="<random>", format="memory", cpus=cpus, ops=OPS),
        chunk_events=chunk_events,
    )

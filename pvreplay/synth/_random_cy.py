"""Uniformly random events of every kind, all in range: food for parity tests and benchmarks.

Nothing but the ranges is obeyed: interrupts nest and dangle, lazy MMU sections open twice or never
close, switches happen inside them.  What is kept, because a machine cannot do otherwise: no task
runs on two CPUs, no running task is born again, the idle task neither forks nor execs.  One event
in eight also closes what is open on its CPU, so that no sequence grows without end.

The random numbers are those of _gen_cy.py; the four lines stand here again because one compiled
module cannot inline another's function without a declaration file that would then have to be kept
equal.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython

from pvreplay.trace.events import Kind

COMPILED = cython.compiled

MASK = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
GAMMA = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)
MIX1 = cython.declare(cython.ulonglong, 0xBF58476D1CE4E5B9)
MIX2 = cython.declare(cython.ulonglong, 0x94D049BB133111EB)

# fmt: off
cython.declare(
    SWITCH=cython.ulonglong, ON=cython.ulonglong, EXEC=cython.ulonglong, FORK=cython.ulonglong,
    EXIT=cython.ulonglong, TLS=cython.ulonglong, LDT=cython.ulonglong, IOPL=cython.ulonglong,
    IO_BITMAP=cython.ulonglong, GS=cython.ulonglong, BLOCKSTEP=cython.ulonglong,
    ENTER_MMU=cython.ulonglong, LEAVE_MMU=cython.ulonglong, SET_PTE=cython.ulonglong, FLUSH=cython.ulonglong,
    IRQ_ENTER=cython.ulonglong, FAULT_EXIT=cython.ulonglong, LOST=cython.ulonglong,
    BEGIN=cython.ulonglong, OP=cython.ulonglong, END=cython.ulonglong, FOR=cython.ulonglong,
    KERNEL_FPU=cython.ulonglong,
)
(
    SWITCH, ON, EXEC, FORK, EXIT, TLS, LDT, IOPL, IO_BITMAP, GS, BLOCKSTEP, ENTER_MMU, LEAVE_MMU,
    SET_PTE, FLUSH, IRQ_ENTER, FAULT_EXIT, LOST, BEGIN, OP, END, FOR, KERNEL_FPU,
) = (
    Kind.SWITCH, Kind.ON, Kind.EXEC, Kind.FORK, Kind.EXIT, Kind.TLS, Kind.LDT, Kind.IOPL,
    Kind.IO_BITMAP, Kind.GS, Kind.BLOCKSTEP, Kind.ENTER_MMU, Kind.LEAVE_MMU, Kind.SET_PTE, Kind.FLUSH,
    Kind.IRQ_ENTER, Kind.FAULT_EXIT, Kind.LOST, Kind.BEGIN, Kind.OP, Kind.END, Kind.FOR,
    Kind.KERNEL_FPU,
)
# fmt: on

# What can be open on a CPU, in the order it is closed: interrupts, NMIs, faults (kinds 19 to 24),
# op windows, sections.
OPEN_WORDS = cython.declare(cython.Py_ssize_t, 5)
OPEN_WINDOW = cython.declare(cython.Py_ssize_t, 3)
OPEN_SECTION = cython.declare(cython.Py_ssize_t, 4)
DEPTH_MAX = cython.declare(cython.ulonglong, 4)
BOUND = cython.declare(cython.Py_ssize_t, 24)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def mix(z: cython.ulonglong) -> cython.ulonglong:
    """SplitMix64's output function."""
    z = ((z ^ (z >> 30)) * MIX1) & MASK
    z = ((z ^ (z >> 27)) * MIX2) & MASK
    return z ^ (z >> 31)


@cython.cclass
class RandomEvents:
    """Draws events.

    *current* is a word a CPU; *where* a word a task (CPU + 1, 0: nowhere); *open_* five words a CPU.
    """

    rng: cython.ulonglong
    now: cython.ulonglong
    left: cython.ulonglong
    cpus: cython.ulonglong
    tasks: cython.ulonglong
    mms: cython.ulonglong
    ops: cython.ulonglong
    mmu: cython.bint
    switch_share: cython.ulonglong
    n: cython.Py_ssize_t
    out: cython.ulonglong[::1]
    current: cython.ulonglong[::1]
    where: cython.ulonglong[::1]
    open: cython.ulonglong[::1]

    def __init__(self, knobs, current, where, open_):
        self.rng, self.left = knobs["seed"], knobs["switches"]
        self.cpus, self.tasks, self.mms, self.ops = knobs["cpus"], knobs["tasks"], knobs["mms"], knobs["ops"]
        self.mmu = knobs["mmu"]
        self.switch_share = knobs["switch_share"]
        self.now = 0
        self.n = 0
        self.current, self.where, self.open = current, where, open_

    def fill(self, out) -> int:
        """Fill *out* (two words an event) and return how many events; 0 when all switches are made."""
        capacity: cython.Py_ssize_t = len(out) // 2
        if capacity < BOUND:
            raise ValueError(f"room for {capacity} events, one step may need {BOUND}")
        self.out = out
        self.n = 0
        while self.left > 0 and self.n + BOUND <= capacity:
            self.step()
        return self.n

    def births(self) -> list:
        """All tasks are there from the start."""
        return []

    def counts(self) -> list:
        """Nothing is planted."""
        return []

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def draw(self, bound: cython.ulonglong) -> cython.ulonglong:
        """A number below *bound* (at most 2**32)."""
        self.rng = (self.rng + GAMMA) & MASK
        return ((mix(self.rng) >> 32) * bound) >> 32

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def emit(
        self, cpu: cython.ulonglong, kind: cython.ulonglong, arg: cython.ulonglong, flags: cython.ulonglong
    ) -> cython.void:
        self.out[2 * self.n] = self.now
        self.out[2 * self.n + 1] = arg | (cpu << 32) | (kind << 48) | (flags << 56)
        self.n += 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def step(self) -> cython.void:
        """One event on a random CPU, with what must stand beside it."""
        cpu: cython.ulonglong = self.draw(self.cpus)
        kind: cython.ulonglong
        self.now += self.draw(1000)
        if self.draw(1 << 32) < self.switch_share:
            self.run(cpu, SWITCH)
            self.left -= 1
            return
        kind = ON + self.draw(KERNEL_FPU - ON + 1)
        if kind >= ENTER_MMU and kind <= FLUSH and not self.mmu:
            return
        if kind == ON:
            self.run(cpu, ON)
        elif kind in (EXEC, FORK, EXIT):
            self.life(cpu, kind)
        elif kind >= BEGIN and kind <= END:
            if self.ops:
                self.window(cpu, kind)
        elif kind == FOR:
            self.emit(cpu, FOR, self.draw(self.tasks + 1), 0)
            self.state(cpu, self.draw(8))
        elif kind >= TLS and kind <= GS:
            self.state(cpu, kind - TLS)
        elif kind == BLOCKSTEP:
            self.state(cpu, 7)
        elif kind == SET_PTE:
            self.emit(cpu, SET_PTE, 1 + self.draw(64), 0)
        elif kind == LOST:
            self.emit(cpu, LOST, self.draw(4), 0)
        elif kind == ENTER_MMU:
            self.nest(cpu, kind, OPEN_SECTION, True)
        elif kind == LEAVE_MMU:
            self.nest(cpu, kind, OPEN_SECTION, False)
        elif kind >= IRQ_ENTER and kind <= FAULT_EXIT:
            self.nest(cpu, kind, (kind - IRQ_ENTER) >> 1, ((kind - IRQ_ENTER) & 1) == 0)
        else:
            self.emit(cpu, kind, 0, 0)
        if self.draw(8) == 0:
            self.close(cpu)

    @cython.cfunc
    @cython.exceptval(check=False)
    def run(self, cpu: cython.Py_ssize_t, kind: cython.ulonglong) -> cython.void:
        """A task that runs nowhere else (perhaps the current one, perhaps idle) runs here."""
        task: cython.ulonglong = self.draw(self.tasks + 1)
        if task and self.where[task] and self.where[task] != cpu + 1:
            task = 0
        self.where[self.current[cpu]] = 0
        self.current[cpu] = task
        if task:
            self.where[task] = cpu + 1
        self.emit(cpu, kind, task, 0)

    @cython.cfunc
    @cython.exceptval(check=False)
    def life(self, cpu: cython.Py_ssize_t, kind: cython.ulonglong) -> cython.void:
        """Exec, fork of a task that does not run, or exit; nothing while idle."""
        task: cython.ulonglong
        if self.current[cpu] == 0:
            return
        if kind == EXEC:
            self.emit(cpu, EXEC, 1 + self.draw(self.mms), 0)
        elif kind == FORK:
            task = 1 + self.draw(self.tasks)
            if self.where[task] == 0:
                self.emit(cpu, FORK, task, 0)
        else:
            self.emit(cpu, EXIT, 0, 0)

    @cython.cfunc
    @cython.exceptval(check=False)
    def state(self, cpu: cython.ulonglong, which: cython.ulonglong) -> cython.void:
        """One of the kinds of state that FOR may redirect; values from small sets, so that some are equal."""
        slot: cython.ulonglong
        if which == 0:
            slot = self.draw(3)  # C evaluates arguments in any order: one draw in a call
            self.emit(cpu, TLS, self.draw(4), slot)
        elif which == 1:
            self.emit(cpu, LDT, self.draw(3), 0)
        elif which == 2:
            self.emit(cpu, IOPL, self.draw(4), 0)
        elif which == 7:
            self.emit(cpu, BLOCKSTEP, self.draw(2), 0)
        else:
            self.emit(cpu, IO_BITMAP + which - 3, self.draw(2), 0)

    @cython.cfunc
    @cython.exceptval(check=False)
    def window(self, cpu: cython.Py_ssize_t, kind: cython.ulonglong) -> cython.void:
        """An op-level event; BEGIN, a switch, only when no window is open, the others at any time."""
        at: cython.Py_ssize_t = cpu * OPEN_WORDS + OPEN_WINDOW
        operand: cython.ulonglong
        if kind == BEGIN:
            if self.open[at] == 0:
                self.open[at] = 1
                self.run(cpu, BEGIN)
                self.left -= 1
        elif kind == OP:
            operand = self.draw(4)
            self.emit(cpu, OP, self.draw(self.ops) | (operand << 16), 0)
        else:
            self.open[at] = 0
            self.emit(cpu, END, 0, 0)

    @cython.cfunc
    @cython.exceptval(check=False)
    def nest(
        self, cpu: cython.Py_ssize_t, kind: cython.ulonglong, which: cython.Py_ssize_t, enter: cython.bint
    ) -> cython.void:
        """Enter (to a depth of four) or leave, matched or not."""
        at: cython.Py_ssize_t = cpu * OPEN_WORDS + which
        if enter:
            if self.open[at] == DEPTH_MAX:
                return
            self.open[at] += 1
        elif self.open[at]:
            self.open[at] -= 1
        self.emit(cpu, kind, 0, 0)

    @cython.cfunc
    @cython.exceptval(check=False)
    def close(self, cpu: cython.Py_ssize_t) -> cython.void:
        """Close everything that is open on *cpu*."""
        which: cython.Py_ssize_t
        at: cython.Py_ssize_t
        for which in range(OPEN_WORDS):
            at = cpu * OPEN_WORDS + which
            while self.open[at]:
                self.open[at] -= 1
                if which == OPEN_SECTION:
                    self.emit(cpu, LEAVE_MMU, 0, 0)
                elif which == OPEN_WINDOW:
                    self.emit(cpu, END, 0, 0)
                else:
                    self.emit(cpu, IRQ_ENTER + 1 + 2 * which, 0, 0)

"""The event generator: a seeded machine of CPUs, roles and run queues.

A workload (``profile.py``) is compiled to flat integer arrays; this module walks them and fills a
caller's array with events, chunk by chunk.  Compiled or interpreted, the same arrays and the same
seed give the same words: only integers, every wrap masked, one generator of random numbers written
out here.

Randomness: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA
2014): a counter that steps by 0x9E3779B97F4A7C15, finalised by two multiply-xorshift rounds. A
bounded draw is ``(r >> 32) * n >> 32``; its bias is below n / 2**32.

Scheduling: every CPU has a time at which its slice ends, kept in a binary heap; the earliest CPU is
advanced, its task performs the acts of its role, and then one switch is made to a task of a role
drawn from the role's row of weights.  Tasks that do not run wait in first-in-first-out queues, one
per role and CPU, so no task ever runs on two CPUs.  Time is global and never goes back.
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:  # not needed once compiled, nor to run interpreted
    from pvreplay._cython_shim import cython

from pvreplay.trace import events
from pvreplay.trace.events import Kind

COMPILED = cython.compiled

MASK = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
GAMMA = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)
MIX1 = cython.declare(cython.ulonglong, 0xBF58476D1CE4E5B9)
MIX2 = cython.declare(cython.ulonglong, 0x94D049BB133111EB)

# fmt: off
cython.declare(
    SWITCH=cython.ulonglong, EXEC=cython.ulonglong, FORK=cython.ulonglong, EXIT=cython.ulonglong,
    TLS=cython.ulonglong, ENTER_MMU=cython.ulonglong, LEAVE_MMU=cython.ulonglong,
    SET_PTE=cython.ulonglong, READ_PTE=cython.ulonglong, FLUSH=cython.ulonglong,
    IRQ_ENTER=cython.ulonglong, IRQ_EXIT=cython.ulonglong, NMI_ENTER=cython.ulonglong,
    NMI_EXIT=cython.ulonglong, FAULT_ENTER=cython.ulonglong, FAULT_EXIT=cython.ulonglong,
)
(
    SWITCH, EXEC, FORK, EXIT, TLS, ENTER_MMU, LEAVE_MMU, SET_PTE, READ_PTE, FLUSH, IRQ_ENTER,
    IRQ_EXIT, NMI_ENTER, NMI_EXIT, FAULT_ENTER, FAULT_EXIT,
) = (
    Kind.SWITCH, Kind.EXEC, Kind.FORK, Kind.EXIT, Kind.TLS, Kind.ENTER_MMU, Kind.LEAVE_MMU,
    Kind.SET_PTE, Kind.READ_PTE, Kind.FLUSH, Kind.IRQ_ENTER, Kind.IRQ_EXIT, Kind.NMI_ENTER,
    Kind.NMI_EXIT, Kind.FAULT_ENTER, Kind.FAULT_EXIT,
)
# fmt: on

# Acts that are more than one event; profile.py has the same numbers.
SECTION = cython.declare(cython.ulonglong, 64)
PREEMPTED = cython.declare(cython.ulonglong, 65)
FAULT = cython.declare(cython.ulonglong, 66)
IRQ = cython.declare(cython.ulonglong, 67)
NMI = cython.declare(cython.ulonglong, 68)
BECOME = cython.declare(cython.ulonglong, 69)

ACT_WORDS = cython.declare(cython.Py_ssize_t, 6)
ROLE_WORDS = cython.declare(cython.Py_ssize_t, 6)
PLANT_WORDS = cython.declare(cython.Py_ssize_t, 4)
PLANT_BURST = cython.declare(cython.int, 4)
DRAWS = cython.declare(cython.int, 4)
STEAL_CPUS = cython.declare(cython.Py_ssize_t, 17)
TASK_MAX = cython.declare(cython.ulonglong, events.TASK_MAX)
LAST = cython.declare(cython.ulonglong, 0xFFFF)

# Where a task is.
WAITING = cython.declare(cython.ulonglong, 1)
RUNNING = cython.declare(cython.ulonglong, 2)
DYING = cython.declare(cython.ulonglong, 3)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def mix(z: cython.ulonglong) -> cython.ulonglong:
    """SplitMix64's output function."""
    z = ((z ^ (z >> 30)) * MIX1) & MASK
    z = ((z ^ (z >> 27)) * MIX2) & MASK
    return z ^ (z >> 31)


@cython.cclass
class Generator:
    """Walks a compiled profile.  See profile.compile_profile for the layout of the arrays."""

    rng: cython.ulonglong
    now: cython.ulonglong
    gap: cython.ulonglong
    left: cython.ulonglong
    total: cython.ulonglong
    cpus: cython.Py_ssize_t
    nroles: cython.Py_ssize_t
    row_cpus: cython.Py_ssize_t
    dead: cython.Py_ssize_t
    bound: cython.Py_ssize_t
    n: cython.Py_ssize_t
    steal: cython.ulonglong
    migrate: cython.ulonglong
    section_irq: cython.ulonglong
    section_read: cython.ulonglong
    section_flush: cython.ulonglong
    mm_first: cython.ulonglong
    mm_count: cython.ulonglong
    mm_used: cython.ulonglong
    out: cython.ulonglong[::1]
    roles: cython.ulonglong[::1]
    acts: cython.ulonglong[::1]
    rows: cython.ulonglong[::1]
    nexts: cython.ulonglong[::1]
    task_role: cython.ulonglong[::1]
    task_state: cython.ulonglong[::1]
    task_open: cython.ulonglong[::1]
    link_next: cython.ulonglong[::1]
    link_prev: cython.ulonglong[::1]
    queue_of: cython.ulonglong[::1]
    head: cython.ulonglong[::1]
    tail: cython.ulonglong[::1]
    current: cython.ulonglong[::1]
    last: cython.ulonglong[::1]
    heap_due: cython.ulonglong[::1]
    heap_cpu: cython.ulonglong[::1]
    next_id: cython.ulonglong
    nborn: cython.Py_ssize_t
    born_room: cython.Py_ssize_t
    born: cython.ulonglong[::1]
    task_id: cython.ulonglong[::1]
    nplants: cython.Py_ssize_t
    plants: cython.ulonglong[::1]
    orders: cython.ulonglong[::1]
    planted: cython.ulonglong[::1]

    def __init__(self, knobs, arrays, home, first):
        self.rng, self.left, self.gap, self.bound = (
            knobs["seed"],
            knobs["switches"],
            knobs["gap_ns"],
            knobs["bound"],
        )
        self.total = self.left
        self.now = 0
        self.n = 0
        self.cpus, self.nroles, self.dead = knobs["cpus"], knobs["roles"], knobs["dead"]
        self.steal, self.migrate = knobs["steal"], knobs["migrate"]
        self.section_irq, self.section_read = knobs["section_irq"], knobs["section_read"]
        self.section_flush = knobs["section_flush"]
        self.mm_first, self.mm_count, self.mm_used = knobs["mm_first"], knobs["mm_count"], 0
        self.roles, self.acts = arrays["roles"], arrays["acts"]
        self.rows, self.nexts, self.row_cpus = arrays["rows"], arrays["nexts"], knobs["row_cpus"]
        self.task_role, self.task_state = arrays["task_role"], arrays["task_state"]
        self.task_open, self.queue_of = arrays["task_open"], arrays["queue_of"]
        self.link_next, self.link_prev = arrays["link_next"], arrays["link_prev"]
        self.head, self.tail = arrays["head"], arrays["tail"]
        self.current, self.last = arrays["current"], arrays["last"]
        self.heap_due, self.heap_cpu = arrays["heap_due"], arrays["heap_cpu"]
        self.task_id, self.next_id = arrays["task_id"], knobs["next_id"]
        self.born, self.nborn, self.born_room = arrays["born"], 0, len(arrays["born"]) // 2
        self.nplants = knobs["plants"]
        self.plants, self.orders, self.planted = arrays["plants"], arrays["orders"], arrays["planted"]
        task: cython.Py_ssize_t
        cpu: cython.Py_ssize_t
        for cpu in range(self.cpus):
            self.current[cpu] = first[cpu]
            if first[cpu]:
                self.task_state[first[cpu]] = RUNNING
        for task in range(1, len(home)):
            if self.task_state[task] != RUNNING:
                self.put(task, home[task])
        for cpu in range(self.cpus):
            self.heap_cpu[cpu] = cpu
            self.heap_due[cpu] = self.slice_ns(self.task_role[self.current[cpu]])
        for cpu in range(self.cpus // 2, -1, -1):
            self.sift(cpu)

    def fill(self, out) -> int:
        """Fill *out* (two words an event) and return how many events; 0 when all switches are made."""
        capacity: cython.Py_ssize_t = len(out) // 2
        if capacity < self.bound or capacity > self.born_room:
            raise ValueError(f"room for {capacity} events, not {self.bound} to {self.born_room}")
        self.out = out
        self.n = 0
        self.nborn = 0
        while self.left > 0 and self.n + self.bound <= capacity:
            self.slice()
        return self.n

    def births(self) -> list:
        """(task, mm) of every task forked in the last fill."""
        return [(self.born[2 * at], self.born[2 * at + 1]) for at in range(self.nborn)]

    def counts(self) -> list:
        """How many of each order have been planted so far."""
        return [self.planted[which] for which in range(self.nplants)]

    # --- random numbers and events -------------------------------------------------------------

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
    def chance(self, threshold: cython.ulonglong) -> cython.bint:
        """True in *threshold* of 2**32 cases; draws nothing for never and always."""
        if threshold == 0:
            return False
        if threshold >> 32:
            return True
        self.rng = (self.rng + GAMMA) & MASK
        return (mix(self.rng) >> 32) < threshold

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def emit(
        self, cpu: cython.ulonglong, kind: cython.ulonglong, arg: cython.ulonglong, flags: cython.ulonglong
    ) -> cython.void:
        self.out[2 * self.n] = self.now
        self.out[2 * self.n + 1] = arg | (cpu << 32) | (kind << 48) | (flags << 56)
        self.n += 1
        self.now += self.gap

    @cython.cfunc
    @cython.exceptval(check=False)
    def slice_ns(self, role: cython.Py_ssize_t) -> cython.ulonglong:
        span: cython.ulonglong = self.roles[role * ROLE_WORDS + 1]
        lo: cython.ulonglong = self.roles[role * ROLE_WORDS]
        if span <= 1:
            return lo
        return lo + self.draw(span)

    # --- the waiting queues ---------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(check=False)
    def put(self, task: cython.Py_ssize_t, cpu: cython.Py_ssize_t) -> cython.void:
        """Append *task* to the queue of its role on *cpu*."""
        q: cython.Py_ssize_t = self.task_role[task] * self.cpus + cpu
        tail: cython.Py_ssize_t = self.tail[q]
        self.queue_of[task] = q
        self.link_next[task] = 0
        self.link_prev[task] = tail
        if tail:
            self.link_next[tail] = task
        else:
            self.head[q] = task
        self.tail[q] = task
        self.task_state[task] = WAITING

    @cython.cfunc
    @cython.exceptval(check=False)
    def take(self, task: cython.Py_ssize_t) -> cython.void:
        """Unlink *task* from the queue it waits in."""
        q: cython.Py_ssize_t = self.queue_of[task]
        before: cython.Py_ssize_t = self.link_prev[task]
        after: cython.Py_ssize_t = self.link_next[task]
        if before:
            self.link_next[before] = after
        else:
            self.head[q] = after
        if after:
            self.link_prev[after] = before
        else:
            self.tail[q] = before
        self.task_state[task] = RUNNING

    @cython.cfunc
    @cython.exceptval(check=False)
    def sift(self, at: cython.Py_ssize_t) -> cython.void:
        """Restore the heap of due times downwards from *at*; equal times: the lower CPU first."""
        child: cython.Py_ssize_t
        due: cython.ulonglong = self.heap_due[at]
        cpu: cython.ulonglong = self.heap_cpu[at]
        while True:
            child = 2 * at + 1
            if child >= self.cpus:
                break
            if child + 1 < self.cpus and (
                self.heap_due[child + 1] < self.heap_due[child]
                or (
                    self.heap_due[child + 1] == self.heap_due[child]
                    and self.heap_cpu[child + 1] < self.heap_cpu[child]
                )
            ):
                child += 1
            if self.heap_due[child] > due or (self.heap_due[child] == due and self.heap_cpu[child] > cpu):
                break
            self.heap_due[at] = self.heap_due[child]
            self.heap_cpu[at] = self.heap_cpu[child]
            at = child
        self.heap_due[at] = due
        self.heap_cpu[at] = cpu

    # --- one slice -------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(check=False)
    def slice(self) -> cython.void:
        """The earliest CPU ends its slice: acts, planted violations, a switch."""
        cpu: cython.Py_ssize_t = self.heap_cpu[0]
        cur: cython.Py_ssize_t = self.current[cpu]
        role: cython.Py_ssize_t = self.task_role[cur]
        nxt: cython.Py_ssize_t
        start: cython.ulonglong
        if self.heap_due[0] > self.now:
            self.now = self.heap_due[0]
        if self.task_open[cur]:
            self.task_open[cur] = 0
            self.emit(cpu, SET_PTE, 1 + self.draw(8), 0)
            self.emit(cpu, LEAVE_MMU, 0, 0)
        self.act(cpu, cur, role)
        if cur and self.nplants:
            self.plant(cpu, cur)
        nxt = self.choose(cpu, cur, role)
        start = self.now
        if nxt != cur:
            self.emit(cpu, SWITCH, self.task_id[nxt], 0)
            self.left -= 1
            if cur:
                if self.task_state[cur] == DYING:
                    self.put(cur, 0)
                else:
                    self.put(cur, cpu)
                    if self.roles[self.task_role[cur] * ROLE_WORDS + 5]:
                        self.last[cpu] = cur
            self.current[cpu] = nxt
            if nxt:
                self.take(nxt)
        self.heap_due[0] = start + self.slice_ns(self.task_role[nxt])
        self.sift(0)

    @cython.cfunc
    @cython.exceptval(check=False)
    def act(self, cpu: cython.Py_ssize_t, cur: cython.Py_ssize_t, role: cython.Py_ssize_t) -> cython.void:
        """Perform the acts of *role*, the current task's."""
        number: cython.Py_ssize_t
        at: cython.Py_ssize_t
        _i: cython.ulonglong
        times: cython.ulonglong
        code: cython.ulonglong
        arg: cython.ulonglong
        child: cython.Py_ssize_t
        for number in range(self.roles[role * ROLE_WORDS + 2], self.roles[role * ROLE_WORDS + 3]):
            at = number * ACT_WORDS
            if not self.chance(self.acts[at + 1]):
                continue
            code = self.acts[at]
            times = self.acts[at + 2]
            if self.acts[at + 3] > 1:
                times += self.draw(self.acts[at + 3])
            for _i in range(times):
                arg = self.acts[at + 4]
                if self.acts[at + 5] > 1:
                    arg += self.draw(self.acts[at + 5])
                if code == SECTION:
                    self.section(cpu, arg)
                elif code == FAULT:
                    self.emit(cpu, FAULT_ENTER, 0, 0)
                    self.emit(cpu, SET_PTE, arg, 0)
                    self.emit(cpu, FAULT_EXIT, 0, 0)
                elif code == IRQ:
                    self.emit(cpu, IRQ_ENTER, 0, 0)
                    self.emit(cpu, IRQ_EXIT, 0, 0)
                elif code == NMI:
                    self.emit(cpu, NMI_ENTER, 0, 0)
                    self.emit(cpu, NMI_EXIT, 0, 0)
                elif code == PREEMPTED:
                    if cur:
                        self.emit(cpu, ENTER_MMU, 0, 0)
                        self.emit(cpu, SET_PTE, arg, 0)
                        self.task_open[cur] = 1
                        return
                elif code == BECOME:
                    self.task_role[cur] = arg
                elif code == FORK:
                    child = self.head[self.dead * self.cpus]
                    if child and self.next_id < TASK_MAX:
                        self.take(child)
                        self.bear(child)
                        self.emit(cpu, FORK, self.task_id[child], 0)
                        self.task_role[child] = arg
                        self.put(child, cpu)
                elif code == EXEC:
                    self.emit(cpu, EXEC, self.new_mm(), 0)
                elif code == EXIT:
                    self.emit(cpu, EXIT, 0, 0)
                    self.task_role[cur] = self.dead
                    self.task_state[cur] = DYING
                elif code == TLS:
                    self.emit(cpu, TLS, arg, self.draw(3))
                else:
                    self.emit(cpu, code, arg, 0)

    @cython.cfunc
    @cython.exceptval(check=False)
    def new_mm(self) -> cython.ulonglong:
        """The next mm number of the ring."""
        mm: cython.ulonglong = self.mm_first + self.mm_used
        self.mm_used = (self.mm_used + 1) % self.mm_count
        return mm

    @cython.cfunc
    @cython.exceptval(check=False)
    def bear(self, slot: cython.Py_ssize_t) -> cython.void:
        """Give *slot* a new task number, and remember it with its mm until the caller asks."""
        self.task_id[slot] = self.next_id
        self.born[2 * self.nborn] = self.next_id
        self.born[2 * self.nborn + 1] = self.new_mm()
        self.nborn += 1
        self.next_id += 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def section(self, cpu: cython.ulonglong, ptes: cython.ulonglong) -> cython.void:
        """A legal lazy MMU section of *ptes* writes.

        Reads come before the first write or after a flush, interrupts touch nothing.
        """
        split: cython.ulonglong
        self.emit(cpu, ENTER_MMU, 0, 0)
        if self.chance(self.section_read):
            self.emit(cpu, READ_PTE, 0, 0)
        split = self.draw(ptes) if ptes > 1 and (self.section_irq or self.section_flush) else 0
        if split:
            if self.chance(self.section_irq):
                self.emit(cpu, SET_PTE, split, 0)
                self.emit(cpu, IRQ_ENTER, 0, 0)
                self.emit(cpu, IRQ_EXIT, 0, 0)
                ptes -= split
            elif self.chance(self.section_flush):
                self.emit(cpu, SET_PTE, split, 0)
                self.emit(cpu, FLUSH, 0, 0)
                self.emit(cpu, READ_PTE, 0, 0)
                ptes -= split
        if ptes:
            self.emit(cpu, SET_PTE, ptes, 0)
        self.emit(cpu, LEAVE_MMU, 0, 0)

    @cython.cfunc
    @cython.exceptval(check=False)
    def plant(self, cpu: cython.ulonglong, cur: cython.ulonglong) -> cython.void:
        """Plant the orders that are due: evenly spread, at most four of each in one slice.

        A SWITCH in an order goes to idle for argument 0, back to the current task for 1.
        """
        which: cython.Py_ssize_t
        at: cython.Py_ssize_t
        _more: cython.int
        due: cython.ulonglong
        kind: cython.ulonglong
        arg: cython.ulonglong
        for which in range(self.nplants):
            # The half puts the last one half an interval before the end, where an idle slice can pass.
            due = (
                (self.total - self.left + 1) * self.plants[which * PLANT_WORDS] + self.total // 2
            ) // self.total
            for _more in range(PLANT_BURST):
                if self.planted[which] >= due or self.left <= self.plants[which * PLANT_WORDS + 1]:
                    break
                self.planted[which] += 1
                self.left -= self.plants[which * PLANT_WORDS + 1]
                for at in range(self.plants[which * PLANT_WORDS + 2], self.plants[which * PLANT_WORDS + 3]):
                    kind = self.orders[at] >> 32
                    arg = self.orders[at] & 0xFFFF
                    if kind == SWITCH and arg:
                        arg = self.task_id[cur]
                    self.emit(cpu, kind, arg, 0)

    @cython.cfunc
    @cython.exceptval(check=False)
    def choose(
        self, cpu: cython.Py_ssize_t, cur: cython.Py_ssize_t, role: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Who runs next: a draw from the row of *role*, else what there is, else nobody new."""
        row: cython.Py_ssize_t = 2 * (role * self.row_cpus + (cpu if self.row_cpus > 1 else 0))
        first: cython.Py_ssize_t = self.rows[row]
        end: cython.Py_ssize_t = self.rows[row + 1]
        at: cython.Py_ssize_t = first
        found: cython.Py_ssize_t
        _tried: cython.int
        other: cython.Py_ssize_t
        ticket: cython.ulonglong
        if end - first > 1:
            for _tried in range(DRAWS):
                ticket = self.draw(1 << 32)
                at = first
                while at + 1 < end and ticket >= self.nexts[2 * at + 1]:
                    at += 1
                found = self.pick(self.nexts[2 * at], cpu, cur)
                if found >= 0:
                    return found
        for at in range(first, end):
            found = self.pick(self.nexts[2 * at], cpu, cur)
            if found >= 0:
                return found
        if cur:
            return 0
        for other in range(1, self.nroles):
            if self.roles[other * ROLE_WORDS + 4] and self.head[other * self.cpus + cpu]:
                return self.head[other * self.cpus + cpu]
        return cur

    @cython.cfunc
    @cython.exceptval(check=False)
    def pick(
        self, role: cython.ulonglong, cpu: cython.Py_ssize_t, cur: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """A waiting task of *role* (0: idle; LAST: who ran here before), or -1."""
        at: cython.Py_ssize_t
        task: cython.Py_ssize_t
        step: cython.Py_ssize_t
        other: cython.Py_ssize_t
        if role == 0:
            return 0 if cur else -1
        if role == LAST:
            task = self.last[cpu]
            if (
                task
                and task != cur
                and self.task_state[task] == WAITING
                and self.queue_of[task] % self.cpus == cpu
                and self.roles[self.task_role[task] * ROLE_WORDS + 4]
            ):
                return task
            return -1
        at = role * self.cpus
        if self.cpus > 1 and self.chance(self.migrate):
            task = self.head[at + self.draw(self.cpus)]
            if task:
                return task
        if self.head[at + cpu]:
            return self.head[at + cpu]
        if self.cpus > 1 and self.chance(self.steal):
            for step in range(1, min(self.cpus, STEAL_CPUS)):
                other = cpu + step
                if other >= self.cpus:
                    other -= self.cpus
                if self.head[at + other]:
                    return self.head[at + other]
        return -1

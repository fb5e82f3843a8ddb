"""A scheduler that knows the truth: tasks fork, vfork, clone, exec and exit on several CPUs, and what
a recording would hold of it is emitted as raw records, in the order of clocks that differ a little.

The order of a task's own steps is the kernel's (Linux 6.1):

    clone   task_newtask, sched_process_fork, the child can run; then a vfork parent waits
    exec    other threads die and the caller takes the leader's pid (fs/exec.c, de_thread); the vfork
            parent is woken, the new mm is loaded (exec_mmap), task_rename, sched_process_exec
    exit    the vfork parent is woken, the mm is given up, sched_process_exit, the last switch

A task can be switched out between any two steps, and another CPU can do anything meanwhile.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterator

from pvreplay.sources import records as r

EVERYTHING = frozenset({r.SWITCH, r.NEWTASK, r.FORK, r.EXEC, r.EXIT, r.RENAME, r.TLB_FLUSH})
WAKE_NS = 2_000
"""From a wake-up to the first event of the woken task, at least."""
SKEW_NS = 900
"""Clocks of CPUs differ by less than half of that."""

Truth = list[int | None]
"""[CPU, mm of the task switched from, mm of the task switched to] of one switch, by the kernel's ids; None
between a change of mm and the first record that tells it, and inside an exec the recording ends in."""


class _Task:
    def __init__(self, pid: int, group: int, mm: int) -> None:
        self.pid = pid
        self.group = group
        self.mm = mm
        self.ready_ns = 0
        self.state = "ready"  # ready, running, blocked, gone
        self.steps: Iterator[str] = iter(())
        self.waits_for: _Task | None = None
        self.parent: _Task | None = None
        self.killed = False
        self.untold = False
        self.unsure: list[tuple[Truth, int]] | None = None
        """Inside exec: the places in the truth that hold its mm."""


def _told(task: _Task | None) -> int | None:
    return 0 if task is None else None if task.untold else task.mm


class Scheduler:
    """Runs *steps* steps; :attr:`records` and :attr:`truth` are then what happened."""

    def __init__(self, seed: int, cpus: int, steps: int, kinds: frozenset[int] = EVERYTHING) -> None:
        self.random = random.Random(seed)
        self.records: list[tuple[int, int, int, int]] = []
        self.truth: list[Truth] = []
        self._out: list[tuple[int, int, tuple[int, int, int, int], Truth | None]] = []
        self._kinds = kinds
        self._skew = [self.random.randrange(SKEW_NS // 2) for _ in range(cpus)]
        self._now = 1_000_000
        self._next_pid, self._next_mm = 100, 1
        self._tasks: list[_Task] = []
        self._on: list[_Task | None] = [None] * cpus
        self._loaded = [0] * cpus
        for _ in range(cpus + 1):
            self._start(_Task(self._pid(), 0, self._mm()))
        for _ in range(steps):
            self._step(self.random.randrange(cpus))
        for task in self._tasks:
            for truth, place in task.unsure or ():
                truth[place] = None
        # Each CPU's records are in its own order; the files of all CPUs are merged by time.
        self._out.sort(key=lambda each: each[0])
        self.records = [each[2] for each in self._out]
        self.truth = [each[3] for each in self._out if each[3] is not None]

    # --- emitting ------------------------------------------------------------------------------
    def _emit(self, cpu: int, type: int, pid: int, truth: Truth | None = None, **payload: int) -> None:
        self._now += self.random.randrange(20, 200)
        stamp = self._now + self._skew[cpu]
        if type in self._kinds:
            self._out.append((stamp, cpu, r.record(stamp, cpu, type, pid, **payload), truth))

    def _tell(self, task: _Task, type: int, **payload: int) -> None:
        self._emit(self._cpu, type, task.pid, **payload)
        task.untold = task.untold and type not in self._kinds

    # --- who runs ------------------------------------------------------------------------------
    def _pid(self) -> int:
        self._next_pid += 1
        return self._next_pid

    def _mm(self) -> int:
        self._next_mm += 1
        return self._next_mm

    def _start(self, task: _Task) -> None:
        task.steps = self._life(task)
        task.group = task.group or task.pid
        task.ready_ns = self._now + WAKE_NS
        self._tasks.append(task)

    def _step(self, cpu: int) -> None:
        self._now += self.random.randrange(20, 200)
        task = self._on[cpu]
        if task is None or self.random.random() < 0.25:
            self._switch(cpu, r.STATE_RUNNABLE)
            return
        self._cpu = cpu
        step = "exit" if task.killed else next(task.steps, "exit")
        if step == "exit":
            task.steps = self._exit(task)
            task.killed = False
        elif step == "block":
            task.state = "blocked"
            self._switch(cpu, r.STATE_BLOCKED)
            if task.waits_for is None:  # somebody wakes it some time
                task.state = "ready"
                task.ready_ns = self._now + self.random.randrange(WAKE_NS, 20 * WAKE_NS)
        elif step == "gone":
            task.state = "gone"
            # Switched to at once, a thread with the leader's pid would flush by the pid of both.
            for other in self._tasks:
                if other.group == task.group:
                    other.ready_ns = self._now + WAKE_NS
            self._switch(cpu, r.STATE_DEAD)
            self._tasks.remove(task)

    def _switch(self, cpu: int, state: int) -> None:
        prev = self._on[cpu]
        ready = [t for t in self._tasks if t.state == "ready" and t.ready_ns <= self._now]
        following = self.random.choice([*ready, None]) if ready else None
        if following is prev and state != r.STATE_DEAD:
            return
        after = following.mm if following else 0
        pid = prev.pid if prev else 0
        truth: Truth = [cpu, _told(prev), _told(following)]
        for place, task in ((1, prev), (2, following)):
            if task is not None and task.unsure is not None:
                task.unsure.append((truth, place))
        self._emit(
            cpu, r.SWITCH, pid, truth,
            a=pid, b=following.pid if following else 0, c=r.switch_c(state=state if prev else 1),
        )  # fmt: skip
        if after and after != self._loaded[cpu]:
            self._loaded[cpu] = after
            self._emit(cpu, r.TLB_FLUSH, pid, a=0, b=0xFFFFFFFF)
        if prev is not None and prev.state == "running":
            prev.state, prev.ready_ns = "ready", self._now + WAKE_NS
        self._on[cpu] = following
        if following is not None:
            following.state = "running"

    def _wake_parent(self, child: _Task) -> None:
        for task in self._tasks:
            if task.waits_for is child:
                task.waits_for = None
                if task.state == "blocked":
                    task.state, task.ready_ns = "ready", self._now + WAKE_NS

    # --- what a task does: a generator that stops where it can be switched out -------------------
    def _life(self, task: _Task) -> Iterator[str]:
        borrowed = task.parent is not None and task.parent.waits_for is task
        while True:
            choice = self.random.random()
            if borrowed and choice < 0.7:
                yield from self._exec(task)
                borrowed = False
            elif choice < 0.25 and len(self._tasks) < 12:
                yield from self._clone(task, r.CLONE_VM | r.CLONE_VFORK)
            elif choice < 0.35 and len(self._tasks) < 12:
                yield from self._clone(task, 0)
            elif choice < 0.45 and len(self._tasks) < 12:
                yield from self._clone(task, r.CLONE_VM | r.CLONE_THREAD)
            elif choice < 0.5 and len(self._tasks) < 12:
                yield from self._clone(task, r.CLONE_VM)
            elif choice < 0.6:
                yield from self._exec(task)
                borrowed = False
            elif choice < 0.7 and len(self._tasks) > 3:
                yield "exit"
            elif choice < 0.85:
                yield "block"
            else:
                yield ""

    def _clone(self, task: _Task, flags: int) -> Iterator[str]:
        group = task.group if flags & r.CLONE_THREAD else 0
        child = _Task(self._pid(), group, task.mm if flags & r.CLONE_VM else self._mm())
        child.parent = task
        if flags & r.CLONE_VFORK:
            task.waits_for = child
        self._emit(self._cpu, r.NEWTASK, task.pid, a=child.pid, b=flags, c=1)
        self._emit(self._cpu, r.FORK, task.pid, a=child.pid, b=task.pid, c=1)
        self._start(child)
        yield ""
        if flags & r.CLONE_VFORK:
            while task.waits_for is not None and not task.killed:
                yield "block"
            task.waits_for = None
        yield ""

    def _exec(self, task: _Task) -> Iterator[str]:
        others = [t for t in self._tasks if t.group == task.group and t is not task]
        if any(other.waits_for for other in others):
            return  # killed while it waits, it would wake up without an exec, which no record tells
        for other in others:
            other.killed = True
            if other.state == "blocked":
                other.state, other.ready_ns = "ready", self._now + WAKE_NS
            other.waits_for = None
        while any(t.group == task.group and t is not task for t in self._tasks):
            if task.killed:
                return
            yield "block"
        old, task.pid = task.pid, task.group
        task.killed, task.unsure = False, []
        yield ""
        self._wake_parent(task)
        yield ""
        task.mm = self._loaded[self._cpu] = self._mm()
        task.untold = True
        self._tell(task, r.TLB_FLUSH, a=0, b=0xFFFFFFFF)
        yield ""
        self._tell(task, r.RENAME, a=task.pid, c=2)
        yield ""
        self._tell(task, r.EXEC, a=task.pid, b=old, c=2)
        task.unsure = None
        yield ""

    def _exit(self, task: _Task) -> Iterator[str]:
        task.waits_for = None
        self._wake_parent(task)
        yield ""
        task.mm, task.untold = 0, True
        yield ""
        self._tell(task, r.EXIT, a=task.pid)
        yield ""
        yield "gone"
        raise AssertionError("ran after its end")


class Recorded:
    """Records as a RawSource; *portion* says how many each ``fill`` gives."""

    path = format = origin = clock = damage = ""
    word_bits = 64
    offset = 0

    def __init__(
        self,
        records: list[tuple[int, int, int, int]],
        portion: Callable[[], int],
        enabled: frozenset[str] | None = None,
    ) -> None:
        self.comms = [b"", b"before", b"after"]
        self.doubts: dict[str, int] = {}
        self.enabled = enabled
        self._records = records
        self._at = 0
        self._portion = portion

    def fill(self, words: memoryview, start: int) -> int:
        count = min(self._portion(), len(self._records) - self._at, len(words) // 4 - start)
        for n in range(count):
            words[4 * (start + n) : 4 * (start + n + 1)] = memoryview(array("Q", self._records[self._at + n]))
        self._at += count
        return start + count

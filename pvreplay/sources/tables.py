"""What recovery knows about tasks, CPUs and mms, in arrays the compiled loop shares.

The layout is described in ``_recover_cy.py``; this module makes the arrays, lets them grow, and
gives the slow path words for what it does to them.
"""

from __future__ import annotations

from array import array
from typing import Final

from pvreplay.errors import TraceError
from pvreplay.sources import _recover_cy as loop
from pvreplay.trace.events import CPU_MAX, MM_MAX, TASK_MAX, Kind
from pvreplay.trace.model import Task

UNKNOWN_PID: Final = 0xFFFFFFFF
"""common_pid of a record whose format does not tell it (and perf's -1)."""


def _zeros(words: int) -> array[int]:
    return array("Q", bytes(8 * words))


class Tables:
    """Tasks, CPUs, mms, and the events being written."""

    def __init__(self, records: int) -> None:
        self.event_room = 2 * records + 64
        self.events = _zeros(2 * self.event_room)
        self.ctl = _zeros(loop.CTL_WORDS)
        self.cpus = array("Q", [loop.NOBODY, 0, 0, 0]) * 8
        self.tasks = _zeros(2 * 256)
        self.slots = _zeros(512)
        self.slots_used = 0
        self.ctl[loop.C_SLOT_SHIFT] = 64 - 9
        self.cr3s = _zeros(256)
        self.nr_tasks = 1  # idle
        self.nr_mms = 1  # 0: none
        self.live: dict[int, Task] = {}
        """Definitions of tasks that may still change their name."""
        self.fresh: list[Task] = []
        """Definitions the next chunk announces."""

    # --- events ------------------------------------------------------------------------------
    def emit(self, time_ns: int, cpu: int, kind: int, arg: int = 0, flags: int = 0) -> None:
        """Write one event; the caller sees to it that there is room (``full``)."""
        at = 2 * self.ctl[loop.C_EVENTS]
        self.events[at] = time_ns
        self.events[at + 1] = arg & 0xFFFFFFFF | cpu << 32 | kind << 48 | flags << 56
        self.ctl[loop.C_EVENTS] += 1

    def full(self) -> bool:
        """Too little room for what one record can need."""
        return self.ctl[loop.C_EVENTS] > self.event_room - 32

    # --- CPUs --------------------------------------------------------------------------------
    def see_cpu(self, cpu: int) -> None:
        """Make the tables hold this CPU."""
        if cpu >= CPU_MAX:
            raise TraceError(f"a record of CPU {cpu}", f"CPUs are 0 to {CPU_MAX - 1}.")
        while 4 * cpu >= len(self.cpus):
            self.cpus.extend(array("Q", [loop.NOBODY, 0, 0, 0]) * (len(self.cpus) // 4))

    def nr_cpus(self) -> int:
        """The highest CPU a task ran on, plus 1."""
        used = (cpu for cpu in range(len(self.cpus) // 4) if self.cpus[4 * cpu] != loop.NOBODY)
        return max(used, default=-1) + 1

    def current(self, cpu: int) -> int:
        """The task on a CPU, NOBODY when not known."""
        return self.cpus[4 * cpu]

    def active_mm(self, cpu: int) -> int:
        """The mm last loaded on a CPU, 0 when not known."""
        return self.cpus[4 * cpu + 2]

    def run_task(self, time_ns: int, cpu: int, task: int, kind: Kind) -> None:
        """*task* runs from now on: a SWITCH or ON, and its FPU use."""
        base = 4 * cpu
        self.emit(time_ns, cpu, kind, task)
        left = self.cpus[base]
        self.cpus[base + 1] = left if kind is Kind.SWITCH and left != loop.NOBODY else 0
        self.cpus[base] = task
        if self.mm(task):
            self.cpus[base + 2] = self.mm(task)
        uses_fpu = self.has(task, loop.T_FPU)
        self.cpus[base + 3] = uses_fpu
        if uses_fpu:
            self.emit(time_ns, cpu, Kind.FPU)
            self.ctl[loop.C_FPU_EVENTS] += 1

    # --- tasks -------------------------------------------------------------------------------
    def find(self, pid: int) -> int:
        """The live task of a pid; 0 when there is none (and for pid 0, idle)."""
        task: int = loop.find(self.slots, self.ctl[loop.C_SLOT_SHIFT], pid) if pid else 0
        return 0 if task and self.has(task, loop.T_ENDED) else task

    def find_any(self, pid: int) -> int:
        """As find, but also a task whose life is over."""
        return loop.find(self.slots, self.ctl[loop.C_SLOT_SHIFT], pid) if pid else 0

    def new_task(self, pid: int, comm: int, name: str, mm: int) -> Task:
        """A new life for *pid*."""
        number = self.nr_tasks
        if number >= TASK_MAX:
            raise TraceError(f"more than {TASK_MAX - 1} tasks", "Cut the recording into parts.")
        self.nr_tasks = number + 1
        if 2 * number >= len(self.tasks):
            self.tasks.extend(_zeros(len(self.tasks)))
        self.tasks[2 * number] = pid
        self.tasks[2 * number + 1] = mm | (comm & 0xFFFFFF) << 32
        self.bind(pid, number)
        task = Task(number, comm=name, pid=pid, mm=mm)
        self.live[number] = task
        self.fresh.append(task)
        return task

    def bind(self, pid: int, task: int) -> None:
        """Let *pid* stand for *task* from now on."""
        if 2 * self.slots_used >= len(self.slots):
            self._grow_slots()
        self.slots_used += loop.put(self.slots, self.ctl[loop.C_SLOT_SHIFT], pid, task)
        self.tasks[2 * task] = self.tasks[2 * task] & ~0xFFFFFFFF | pid

    def end(self, task: int) -> None:
        """The task's life is over; its pid may be used again."""
        self.set(task, loop.T_ENDED)
        self.live.pop(task, None)

    def pid(self, task: int) -> int:
        """The pid of a task."""
        return self.tasks[2 * task] & 0xFFFFFFFF

    def has(self, task: int, flag: int) -> bool:
        """Whether any bit of *flag* (T_*) is set."""
        return bool(self.tasks[2 * task] >> 32 & flag)

    def set(self, task: int, flag: int, on: bool = True) -> None:
        """Set or clear T_* bits."""
        if on:
            self.tasks[2 * task] |= flag << 32
        else:
            self.tasks[2 * task] &= ~(flag << 32)

    def comm(self, task: int) -> int:
        """The number of a task's name."""
        return self.tasks[2 * task + 1] >> 32

    def set_comm(self, task: int, comm: int, name: str) -> None:
        """Give a task another name; its definition shows the last one."""
        if task and comm:
            self.tasks[2 * task + 1] = self.mm(task) | (comm & 0xFFFFFF) << 32
            definition = self.live.get(task)
            if definition is not None:
                definition.comm = name

    # --- mms ---------------------------------------------------------------------------------
    def mm(self, task: int) -> int:
        """The mm of a task."""
        return self.tasks[2 * task + 1] & 0xFFFFFFFF

    def set_mm(self, task: int, mm: int) -> None:
        """Give a task another mm."""
        self.tasks[2 * task + 1] = self.tasks[2 * task + 1] & ~0xFFFFFFFF | mm

    def new_mm(self) -> int:
        """A number no mm had before."""
        number = self.nr_mms
        if number >= MM_MAX:
            raise TraceError(f"more than {MM_MAX - 1} address spaces", "Cut the recording into parts.")
        self.nr_mms = number + 1
        if number >= len(self.cr3s):
            self.cr3s.extend(_zeros(len(self.cr3s)))
        return number

    def mm_of_cr3(self, cr3: int) -> int:
        """The latest mm this CR3 was written for, 0 when there is none."""
        for mm in range(self.nr_mms - 1, 0, -1):
            if self.cr3s[mm] == cr3:
                return mm
        return 0

    def _grow_slots(self) -> None:
        old = self.slots
        self.slots = _zeros(2 * len(old))
        self.ctl[loop.C_SLOT_SHIFT] -= 1
        for slot in old:
            if slot:
                loop.put(self.slots, self.ctl[loop.C_SLOT_SHIFT], slot & 0xFFFFFFFF, slot >> 32)

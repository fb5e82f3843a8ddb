"""The rates and mixes of a trace: what ``--like`` fits, and what shows how well it fitted.

One pass in plain Python, memory in proportion to tasks and to pairs of tasks that follow each other.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import Final

from pvreplay.trace.events import Kind
from pvreplay.trace.model import Task, Trace

_FLAGS: Final = {
    Kind.IO_BITMAP: "io_bitmap",
    Kind.DR: "dr",
    Kind.NOTSC: "notsc",
    Kind.GS: "gs",
    Kind.BLOCKSTEP: "blockstep",
}
COUNTED: Final = (Kind.FPU, Kind.ENTER_MMU, Kind.SET_PTE, Kind.FAULT_ENTER, Kind.IRQ_ENTER, Kind.FLUSH_IPI)
"""Kinds counted per task."""
BACK: Final = -1


@dataclass(slots=True)
class TaskRates:
    """One task (0: the idle tasks of all CPUs together): its slices and what happened in them."""

    slices: int = 0
    fpu_slices: int = 0
    run_ns: int = 0
    runs: int = 0
    """Slices whose length is known."""
    counts: dict[int, int] = field(default_factory=lambda: dict.fromkeys(map(int, COUNTED), 0))
    cpus: dict[int, int] = field(default_factory=dict)
    """CPU -> slices there."""


@dataclass(slots=True)
class Rates:
    """A whole trace.

    *pairs* is (CPU, prev, next) -> switches, with 0 for idle; a switch from idle or a kernel thread
    back to the user task that ran before on that CPU has BACK for next.
    """

    cpus: int = 1
    switches: int = 0
    to_idle: int = 0
    mm_differs: int = 0
    first_ns: int = 0
    last_ns: int = 0
    pairs: dict[tuple[int, int, int], int] = field(default_factory=dict)
    tasks: dict[int, TaskRates] = field(default_factory=dict)
    state: dict[int, Task] = field(default_factory=dict)
    """Every task as it is at the end of the trace."""

    def switches_per_second(self) -> float:
        """Over all CPUs; 0 when no time passed."""
        span = self.last_ns - self.first_ns
        return self.switches * 1e9 / span if span > 0 else 0.0

    def fpu_share(self) -> float:
        """Slices with an FPU event among the slices of tasks other than idle."""
        slices = sum(rates.slices for task, rates in self.tasks.items() if task)
        return sum(rates.fpu_slices for rates in self.tasks.values()) / slices if slices else 0.0


class _Cpu:
    __slots__ = ("active_mm", "current", "fpu", "last_user", "target", "time")

    def __init__(self) -> None:
        self.current = 0
        self.active_mm = 0
        self.last_user = 0
        self.time = -1
        self.fpu = False
        self.target: int | None = None


def measure(trace: Trace) -> Rates:
    """Read *trace* to its end and count."""
    rates = Rates(tasks={0: TaskRates()})
    cpus: dict[int, _Cpu] = {}
    counted = frozenset(map(int, COUNTED))
    switch, fpu = int(Kind.SWITCH), int(Kind.FPU)
    begun = False
    for chunk in trace.chunks():
        for task in chunk.tasks:
            rates.state[task.id] = copy(task)
            rates.tasks[task.id] = TaskRates()
        for number, task_id in chunk.on:
            _set_current(rates, cpus.setdefault(number, _Cpu()), task_id)
        words = chunk.events
        for at in range(0, len(words), 2):
            now, word = words[at], words[at + 1]
            kind = word >> 48 & 0xFF
            cpu = cpus.get(word >> 32 & 0xFFFF)
            if cpu is None:
                cpu = cpus[word >> 32 & 0xFFFF] = _Cpu()
            if kind == switch:
                _switch(rates, cpu, word >> 32 & 0xFFFF, now, word & 0xFFFFFFFF)
            elif kind in counted:
                rates.tasks[cpu.current].counts[kind] += word & 0xFFFFFFFF if kind == Kind.SET_PTE else 1
                if kind == fpu:
                    cpu.fpu = True
            else:
                _state(rates, cpu, kind, word)
            if not begun:
                rates.first_ns, begun = now, True
            rates.last_ns = max(rates.last_ns, now)
    rates.cpus = max(trace.meta.cpus, 1 + max(cpus, default=0))
    return rates


def _set_current(rates: Rates, cpu: _Cpu, task: int) -> None:
    cpu.current = task
    mm = rates.state[task].mm if task else 0
    if mm:
        cpu.active_mm = mm


def _switch(rates: Rates, cpu: _Cpu, number: int, now: int, task: int) -> None:
    left = rates.tasks[cpu.current]
    if cpu.time >= 0:
        left.runs += 1
        left.run_ns += max(0, now - cpu.time)
    left.fpu_slices += cpu.fpu
    entered = rates.tasks[task]
    entered.slices += 1
    entered.cpus[number] = entered.cpus.get(number, 0) + 1
    back = task != 0 and task == cpu.last_user and cpu.current != task
    if cpu.current and rates.state[cpu.current].mm:
        cpu.last_user = cpu.current
        back = False
    pair = number, cpu.current, BACK if back else task
    rates.pairs[pair] = rates.pairs.get(pair, 0) + 1
    rates.switches += 1
    rates.to_idle += task == 0
    mm = rates.state[task].mm if task else 0
    rates.mm_differs += mm != 0 and mm != cpu.active_mm
    _set_current(rates, cpu, task)
    cpu.time = now
    cpu.fpu = False


def _state(rates: Rates, cpu: _Cpu, kind: int, word: int) -> None:
    """Keep the state of tasks up to date; nothing is counted."""
    arg = word & 0xFFFFFFFF
    if kind == Kind.FOR:
        cpu.target = arg
        return
    number = cpu.current if cpu.target is None else cpu.target
    cpu.target = None
    if kind == Kind.ON:
        _set_current(rates, cpu, arg)
        return
    task = rates.state.get(number)
    if task is None:
        return
    if kind == Kind.EXEC:
        task.mm = cpu.active_mm = arg
        task.tls, task.gs, task.dr = (0, 0, 0), False, False
    elif kind == Kind.TLS:
        slot = word >> 56
        task.tls = tuple(arg if at == slot else old for at, old in enumerate(task.tls))  # type: ignore[assignment]
    elif kind == Kind.LDT:
        task.ldt = arg
    elif kind == Kind.IOPL:
        task.iopl = arg
    elif kind in _FLAGS:
        setattr(task, _FLAGS[Kind(kind)], bool(arg))

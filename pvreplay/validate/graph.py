"""function_graph text as items: who runs is told by its bars, a switch by what schedule() calls.

Such text names a task only in a bar, when another task's lines follow on a CPU,
and cuts the name to seven characters.  Where it holds sched_switch events they
are the switches.  Where it does not, a switch is what schedule() does to the mm
(enter_lazy_tlb or switch_mm_irqs_off), and the next task is idle when
pick_next_task_idle() was called before, or the one of the bar that follows when
its lines begin with the end of a switch (finish_task_switch).

Some switches are shown in part, or not at all:

- the lines of idle were left out (set_graph_function): a task goes to idle and
  its next line is back in schedule().  The switch from idle is taken for one
  whose page tables and FPU nobody saw (PARTIAL).  On 64 bits the next task is
  current when __switch_to_xtra() runs, so that call is seen all the same, and
  is not seen in the switch to idle (HEAD);
- the next task's lines do not begin so, or it has none (new, or preempted at
  once): the bar may name a later task.  So it does for certain when the mm of a
  user task is switched to and the bar names a kernel thread, or the other way
  round.  The switch is left out, and what is loaded on the CPU is not known from
  then on (LOST).  That the next task of such a switch is a kernel thread, or is
  none, is therefore not compared (BARRED).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from pvreplay.sources import records as r
from pvreplay.sources.births import named_like_kthread, whole_kthread_name
from pvreplay.sources.fgraph import GraphLine, GraphReader
from pvreplay.sources.textevents import EventParser
from pvreplay.validate.items import Item, event_item

PARTIAL: Final = 0x40
"""Flag of a SWITCH: only its second half, after the change of the current task, was recorded."""
LATE_PARTIAL: Final = 0x80
"""Flag of a SWITCH with PARTIAL: __switch_to_xtra() would have been recorded (64 bits)."""
HEAD: Final = 0x10
"""Flag of a SWITCH to idle: what follows the change of the current task was not recorded."""
BARRED: Final = 0x20
"""Flag of a SWITCH: the next task is told by a bar that the called function was held against."""
SCHEDULERS: Final = frozenset(
    b"__schedule schedule schedule_idle schedule_rtlock schedule_preempt_disabled preempt_schedule "
    b"preempt_schedule_common preempt_schedule_irq preempt_schedule_notrace __cond_resched "
    b"do_task_dead".split()
)
_MM: Final = frozenset({b"enter_lazy_tlb", b"switch_mm_irqs_off"})
_IN_SWITCH_TO: Final = frozenset({b"save_fpregs_to_fpstate", b"__switch_to_xtra"})
_PARTS: Final = _MM | _IN_SWITCH_TO | {b"load_new_mm_cr3", b"switch_ldt"}
_TAIL: Final = frozenset({b"finish_task_switch", b"__switch_to_xtra"})
"""What the next task's half of a switch begins with."""
_UNNAMED: Final = b"<...>"
_ENTRY: Final = re.compile(rb"\|\s+([A-Za-z_][\w.]*)\(\)(?:;| (\{))\s*$")
HELD_MAX: Final = 20_000
"""Lines that wait for the bar that names the next task, before it is given up."""


class _Cpu:
    __slots__ = ("barred", "current", "dead", "idle_picked", "open", "shown", "to_idle")

    def __init__(self) -> None:
        self.shown = -1
        """The task whose lines these are; -1 before the first bar."""
        self.current = -1
        """Who runs, as far as switches tell; -1 not known."""
        self.barred = False
        """A bar came, and no line since."""
        self.idle_picked = False
        self.dead = False
        self.open = -1
        """Where in the held items the switch waits for its next task; -1 none."""
        self.to_idle = False
        """That switch is one to idle."""


class GraphItems:
    """One reading.  *names* pid -> number of its name in *comms*; *look* what a first reading told."""

    def __init__(self, events: EventParser, comms: list[bytes], names: dict[int, int], look: Look) -> None:
        self._events = events
        self._comms = comms
        self._names = names
        self._told = look.switches
        self._late = look.late
        self._head = HEAD if look.late else 0
        self._reader = GraphReader()
        self._cpus: dict[int, _Cpu] = {}
        self._held: list[Item] = []
        self._waiting = 0

    def items(self, lines: Iterable[bytes]) -> Iterator[Item]:
        """Items of a whole text."""
        for raw in lines:
            found = self._reader.read(raw.rstrip(b"\r\n"))
            if found is None:
                continue
            text = raw.split(b"|", 1)[-1].strip().decode("utf-8", "backslashreplace")
            self._take(found, text)
            if not self._waiting or len(self._held) > HELD_MAX:
                yield from self._release()
        yield from self._release()

    def _release(self) -> Iterator[Item]:
        for each in self._cpus.values():
            if each.open >= 0:
                self._give_up(each)
        yield from self._held
        self._held.clear()

    # --- lines --------------------------------------------------------------------------------------

    def _take(self, line: GraphLine, text: str) -> None:
        cpu = self._cpus.setdefault(line.cpu, _Cpu())
        if line.what == "task":
            self._bar(cpu, int(line.a))
        elif line.what == "event":
            item = event_item((line.time_ns, line.cpu, max(cpu.shown, 0)), line.a, line.b, self._events, text)
            if isinstance(item, Item):
                self._held.append(item)
        elif line.what == "call":
            if not self._told:
                self._scheduling(cpu, line, text)
            self._held.append(self._call(cpu, line, text))

    def _call(self, cpu: _Cpu, line: GraphLine, text: str) -> Item:
        return call_item((line.time_ns, line.cpu, max(cpu.shown, 0)), line.a, line.b, text)

    def _bar(self, cpu: _Cpu, pid: int) -> None:
        if cpu.shown < 0:
            cpu.shown = self._reader.left
            if cpu.open >= 0 and cpu.current < 0:
                cpu.current = cpu.shown
        if cpu.open >= 0 and cpu.to_idle:
            self._resolve(cpu, 0, 0 if pid == 0 else self._head)
        elif cpu.open >= 0 and cpu.barred:
            self._give_up(cpu)
        cpu.shown, cpu.barred = pid, True

    def _scheduling(self, cpu: _Cpu, line: GraphLine, text: str) -> None:
        """Switches, where no event tells them."""
        back = line.b not in _PARTS and (
            line.a not in _IN_SWITCH_TO or (self._late and line.a == b"__switch_to_xtra")
        )
        if back and cpu.open >= 0:
            if cpu.to_idle:
                self._resolve(cpu, 0, self._head)
            elif cpu.barred and line.a.partition(b".")[0] in _TAIL and self._fits(cpu):
                self._resolve(cpu, cpu.shown, BARRED)
            else:
                self._give_up(cpu)  # another task ran, and had no line
        cpu.barred = False
        if back and cpu.shown >= 0 and cpu.current not in (-1, cpu.shown):
            # its lines go on, or its bar came, after a switch to idle: idle's own lines are left out
            flags = PARTIAL | (LATE_PARTIAL if self._late else 0)
            self._held.append(self._switch(cpu, line.time_ns, line.cpu, cpu.current, cpu.shown, flags, text))
            cpu.current = cpu.shown
        if line.a == b"pick_next_task_idle":
            cpu.idle_picked = True
        elif line.a in SCHEDULERS:
            cpu.idle_picked, cpu.dead = False, line.a == b"do_task_dead"
        elif line.a in _MM and line.b in SCHEDULERS:
            if cpu.current < 0:
                cpu.current = cpu.shown
            cpu.open, cpu.to_idle = len(self._held), cpu.idle_picked
            self._held.append(self._switch(cpu, line.time_ns, line.cpu, max(cpu.current, 0), 0, 0, text))
            self._waiting += 1

    def _switch(
        self, cpu: _Cpu, time_ns: int, number: int, prev: int, following: int, flags: int, text: str
    ) -> Item:
        state = r.STATE_DEAD if cpu.dead else r.STATE_UNKNOWN
        c = r.switch_c(self._names.get(prev, 0), self._names.get(following, 0), state)
        return Item(time_ns, number, prev, r.SWITCH, prev, following, c, flags, "sched_switch", "", text)

    def _fits(self, cpu: _Cpu) -> bool:
        """Whether the bar's task can be the one that was switched to."""
        item = self._held[cpu.open]
        name = self._comms[self._names.get(cpu.shown, 0)]
        kthread = cpu.shown == 0 or (named_like_kthread(name) if name else None)
        return kthread is None or kthread == item.text.startswith("enter_lazy_tlb")

    def _resolve(self, cpu: _Cpu, following: int, flags: int = 0) -> None:
        item = self._held[cpu.open]
        prev = cpu.current if cpu.current >= 0 else 0
        c = r.switch_c(self._names.get(prev, 0), self._names.get(following, 0), item.c >> 48 & 0xFF)
        self._held[cpu.open] = item._replace(
            pid=prev, a=prev, b=following, c=c, flags=flags, text=f"switch {prev} => {following}: {item.text}"
        )
        self._waiting -= 1
        cpu.open, cpu.current, cpu.dead = -1, following, False

    def _give_up(self, cpu: _Cpu) -> None:
        """Whom it switched to is not told, except that it was idle."""
        if cpu.to_idle and cpu.current >= 0:
            self._resolve(cpu, 0, self._head)
            return
        item = self._held[cpu.open]
        self._held[cpu.open] = item._replace(type=r.LOST, a=1, b=0, c=0, name="lost", flags=0)
        self._waiting -= 1
        cpu.open, cpu.current = -1, -1


def call_item(where: tuple[int, int, int], function: bytes, caller: bytes, text: str) -> Item:
    """The item of a call in a graph.  __schedule() and __switch_to() have no line of their own: the
    caller shown (b"" when it is not) is theirs."""
    if caller in SCHEDULERS or not caller:
        caller = b"__switch_to" if function in _IN_SWITCH_TO else b"__schedule" if function in _MM else caller
    name, parent = (each.decode().partition(".")[0] for each in (function, caller))
    return Item(*where, r.FUNCTION, 0, 0, 0, 0, name, parent, text)


class CallStacks:
    """The function_graph tracer's records, in trace-cmd's text or a trace.dat: each has a time and a task.

    ``funcgraph_entry:  2.287 us  |    mutex_unlock();`` and, for a call that makes others,
    ``funcgraph_entry:            |  schedule() {`` with its ``funcgraph_exit: + 17.912 us  |  }``.
    """

    def __init__(self) -> None:
        self._stacks: dict[tuple[int, int], list[bytes]] = {}

    def call(self, where: tuple[int, int, int], function: bytes, text: str) -> Item:
        """The item of a call, whose end is told with :meth:`end`."""
        stack = self._stack(where)
        item = call_item(where, function, stack[-1] if stack else b"", text)
        stack.append(function)
        return item

    def end(self, where: tuple[int, int, int]) -> None:
        """The call made last is over."""
        stack = self._stack(where)
        if stack:
            stack.pop()

    def item(self, where: tuple[int, int, int], event: bytes, fields: bytes, text: str) -> Item | None:
        """The item of a line; None for the end of a call."""
        if event == b"funcgraph_exit":
            self.end(where)
            return None
        found = _ENTRY.search(fields)
        if found is None:
            return None
        item = self.call(where, found[1], text)
        if not found[2]:
            self.end(where)
        return item

    def _stack(self, where: tuple[int, int, int]) -> list[bytes]:
        _, cpu, pid = where
        return self._stacks.setdefault((pid, cpu if pid == 0 else -1), [])


class Look(NamedTuple):
    """What a first reading told.

    *names* pid -> name; *switches* whether sched_switch events are in it; *late*
    whether __switch_to_xtra() follows a bar, that is the next task is current
    by then (64 bits).
    """

    names: dict[int, bytes]
    switches: bool
    late: bool


def look_through(lines: Iterable[bytes]) -> Look:
    """Read all of it once."""
    reader = GraphReader()
    names: dict[int, bytes] = {0: b"swapper"}
    told = late = False
    barred: dict[int, bool] = {}
    for raw in lines:
        line = reader.read(raw.rstrip(b"\r\n"))
        if line is None:
            continue
        if line.what == "task":
            barred[line.cpu] = True
            for pid, name in ((reader.left, reader.left_name), (int(line.a), line.b)):
                if pid and name != _UNNAMED:
                    names[pid] = whole_kthread_name(name)
            continue
        told = told or (line.what == "event" and line.a == b"sched_switch")
        if line.what == "call" and line.a == b"__switch_to_xtra":
            late = late or barred.get(line.cpu, False)
        barred[line.cpu] = False
    return Look(names, told, late)

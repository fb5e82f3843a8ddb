"""A workload as data: roles, their acts and who follows whom; and its compilation to flat arrays.

A *role* is what a task does in one slice: a list of *acts* (events, or small orders of events, each
with a chance and a repeat count), how long the slice lasts, and a row of weights that says which role
runs next on the same CPU.  Role ``idle`` is always there.  Everything is an integer, so that a profile
means the same on every machine.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pvreplay.errors import UsageError
from pvreplay.trace.events import CPU_MAX, MM_MAX, TASK_MAX, Kind
from pvreplay.trace.model import Task

# Acts that are more than one event; _gen_cy.py has the same numbers.  A plain Kind is an act, too.
SECTION: Final = 64
"""A legal lazy MMU section of *arg* PTE writes."""
PREEMPTED: Final = 65
"""A section that is left only when the task runs again; ends the slice.  Legal where the kernel parks."""
FAULT: Final = 66
"""A page fault that writes *arg* PTEs."""
IRQ: Final = 67
NMI: Final = 68
BECOME: Final = 69
"""The task takes role *arg*, a role's name, from its next slice on."""

ALWAYS: Final = 1_000_000
"""Chances are in millionths."""

_EVENTS: Final = {SECTION: 7, PREEMPTED: 2, FAULT: 3, IRQ: 2, NMI: 2}
"""The most events an act makes, where that is not one."""
_PLANT_BURST: Final = 4
"""Plantings of one order in one slice, at most; _gen_cy.py has the same number."""
_LAST: Final = 0xFFFF

CHUNK_EVENTS: Final = 1 << 16
"""The most events a generator is asked for at once."""

IDLE: Final = "idle"
LAST: Final = "last"
"""In a row: the user task that ran on this CPU before."""


@dataclass(slots=True, frozen=True)
class Act:
    """*kind* (a Kind or one of the above) in *ppm* of a million slices, *times* times, with *arg*.

    *times* and *arg* are inclusive ranges; *arg* is a role's name for BECOME and FORK.  EXEC takes the
    next mm number, EXIT ends the task's life at the end of the slice, TLS draws its slot.
    """

    kind: int
    ppm: int = ALWAYS
    times: tuple[int, int] = (1, 1)
    arg: tuple[int, int] | str = (0, 0)


@dataclass(slots=True)
class Role:
    """What a task does in a slice and who comes after it."""

    name: str
    next: Sequence[tuple[str, int]]
    """(role, weight); empty: a task of this role never runs (the dead, waiting to be forked)."""
    slice_ns: tuple[int, int]
    acts: Sequence[Act] = ()
    user: bool = True
    """False for kernel threads: :data:`LAST` skips them."""
    next_on: Mapping[int, Sequence[tuple[str, int]]] = field(default_factory=dict)
    """CPU -> a row that takes the place of *next* there."""


class Filler(Protocol):
    """A generator that has been started: fills arrays of events until the switches are made."""

    def fill(self, out: array[int]) -> int:
        """Fill *out* (two words an event), return the number of events; 0 at the end."""
        ...

    def births(self) -> list[tuple[int, int]]:
        """(task, mm) of every task forked in the last fill."""
        ...

    def counts(self) -> list[int]:
        """How many of each planted order there are so far."""
        ...


@dataclass(slots=True, frozen=True)
class Planting:
    """An order of (Kind, argument) to be planted *count* times; a SWITCH goes to idle (0) or back (1)."""

    order: tuple[tuple[int, int], ...]
    count: int

    @property
    def switches(self) -> int:
        """Switches one planting makes."""
        return sum(kind == Kind.SWITCH for kind, _ in self.order)


@dataclass(slots=True)
class Profile:
    """A workload, complete.  Built with :meth:`role` and :meth:`task`, run with :meth:`start`."""

    cpus: int
    gap_ns: int = 100
    """Between two events of one slice.  An assumption; nothing in the model depends on it."""
    migrate_ppm: int = 0
    """How often a task is taken from another CPU's queue although there may be one here."""
    steal_ppm: int = 0
    """How often another CPU's queue is tried (up to 16 of them) when the own one is empty."""
    section_irq_ppm: int = 0
    section_read_ppm: int = 0
    section_flush_ppm: int = 0
    roles: list[Role] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    first: dict[int, int] = field(default_factory=dict)
    """CPU -> task that runs before the first event; idle where absent."""
    exec_mms: int = 65536
    """How many mm numbers fork and exec go round: more than any CPU can stay lazily attached to."""
    newborn: str = ""
    """Name of the tasks that are forked."""
    ops: tuple[str, ...] = ()
    _role_of: list[str] = field(default_factory=lambda: [IDLE])
    _home: list[int] = field(default_factory=lambda: [0])
    _mms: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.cpus <= CPU_MAX:
            raise UsageError(f"synth: {self.cpus} CPUs", f"A trace has 1 to {CPU_MAX} CPUs.")

    def role(
        self,
        name: str,
        next: Sequence[tuple[str, int]],
        slice_ns: tuple[int, int],
        acts: Sequence[Act] = (),
        *,
        user: bool = True,
        next_on: Mapping[int, Sequence[tuple[str, int]]] | None = None,
    ) -> None:
        """Add a role.  The first one must be :data:`IDLE`."""
        if (not self.roles) != (name == IDLE):
            raise ValueError(f"role {name}: the first role is {IDLE}")
        self.roles.append(Role(name, next, slice_ns, acts, user, next_on or {}))

    def mm(self) -> int:
        """A new mm number."""
        self._mms += 1
        return self._mms

    def task(self, role: str, comm: str, *, mm: int = 0, cpu: int | None = None, **state: Any) -> int:
        """Add a task of *role* waiting on *cpu* (by default spread evenly), return its number."""
        number = len(self.tasks) + 1
        if number >= TASK_MAX:
            raise UsageError(f"synth: {number} tasks", f"A trace has fewer than {TASK_MAX} tasks.")
        self.tasks.append(Task(number, comm, 1000 + number, mm, **state))
        self._role_of.append(role)
        self._home.append((number - 1) % self.cpus if cpu is None else cpu)
        return number

    def slots(self, role: str, comm: str, count: int) -> None:
        """Room for *count* forked tasks named *comm* to be alive at once.

        *role* has no row; all other tasks must have been added.
        """
        self.newborn = comm
        self._role_of += [role] * count
        self._home += [0] * count

    def libc_task(self, role: str, comm: str, *, mm: int, cpu: int | None = None, **state: Any) -> int:
        """A task as i386 NPTL makes it: %gs names GDT TLS slot 0, whose descriptor is the thread's own."""
        word = 0xF3_0000 + len(self.tasks) + 1  # any word will do, equal words are equal descriptors
        return self.task(role, comm, mm=mm, cpu=cpu, tls=(word, 0, 0), gs=True, **state)

    def start(self, switches: int, seed: int, plants: Sequence[Planting] = ()) -> Filler:
        """A generator at its first event."""
        from pvreplay.synth._gen_cy import Generator

        knobs, arrays = self._compile(switches, seed, plants)
        first = [self.first.get(cpu, 0) for cpu in range(self.cpus)]
        return Generator(knobs, arrays, self._home, first)

    # --- compilation -----------------------------------------------------------------------------

    def _compile(
        self, switches: int, seed: int, plants: Sequence[Planting]
    ) -> tuple[dict[str, int], dict[str, array[int]]]:
        numbers = {role.name: number for number, role in enumerate(self.roles)}
        roles, acts, rows, nexts = array("Q"), array("Q"), array("Q"), array("Q")
        row_cpus = self.cpus if any(role.next_on for role in self.roles) else 1
        most = 0
        for role in self.roles:
            low, high = role.slice_ns
            first_act = len(acts) // 6
            for act in role.acts:
                acts.extend(_act_words(act, numbers))
            runs = int(bool(role.next))
            roles.extend((low, high - low + 1, first_act, len(acts) // 6, runs, int(role.user)))
            for cpu in range(row_cpus):
                rows.append(len(nexts) // 2)
                nexts.extend(_row_words(role.next_on.get(cpu, role.next), numbers))
                rows.append(len(nexts) // 2)
            most = max(most, sum(act.times[1] * _EVENTS.get(act.kind, 1) for act in role.acts))
        if self._mms + self.exec_mms >= MM_MAX:
            raise UsageError(
                f"synth: {self._mms} mms", f"A trace has fewer than {MM_MAX} mms; ask for fewer tasks."
            )
        dead = [number for number, role in enumerate(self.roles) if number and not role.next]
        knobs = {
            "seed": seed,
            "switches": switches,
            "gap_ns": self.gap_ns,
            "bound": 2 + most + 1 + _PLANT_BURST * sum(len(plant.order) for plant in plants),
            "plants": len(plants),
            "next_id": len(self.tasks) + 1,
            "cpus": self.cpus,
            "roles": len(self.roles),
            "row_cpus": row_cpus,
            "dead": dead[0] if dead else 0,
            "steal": _threshold(self.steal_ppm),
            "migrate": _threshold(self.migrate_ppm),
            "section_irq": _threshold(self.section_irq_ppm),
            "section_read": _threshold(self.section_read_ppm),
            "section_flush": _threshold(self.section_flush_ppm),
            "mm_first": self._mms + 1,
            "mm_count": self.exec_mms,
        }
        tasks, queues = len(self._role_of), len(self.roles) * self.cpus
        arrays = {
            "roles": roles,
            "acts": acts or array("Q", (0,)),
            "rows": rows,
            "nexts": nexts,
            "task_role": array("Q", (numbers[name] for name in self._role_of)),
            "task_id": array("Q", range(tasks)),
            "born": _zeros(2 * CHUNK_EVENTS),
            "planted": _zeros(len(plants) + 1),
            "plants": array("Q"),
            "orders": array("Q", (0,)),  # never empty: a memoryview of nothing has no format
        }
        for plant in plants:
            start = len(arrays["orders"])
            arrays["orders"].extend(int(kind) << 32 | arg for kind, arg in plant.order)
            arrays["plants"].extend((plant.count, plant.switches, start, len(arrays["orders"])))
        arrays["plants"].append(0)
        for name in ("task_state", "task_open", "queue_of", "link_next", "link_prev"):
            arrays[name] = _zeros(tasks)
        for name in ("head", "tail"):
            arrays[name] = _zeros(queues)
        for name in ("current", "last", "heap_due", "heap_cpu"):
            arrays[name] = _zeros(self.cpus)
        return knobs, arrays


def _zeros(count: int) -> array[int]:
    return array("Q", bytes(8 * count))


def _threshold(ppm: int) -> int:
    """Millionths as a share of 2**32."""
    return (ppm << 32) // ALWAYS


def _act_words(act: Act, numbers: Mapping[str, int]) -> tuple[int, int, int, int, int, int]:
    arg = (numbers[act.arg],) * 2 if isinstance(act.arg, str) else act.arg
    low, high = act.times
    return int(act.kind), _threshold(act.ppm), low, high - low + 1, arg[0], arg[1] - arg[0] + 1


def _row_words(row: Sequence[tuple[str, int]], numbers: Mapping[str, int]) -> list[int]:
    """(role, cumulated share of 2**32) for every role in *row*."""
    words: list[int] = []
    total = sum(weight for _, weight in row)
    sofar = 0
    for name, weight in row:
        sofar += weight
        words += (_LAST if name == LAST else numbers[name], (sofar << 32) // total)
    return words


def act(
    kind: Kind | int, per_mille: int, arg: tuple[int, int] = (0, 0), times: tuple[int, int] = (1, 1)
) -> Act:
    """An act with its chance in thousandths, as most workloads state it."""
    return Act(int(kind), per_mille * 1000, times, arg)

"""What the replay's arrays say in the middle of a trace: who runs, what a task holds, what is open.

The layout is the loop's (:mod:`pvreplay.replay._loop_cy` documents it); the tests
hold this against the slow tracker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvreplay.machine.shape import GUARDS
from pvreplay.replay.state import P_CAP
from pvreplay.trace.events import CPU_MAX

if TYPE_CHECKING:
    from pvreplay.replay.state import State

_CPU_WORDS: Final = 32
_USED_MATH: Final = 2
_OPEN: Final = 1
FLAGS: Final = ("fpu", "gs", "dr", "io_bitmap", "notsc", "blockstep", "parked")
"""Task flags that stand at their "prev" bit of a shape."""


def current(state: State, cpu: int) -> int:
    """The task that runs on *cpu*, 0 for its idle task."""
    return state.tasks[state.cpus[cpu * _CPU_WORDS] + 5] if cpu < state.nr_cpus else 0


def open_sequence(state: State, cpu: int) -> tuple[int, list[int]] | None:
    """The first event and the items so far of the sequence that is open on *cpu*."""
    at = cpu * _CPU_WORDS
    if not state.cpus[at + 12] & _OPEN:
        return None
    start = cpu * state.st[P_CAP]
    return state.clocks[at // 2 + 8], list(state.buf[start : start + state.cpus[at + 13]])


def task_state(state: State, cpu: int, task: int) -> dict[str, int] | None:
    """What *task* holds now, by name (0 is the idle task of *cpu*); None when it is not defined."""
    if not 0 <= task < state.nr_tasks or cpu >= state.nr_cpus:
        return None
    row = 8 * (CPU_MAX + task if task else cpu)
    flags, mm, *tls = state.tasks[row : row + 5]
    told = {name: flags >> GUARDS[f"prev_{name}"] & 1 for name in FLAGS}
    told |= {f"tls{slot}": word for slot, word in enumerate(tls)}
    told |= {"mm": mm, "iopl": flags & 3, "ldt": state.ldt[mm]}
    return told | {"used_math": flags >> _USED_MATH & 1, "fpu_counter": flags >> 24}

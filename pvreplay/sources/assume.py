"""What a recording does not tell, and what to take in its place: ``--assume KEY=VALUE``.

Each key has a default that takes the evidence there is and the plainest value where there is none.
The report names every assumption that was used, with the option that changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pvreplay.errors import UsageError

CHOICES: Final[dict[str, dict[str, str]]] = {
    "fpu": {
        "seen": "a task whose saved registers held x87, SSE or AVX state at its last switch "
        "(x86_fpu events) uses the FPU in every slice; without such events, nobody does",
        "never": "no task uses the FPU",
        "user": "every task with an mm uses the FPU in every slice",
        "always": "every task but idle uses the FPU in every slice",
    },
    "mm": {
        "seen": "tasks older than the recording: thread groups, FPU saves, CR3 writes and TLB flushes "
        "around their first switch tell; what stays open has an mm of its own",
        "per-task": "tasks older than the recording have an mm each; what a switch leaves behind "
        "(TLB flushes, CR3 writes, FPU saves) is not looked at",
        "per-comm": "tasks older than the recording share an mm when they share a name",
    },
    "kthreads": {
        "names": "tasks older than the recording with a kernel thread's name (kworker/..., "
        "ksoftirqd/N, ...) have no mm, where nothing better tells",
        "none": "no task is a kernel thread because of its name",
    },
    "fork": {
        "process": "a sched_process_fork without task_newtask makes a process with its own mm",
        "thread": "... makes a thread that shares its parent's mm",
    },
    "tls": {
        "none": "TLS slots are empty until set_thread_area is seen",
        "per-task": "every user task has its own descriptor in slot 0 and its selector in %gs, as "
        "i386 programs with NPTL do",
    },
    "abi": {
        "skip": "raw_syscalls numbers that nothing tells the ABI of are counted, not used",
        "x86_64": "they are 64-bit numbers",
        "i386": "they are i386 numbers",
    },
}
"""key -> value -> what it means.  The first value is the default."""

DEFAULTS: Final = {key: next(iter(values)) for key, values in CHOICES.items()}


def assume_choices() -> list[tuple[str, str, str, bool]]:
    """(key, value, meaning, is the default) of every choice, for help texts."""
    return [
        (key, value, meaning, value == DEFAULTS[key])
        for key, values in CHOICES.items()
        for value, meaning in values.items()
    ]


def check_assume(assume: Mapping[str, str]) -> dict[str, str]:
    """All keys, with defaults filled in; UsageError names what is allowed."""
    result = dict(DEFAULTS)
    for key, value in assume.items():
        if key not in CHOICES:
            raise UsageError(f"--assume {key}={value}: nothing called {key} can be assumed", _one_of(CHOICES))
        if value not in CHOICES[key]:
            raise UsageError(
                f"--assume {key}={value}: {value} is not a value of {key}", _one_of(CHOICES[key])
            )
        result[key] = value
    return result


def _one_of(names: Mapping[str, object]) -> str:
    return "Allowed: " + ", ".join(names) + "."

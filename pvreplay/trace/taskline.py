"""The ``task`` line of the text form: one task and its state at the start.

    task 2 comm=cc1 mm=2 tls=1a,0,0 ldt=7 iopl=3 dr=1 fpu_counter=6 used_math=1

Left out: ``mm`` and ``pid`` are the task's own number, the rest is 0, as for a
fresh user task.
"""

from __future__ import annotations

from typing import Final

from pvreplay.trace.layout import task_problem
from pvreplay.trace.model import Task
from pvreplay.trace.names import TLS_SLOTS
from pvreplay.trace.quote import quote

_FLAGS: Final = ("io_bitmap", "dr", "notsc", "gs", "blockstep", "fpu", "used_math")
_NUMBERS: Final = ("mm", "ldt", "iopl", "fpu_counter")
_KEYS: Final = frozenset({"comm", "pid", "tls", *_FLAGS, *_NUMBERS})
NUMBER_MAX: Final = (1 << 31) - 1
"""Largest task number a file may use."""


def is_number(text: str) -> bool:
    """Whether *text* is decimal ASCII digits and no longer than a 64-bit number."""
    return text.isascii() and text.isdigit() and len(text) <= 20


def format_task(task: Task) -> str:
    """The line of *task*; what a reader would assume is left out, except ``mm``."""
    parts = [f"task {task.id}"]
    if task.comm:
        parts.append(f"comm={quote(task.comm)}")
    if task.pid != task.id:
        parts.append(f"pid={task.pid}")
    parts.append(f"mm={task.mm}")
    if any(task.tls):
        parts.append("tls=" + ",".join(f"{word:x}" for word in task.tls))
    parts += [f"{name}={getattr(task, name)}" for name in _NUMBERS[1:] if getattr(task, name)]
    parts += [f"{name}=1" for name in _FLAGS if getattr(task, name)]
    return " ".join(parts)


def parse_task(found: list[str], task_id: int) -> tuple[int, Task]:
    """(number as written, task with id *task_id*) from the words of a line.

    Raises :class:`ValueError` with what was found and what is expected.
    """
    if len(found) < 2 or not is_number(found[1]) or not 0 < int(found[1]) <= NUMBER_MAX:
        raise ValueError(
            "task " + " ".join(found[1:2]), f"task and a number from 1 to {NUMBER_MAX}; 0 is the idle task"
        )
    number = int(found[1])
    task = Task(task_id, pid=number, mm=number)
    seen: set[str] = set()
    for word in found[2:]:
        key, equals, value = word.partition("=")
        if not equals or key not in _KEYS:
            raise ValueError(quote(word), f"KEY=VALUE with one of {' '.join(sorted(_KEYS))}")
        if key in seen:
            raise ValueError(f"{key} twice", f"{key} once")
        seen.add(key)
        _set(task, key, value)
    problem = task_problem(task)
    if problem:
        raise ValueError(
            problem, "a value in range" if "mm" in seen else "a value in range; mm= is not given"
        )
    return number, task


def _set(task: Task, key: str, value: str) -> None:
    if key == "comm":
        task.comm = value
    elif key == "tls":
        task.tls = _tls(value)
    elif key in _FLAGS:
        if value not in ("0", "1"):
            raise ValueError(f"{key}={quote(value)}", f"{key}=0 or {key}=1")
        setattr(task, key, value == "1")
    elif key == "pid" and value == "-1":
        task.pid = -1
    elif is_number(value):
        setattr(task, key, int(value))
    else:
        raise ValueError(f"{key}={quote(value)}", f"{key}= and a decimal number")


def _tls(value: str) -> tuple[int, int, int]:
    slots = value.split(",")
    if len(slots) != TLS_SLOTS or not all(is_hex(slot) for slot in slots):
        raise ValueError(f"tls={quote(value)}", "tls= and three hexadecimal words, as in tls=1a,0,0")
    return int(slots[0], 16), int(slots[1], 16), int(slots[2], 16)


def is_hex(text: str) -> bool:
    """Whether *text* is hexadecimal digits of a 32-bit word."""
    return 0 < len(text) <= 8 and all(char in "0123456789abcdefABCDEF" for char in text)

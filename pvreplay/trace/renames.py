"""Names that tasks took after they were defined: ``comm TASK NAME`` lines (traces/FORMAT.md).

A recorder defines a task when it is born, under its parent's name; an exec names it later, and a
report shows the last name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pvreplay.trace.metatext import MetaError
from pvreplay.trace.model import Task
from pvreplay.trace.quote import quote
from pvreplay.trace.taskline import is_number

KEY: Final = "comm"


class Renames:
    """The tasks of a trace that is written or read, and the names they were defined with."""

    def __init__(self) -> None:
        self._tasks: list[Task] = []
        self._names: list[str] = []

    def add(self, tasks: Iterable[Task]) -> None:
        """Tasks as they are written or read, in the order of their numbers."""
        for task in tasks:
            self._tasks.append(task)
            self._names.append(task.comm)

    def lines(self) -> list[str]:
        """A line for each task whose name is another by now."""
        return [
            f"{KEY} {task.id} {quote(task.comm)}"
            for task, name in zip(self._tasks, self._names, strict=True)
            if task.comm != name
        ]

    def apply(self, found: list[str], number: int | None) -> None:
        """Take in the words of a line about task *number*, None when it is not known; raises MetaError."""
        if len(found) != 3 or number is None or not 0 < number <= len(self._tasks):
            raise MetaError(
                " ".join(quote(word) for word in found), f"{KEY} TASK NAME of a task defined before"
            )
        self._tasks[number - 1].comm = found[2]

    def apply_line(self, found: list[str]) -> None:
        """As :meth:`apply`, with the task's number as the line has it."""
        told = found[1] if len(found) > 1 else ""
        self.apply(found, int(told) if is_number(told) else None)

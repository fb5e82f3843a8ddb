"""What a workload is asked for: CPUs, tasks and its own options, checked against their ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pvreplay.errors import UsageError


@dataclass(slots=True, frozen=True)
class Option:
    """A workload's own option: an integer with a default, a range and one line of help."""

    default: int
    low: int
    high: int
    help: str


@dataclass(slots=True, frozen=True)
class Params:
    """The request.  *tasks* is None where the workload's own number is wanted."""

    workload: str
    cpus: int
    tasks: int | None
    options: Mapping[str, int]

    def __getitem__(self, name: str) -> int:
        return self.options[name]

    def count(self, default: int, least: int) -> int:
        """How many tasks to make: what was asked for, if it is at least *least*."""
        if self.tasks is None:
            return max(default, least)
        if self.tasks < least:
            raise UsageError(
                f"synth {self.workload}: {self.tasks} tasks",
                f"Expected at least {least} on {self.cpus} CPUs.",
            )
        return self.tasks


def check_options(workload: str, known: Mapping[str, Option], given: Mapping[str, int]) -> dict[str, int]:
    """The options of a workload with *given* applied.

    Raises UsageError for a name or value that is not allowed.
    """
    chosen = {name: option.default for name, option in known.items()}
    for name, value in given.items():
        if name not in known:
            raise UsageError(
                f"synth {workload}: no option {name!r}",
                f"It has: {', '.join(known)}." if known else "It has no options of its own.",
            )
        option = known[name]
        if not option.low <= value <= option.high:
            raise UsageError(
                f"synth {workload}: {name}={value}", f"Expected {option.low} to {option.high}: {option.help}."
            )
        chosen[name] = value
    return chosen

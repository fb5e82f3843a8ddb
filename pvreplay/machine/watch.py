"""Who looks at the steps: rules, as far as the machine knows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pvreplay.machine.machine import Machine
    from pvreplay.machine.view import View


class Watcher(Protocol):
    """What the machine knows of a rule: when to call it, and how."""

    flags: int
    ops: frozenset[str]
    judges_end: bool

    def check(self, view: View) -> None:
        """Look at one step; findings go to ``view.machine.found``."""
        ...

    def at_end(self, machine: Machine) -> None:
        """Look at the state when the sequence is over."""
        ...


class Watch:
    """Rules, and for each sort of step those that want to see it; shared by many machines."""

    __slots__ = ("_by_step", "at_end", "rules")

    def __init__(self, rules: Sequence[Watcher]) -> None:
        self.rules = tuple(rules)
        self.at_end = tuple(rule.at_end for rule in rules if rule.judges_end)
        self._by_step: dict[tuple[str, int], tuple[Callable[[View], None], ...]] = {}

    def of(self, name: str, flags: int) -> tuple[Callable[[View], None], ...]:
        """The checks that want a step of the op *name* with these *flags*."""
        key = (name, flags)
        checks = self._by_step.get(key)
        if checks is None:
            checks = tuple(rule.check for rule in self.rules if rule.flags & flags or name in rule.ops)
            self._by_step[key] = checks
        return checks

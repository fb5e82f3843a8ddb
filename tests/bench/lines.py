"""One line of the speed table, and how it is measured: ours and a peer by turns, medians, a ratio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Line:
    """*ours* and *peer* are medians in *unit*; *better* says which way; *goal* is for the ratio.

    *ratio* is our speed over the peer's, or for ``lower`` our cost over the peer's.
    *spread* is (largest - smallest) / median of our runs.
    """

    what: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    better: str = "higher"
    goal: float | None = None
    spread: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Ours over the peer's."""
        return self.ours / self.peer if self.peer else float("nan")

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.better == "higher" else self.ratio <= self.goal


def by_turns(runs: int, *measure: Callable[[], float]) -> list[list[float]]:
    """Seconds of each of *measure*, *runs* times, one after the other so that noise hits all alike."""
    taken: list[list[float]] = [[] for _ in measure]
    for _ in range(runs):
        for seconds, one in zip(taken, measure, strict=True):
            seconds.append(one())
    return taken


def spread(seconds: list[float]) -> float:
    """How far the runs lie apart, as a part of their median."""
    return (max(seconds) - min(seconds)) / median(seconds)

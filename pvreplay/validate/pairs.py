"""Which mms are one and the same, learnt from the switches already compared.

That two tasks older than the recording share an mm, or do not, is one unknown
for all switches between them.  The first switch that shows it stays undecided;
from then on the prediction has no gap there, and can be wrong.  A CR3 that is
not written shows for certain that it is one mm; one that is written may also
be a lazily kept mm that had become stale, so it gives way to later certainty.
"""

from __future__ import annotations


class Pairs:
    """Equalities (transitive) and inequalities of mms."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._differ: set[tuple[int, int]] = set()

    def same(self, pair: tuple[int, int]) -> bool | None:
        """What is known; None for nothing."""
        a, b = sorted(self._find(mm) for mm in pair)
        if a == b:
            return True
        return False if (a, b) in self._differ else None

    def learn(self, pair: tuple[int, int], same: bool) -> None:
        """Take what a switch showed."""
        a, b = sorted(self._find(mm) for mm in pair)
        if not same:
            self._differ.add((a, b))
        elif a != b:
            self._differ.discard((a, b))
            self._parent[b] = a
            moved = {(x, y) for x, y in self._differ if b in (x, y)}
            self._differ -= moved
            for x, y in moved:
                x, y = sorted((a if x == b else x, a if y == b else y))
                self._differ.add((x, y))

    def _find(self, mm: int) -> int:
        while mm in self._parent:
            mm = self._parent[mm]
        return mm

"""Which mms are one and the same, learnt from the switches already compared.

That two tasks older than the recording share an mm, or do not, is one unknown
for all switches between them.  The first switch that shows it stays undecided;
from then on the prediction has no gap there, and can be wrong.  A CR3 that is
not written shows for certain that it is one mm; one that is written may also
be a lazily kept mm that had become stale, so it gives way to later certainty.
An exec that the recording does not tell gives a task another mm: all that was
learnt of it is forgotten then.
"""

from __future__ import annotations


class Pairs:
    """Equalities (transitive) and inequalities of mms."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._names: dict[int, int] = {}
        self._fresh = 0
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

    def forget(self, mm: int) -> None:
        """It has become another one."""
        self._fresh += 1
        self._names[mm] = -(1 << 32) - self._fresh

    def _find(self, mm: int) -> int:
        mm = self._names.get(mm, mm)
        while mm in self._parent:
            mm = self._parent[mm]
        return mm

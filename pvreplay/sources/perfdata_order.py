"""Records of a perf.data from the order of the file to the order of time.

What was decoded last (*fresh*) is cut into ascending runs and merged with the runs that are *held*
from before, up to a time; what is later is held in turn.  Records are moved once on their way, and
those that are held once more.
"""

from __future__ import annotations

from array import array

from pvreplay.sources import _merge_cy as merging
from pvreplay.sources import records as rec


class Order:
    """*fresh* has the records decoded last, *used* of them; there is room for *room*.

    Somebody else's records take the place of *fresh* with :meth:`adopt`, until :meth:`settle`.
    """

    def __init__(self, room: int) -> None:
        self._own = memoryview(array("Q", bytes(rec.RECORD_BYTES * room)))
        self.fresh = self._own
        self.used = self._cut = 0
        self.held = memoryview(array("Q"))
        self._held_end = 0
        self._runs = array("q", bytes(16 * 1024))
        self._nr_runs = self._split = 0  # runs below the split are in held, the others in fresh
        self._heap = array("q", bytes(8 * 1024))
        self._heads = array("Q", bytes(8 * 1024))
        self._state = array("q", [0, 0])

    def merge(self, limit: int, words: memoryview, start: int) -> int:
        """Hand out records with a time of at most *limit* to *words*, from *start* on; their end."""
        self._cut_runs()
        return merging.merge_held(
            self.held, self.fresh, self._runs, self._split, self._nr_runs, self._heap, self._heads, limit,
            words, start,
        )  # fmt: skip

    def waiting(self) -> int:
        """Records not handed out yet."""
        self._cut_runs()
        return merging.left_over(self._runs, 0, self._nr_runs)

    def adopt(self, words: memoryview, count: int) -> None:
        """Let *words* be what was decoded last; :meth:`settle` has been called."""
        self.fresh, self.used = words, count

    def append(self, record: tuple[int, int, int, int]) -> None:
        """Add one record at the end of what was decoded."""
        if (self.used + 1) * rec.RECORD_WORDS > len(self.fresh):
            self.settle()
        at = self.used * rec.RECORD_WORDS
        for place, word in enumerate(record):
            self.fresh[at + place] = word
        self.used += 1

    def settle(self) -> None:
        """Hold what is left of the records decoded last; their place is free then."""
        self._cut_runs()
        left = merging.left_over(self._runs, self._split, self._nr_runs)
        if (self._held_end + left) * rec.RECORD_WORDS > len(self.held):
            self._make_room(left)
        self._nr_runs = merging.hold(
            self.held, self._held_end, self.fresh, self._runs, self._split, self._nr_runs
        )
        self._split = self._nr_runs
        self._held_end = self._held_end + left if self._nr_runs else 0
        self.used = self._cut = 0
        self.fresh = self._own

    def _make_room(self, records: int) -> None:
        """Room for more records to hold: what was merged makes place, or there is twice as much of it."""
        kept = merging.compact(self.held, self._runs, self._split, self._state)
        end = self._state[0]
        fresh = self._runs[2 * self._split : 2 * self._nr_runs]
        self._runs[2 * kept : 2 * kept + len(fresh)] = fresh
        self._nr_runs -= self._split - kept
        self._split = kept
        need = (end + records) * rec.RECORD_WORDS
        if 2 * need > len(self.held):
            grown = memoryview(array("Q", bytes(8 << (2 * need - 1).bit_length())))
            grown[: end * rec.RECORD_WORDS] = self.held[: end * rec.RECORD_WORDS]
            self.held = grown
        self._held_end = end

    def _cut_runs(self) -> None:
        """Find the ascending runs in what was decoded."""
        while self._cut < self.used:
            self._nr_runs = merging.find_runs(
                self.fresh, self._cut, self.used, self._runs, self._nr_runs, self._state
            )
            self._cut = self._state[0]
            if self._cut < self.used:
                self._runs.extend(array("q", bytes(8 * len(self._runs))))
                self._heap = array("q", bytes(4 * len(self._runs)))
                self._heads = array("Q", bytes(4 * len(self._runs)))

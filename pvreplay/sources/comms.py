"""Tables of comms for threads that decode parts of one recording at the same time.

The reader who puts the parts together owns the :class:`CommTable` that counts.  A part is decoded
with a :class:`PartComms`, which starts as a copy of it (:class:`Known`) and adds the names that
are new; :func:`adopt` enters those into the reader's table, in the order of the recording, and
renumbers the part's records where the numbers differ.
"""

from __future__ import annotations

from array import array
from typing import Final

from pvreplay.sources import _tracepoint_cy as payloads
from pvreplay.sources.tracepoints import CommTable

MANY: Final = 1 << 16
"""Names a recording may have and still be decoded in parts: each part has a copy of the table."""


class Known:
    """What a table of comms held at one time."""

    __slots__ = ("count", "keys", "table")

    def __init__(self, comms: CommTable) -> None:
        self.count = comms.state[0]
        self.keys = comms.keys[: 2 * self.count]
        self.table = comms.table[:]


class PartComms(CommTable):
    """A table that starts anew from :class:`Known` names for each part."""

    def __init__(self) -> None:
        super().__init__()
        self.known: Known | None = None

    def start(self, known: Known) -> None:
        """Forget everything but *known*."""
        self.state[1] = self.state[2] = 0
        if known is self.known and self.state[0] == known.count:
            return
        if len(self.table) != len(known.table):
            self.keys = array("Q", bytes(8 * len(known.table)))
        self.keys[: len(known.keys)] = known.keys
        self.table = known.table[:]
        self.memo[:] = array("Q", bytes(8 * len(self.memo)))
        self.state[0] = known.count
        self.known = known


def adopt(comms: CommTable, part: PartComms, words: memoryview, count: int) -> None:
    """Take over the names of *part*, and renumber its *count* records in *words* accordingly."""
    comms.state[1] += part.state[1]
    comms.state[2] += part.state[2]
    assert part.known is not None
    base, end = part.known.count, part.state[0]
    if base == end:
        return
    comms.make_room(end - base)
    pairs = part.keys[2 * base : 2 * end]
    numbers = array("I")
    for at in range(0, len(pairs), 2):
        numbers.append(payloads.number_of(pairs[at], pairs[at + 1], comms.keys, comms.table, comms.state))
    comms.collect()
    if numbers != array("I", range(base, end)):
        payloads.renumber(words, 0, count, base, numbers)

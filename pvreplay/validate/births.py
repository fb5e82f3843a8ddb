"""Births a function trace tells without naming the child.

copy_process() calls dup_mmap() when the child gets an mm of its own, and
fpu_clone() for every user task.  The child's pid is told by nothing, but pids
are given in order: the n-th birth is the n-th smallest pid that was not there
before and ran after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pvreplay.sources import records as r
from pvreplay.sources.births import named_like_kthread
from pvreplay.validate.items import Item, Recording


class Birth(NamedTuple):
    """A clone by *parent*; *number* counts them, *shares* says CLONE_VM."""

    number: int
    parent: int
    shares: bool


class _Newcomer(NamedTuple):
    pid: int
    comm: int
    born_before: int
    """How many births there had been when it first ran."""


class BirthReader:
    """Follows clones by the functions they call, where both are traced."""

    def __init__(self) -> None:
        self.count = 0
        self._copied: set[int] = set()

    def see(self, item: Item) -> Birth | None:
        """The birth that *item* completes."""
        if item.name == "xen_dup_mmap":
            self._copied.add(item.pid)
        elif item.parent == "fpu_clone":
            shares = item.pid not in self._copied
            self._copied.discard(item.pid)
            self.count += 1
            return Birth(self.count, item.pid, shares)
        return None


def match_births(recording: Recording, items: Iterable[Item]) -> dict[int, tuple[int, int]]:
    """birth number -> (child pid, comm number), for those that can be told."""
    reader = BirthReader()
    births: list[tuple[Birth, set[int]]] = []
    comm_of: dict[int, int] = {}
    waiting: dict[int, list[set[int]]] = {}
    newcomers: list[_Newcomer] = []
    seen: set[int] = set()
    for item in items:
        if item.type == r.FUNCTION:
            born = reader.see(item)
            if born:
                names = {comm_of.get(born.parent, 0)}
                births.append((born, names))
                waiting.setdefault(born.parent, []).append(names)
        elif item.type == r.SWITCH:
            for pid, comm in ((item.a, item.c & 0xFFFFFF), (item.b, item.c >> 24 & 0xFFFFFF)):
                comm_of[pid] = comm
                for names in waiting.pop(pid, ()):
                    names.add(comm)  # the parent's name by then: it may have changed since its last switch
                if pid and pid not in seen:
                    seen.add(pid)
                    if not named_like_kthread(recording.comms[comm]):
                        newcomers.append(_Newcomer(pid, comm, reader.count))
    oldest = max((new.pid for new in newcomers if new.born_before == 0), default=0)
    candidates = sorted(new for new in newcomers if new.born_before and new.pid > oldest)
    matched: dict[int, tuple[int, int]] = {}
    at = 0
    for new in candidates:
        for place in range(at, len(births)):
            born, names = births[place]
            if born.number <= new.born_before and new.comm in names:
                matched[born.number] = (new.pid, new.comm)
                at = place + 1
                break
    return matched

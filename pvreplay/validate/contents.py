"""State of tasks whose contents no event tells: what it may be, and whose it is.

set_thread_area() and modify_ldt() hand over a pointer, a debug exception ends a
block step, a task that exits gives its mm up before anything says so.  Each is
a *gap* of the switches it can change.

TLS contents have a *token*: 0 for empty slots, a number of its own for every
set of descriptors that may be another one.  How many slots differ between two
tokens is one unknown for all switches between them.  In the same way what a
task older than the recording has of an I/O bitmap, or of a disabled TSC, is one
unknown for it and for the children that inherit it, until a call sets it anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from pvreplay.sources import records as r
from pvreplay.sources.calls import PR_SET_TSC, PTRACE_SINGLEBLOCK
from pvreplay.validate.told import Told

LAST_SWITCHES: Final = 4
"""How many of a task's last switches may fall into its exit."""
_SLOTS: Final = 3


class Gap(NamedTuple):
    """Facts that may have other values, and why (a key of REASONS); a value of -1 turns it round."""

    reason: str
    facts: Mapping[str, int]
    open: bool = False
    key: int | tuple[int, int] = 0
    """Whose state it is (a pid, an mm, two TLS tokens), when that stays until a system call changes it."""
    pair: tuple[int, int] | None = None
    """The loaded mm and the next task's, when nothing tells whether they are one and the same: what one
    switch shows holds for the next."""
    lasting: bool = False
    """What one switch shows of *key* holds for certain; until it is shown nothing is known."""


class Contents:
    """Follows the state stream beside :class:`pvreplay.validate.known.Knowledge`.

    *compat* pids that make system calls of 32-bit programs (it grows).
    """

    def __init__(self, told: Told, compat: set[int]) -> None:
        self._told = told.tls and told.execs
        self._states = {"notsc": told.notsc, "io_bitmap": told.io}
        self._inherited: dict[tuple[str, int], int] = {}
        """(state, pid) -> token of what it had before the recording; 0 when a call set it since."""
        self._token: dict[int, int] = {}
        self._known: set[int] = {0}
        """Tokens that stand for one and the same descriptors as long as they last."""
        self._tokens = 0
        self._stale: dict[int, int] = {}
        """CPU -> token of the descriptors an exec left in its GDT."""
        self._stepped: set[int] = set()
        self._io_unsure: set[int] = set()
        """Tasks that may have taken ports back, or whose iopl() may be another call."""
        self._compat = compat

    # --- records ---------------------------------------------------------------------------------

    def call(self, pid: int, cpu: int, number: int, arg0: int, arg1: int, arg2: int) -> None:
        """A system call begins (whether it succeeds is told later, and changes little here)."""
        if number == r.SYS_SET_THREAD_AREA:
            self._token[pid] = self._new(self._told)
            self._stale.pop(cpu, None)
        elif number == r.SYS_PTRACE and arg0 == PTRACE_SINGLEBLOCK:
            self._stepped.add(arg1)
        elif number in (r.SYS_IOPL, r.SYS_IOPERM):
            if self._inherited.get(("io_bitmap", pid)):  # what it took back may be what it had before
                self._inherited["io_bitmap", pid] = self._new(False)
            if number == r.SYS_IOPERM and not arg2:
                self._io_unsure.add(pid)
        elif number == r.SYS_PRCTL and arg0 == PR_SET_TSC:
            self._inherited["notsc", pid] = 0

    def raw_call(self, pid: int, number: int, arg0: int, arg2: int) -> None:
        """A raw call that may be an i386 one: 110 is its iopl() and getppid() of x86-64, 172 its prctl()
        and iopl() of x86-64, 101 its ioperm() and ptrace() of x86-64."""
        compat = pid in self._compat
        if (arg0 <= 3 and (number == 110 or (number == 172 and compat))) or (
            number == 101 and not arg2 and compat
        ):
            self._io_unsure.add(pid)

    def io_inherited(self, pid: int) -> bool:
        """Whether a task may have had an I/O bitmap, or IOPL, before the recording."""
        return bool(self._before("io_bitmap", pid))

    def born(self, parent: int, pid: int, flags: int) -> None:
        """copy_thread(): the child's slots are the parent's; CLONE_SETTLS of a 32-bit task sets one.

        *parent* is 0 for a kernel thread.
        """
        self.dead(pid)
        for state, told in self._states.items():
            if told:
                self._inherited[state, pid] = self._before(state, parent) if parent else 0
        if self._told:
            token = self._of(parent) if parent else 0
            sets = flags & r.CLONE_SETTLS and (token or parent in self._compat)
            self._token[pid] = self._new(True) if sets else token
        for group in (self._io_unsure, self._compat):
            if parent in group:
                group.add(pid)

    def exec(self, pid: int, cpu: int) -> None:
        """flush_thread() empties the slots; the GDT keeps them until the next switch."""
        if self._of(pid):
            self._stale[cpu] = self._of(pid)
        if self._told:
            self._token[pid] = 0
        else:
            del self._token[pid]

    def dead(self, pid: int) -> None:
        """The pid's life is over."""
        for state in self._states:
            self._inherited.pop((state, pid), None)
        self._token.pop(pid, None)
        self._compat.discard(pid)
        self._io_unsure.discard(pid)
        self._stepped.discard(pid)

    def _new(self, known: bool) -> int:
        self._tokens += 1
        if known:
            self._known.add(self._tokens)
        return self._tokens

    def _of(self, pid: int) -> int:
        token = self._token.get(pid)
        if token is None:
            token = self._token[pid] = self._new(self._told)
        return token

    def _before(self, state: str, pid: int) -> int:
        """The token of a state of a task."""
        token = self._inherited.get((state, pid))
        if token is None:
            token = self._inherited[state, pid] = self._new(self._states[state])
        return token

    # --- a switch ----------------------------------------------------------------------------------

    def gaps(self, cpu: int, prev: int, following: int) -> Iterable[Gap]:
        """The gaps of a switch; *prev* and *following* are pids, 0 for a kernel thread."""
        one = self._of(prev) if prev else 0
        one = self._stale.pop(cpu, one)
        two = self._of(following) if following else 0
        if one != two:
            key = (min(one, two), max(one, two))
            lasting = key[0] in self._known and key[1] in self._known
            for slots in (1, 2, _SLOTS, 0):
                yield Gap("tls", {"tls": slots}, key=key, lasting=lasting)
        for side, pid in (("prev", prev), ("next", following)):
            for state in self._states:
                token = self._before(state, pid) if pid else 0
                if token:
                    yield Gap(state, {f"{side}_{state}": 1}, key=token, lasting=token in self._known)
            if pid in self._stepped:
                yield Gap("blockstep", {f"{side}_blockstep": -1})
            if pid in self._io_unsure:
                yield Gap("io_bitmap", {f"{side}_io_bitmap": -1})


def last_switches(records: Iterable[tuple[int, int, int, int, int]]) -> tuple[set[int], set[int]]:
    """Numbers of the switches to, and from, a task that may be in its exit by then.

    *records* are (type, pid, a, b, prev_state class) of the state stream.  exit_mm() comes before
    anything tells the exit; so it may be that a task's last switches find it without an mm.  What
    the task itself does shows that it is still alive.
    """
    ways_in: dict[int, deque[int]] = {}
    ways_out: dict[int, deque[int]] = {}
    found: tuple[set[int], set[int]] = set(), set()
    number = 0
    for kind, pid, a, b, state in records:
        ended = 0
        if kind == r.SWITCH:
            ways_out.setdefault(a, deque(maxlen=LAST_SWITCHES)).append(number)
            ways_in.setdefault(b, deque(maxlen=LAST_SWITCHES)).append(number)
            number += 1
            ended = a if state == r.STATE_DEAD else 0
        elif kind == r.EXIT:
            ended = a or pid
        elif kind in _ALIVE:
            ways_in.pop(pid, None)
            ways_out.pop(pid, None)
        if ended:
            for numbers, ways in zip(found, (ways_in, ways_out), strict=True):
                numbers.update(ways.pop(ended, ()))
    return found


_ALIVE: Final = frozenset({r.NEWTASK, r.FORK, r.EXEC, r.SYS_ENTER, r.SYS_EXIT, r.RAW_ENTER, r.RAW_EXIT})

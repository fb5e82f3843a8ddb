"""The queues of the backends: what fits, what merges, when they flush by themselves.

A queue knows entries and bytes, nothing of ops or resources.  ``put`` adds one
entry and returns how many entries are new (0 when it merged into the last one,
or when the queue was full and the call went out by itself) and the flush this
took, if any.  ``take`` empties it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import msgspec


class QueueSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a backend's queue; fields that a kind does not use stay at their default.

    *kind*: none; multicall (Xen); ring (lguest); bytes (KVM); rom (VMI: in the
    ROM; *entries* 0 is no limit known).  *bound*: the queue is flushed when used + new bytes
    are ``>`` or ``>=`` *arg_bytes*.
    """

    kind: Literal["none", "multicall", "ring", "bytes", "rom"]
    entries: int = 0
    arg_bytes: int = 0
    bound: Literal[">", ">="] = ">"
    align: int = 1
    callbacks: int = 0
    bypass_single: bool = False
    host_bytes: int = 0
    source: str = ""
    since: str = ""
    until: str = ""


class Flush(NamedTuple):
    """A queue emptied: why, how many entries, how many crossings that took."""

    reason: str
    entries: int
    crossings: int


class Queue(Protocol):
    """What the machine asks of a queue."""

    length: int
    """Entries queued."""

    def put(self, size: int, call: str, extend: bool, callbacks: int) -> tuple[int, Flush | None]:
        """Add an entry of *size* argument bytes."""
        ...

    def take(self) -> tuple[int, int]:
        """Empty the queue: (entries it held, crossings it takes; 0 when empty)."""
        ...


class Multicall:
    """Xen: arch/x86/xen/multicalls.c.

    A new entry flushes first when there are *entries* of them, when its
    arguments (aligned) do not fit, or when the callbacks are full.  An entry
    may instead extend the last one, if that is the same call and its bytes fit.
    """

    __slots__ = (
        "_align",
        "_call",
        "_callbacks",
        "_limit",
        "_max_callbacks",
        "_max_entries",
        "_used",
        "length",
    )

    def __init__(self, spec: QueueSpec) -> None:
        self._max_entries = spec.entries
        # The last number of bytes that may be in use: one less where the test is >=.
        self._limit = spec.arg_bytes - (spec.bound == ">=")
        self._align = spec.align
        self._max_callbacks = spec.callbacks
        self.length = 0
        self._used = 0
        self._callbacks = 0
        self._call = ""

    def put(self, size: int, call: str, extend: bool, callbacks: int) -> tuple[int, Flush | None]:
        if extend and self.length and self._call == call and self._used + size <= self._limit:
            self._used += size
            return 0, self._callback(callbacks)
        used = -(-self._used // self._align) * self._align
        flush = None
        if self.length == self._max_entries:
            flush = Flush("full", *self.take())
            used = 0
        elif used + size > self._limit:
            flush = Flush("args_full", *self.take())
            used = 0
        self.length += 1
        self._used = used + size
        self._call = call
        # take() empties the callbacks too, so at most one of the two flushes happens.
        return 1, self._callback(callbacks) or flush

    def _callback(self, callbacks: int) -> Flush | None:
        flush = None
        if callbacks and self._callbacks + callbacks > self._max_callbacks:
            flush = Flush("callbacks_full", *self.take())
        self._callbacks += callbacks
        return flush

    def take(self) -> tuple[int, int]:
        length = self.length
        self.length = self._used = self._callbacks = 0
        self._call = ""
        return length, 1 if length else 0


class Ring:
    """lguest: slots the host drains before any real hypercall; when all are busy the call itself goes out."""

    __slots__ = ("_slots", "length")

    def __init__(self, spec: QueueSpec) -> None:
        self._slots = spec.entries
        self.length = 0

    def put(self, size: int, call: str, extend: bool, callbacks: int) -> tuple[int, Flush | None]:
        if self.length == self._slots:
            self.length = 0
            return 0, Flush("full", self._slots, 1)
        self.length += 1
        return 1, None

    def take(self) -> tuple[int, int]:
        length = self.length
        self.length = 0
        return length, 1 if length else 0


class Bytes:
    """KVM: ops packed by bytes; the host takes whole ops of at most *host_bytes* per hypercall."""

    __slots__ = ("_host", "_limit", "_sizes", "_used", "length")

    def __init__(self, spec: QueueSpec) -> None:
        self._limit = spec.arg_bytes
        self._host = spec.host_bytes
        self.length = 0
        self._used = 0
        self._sizes: list[int] = []

    def put(self, size: int, call: str, extend: bool, callbacks: int) -> tuple[int, Flush | None]:
        flush = None
        if self._used + size > self._limit:
            flush = Flush("full", *self.take())
        self._sizes.append(size)
        self._used += size
        self.length += 1
        return 1, flush

    def take(self) -> tuple[int, int]:
        length = self.length
        crossings = 0
        room = 0
        for size in self._sizes:
            if size > room:
                crossings += 1
                room = self._host
            room -= size
        self._sizes.clear()
        self.length = self._used = 0
        return length, crossings


class Rom:
    """VMI: in the ROM.  Its capacity is not published: none, unless a file sets *entries*."""

    __slots__ = ("_slots", "length")

    def __init__(self, slots: int = 0) -> None:
        self._slots = slots
        self.length = 0

    def put(self, size: int, call: str, extend: bool, callbacks: int) -> tuple[int, Flush | None]:
        flush = None
        if self._slots and self.length == self._slots:
            flush = Flush("full", *self.take())
        self.length += 1
        return 1, flush

    def put_many(self, entries: int) -> bool:
        """Add *entries* entries at once, where that cannot flush; whether it could be done."""
        if self._slots:
            return False
        self.length += entries
        return True

    def take(self) -> tuple[int, int]:
        length = self.length
        self.length = 0
        return length, 1 if length else 0


def make_queue(spec: QueueSpec) -> Queue:
    """An empty queue as *spec* tells; kind none is a :class:`Rom` that nothing is ever put into."""
    if spec.kind == "multicall":
        return Multicall(spec)
    if spec.kind == "ring":
        return Ring(spec)
    if spec.kind == "bytes":
        return Bytes(spec)
    return Rom(spec.entries)

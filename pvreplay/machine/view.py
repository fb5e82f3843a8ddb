"""One step as the rules and the drawings see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvreplay.machine import resources as res
from pvreplay.machine.backend import MODE_NAMES, Disposition

if TYPE_CHECKING:
    from pvreplay.machine.machine import Machine

# What was remarkable about a step; a rule names the flags it wants to be called for.
RAW: Final = 1
"""It read a resource with a queued write."""
WAW: Final = 2
"""It wrote at once a resource with a queued write, and the queue was not drained first."""
MODE: Final = 4
"""It is a lazy-mode transition or a flush."""
MARK: Final = 8
"""It is an event: begin, end, user, interrupt, sleep ..."""
OUTSIDE: Final = 16
"""A deferrable op in a switch window while lazy CPU mode is off."""
DRAINED: Final = 32
"""It emptied a queue that held something, though it is neither a transition nor a flush."""
TRAPPED: Final = 64
"""It trapped."""
QUEUED: Final = 128
"""It was queued."""
DEAD: Final = 256
"""It overwrote a queued write that nothing had read."""


PARKED: Final = 512
"""It left and parked a lazy MMU section before entering lazy CPU mode."""
IN_IRQ: Final = 1024
"""An interrupt or NMI was being handled."""

_NOTHING: Final[dict[int, int]] = {}


class View:
    """One step: the op, what the backend did with it, and the state around it.

    *mode* and *entered* are before the step, *mode_after* and *pending* after
    it.  *raw*, *waw* and *dead* are masks of resources, *since* gives for each
    of them (and for *raw* first) the step that queued it.  *deferred*: deferrable
    ops in the section that this step left.  *repeat*: how many equal ops this
    step stands for.
    """

    __slots__ = (
        "dead",
        "deferred",
        "disposition",
        "entered",
        "entries",
        "flags",
        "flush",
        "flushed",
        "how",
        "hypercalls",
        "in_window",
        "index",
        "irq",
        "machine",
        "mode",
        "mode_after",
        "pending",
        "place",
        "queue",
        "raw",
        "repeat",
        "rom_calls",
        "since",
        "traps",
        "waw",
    )

    def __init__(
        self, machine: Machine, index: int, disposition: Disposition, place: str, repeat: int
    ) -> None:
        self.machine = machine
        self.index = index
        self.disposition = disposition
        self.place = place
        self.repeat = repeat
        self.mode = self.mode_after = machine.mode
        self.entered = machine.entered
        self.in_window = machine.in_window
        self.irq = machine.irq_depth
        self.how = "plain"
        self.raw = self.waw = self.dead = self.flags = 0
        self.hypercalls = self.entries = self.traps = self.rom_calls = 0
        self.flush = ""
        self.deferred = self.flushed = self.queue = self.pending = 0
        self.since = _NOTHING

    @property
    def op(self) -> str:
        """The token as written."""
        return self.disposition.token.text

    @property
    def name(self) -> str:
        """The op's name without operand."""
        return self.disposition.name

    def queued_at(self, mask: int) -> int:
        """The step that queued the oldest of the writes in *mask* (from *since*)."""
        return min((step for bit, step in self.since.items() if bit & mask), default=-1)

    def detail(self) -> str:
        """What the step did, in words, for a drawing."""
        words = []
        if self.raw:
            words.append(f"reads {res.text(self.raw)}")
        if self.flush:
            calls = "1 hypercall" if self.hypercalls == 1 else f"{self.hypercalls} hypercalls"
            entries = "1 entry" if self.flushed == 1 else f"{self.flushed} entries"
            words.append(f"{calls}, {entries}")
        elif self.hypercalls:
            words.append("1 hypercall" if self.hypercalls == 1 else f"{self.hypercalls} hypercalls")
        if self.flags & QUEUED and self.disposition.writes & self.pending:
            words.append(f"{res.text(self.disposition.writes & self.pending)} pending")
        if self.mode_after != self.mode:
            words.append(f"mode {MODE_NAMES[self.mode_after]}")
        return ", ".join(words)

"""The names of event kinds and what their arguments may be.

The names are those of the text form and of the names block of trace.bin; the
limits are what both hold an event to (traces/FORMAT.md, "Events").
"""

from __future__ import annotations

from typing import Final

from pvreplay.trace.events import MM_MAX, NKINDS, Kind

KIND_NAMES: Final[tuple[str, ...]] = ("", *(kind.name.lower() for kind in Kind))
"""Name of each kind by number; number 0 is no kind."""

KINDS_BY_NAME: Final[dict[str, int]] = {name: number for number, name in enumerate(KIND_NAMES) if name}

TAKES_TASK: Final = frozenset({Kind.SWITCH, Kind.ON, Kind.FORK, Kind.BEGIN, Kind.FOR})
"""Kinds whose argument is a task; 0 is the CPU's own idle task."""

_WORD_MAX: Final = (1 << 32) - 1
_LIMITS: Final[dict[Kind, int]] = {
    Kind.EXEC: MM_MAX - 1,
    Kind.TLS: _WORD_MAX,
    Kind.LDT: _WORD_MAX,
    Kind.IOPL: 3,
    Kind.IO_BITMAP: 1,
    Kind.DR: 1,
    Kind.NOTSC: 1,
    Kind.GS: 1,
    Kind.BLOCKSTEP: 1,
    Kind.SET_PTE: _WORD_MAX,
    Kind.LOST: _WORD_MAX,
    Kind.OP: _WORD_MAX,
}

ARG_MAX: Final[tuple[int, ...]] = tuple(
    _WORD_MAX if kind in TAKES_TASK else _LIMITS.get(kind, 0) for kind in (Kind.SWITCH, *Kind)
)
"""Largest argument of each kind by number; 0 where a kind has none.

Tasks are bounded by the task table and ops by the op table besides.
"""

HAS_ARG: Final[tuple[bool, ...]] = tuple(limit > 0 for limit in ARG_MAX)

TLS_SLOTS: Final = 3

if len(KIND_NAMES) != NKINDS:  # the kinds are 1 .. NKINDS-1 without gaps
    raise AssertionError("event kinds must be numbered without gaps")


def kind_name(kind: int) -> str:
    """Name of a kind for messages, also of one that is not in the table."""
    return KIND_NAMES[kind] if 0 < kind < NKINDS else f"kind {kind}"

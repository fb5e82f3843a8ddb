"""What is known about a trace, as lines: shared by the text form and the meta block.

    origin "guest n64, Linux 6.1"
    clock mono
    tool "pvreplay 0.1.0"
    level op
    cpus 2
    state fpu observed from x86_fpu:x86_fpu_regs_activated
    state iopl assumed from 0 option "--assume iopl=3"
    doubt out_of_order 3
    damage "offset 0x40: ..."

Any line may come again; the last one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from pvreplay.trace.events import CPU_MAX
from pvreplay.trace.model import How, Meta, Origin
from pvreplay.trace.quote import quote

META_KEYS: Final = frozenset({"origin", "clock", "tool", "level", "cpus", "state", "doubt", "damage"})
_HOWS: Final = ("observed", "derived", "assumed")
_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-.")


class MetaError(ValueError):
    """A meta line that says nothing sensible: what was found, what is expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected


def meta_lines(meta: Meta, doubts: Mapping[str, int], damage: str) -> list[str]:
    """The lines of everything known; what is unknown (empty, 0) has no line."""
    lines = []
    if meta.origin:
        lines.append(f"origin {quote(meta.origin)}")
    if meta.clock:
        lines.append(f"clock {quote(meta.clock)}")
    if meta.tool:
        lines.append(f"tool {quote(meta.tool)}")
    if meta.level != "switch":
        lines.append(f"level {meta.level}")
    if meta.cpus:
        lines.append(f"cpus {meta.cpus}")
    for key, origin in meta.state.items():
        line = f"state {quote(key)} {origin.how}"
        if origin.source:
            line += f" from {quote(origin.source)}"
        if origin.option:
            line += f" option {quote(origin.option)}"
        lines.append(line)
    lines += [f"doubt {quote(name)} {number}" for name, number in doubts.items() if number]
    if damage:
        lines.append(f"damage {quote(damage)}")
    return lines


def apply_meta(found: list[str], meta: Meta, doubts: dict[str, int]) -> str:
    """Take in the words of one line whose first word is in :data:`META_KEYS`.

    Returns the text of a ``damage`` line, else an empty string.  Raises
    :class:`MetaError`.
    """
    key, values = found[0], found[1:]
    if key == "state":
        _state(values, meta)
    elif key == "doubt":
        if len(values) != 2 or not _name(values[0]) or not _number(values[1]):
            raise MetaError(f"doubt {' '.join(values)}", "doubt NAME NUMBER")
        doubts[values[0]] = int(values[1])
    elif len(values) != 1:
        raise MetaError(f"{key} with {len(values)} values", f"{key} and one value, quoted if it has blanks")
    elif key == "cpus":
        if not _number(values[0]) or not 0 < int(values[0]) <= CPU_MAX:
            raise MetaError(f"cpus {values[0]}", f"cpus and a number from 1 to {CPU_MAX}")
        meta.cpus = int(values[0])
    elif key == "level":
        if values[0] not in ("switch", "op"):
            raise MetaError(f"level {values[0]}", "level switch or level op")
        meta.level = "op" if values[0] == "op" else "switch"
    elif key == "damage":
        return values[0]
    else:
        setattr(meta, key, values[0])
    return ""


def _state(values: list[str], meta: Meta) -> None:
    origin = Origin("assumed")
    form = 'state KEY observed|derived|assumed [from "..."] [option "..."]'
    if len(values) not in (2, 4, 6) or not _name(values[0]) or values[1] not in _HOWS:
        raise MetaError(f"state {' '.join(values)}", form)
    origin.how = cast("How", values[1])
    for name, value in zip(values[2::2], values[3::2], strict=True):
        if name == "from":
            origin.source = value
        elif name == "option":
            origin.option = value
        else:
            raise MetaError(f"{name} in a state line", form)
    meta.state[values[0]] = origin


def _name(text: str) -> bool:
    return bool(text) and _NAME.issuperset(text)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20

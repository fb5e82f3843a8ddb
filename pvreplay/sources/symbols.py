"""Kernel symbols and tracepoints -> paravirtual operations, as ``symbols.toml`` tells."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from pvreplay import modelfile
from pvreplay.trace.names import KINDS_BY_NAME

PATH: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "symbols.toml")
OTHER_PTE: Final = "other"
"""Label of a PTE that is read and has no queued write."""
_SUFFIX: Final = re.compile(rb"\.(?:part|constprop|isra|cold|lto_priv)(?:\.\d+)?(?:\..*)?$")


class Meaning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one line means; the fields are those of the file.

    *held*: whether a batch follows says more, so it waits for the next line.
    *batched*: it counts only if one does.  *repeats*: further lines of the
    same name belong to the same call.  *pte*: its text names a PTE (``ptep``)
    that it reads or writes.
    """

    name: str
    ops: tuple[str, ...] = ()
    kind: str = ""
    callers: tuple[str, ...] = ()
    match: str = ""
    does: Literal["", "batch", "issue", "flush", "slot"] = ""
    call: str = ""
    held: bool = False
    batched: bool = False
    repeats: bool = False
    pte: Literal["", "read", "write"] = ""
    source: str = ""


class _Switch(msgspec.Struct, forbid_unknown_fields=True):
    start: list[str]
    mm: list[str]
    roots: list[str]
    callers: list[str]
    source: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    switch: _Switch
    symbol: list[Meaning]
    event: list[Meaning]


class Symbols:
    """The file, ready to be asked."""

    def __init__(self, document: dict[str, Any]) -> None:
        file = msgspec.convert(document, _File)
        self.start = frozenset(name.encode() for name in file.switch.start)
        self.once = self.start | frozenset(name.encode() for name in file.switch.mm)
        """Called once in each switch, from one of *roots*."""
        self.roots = frozenset(name.encode() for name in file.switch.roots)
        self.callers = self.roots | frozenset(name.encode() for name in file.switch.callers)
        """Who calls what belongs to a switch."""
        self._symbols: dict[bytes, list[Meaning]] = {}
        self._events: dict[bytes, list[tuple[re.Pattern[bytes] | None, Meaning]]] = {}
        for symbol in file.symbol:
            self._symbols.setdefault(symbol.name.encode(), []).append(symbol)
        for event in file.event:
            pattern = re.compile(event.match.encode()) if event.match else None
            self._events.setdefault(event.name.encode(), []).append((pattern, event))
        self.ops = _table([*file.symbol, *file.event])
        self.op_numbers = {name: number for number, name in enumerate(self.ops)}

    def function(self, name: bytes, caller: bytes) -> Meaning | None:
        """What a call of *name* by *caller* (b"" when not known) means; None when that is not known."""
        for meaning in self._symbols.get(name, ()):
            if not meaning.callers or caller.decode("utf-8", "replace") in meaning.callers:
                return meaning
        return None

    def event(self, name: bytes, text: bytes) -> Meaning | None:
        """What the tracepoint *name* with *text* means; None when it means nothing here."""
        for pattern, meaning in self._events.get(name, ()):
            if pattern is None or pattern.search(text):
                return meaning
        return None

    def event_names(self) -> frozenset[bytes]:
        """Every tracepoint of which some text means something."""
        return frozenset(self._events)

    def knows_event(self, name: bytes) -> bool:
        """Whether any text of the tracepoint means something."""
        return name in self._events


def plain_name(symbol: bytes) -> bytes:
    """*symbol* without what a compiler adds to the name of a function that it has split or specialised."""
    return _SUFFIX.sub(b"", symbol) if b"." in symbol else symbol


def _table(meanings: Sequence[Meaning]) -> tuple[str, ...]:
    """Every op, once; ``load_tls`` with each number of slots."""
    ops = dict.fromkeys(op for meaning in meanings for op in meaning.ops)
    ops.update(dict.fromkeys(f"{op}:{OTHER_PTE}" for m in meanings if m.pte == "read" for op in m.ops))
    ops.update(dict.fromkeys(f"load_tls:{slots}" for slots in range(4)))
    for meaning in meanings:
        if meaning.kind and meaning.kind not in KINDS_BY_NAME:
            raise ValueError(f"{PATH}: {meaning.name}: no event kind {meaning.kind!r}")
    return tuple(ops)


_loaded: list[Symbols] = []


def symbols() -> Symbols:
    """The table, read once."""
    if not _loaded:
        with open(PATH, "rb") as file:
            _loaded.append(Symbols(modelfile.loads(file.read())))
    return _loaded[0]

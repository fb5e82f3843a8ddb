"""What can be compared of a switch: its ops in order and its flushes, predicted or seen."""

from __future__ import annotations

from collections.abc import Sequence

from pvreplay.validate.predict import Flushed
from pvreplay.validate.signs import ALWAYS, XTRA

NAMES = {"write_cr3": "mm", "set_ldt": "ldt", XTRA: "xtra", "load_gs_index": "gs"}
FLUSH_NAMES = ("end_of_switch", "load_sp0")


class View:
    """What can be compared of a path or of a window: the ops that are shown, and the flushes."""

    __slots__ = ("flushes", "lazy", "ops")

    def __init__(self, ops: Sequence[str], flushes: Sequence[Flushed] | None, lazy: bool | None) -> None:
        self.ops = tuple(ops)
        self.flushes = None if flushes is None else tuple(flushes)
        self.lazy = lazy

    def same(self, other: View, xtra: bool = True) -> bool:
        """Equal in order and flushes; without *xtra* the call of __switch_to_xtra() is left aside."""
        if xtra:
            ops = self.ops == other.ops
        else:
            ops = [op for op in self.ops if op != XTRA] == [op for op in other.ops if op != XTRA]
        return (
            ops
            and self.flushes == other.flushes
            and (self.lazy == other.lazy or None in (self.lazy, other.lazy))
        )

    def shape(self) -> str:
        """The class it falls into: the ops that not every switch has, and the end-of-switch flush."""
        words = [NAMES.get(op, op) for op in self.ops if op not in ALWAYS]
        if self.flushes is not None:
            words.append("flush " + ("/".join(str(n) for n in self.flushes[0]) if self.flushes else "none"))
        return "+".join(words) or "-"

    def words(self) -> list[str]:
        """One line an op or flush, for drawings."""
        lines = list(self.ops)
        if self.lazy is not None:
            lines.insert(
                1 if self.ops[:1] == ("start_context_switch",) else 0,
                "next is a kernel thread" if self.lazy else "next is a user task",
            )
        for name, flushed in zip(FLUSH_NAMES, self.flushes or (), strict=False):
            lines.append(
                f"{name} flush: {flushed.entries} entries, {flushed.arg_bytes} argument bytes, "
                f"{flushed.callbacks} callbacks"
            )
        return lines

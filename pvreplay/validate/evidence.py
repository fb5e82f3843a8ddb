"""The evidence: what each recorded switch really did, from signs alone.

A window begins with the sched_switch of a CPU and ends when the switch path is
through: under Xen with the flush of load_sp0, natively with the first thing
that is not of the path; __switch_to_xtra() and what it calls come right after.
A line in it belongs to the switch by its place and by its caller, never by its
task column: that changes in the middle, and not at the same place in 32 and 64
bits.  Everything else in the window is *other work*, counted by name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from pvreplay.sources import records as r
from pvreplay.validate.graph import BARRED, HEAD, LATE_PARTIAL, PARTIAL
from pvreplay.validate.items import Item
from pvreplay.validate.predict import Flushed
from pvreplay.validate.signs import (
    ALWAYS,
    BREAKPOINT,
    DETAILS,
    NATIVE_SIGNS,
    PATH,
    SIZES,
    XEN_SIGNS,
    XEN_TYPES,
    XTRA,
    Survey,
)

LINES_MAX = 64
"""Lines of a window that are kept for its drawing."""
_OWN_CALLERS = frozenset({"__schedule", "context_switch", "__switch_to"})
_STACK_SWITCH = 3
_UPDATE_DESCRIPTOR = 10


class Seen:
    """What one switch did.

    *ops* as the signs tell them, in order; *flushes* as xen_mc_flush tells
    them, None while those events were not all switched on; *descriptors* how
    many update_descriptor entries; *other* name -> number of things that were
    not of the switch; *lazy* whether
    enter_lazy_tlb() (True) or switch_mm_irqs_off() (False) was called, None
    when neither is told; *complete* whether its end was recorded; *covered*
    whether everything that shows a switch was switched on; *part* is not 0
    when half of it was not recorded; *lazy_told* whether *lazy* had no part in
    telling the next task.
    """

    __slots__ = (
        "complete",
        "covered",
        "cpu",
        "descriptors",
        "direct",
        "flushes",
        "lazy",
        "lazy_told",
        "lines",
        "next",
        "ops",
        "other",
        "part",
        "prev",
        "time_ns",
    )

    def __init__(self, item: Item) -> None:
        self.time_ns, self.cpu = item.time_ns, item.cpu
        self.prev, self.next = item.a, item.b
        self.ops: list[str] = []
        self.flushes: list[Flushed] | None = []
        self.descriptors = 0
        self.direct = 0
        self.other: dict[str, int] = {}
        self.lazy: bool | None = None
        self.lines: list[str] = [item.text]
        self.complete = False
        self.covered = True
        self.part = item.flags & (HEAD | PARTIAL | LATE_PARTIAL)
        self.lazy_told = not item.flags & BARRED

    def shows(self, op: str) -> bool:
        """Whether *op* would have been recorded, as far as the half of the switch that was recorded goes."""
        if op == XTRA:
            return not self.part or bool(self.part & LATE_PARTIAL)
        return not self.part & PARTIAL


class _Window:
    """One CPU's window while it is open."""

    __slots__ = ("batch", "contiguous", "done", "loading", "pending_other", "seen", "sized", "stacked")

    def __init__(self, item: Item, covered: bool, sized: bool) -> None:
        self.seen = Seen(item)
        self.seen.covered = covered
        self.sized = sized
        if not sized:
            self.seen.flushes = None
        self.loading = False
        self.batch: set[str] = set()
        self.stacked = False
        self.done = False
        self.contiguous = True
        self.pending_other: list[str] = []


class Windows:
    """Iterate for the :class:`Seen` of every switch, in file order.

    *shown* tells which sign stands for which op in this recording.
    """

    def __init__(self, items: Iterable[Item], survey: Survey, xen: bool) -> None:
        self._items = items
        self._xen = xen
        self.shown = survey.shown(XEN_SIGNS if xen else NATIVE_SIGNS)
        always = [sign for op, sign in self.shown.items() if op in ALWAYS]
        self.first, self.last = survey.covered(always)
        self._sized_from, self._sized_to = survey.covered(SIZES) if survey.flushes else (survey.switches, -1)
        self._by_function: dict[str, list[tuple[str, str]]] = {}
        self._by_event: dict[str, str] = {}
        for op, sign in self.shown.items():
            kind, _, rest = sign.partition(":")
            if kind == "fn":
                name, _, caller = rest.removesuffix(":args").partition("<-")
                self._by_function.setdefault(name, []).append((caller, op))
            else:
                self._by_event[rest] = op
        self._by_argument = self.shown.get("write_cr3", "").endswith(":args")
        self._has_end = bool(survey.signs.keys() & {"fn:xen_load_sp0", "ev:stack_switch"})
        self._loaded: dict[int, int] = {}

    def __iter__(self) -> Iterator[Seen]:
        order: deque[_Window] = deque()
        number = 0
        open_: dict[int, _Window] = {}
        for item in self._items:
            if item.type == r.SWITCH:
                window = open_.get(item.cpu)
                if window is not None:
                    self._end(window)
                open_[item.cpu] = window = _Window(
                    item, self.first <= number <= self.last, self._sized_from <= number <= self._sized_to
                )
                number += 1
                order.append(window)
            elif item.cpu in open_:
                window = open_[item.cpu]
                if item.type == r.LOST and not window.done:
                    self._cut(window)
                elif not window.done:
                    self._take(window, item)
                elif self._by_argument and item.name == "switch_mm_irqs_off":
                    self._loaded[item.cpu] = item.b
            elif self._by_argument and item.name == "switch_mm_irqs_off":
                self._loaded[item.cpu] = item.b
            while order and order[0].done:
                yield order.popleft().seen
        for window in order:
            if not window.done and (self._has_end or not window.contiguous):
                self._end(window)
            yield window.seen

    def _end(self, window: _Window) -> None:
        window.done = True
        if not self._has_end or window.stacked:
            window.seen.complete = True

    def _cut(self, window: _Window) -> None:
        """Something was lost here: what comes next need not be of this switch."""
        if window.stacked or not (window.contiguous or self._has_end):
            self._end(window)
        window.done = True

    # --- one item ---------------------------------------------------------------------------------

    def _take(self, window: _Window, item: Item) -> None:
        if window.stacked:
            if item.name == XTRA or item.parent in (XTRA, "xen_invalidate_io_bitmap"):
                self._call(window, item)
            elif item.name in BREAKPOINT:
                self._other(window, item.name)
            elif item.type == r.FUNCTION or window.sized or item.type not in XEN_TYPES:
                self._end(window)
            return
        if item.type == r.FUNCTION:
            self._function(window, item)
        elif self._xen:
            self._xen_event(window, item)
        else:
            self._native_event(window, item)

    def _function(self, window: _Window, item: Item) -> None:
        seen = window.seen
        if item.name == XTRA or item.parent == XTRA:
            own = True
        elif item.parent:
            # what text_poke() calls is called by the same functions, but never before the switch is over
            own = item.parent in PATH and (self._xen or window.contiguous or item.parent in _OWN_CALLERS)
        else:
            own = window.contiguous and item.pid == seen.prev and seen.lazy is None
        if own:
            self._call(window, item)
        elif not item.parent and item.name == "switch_mm_irqs_off":
            self._loaded[item.cpu] = item.b  # a probe without a caller, later than the switch
        else:
            self._foreign(window, item)

    def _call(self, window: _Window, item: Item) -> None:
        seen = window.seen
        self._join(window, item)
        if item.name == "enter_lazy_tlb" and seen.lazy is None:
            seen.lazy = True
        elif item.name == "switch_mm_irqs_off" and item.parent in ("", "__schedule", "context_switch"):
            seen.lazy = False
            if self._by_argument:
                if self._loaded.get(item.cpu) not in (None, item.b):
                    seen.ops.append("write_cr3")
                self._loaded[item.cpu] = item.b
                return
        for caller, op in self._by_function.get(item.name, ()):
            if caller in ("", item.parent) or not item.parent:
                seen.ops.append(op)
                break
        else:
            if item.name not in DETAILS:
                self._other(window, item.name)
        if item.name == "xen_load_sp0":
            window.loading = True
        elif item.name == "xen_mc_flush" and window.loading:
            window.stacked = not window.sized  # else the event with the sizes comes, too

    def _xen_event(self, window: _Window, item: Item) -> None:
        if item.type not in XEN_TYPES and item.type not in (r.TLB_FLUSH, r.FPU_DEACTIVATED):
            if not item.name.startswith("xen_mc_"):
                self._foreign(window, item)
            return
        seen = window.seen
        self._join(window, item)
        if item.type == r.MC_BATCH:
            window.batch = set()
        elif item.type == r.XEN_CR3:
            window.batch.add("cr3")
            if item.a == 0:
                self._event(window, item.name)
        elif item.type == r.XEN_SET_LDT:
            window.batch.add("ldt")
            self._event(window, item.name)
        elif item.type == r.MC_ENTRY:
            if item.a == _STACK_SWITCH:
                window.batch.add("stack")
                self._event(window, "stack_switch")
            elif item.a == _UPDATE_DESCRIPTOR:
                seen.descriptors += 1
        elif item.type == r.MC_ISSUE:
            if not window.batch:
                self._event(window, item.name)
        elif item.type == r.MC_FLUSH:
            if not seen.flushes:
                self._event(window, item.name)
            if seen.flushes is not None:
                seen.flushes.append(Flushed(item.a, item.b, item.c))
            window.stacked = "stack" in window.batch
        elif item.type == r.FPU_DEACTIVATED:
            self._event(window, item.name)

    def _native_event(self, window: _Window, item: Item) -> None:
        seen = window.seen
        # prev still is current when the page tables and the FPU are switched, also on 64-bit kernels
        own = window.contiguous and item.pid == seen.prev
        if own and (item.type == r.FPU_DEACTIVATED or (item.type == r.TLB_FLUSH and item.a == 0)):
            self._join(window, item)
            self._event(window, item.name)
        else:
            self._foreign(window, item)

    # --- helpers ------------------------------------------------------------------------------------

    def _event(self, window: _Window, name: str) -> None:
        op = self._by_event.get(name)
        if op == "fpu_save" and op in window.seen.ops:
            self._other(window, name)  # an event recorded twice
        elif op is not None:
            window.seen.ops.append(op)

    def _foreign(self, window: _Window, item: Item) -> None:
        """Not of the switch: other work if the switch goes on after it, else its end was before."""
        if item.name in BREAKPOINT:
            self._other(window, item.name)
            return
        window.contiguous = False
        if len(window.pending_other) < LINES_MAX:
            window.pending_other.append(item.name)

    def _join(self, window: _Window, item: Item) -> None:
        """An item of the switch: what stood between was in its window."""
        for name in window.pending_other:
            self._other(window, name)
        window.pending_other.clear()
        if len(window.seen.lines) < LINES_MAX:
            window.seen.lines.append(item.text)

    def _other(self, window: _Window, name: str) -> None:
        other = window.seen.other
        other[name] = other.get(name, 0) + 1

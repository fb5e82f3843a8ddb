"""Records of any recording -> a Trace: events, tasks, and where each piece of state came from.

``RecoveredTrace`` pulls records from a decoder, lets the compiled loop take the ordinary ones, and
gives the rest to ``handlers.py``.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import Final

from pvreplay.sources import _recover_cy as loop
from pvreplay.sources import records as r
from pvreplay.sources.assume import check_assume
from pvreplay.sources.births import LOOKAHEAD, Births
from pvreplay.sources.handlers import Handlers
from pvreplay.sources.provenance import describe_state
from pvreplay.sources.records import RawSource
from pvreplay.sources.tables import Tables
from pvreplay.trace.model import Chunk, Meta

CHUNK_RECORDS: Final = 16384
"""Records held at once: 512 KiB, which stays in a second-level cache."""


class RecoveredTrace:
    """The Trace of a decoded recording.

    A task's definition keeps its pid of birth, and shows its last name: it is updated in place
    until the task is gone.  With *assume* see ``assume.py``; UsageError for what it does not know.
    """

    def __init__(self, source: RawSource, assume: Mapping[str, str] | None = None) -> None:
        self.assume = check_assume(assume or {})
        self.meta = Meta(source.path, source.format, clock=source.clock, origin=source.origin)
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self.source = source
        self._tables = tables = Tables(CHUNK_RECORDS)
        tables.ctl[loop.C_FPU_SEEN] = int(self.assume["fpu"] == "seen")
        self._words = memoryview(array("Q", bytes(r.RECORD_BYTES * CHUNK_RECORDS)))
        self._handlers = Handlers(source, self._words, tables, self.assume)

    def evidence(self, task: int) -> str:
        """What settled a task's mm; a word of ``Births.ASSUMED`` when nothing did."""
        return self._handlers.births.how(task)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks in file order."""
        tables, words = self._tables, self._words
        i = n = 0
        at_end = False
        while not at_end or i < n:
            offset = self.source.offset
            if not at_end:
                filled = self.source.fill(words, n)
                at_end = filled == n
                n = self._handlers.end = filled
            i = self._consume(i, n if at_end else n - LOOKAHEAD)
            count = tables.ctl[loop.C_EVENTS]
            if count or tables.fresh:
                events = memoryview(tables.events)[: 2 * count].toreadonly()
                tasks, tables.fresh = tables.fresh, []
                yield Chunk(events, tasks, offset=offset)
                tables.ctl[loop.C_EVENTS] = 0
            words[: 4 * (n - i)] = words[4 * i : 4 * n]
            i, n = 0, n - i
            self._handlers.end = n
        self._finish()

    def _consume(self, i: int, limit: int) -> int:
        """Turn records *i* .. *limit* - 1 into events; where it stopped (the events are full)."""
        t, words = self._tables, self._words
        handlers = self._handlers.by_type
        while i < limit and not t.full():
            i = loop.run(words, i, limit, t.events, t.ctl, t.cpus, t.tasks, t.slots, t.cr3s)
            if i >= limit or t.full():
                break
            w0, w1, w2, w3 = words[4 * i : 4 * i + 4]
            cpu, kind = w1 & 0xFFFF, w1 >> 16 & 0xFF
            t.see_cpu(cpu)
            t.ctl[loop.C_COUNTS + kind] += 1
            handler = handlers.get(kind)
            if handler is not None:
                handler(i, w0, cpu, w1 >> 24 & 0xFF, w1 >> 32, w2 & 0xFFFFFFFF, w2 >> 32, w3)
            i += 1
        return i

    def _finish(self) -> None:
        tables, source, handlers = self._tables, self.source, self._handlers
        for task, definition in tables.live.items():
            if tables.comm(task):
                definition.comm = handlers.name(tables.comm(task))
        self.damage = source.damage
        for doubts in (source.doubts, handlers.doubts, handlers.calls.doubts):
            for name, count in doubts.items():
                self.doubts[name] = self.doubts.get(name, 0) + count
        assumed = sum(handlers.births.tally.get(how, 0) for how in Births.ASSUMED)
        if assumed:
            self.doubts["mm_assumed"] = assumed
        self.meta.cpus = tables.nr_cpus()
        self.meta.clock = source.clock
        self.meta.origin = source.origin
        self.meta.state = describe_state(tables, handlers.births, handlers.calls, self.assume, handlers.execs)

"""What a trace holds, in numbers: read once to the end, nothing replayed."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from pvreplay.trace._scan_cy import scan
from pvreplay.trace.events import Kind
from pvreplay.trace.model import Meta, Trace
from pvreplay.trace.names import kind_name

_NO_TIME = (1 << 64) - 1


@dataclass(slots=True)
class Summary:
    """Counts over a whole trace; times in ns, both 0 when there is no event."""

    meta: Meta
    events: int = 0
    tasks: int = 0
    cpus: int = 0
    """CPUs told by the trace, or the highest one with an event + 1."""
    chunks: int = 0
    first_time_ns: int = 0
    last_time_ns: int = 0
    lost_events: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    """Events by name, only those that occur, in the order of their numbers."""
    doubts: dict[str, int] = field(default_factory=dict)
    damage: str = ""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """What a recording without switches counts: title -> name -> how many."""

    @property
    def switches(self) -> int:
        """Switch events."""
        return self.kinds.get(kind_name(Kind.SWITCH), 0)

    @property
    def duration_ns(self) -> int:
        """From the earliest to the latest event."""
        return self.last_time_ns - self.first_time_ns


def summarise(trace: Trace) -> Summary:
    """Read *trace* to its end and count.  Raises what reading it raises.

    A source whose ``chunks`` refuse, because nothing in it can be replayed, has ``survey`` and ``counts``.
    """
    kinds, cpus = array("Q", bytes(8 * 256)), array("Q", bytes(8 * 65536))
    totals = array("Q", (_NO_TIME, 0, 0, 0))
    summary = Summary(trace.meta)
    for chunk in getattr(trace, "survey", trace.chunks)():
        scan(chunk.events, kinds, cpus, totals)
        summary.events += len(chunk.events) // 2
        summary.tasks += len(chunk.tasks)
        summary.chunks += 1
    if summary.events:
        summary.first_time_ns, summary.last_time_ns = totals[0], totals[1]
    seen = max((cpu + 1 for cpu, count in enumerate(cpus) if count), default=0)
    summary.cpus = max(trace.meta.cpus, seen)
    summary.lost_events = totals[2]
    summary.kinds = {kind_name(kind): count for kind, count in enumerate(kinds) if count}
    summary.doubts = {name: count for name, count in trace.doubts.items() if count}
    if totals[3]:
        summary.doubts["lost_unknown"] = totals[3]
    summary.damage = trace.damage
    summary.counts = getattr(trace, "counts", {})
    return summary

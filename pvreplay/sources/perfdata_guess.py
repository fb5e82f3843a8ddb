"""sched_switch without its format: a perf.data cut before the texts at its end.

An attribute names a tracepoint by number only.  Which number is sched_switch,
and whether the recorded kernel's long has 8 or 4 bytes, shows in the payloads:
names that end, pids and priorities in range, the current task switched away
from, and each CPU's switches chained: who was switched to is switched from next.
A layout counts only when the records prove it.
"""

from __future__ import annotations

from array import array
from typing import Final

from pvreplay.sources import _perfdata_cy as engine
from pvreplay.sources.formats import Field, Format
from pvreplay.sources.perfdata_head import Event, Layouts

SAMPLES: Final = 4096
LEAST_LINKS: Final = 8
"""Links of the chain that have to be seen before it proves anything."""
BROKEN_OF: Final = 20
"""At most one link in so many may be broken (by lost events)."""
PID_LIMIT: Final = 4194304
"""PID_MAX_LIMIT of a 64-bit kernel (include/linux/threads.h)."""
PRIO_LIMIT: Final = 140
"""MAX_PRIO (include/linux/sched/prio.h)."""


def _candidate(long_size: int) -> dict[str, Field]:
    """sched_switch as every kernel since 2.6.35 lays it out, for a long of 8 or 4 bytes."""
    fields = [("common_type", 0, 2, False), ("common_pid", 4, 4, False), ("prev_comm", 8, 16, True)]
    fields += [("prev_pid", 24, 4, False), ("prev_prio", 28, 4, False), ("prev_state", 32, long_size, False)]
    at = 32 + long_size
    fields += [("next_comm", at, 16, True), ("next_pid", at + 16, 4, False), ("next_prio", at + 20, 4, False)]
    return {name: Field(name, offset, size, True, array) for name, offset, size, array in fields}


def guess_switch(data: memoryview, events: list[Event]) -> Format | None:
    """The format of the event whose records are switches beyond doubt; None when none are.

    *data* holds the records of *events*.
    """
    layouts = Layouts(events)
    for number in sorted({event.config for event in events if event.is_tracepoint}):
        if number > 0xFFFF:
            continue
        samples = _samples(data, number, layouts)
        for long_size in (8, 4):
            fields = _candidate(long_size)
            if _is_switch(data, samples, fields):
                return Format("sched", "sched_switch", number, fields, "")
    return None


def _samples(data: memoryview, number: int, layouts: Layouts) -> list[tuple[int, int, int]]:
    """(CPU, offset of the payload, its length) of the first samples of one event."""
    slots = bytearray(1 << 16)
    slots[number] = 1
    side = bytearray(256)
    state = array("Q", bytes(8 * engine.STATE_INTS))
    words = array("Q", bytes(32 * SAMPLES))
    count = engine.scan(
        data, len(data), len(data) + 1, layouts.rows, layouts.id_at, layouts.tail_id, layouts.ids, slots,
        side, layouts.twins, words, 0, SAMPLES, len(data), array("q", bytes(8 * 256)), state,
    )  # fmt: skip
    return [
        (words[4 * i + 1] & 0xFFFF, words[4 * i + 2], words[4 * i + 3] & 0xFFFFFFFF) for i in range(count)
    ]


def _is_switch(data: memoryview, samples: list[tuple[int, int, int]], fields: dict[str, Field]) -> bool:
    end = fields["next_prio"].offset + 4
    last: dict[int, int] = {}
    links = broken = 0

    def number(at: int, name: str) -> int:
        start = at + fields[name].offset
        return int.from_bytes(data[start : start + 4], "little", signed=True)

    for cpu, at, length in samples:
        if not end <= length <= end + 4:
            return False
        prev, following = number(at, "prev_pid"), number(at, "next_pid")
        for name in ("prev_comm", "next_comm"):
            start = at + fields[name].offset
            if 0 not in bytes(data[start : start + 16]):
                return False
        if not (0 <= prev <= PID_LIMIT and 0 <= following <= PID_LIMIT) or number(at, "common_pid") != prev:
            return False
        if not all(-1 <= number(at, name) <= PRIO_LIMIT for name in ("prev_prio", "next_prio")):
            return False
        if cpu in last:
            links += 1
            broken += last[cpu] != prev
        last[cpu] = following
    return links >= LEAST_LINKS and broken * BROKEN_OF <= links

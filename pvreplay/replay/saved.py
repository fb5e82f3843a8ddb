"""Histograms in files: saved, loaded and added, so that a fleet's traces need not be kept.

The file is one JSON object, schema ``pvreplay.histogram/1``; integers are up to
64 bits wide.  Its keys, in order:

    schema, tool       the layout's name; the version of pvreplay that wrote it
    kernel, rules      the kernel it was replayed with, and what the replay asked of it
    guards             names of the bits of a shape; bits after the last hold the number of TLS slots
    path               where the counts come from
    format, level, clock, origin, state, ops   of the trace, see pvreplay.trace.model.Meta
    cpus, nr_tasks, events, switches, lost_events, first_time_ns, last_time_ns, doubts, damage, engine
    tasks              [id, comm as one word of the text form, pid] of those that occur in rows
    sequences          lists of items: an event kind, park or resume, with ":payload" if it has one
    rows               [unit_type, payload, cpu, task, count, first_event, first_time_ns, first_prev]

A unit_type is 0 switch (payload: shape), 1 #NM, 2 leave_mm, 3 sequence (payload: its index).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from pvreplay import __version__
from pvreplay.errors import TraceError, UsageError
from pvreplay.machine.shape import GUARDS, ITEM_PARK, ITEM_RESUME, ITEM_SHIFT, UNIT_SEQ, UNIT_SWITCH
from pvreplay.replay.histogram import Histogram, Row, Rule
from pvreplay.trace.events import Kind
from pvreplay.trace.model import Meta, Origin, Task
from pvreplay.trace.names import KIND_NAMES, KINDS_BY_NAME
from pvreplay.trace.quote import quote, to_bytes, words

SCHEMA = "pvreplay.histogram/1"
_GUARDS = list(GUARDS)
_PAYLOAD = (1 << ITEM_SHIFT) - 1
_OP_INDEX = 0xFFFF
_SPECIAL_ITEMS = {ITEM_PARK: "park", ITEM_RESUME: "resume"}
_ITEMS_BY_NAME = {**KINDS_BY_NAME, **{name: kind for kind, name in _SPECIAL_ITEMS.items()}}
_PATHS_MAX = 3
"""Paths that the name of a sum spells out."""
_CERTAINTY = ("observed", "derived", "assumed")

SavedRow = tuple[int, int, int, int, int, int, int, int]


class _Head(msgspec.Struct):
    """What every file of ours begins with."""

    schema: str = ""


class Saved(msgspec.Struct, forbid_unknown_fields=True):
    """The file; the module's docstring describes it."""

    schema: str
    tool: str
    kernel: str
    rules: dict[str, Rule]
    guards: list[str]
    path: str
    format: str
    level: Literal["switch", "op"]
    clock: str
    origin: str
    state: dict[str, Origin]
    ops: list[str]
    cpus: int
    nr_tasks: int
    events: int
    switches: int
    lost_events: int
    first_time_ns: int
    last_time_ns: int
    doubts: dict[str, int]
    damage: str
    engine: str
    tasks: list[tuple[int, str, int]]
    sequences: list[list[str]]
    rows: list[SavedRow]


def encode(hist: Histogram) -> bytes:
    """*hist* as the bytes of a file."""
    meta = hist.meta
    saved = Saved(
        schema=SCHEMA,
        tool=__version__,
        kernel=_text(hist.kernel),
        rules=hist.rules,
        guards=_GUARDS,
        path=_text(meta.path),
        format=_text(meta.format),
        level=meta.level,
        clock=_text(meta.clock),
        origin=_text(meta.origin),
        state={
            key: Origin(origin.how, _text(origin.source), _text(origin.option))
            for key, origin in meta.state.items()
        },
        ops=[_text(op) for op in meta.ops],
        cpus=hist.nr_cpus,
        nr_tasks=hist.nr_tasks,
        events=hist.events,
        switches=hist.switches,
        lost_events=hist.lost_events,
        first_time_ns=hist.first_time_ns,
        last_time_ns=hist.last_time_ns,
        doubts=hist.doubts,
        damage=_text(hist.damage),
        engine=hist.engine,
        tasks=[(task.id, quote(task.comm), task.pid) for task in hist.tasks.values()],
        sequences=[[_item_name(item) for item in sequence] for sequence in hist.sequences],
        rows=[msgspec.structs.astuple(row) for row in hist.rows],
    )
    return msgspec.json.encode(saved) + b"\n"


def decode(data: bytes, path: str = "-") -> Histogram:
    """The histogram in *data*.

    Raises :class:`TraceError` when it is not one, is of another layout, or
    contradicts itself; *path* is for the message.
    """
    try:
        schema = msgspec.json.decode(data, type=_Head).schema
        if schema != SCHEMA:
            raise TraceError(f"{path}: not a saved histogram: schema {schema!r}", f"{SCHEMA} is read here.")
        saved = msgspec.json.decode(data, type=Saved)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TraceError(f"{path}: not a saved histogram: {error}", f"Expected {SCHEMA}.") from None
    try:
        return _restored(saved)
    except (ValueError, KeyError, IndexError) as error:
        raise TraceError(
            f"{path}: a damaged histogram: {error}", f"It was written by pvreplay {saved.tool}."
        ) from None


def add(histograms: Sequence[Histogram]) -> Histogram:
    """One histogram that counts what all of *histograms* (at least one) count.

    Tasks of one name become one task, without a pid, since tasks of different
    traces have nothing but their names in common.  Times are durations from
    0; where a unit occurred first is told of the first histogram that has it.

    Raises :class:`UsageError` when they were replayed with different kernels.
    """
    one = histograms[0]
    for other in histograms[1:]:
        if (other.kernel, other.rules) != (one.kernel, one.rules):
            differs = "with other rules" if other.kernel == one.kernel else f"not {one.kernel}"
            raise UsageError(
                f"{other.meta.path}: replayed with kernel {other.kernel}, {differs} ({one.meta.path})",
                "Histograms add when the same kernel made them; replay one of the traces again.",
            )
    total = Histogram(
        kernel=one.kernel, meta=_merged_meta([hist.meta for hist in histograms]), rules=dict(one.rules)
    )
    rows: dict[tuple[int, int, int, int], Row] = {}
    numbers: dict[tuple[int, ...], int] = {}
    by_name: dict[str, int] = {}
    ops = {op: index for index, op in reversed(list(enumerate(total.meta.ops)))}
    for hist in histograms:
        ids = {0: 0}
        for task in hist.tasks.values():
            ids[task.id] = by_name.setdefault(task.comm, len(by_name) + 1)
            if ids[task.id] not in total.tasks:
                total.tasks[ids[task.id]] = Task(ids[task.id], task.comm)
        sequences = [
            numbers.setdefault(_with_ops(sequence, hist.meta.ops, ops), len(numbers))
            for sequence in hist.sequences
        ]
        for row in hist.rows:
            payload = sequences[row.payload] if row.unit_type == UNIT_SEQ else row.payload
            key = row.unit_type, payload, row.cpu, ids[row.task]
            if key in rows:
                rows[key].count += row.count
            else:
                first = row.first_event, row.first_time_ns, ids[row.first_prev]
                rows[key] = Row(*key, row.count, *first)
        for name, number in hist.doubts.items():
            total.doubts[name] = total.doubts.get(name, 0) + number
        total.nr_tasks += hist.nr_tasks
        total.nr_cpus = max(total.nr_cpus, hist.nr_cpus)
        total.events += hist.events
        total.switches += hist.switches
        total.lost_events += hist.lost_events
        total.last_time_ns += hist.duration_ns
    total.rows = list(rows.values())
    total.sequences = list(numbers)
    total.damage = "; ".join(f"{hist.meta.path}: {hist.damage}" for hist in histograms if hist.damage)
    total.engine = one.engine if all(hist.engine == one.engine for hist in histograms) else "mixed"
    return total


# --- helpers ----------------------------------------------------------------------


def _text(text: str) -> str:
    """*text* as JSON can hold it: a byte that was not UTF-8 is spelt out."""
    return to_bytes(text).decode("utf-8", "backslashreplace")


def _item_name(item: int) -> str:
    kind, payload = item >> ITEM_SHIFT, item & _PAYLOAD
    name = _SPECIAL_ITEMS.get(kind) or KIND_NAMES[kind]
    return f"{name}:{payload}" if payload else name


def _restored(saved: Saved) -> Histogram:
    """The histogram of a file that has the right types; ValueError when its numbers cannot be."""
    bits = [_GUARDS.index(name) if name in GUARDS else _unknown(name) for name in saved.guards]

    def shape(old: int) -> int:
        if bits == list(range(len(_GUARDS))):
            return old
        guards = sum(1 << new for place, new in enumerate(bits) if old >> place & 1)
        return guards | old >> len(bits) << len(_GUARDS)

    def item(text: str) -> int:
        name, _, digits = text.partition(":")
        kind, payload = _ITEMS_BY_NAME[name], int(digits or 0)
        if not 0 <= payload <= _PAYLOAD:
            raise ValueError(f"item {text}")
        if kind == Kind.OP and payload & _OP_INDEX >= len(saved.ops):
            raise ValueError(f"item {text} with {len(saved.ops)} ops")
        return kind << ITEM_SHIFT | (shape(payload) if kind == Kind.SWITCH else payload)

    sequences = [tuple(item(text) for text in sequence) for sequence in saved.sequences]
    named = {0, *(number for number, _, _ in saved.tasks)}
    rows = []
    for values in saved.rows:
        row = Row(*values)
        if min(values) < 0 or row.count < 1 or row.unit_type > UNIT_SEQ:
            raise ValueError(f"row {list(values)}")
        if row.unit_type == UNIT_SWITCH:
            row.payload = shape(row.payload)
        elif row.unit_type == UNIT_SEQ and row.payload >= len(sequences):
            raise ValueError(f"sequence {row.payload} of {len(sequences)}")
        if not {row.task, row.first_prev} <= named:
            raise ValueError(f"task {row.task} or {row.first_prev} is not listed")
        rows.append(row)
    meta = Meta(
        path=saved.path,
        format=saved.format,
        cpus=saved.cpus,
        clock=saved.clock,
        origin=saved.origin,
        level=saved.level,
        state=saved.state,
        ops=tuple(saved.ops),
    )
    return Histogram(
        kernel=saved.kernel,
        meta=meta,
        rows=rows,
        sequences=sequences,
        tasks={number: Task(number, "".join(words(comm)), pid) for number, comm, pid in saved.tasks},
        nr_tasks=saved.nr_tasks,
        nr_cpus=saved.cpus,
        events=saved.events,
        switches=saved.switches,
        lost_events=saved.lost_events,
        first_time_ns=saved.first_time_ns,
        last_time_ns=saved.last_time_ns,
        doubts=saved.doubts,
        damage=saved.damage,
        engine=saved.engine,
        rules=saved.rules,
    )


def _unknown(guard: str) -> int:
    raise ValueError(f"guard {guard!r} is not known here")


def _with_ops(sequence: tuple[int, ...], ops: Sequence[str], merged: dict[str, int]) -> tuple[int, ...]:
    """*sequence* with its ops renumbered from its own table to the merged one."""
    return tuple(
        item & ~_OP_INDEX | merged[ops[item & _OP_INDEX]] if item >> ITEM_SHIFT == Kind.OP else item
        for item in sequence
    )


def _merged_meta(metas: Sequence[Meta]) -> Meta:
    """What is true of all traces; a piece of state is only as certain as where it is least so."""
    state: dict[str, Origin] = {}
    for meta in metas:
        for key, origin in meta.state.items():
            if key not in state or _CERTAINTY.index(origin.how) > _CERTAINTY.index(state[key].how):
                state[key] = origin

    def common(values: set[str]) -> str:
        return values.pop() if len(values) == 1 else "mixed"

    more = len(metas) - _PATHS_MAX
    return Meta(
        path=" + ".join(meta.path for meta in metas[:_PATHS_MAX]) + (f" + {more} more" if more > 0 else ""),
        format=common({meta.format for meta in metas}),
        cpus=max(meta.cpus for meta in metas),
        clock=common({meta.clock for meta in metas}),
        origin=common({meta.origin for meta in metas}),
        level="op" if any(meta.level == "op" for meta in metas) else "switch",
        state=state,
        ops=tuple(dict.fromkeys(op for meta in metas for op in meta.ops)),
    )

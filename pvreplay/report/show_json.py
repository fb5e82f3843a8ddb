"""The JSON form of one unit step by step, schema ``pvreplay.show/1``: docs/show-json.md."""

from __future__ import annotations

import msgspec

from pvreplay.replay.locate import TaskThen
from pvreplay.replay.result import Totals, Violation
from pvreplay.replay.walk import WalkStep
from pvreplay.report import escape
from pvreplay.report.json import encode
from pvreplay.report.show import Shown

SCHEMA = "pvreplay.show/1"


class TraceDoc(msgspec.Struct, kw_only=True):
    """``trace``."""

    path: str
    format: str


class UnitDoc(msgspec.Struct, kw_only=True):
    """``unit``: what was found, and where."""

    type: str
    number: int | None
    event: int
    time_ns: int
    cpu: int
    prev: str
    next: str
    shape: list[str]
    began: int | None
    ordinal: int | None
    prev_state: TaskThen | None
    next_state: TaskThen | None


class ViolationDoc(msgspec.Struct, kw_only=True):
    """``violation``: the one asked for."""

    number: int
    of: int
    violation: Violation


class BackendDoc(msgspec.Struct, kw_only=True):
    """``backends[]``."""

    name: str
    totals: Totals
    forgotten: int
    steps: list[WalkStep]


class Document(msgspec.Struct, kw_only=True):
    """The whole object."""

    schema: str
    trace: TraceDoc
    kernel: str
    kernel_source: str
    unit: UnitDoc
    violation: ViolationDoc | None
    backends: list[BackendDoc]
    notes: list[str]
    version: str


def render(shown: Shown) -> bytes:
    """*shown* as one JSON object with a newline at its end."""
    located = shown.located
    document = Document(
        schema=SCHEMA,
        trace=TraceDoc(path=shown.path, format=shown.format),
        kernel=shown.kernel,
        kernel_source=shown.kernel_source,
        unit=UnitDoc(
            type=shown.unit,
            number=located.number,
            event=located.event,
            time_ns=located.time_ns,
            cpu=located.cpu,
            prev=located.prev,
            next=located.next,
            shape=shown.shape,
            began=located.began,
            ordinal=located.ordinal,
            prev_state=located.prev_then,
            next_state=located.next_then,
        ),
        violation=None
        if shown.violation is None
        else ViolationDoc(number=shown.violation_number, of=shown.violations, violation=shown.violation),
        backends=[
            BackendDoc(name=walk.backend, totals=walk.totals, forgotten=walk.forgotten, steps=walk.steps)
            for walk in shown.walks
        ],
        notes=shown.notes,
        version=shown.version,
    )
    return escape.json_bytes(msgspec.json.format(encode(document))) + b"\n"

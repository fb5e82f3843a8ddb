"""The JSON report, schema ``pvreplay.report/1``: documented in docs/report-json.md, stable.

The structures below, and those of :mod:`pvreplay.replay.result` inside them, are
the schema: fields are written in their order, tables are sorted by key, so equal
reports are equal bytes.  A key is only ever added.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pvreplay.errors import UsageError
from pvreplay.replay.result import BackendResult, Report, Violation, WhatIf
from pvreplay.report import escape, order

SCHEMA = "pvreplay.report/1"


class StateFrom(msgspec.Struct):
    """What a piece of state was taken from, and the option that changes it."""

    source: str
    option: str


class TraceDoc(msgspec.Struct, kw_only=True):
    """``trace``: what was replayed."""

    path: str
    format: str
    events: int
    switches: int
    cpus: int
    tasks: int
    lost_events: int
    duration_ns: int
    state: dict[str, str]
    state_from: dict[str, StateFrom] = {}
    damage: str = ""


class Document(msgspec.Struct, kw_only=True):
    """The whole object."""

    schema: str
    trace: TraceDoc
    kernel: str
    backends: list[BackendResult]
    violations: list[Violation]
    doubts: dict[str, int] = {}
    not_checked: dict[str, str] = {}
    notes: list[str] = []
    task_names: dict[int, str] = {}
    kernel_source: str = ""
    engine: str = ""
    compiled: bool = False
    version: str = ""
    filter: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    """With --cpu, --task or --time only."""
    what_if: list[WhatIf] | msgspec.UnsetType = msgspec.UNSET
    """With --inject only."""


DOUBTS = ("lost_events", "unmatched", "out_of_order", "undecided")
"""Doubts that are always told, zero or not."""


def render(report: Report) -> bytes:
    """*report* as one JSON object, two-space indented, with a newline at its end."""
    return escape.json_bytes(msgspec.json.format(encode(_document(report)))) + b"\n"


def encode(document: msgspec.Struct) -> bytes:
    """*document* as JSON, whatever its strings hold."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:  # a name holds bytes that are no UTF-8
        return msgspec.json.encode(_valid(msgspec.to_builtins(document)))


class _Head(msgspec.Struct):
    """What every document of ours begins with."""

    schema: str = SCHEMA


def _check_schema(encoded: bytes, path: str) -> None:
    """UsageError for a document that says it is another one; what says nothing is not judged here."""
    try:
        found = msgspec.json.decode(encoded, type=_Head).schema
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if found != SCHEMA:
        raise UsageError(f"{path}: schema {found!r}, {SCHEMA} is read here", "Make the report anew.")


def parse(encoded: bytes, path: str) -> Report:
    """The report that *encoded* (the content of *path*) holds; UsageError when it is none."""
    try:
        document = msgspec.json.decode(encoded, type=Document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _check_schema(encoded, path)
        raise UsageError(
            f"{path}: {error}", f"Expected a report of 'pvreplay run --format json' ({SCHEMA})."
        ) from None
    _check_schema(encoded, path)
    trace = document.trace
    return Report(
        kernel=document.kernel,
        kernel_source=document.kernel_source,
        path=trace.path,
        format=trace.format,
        events=trace.events,
        switches=trace.switches,
        cpus=trace.cpus,
        tasks=trace.tasks,
        lost_events=trace.lost_events,
        duration_ns=trace.duration_ns,
        state={
            key: (how, trace.state_from[key].source, trace.state_from[key].option)
            if key in trace.state_from
            else (how, "", "")
            for key, how in trace.state.items()
        },
        doubts={name: n for name, n in document.doubts.items() if n and name != "lost_events"},
        damage=trace.damage,
        backends=document.backends,
        violations=document.violations,
        task_names=document.task_names,
        engine=document.engine,
        compiled=document.compiled,
        version=document.version,
        not_checked=document.not_checked,
        notes=document.notes,
        filter={} if document.filter is msgspec.UNSET else document.filter,
        what_if=None if document.what_if is msgspec.UNSET else document.what_if,
    )


def _document(report: Report) -> Document:
    doubts = dict.fromkeys(DOUBTS, 0) | {"lost_events": report.lost_events}
    return Document(
        schema=SCHEMA,
        trace=TraceDoc(
            path=report.path,
            format=report.format,
            events=report.events,
            switches=report.switches,
            cpus=report.cpus,
            tasks=report.tasks,
            lost_events=report.lost_events,
            duration_ns=report.duration_ns,
            state={key: how for key, (how, _, _) in report.state.items()},
            state_from={key: StateFrom(source, option) for key, (_, source, option) in report.state.items()},
            damage=report.damage,
        ),
        kernel=report.kernel,
        backends=[order.backend(result) for result in report.backends],
        violations=order.violations(report.violations),
        doubts=doubts | dict(sorted(report.doubts.items())),
        not_checked=dict(sorted(report.not_checked.items())),
        notes=report.notes,
        task_names=dict(sorted(report.task_names.items())),
        kernel_source=report.kernel_source,
        engine=report.engine,
        compiled=report.compiled,
        version=report.version,
        filter=report.filter or msgspec.UNSET,
        what_if=msgspec.UNSET if report.what_if is None else report.what_if,
    )


def _valid(value: Any) -> Any:
    if isinstance(value, str):
        return escape.unicode_text(value)
    if isinstance(value, dict):
        return {_valid(key): _valid(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_valid(item) for item in value]
    return value

"""The JSON form of a validation, schema ``pvreplay.validate/1``: docs/validate.md."""

from __future__ import annotations

import msgspec

from pvreplay import __version__
from pvreplay.report import escape
from pvreplay.report.json import encode
from pvreplay.validate.result import (
    Batches,
    Class,
    Decision,
    Numbers,
    Reason,
    Result,
    Switches,
)

SCHEMA = "pvreplay.validate/1"


class RecordingDoc(msgspec.Struct, kw_only=True):
    """``recording``."""

    path: str
    format: str
    lost_events: int


class Document(msgspec.Struct, kw_only=True):
    """The whole object."""

    schema: str
    recording: RecordingDoc
    kernel: str
    backend: str
    switches: Switches
    decisions: dict[str, Decision]
    flushes: dict[str, Batches]
    predicted: Numbers
    seen: Numbers
    by_op: dict[str, dict[str, int]]
    confusion: dict[str, dict[str, int]]
    reasons: dict[str, Reason]
    classes: list[Class]
    other_work: dict[str, int]
    not_shown: list[str]
    notes: list[str]
    version: str


def render(result: Result) -> bytes:
    """*result* as one JSON object with a newline at its end."""
    document = Document(
        schema=SCHEMA,
        recording=RecordingDoc(path=result.path, format=result.format, lost_events=result.lost_events),
        kernel=result.kernel,
        backend=result.backend,
        switches=result.switches,
        decisions=result.decisions,
        flushes=result.flushes,
        predicted=result.predicted,
        seen=result.seen,
        by_op=result.by_op,
        confusion=result.confusion,
        reasons=result.reasons,
        classes=result.classes,
        other_work=result.other_work,
        not_shown=result.not_shown,
        notes=result.notes,
        version=__version__,
    )
    return escape.json_bytes(msgspec.json.format(encode(document))) + b"\n"

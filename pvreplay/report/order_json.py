"""The JSON form of a check, schema ``pvreplay.check/1``: docs/check.md."""

from __future__ import annotations

from typing import Any

import msgspec

from pvreplay.replay.order_check import Checked, CheckedOrder
from pvreplay.report import escape
from pvreplay.report.json import encode

SCHEMA = "pvreplay.check/1"


class OneDocument(CheckedOrder, kw_only=True, tag_field="schema", tag=SCHEMA):
    """An order given on the command line: the order itself is the object."""

    version: str


class FileDocument(Checked, kw_only=True, tag_field="schema", tag=SCHEMA):
    """Orders of a file: ``orders`` holds such objects."""


def render(checked: Checked, *, file: bool) -> bytes:
    """*checked* as one JSON object with a newline at its end; *file*: the orders came from a file."""
    document: msgspec.Struct
    if file:
        document = FileDocument(orders=checked.orders, version=checked.version)
    else:
        (order,) = checked.orders
        fields: dict[str, Any] = {name: getattr(order, name) for name in order.__struct_fields__}
        document = OneDocument(version=checked.version, **fields)
    return escape.json_bytes(msgspec.json.format(encode(document))) + b"\n"

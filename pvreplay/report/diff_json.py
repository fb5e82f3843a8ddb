"""The JSON form of a comparison, schema ``pvreplay.diff/1``: docs/diff-json.md."""

from __future__ import annotations

import msgspec

from pvreplay.report import escape
from pvreplay.report.compare import Comparison
from pvreplay.report.json import encode


def render(comparison: Comparison) -> bytes:
    """*comparison* as one JSON object with a newline at its end."""
    return escape.json_bytes(msgspec.json.format(encode(comparison))) + b"\n"

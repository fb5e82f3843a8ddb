"""The JSON form of a gate's verdict, schema ``pvreplay.gate/1``: docs/gate.md."""

from __future__ import annotations

import msgspec

from pvreplay.gate.verdict import Verdict
from pvreplay.report import escape
from pvreplay.report.json import encode


def render_gate(verdict: Verdict) -> bytes:
    """*verdict* as one JSON object, two-space indented, with a newline at its end."""
    return escape.json_bytes(msgspec.json.format(encode(verdict))) + b"\n"

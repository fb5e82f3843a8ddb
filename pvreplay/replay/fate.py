"""What became of an op, told from its totals."""

from __future__ import annotations

from pvreplay.replay.result import Totals


def fate(totals: Totals) -> str:
    """What became of an op, in a few words."""
    if totals.count == 0:
        return "not run"
    if totals.traps:
        return "trap"
    if totals.hypercalls >= totals.count:
        return "hypercall"
    rest = "queued" if totals.entries else "ROM call" if totals.rom_calls else "direct"
    return f"hypercall or {rest}" if totals.hypercalls else rest

"""The rules: one flat table from code to module, one file a rule.

A rule judges steps of the machine; it knows no kernel and no backend by name.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from pvreplay.errors import UsageError
from pvreplay.machine.machine import Watch
from pvreplay.rules.base import Rule

TABLE: Final[dict[str, tuple[str, str]]] = {
    "H1": ("h1_raw_queued", "RawQueued"),
    "H2": ("h2_waw_bypass", "WawBypass"),
    "H3A": ("h3a_war_live", "WarLive"),
    "H3B": ("h3b_war_operand", "WarOperand"),
    "H4": ("h4_stale_read", "StaleRead"),
    "H5": ("h5_shadow", "Shadow"),
    "P1": ("p1_nest", "Nest"),
    "P2": ("p2_unpaired", "Unpaired"),
    "P3": ("p3_overlap", "Overlap"),
    "P4": ("p4_sleep", "Sleep"),
    "P5": ("p5_sched", "Sched"),
    "P6": ("p6_irq", "Irq"),
    "P7": ("p7_window", "Window"),
    "P8": ("p8_mode_split", "ModeSplit"),
    "P9": ("p9_exit_dirty", "ExitDirty"),
    "S1": ("s1_leak", "Leak"),
    "S2": ("s2_skip", "Skip"),
    "S3": ("s3_scrub", "Scrub"),
    "S4": ("s4_resident", "Resident"),
    "X1": ("x1_publish", "Publish"),
    "X2": ("x2_early_free", "EarlyFree"),
    "W1": ("w1_lost_batch", "LostBatch"),
    "W2": ("w2_forced_flush", "ForcedFlush"),
    "W3": ("w3_dead_write", "DeadWrite"),
    "W4": ("w4_redundant", "Redundant"),
    "W5": ("w5_tiny_batch", "TinyBatch"),
    "W6": ("w6_trap_read", "TrapRead"),
}
"""Code in capitals -> (module in this package, class).  A code is a promise: its meaning never changes."""

_rules: dict[str, Rule] = {}
_watch: list[Watch] = []


def get_rule(code: str) -> Rule:
    """The rule of *code*, or of a rule's name; raises :class:`UsageError` with the codes there are."""
    wanted = code.upper()
    if wanted not in TABLE:
        for rule in all_rules():
            if rule.name == code.lower():
                return rule
        raise UsageError(f"no rule {code!r}", f"Rules: {', '.join(rule.code for rule in all_rules())}.")
    if wanted not in _rules:
        module, name = TABLE[wanted]
        found = getattr(import_module(f"pvreplay.rules.{module}"), name)()
        assert isinstance(found, Rule)
        _rules[wanted] = found
    return _rules[wanted]


def all_rules() -> list[Rule]:
    """Every rule, in the order of the table."""
    return [get_rule(code) for code in TABLE]


def watch_all() -> Watch:
    """Every rule, ready for a machine; always the same object."""
    if not _watch:
        _watch.append(Watch(all_rules()))
    return _watch[0]

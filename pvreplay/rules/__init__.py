"""The rules: one flat table from code to module, one file a rule.

A rule judges steps of the machine; it knows no kernel and no backend by name.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from pvreplay.errors import UsageError
from pvreplay.rules.base import Rule

TABLE: Final[dict[str, tuple[str, str]]] = {
    "H1": ("h1_raw_queued", "RawQueued"),
    "H2": ("h2_waw_bypass", "WawBypass"),
    "P1": ("p1_nest", "Nest"),
    "P2": ("p2_unpaired", "Unpaired"),
    "P3": ("p3_overlap", "Overlap"),
    "P9": ("p9_exit_dirty", "ExitDirty"),
    "W1": ("w1_lost_batch", "LostBatch"),
}
"""code -> (module in this package, class).  A code is a promise: it never changes its meaning."""

_rules: dict[str, Rule] = {}


def get_rule(code: str) -> Rule:
    """The rule of *code*, or of a rule's name; raises :class:`UsageError` with the codes there are."""
    wanted = code.upper()
    if wanted not in TABLE:
        for rule in all_rules():
            if rule.name == code.lower():
                return rule
        raise UsageError(f"no rule {code!r}", f"Rules: {', '.join(TABLE)}.")
    if wanted not in _rules:
        module, name = TABLE[wanted]
        found = getattr(import_module(f"pvreplay.rules.{module}"), name)()
        assert isinstance(found, Rule)
        _rules[wanted] = found
    return _rules[wanted]


def all_rules() -> list[Rule]:
    """Every rule, in the order of the table."""
    return [get_rule(code) for code in TABLE]

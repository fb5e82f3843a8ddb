"""The protocol rules that are finite automata, in the form the kernel's rvgen reads.

A rule says where an event must not come; its automaton has no edge there.  The
modes are those of the policy seed2006.  Rules that compare what is queued, count
interrupts or look at pairs of resources are no automata.

The DOT form is that of Documentation/trace/rv/deterministic_automata.rst and
tools/verification/rvgen: the first line ``digraph state_automaton {``, then the
nodes (an invisible ``__init_STATE``, final states as double circles), then the
edge from ``__init_STATE``, then labels and edges, one a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from pvreplay.errors import UsageError
from pvreplay.rules import get_rule
from pvreplay.rules.base import Rule


class Automaton(NamedTuple):
    """*edges*: state -> event -> next state; an event without an edge is the violation.

    *says* is for readers of the file, one sentence.
    """

    initial: str
    final: tuple[str, ...]
    edges: Mapping[str, Mapping[str, str]]
    says: str

    @property
    def events(self) -> list[str]:
        """Every event, in the order of the alphabet."""
        return sorted({event for edges in self.edges.values() for event in edges})

    def accepts_until(self, events: Iterable[str]) -> tuple[int, str]:
        """How many of *events* it takes before one that it does not, and the state it is in then."""
        state, taken = self.initial, 0
        for event in events:
            after = self.edges[state].get(event)
            if after is None:
                break
            state, taken = after, taken + 1
        return taken, state


ENTER_CPU: Final = "enter_lazy_cpu"
LEAVE_CPU: Final = "leave_lazy_cpu"
ENTER_MMU: Final = "enter_lazy_mmu"
LEAVE_MMU: Final = "leave_lazy_mmu"
_LEAVES: Final = {LEAVE_CPU: "none", LEAVE_MMU: "none"}

AUTOMATA: Final[dict[str, Automaton]] = {
    "P1": Automaton(
        "none",
        ("none",),
        {
            "none": {ENTER_CPU: "cpu", ENTER_MMU: "mmu", **_LEAVES},
            "cpu": {ENTER_MMU: "mmu", **_LEAVES},
            "mmu": {ENTER_CPU: "cpu", **_LEAVES},
        },
        "A mode that is on is not entered. Other mistakes pass: P2 and P3 have them.",
    ),
    "P2": Automaton(
        "none",
        ("none",),
        {
            "none": {ENTER_CPU: "cpu", ENTER_MMU: "mmu"},
            "cpu": {ENTER_CPU: "cpu", ENTER_MMU: "mmu", LEAVE_CPU: "none"},
            "mmu": {ENTER_CPU: "cpu", ENTER_MMU: "mmu", LEAVE_MMU: "none"},
        },
        "The mode that is left is the one that is on, and none is on at the end.",
    ),
    "P3": Automaton(
        "none",
        ("none",),
        {
            "none": {ENTER_CPU: "cpu", ENTER_MMU: "mmu", **_LEAVES},
            "cpu": {ENTER_CPU: "cpu", **_LEAVES},
            "mmu": {ENTER_MMU: "mmu", **_LEAVES},
        },
        "CPU and MMU mode are not on together. start_context_switch, which parks MMU mode, is not in it.",
    ),
    "P4": Automaton(
        "can_sleep",
        ("can_sleep",),
        {
            "can_sleep": {
                **dict.fromkeys((ENTER_CPU, ENTER_MMU), "mode_on"),
                **dict.fromkeys((LEAVE_CPU, LEAVE_MMU, "end", "sleep"), "can_sleep"),
                "begin": "in_switch",
            },
            "mode_on": {
                **dict.fromkeys((ENTER_CPU, ENTER_MMU, "end"), "mode_on"),
                **dict.fromkeys((LEAVE_CPU, LEAVE_MMU), "can_sleep"),
                "begin": "in_switch_mode_on",
            },
            "in_switch": {
                **dict.fromkeys((ENTER_CPU, ENTER_MMU), "in_switch_mode_on"),
                **dict.fromkeys((LEAVE_CPU, LEAVE_MMU, "begin"), "in_switch"),
                "end": "can_sleep",
            },
            "in_switch_mode_on": {
                **dict.fromkeys((ENTER_CPU, ENTER_MMU, "begin"), "in_switch_mode_on"),
                **dict.fromkeys((LEAVE_CPU, LEAVE_MMU), "in_switch"),
                "end": "mode_on",
            },
        },
        "Nothing sleeps while a mode is on or a switch is under way.",
    ),
    "P5": Automaton(
        "outside",
        ("outside",),
        {
            "outside": {
                ENTER_MMU: "section",
                LEAVE_MMU: "outside",
                "sched_out": "outside",
                "begin": "switch",
            },
            "section": {ENTER_MMU: "section", LEAVE_MMU: "outside", "begin": "switch_in_section"},
            "switch": {
                ENTER_MMU: "switch_then_section",
                LEAVE_MMU: "switch",
                "sched_out": "switch",
                "end": "outside",
            },
            "switch_in_section": {ENTER_MMU: "switch_in_section", LEAVE_MMU: "switch"},
            "switch_then_section": {
                ENTER_MMU: "switch_then_section",
                LEAVE_MMU: "switch",
                "end": "section",
            },
        },
        "A section is left before its task is switched out. An interrupt is not in it.",
    ),
    "P8": Automaton(
        "off",
        ("off",),
        {
            "off": {
                "flag_en": "flag_only",
                "flag_dis": "off",
                ENTER_MMU: "mode_only",
                LEAVE_MMU: "off",
                "sched_out": "off",
            },
            "flag_only": {"flag_en": "flag_only", "flag_dis": "off", ENTER_MMU: "on", LEAVE_MMU: "flag_only"},
            "mode_only": {"flag_en": "on", "flag_dis": "mode_only", ENTER_MMU: "mode_only", LEAVE_MMU: "off"},
            "on": {
                "flag_en": "on",
                "flag_dis": "mode_only",
                ENTER_MMU: "on",
                LEAVE_MMU: "flag_only",
                "sched_out": "on",
            },
        },
        "When the task is switched out, flag and mode agree.",
    ),
    "P9": Automaton(
        "none",
        ("none",),
        {
            "none": {
                ENTER_CPU: "cpu",
                ENTER_MMU: "mmu",
                **_LEAVES,
                **dict.fromkeys(("end", "user", "idle", "unlock"), "none"),
            },
            "cpu": {ENTER_CPU: "cpu", ENTER_MMU: "mmu", **_LEAVES},
            "mmu": {ENTER_CPU: "cpu", ENTER_MMU: "mmu", **_LEAVES, "end": "mmu"},
        },
        "No mode is on at the return to user mode, at idle, at unlock; CPU mode is not on at the end of a "
        "switch. What is queued is not in it.",
    ),
}
"""Rule code -> its automaton."""


def automaton_of(rule: Rule) -> Automaton:
    """The automaton of *rule*; :class:`UsageError` naming those that have one."""
    if rule.code not in AUTOMATA:
        raise UsageError(
            f"rule {rule.code} is no automaton: there is no DOT form of it",
            f"Automata are {', '.join(AUTOMATA)}.",
        )
    return AUTOMATA[rule.code]


def dot(code: str) -> str:
    """The automaton of the rule *code* in DOT; rvgen takes the model's name from the file's."""
    rule = get_rule(code)
    automaton = automaton_of(rule)
    states = sorted(automaton.edges)
    lines = [
        "digraph state_automaton {",
        f"\t// {rule.code} {rule.name}: {automaton.says}",
        "\tcenter = true;",
    ]
    lines.append('\tsize = "7,11";')
    for state in states:
        if state == automaton.initial:
            lines.append(f'\t{{node [shape = plaintext, style=invis, label=""] "__init_{state}"}};')
        shape = "doublecircle" if state in automaton.final else "circle"
        lines.append(f'\t{{node [shape = {shape}] "{state}"}};')
    lines.append(f'\t"__init_{automaton.initial}" -> "{automaton.initial}";')
    for state in states:
        lines.append(f'\t"{state}" [label = "{state}"];')
        after: dict[str, list[str]] = {}
        for event, target in sorted(automaton.edges[state].items()):
            after.setdefault(target, []).append(event)
        for target, events in sorted(after.items()):
            label = "\\n".join(events)
            lines.append(f'\t"{state}" -> "{target}" [ label = "{label}" ];')
    lines += [
        "\t{ rank = min ;",
        f'\t\t"__init_{automaton.initial}";',
        f'\t\t"{automaton.initial}";',
        "\t}",
        "}",
    ]
    return "\n".join(lines) + "\n"

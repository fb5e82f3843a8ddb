"""The automata of protocol rules: they say what the rules do, and their DOT form is what rvgen reads."""

from __future__ import annotations

import re
from itertools import product

import pytest

from pvreplay.errors import UsageError
from pvreplay.machine.machine import Machine, Watch
from pvreplay.rules import all_rules, get_rule
from pvreplay.rules.automata import AUTOMATA, Automaton, dot
from pvreplay.rules.base import Finding
from tests.cli_helpers import pvreplay, two_lines
from tests.machine_helpers import backend

WORD_LENGTH = {"P4": 4, "P8": 4, "P9": 3}
"""How long the words are that are tried; 5 for those not named."""
NATIVE = backend("native")
WATCHES = {code: Watch([get_rule(code)]) for code in AUTOMATA}


def rvgen(text: str) -> tuple[Automaton, list[str]]:
    """Read DOT as tools/verification/rvgen does: line by line, in its order; the automaton and its states."""
    lines = text.splitlines()
    assert lines[0].split()[:2] == ["digraph", "state_automaton"]
    at = next(number for number, line in enumerate(lines) if line.split()[:1] == ["{node"])
    states, final, initial = [], [], ""
    while lines[at].split()[0] == "{node":
        name = lines[at].split()[-1].removesuffix("};").strip('"')
        if name.startswith("__init_"):
            initial = name.removeprefix("__init_")
        else:
            states.append(name)
            if "doublecircle" in lines[at]:
                final.append(name)
        at += 1
    assert lines[at].strip() == f'"__init_{initial}" -> "{initial}";'
    edges: dict[str, dict[str, str]] = {state: {} for state in states}
    for line in lines[at + 1 :]:
        if not line.strip().startswith('"'):
            break
        words = line.split()
        if words[1] == "->":
            label = "".join(words[words.index("label") + 2 : -1]).strip('"')
            for event in label.split("\\n"):
                assert event not in edges[words[0].strip('"')], "one edge an event"
                edges[words[0].strip('"')][event] = words[2].strip('"')
        else:
            assert words[0].strip('"') == re.findall(r'label = "(\w+)"', line)[0]
    return Automaton(initial, tuple(final), edges, ""), states


@pytest.mark.parametrize("code", AUTOMATA)
def test_what_rvgen_reads_is_the_automaton(code: str) -> None:
    read, states = rvgen(dot(code))
    automaton = AUTOMATA[code]
    assert read.initial == automaton.initial and read.final == automaton.final
    assert {state: dict(edges) for state, edges in read.edges.items()} == automaton.edges
    assert sorted(states) == sorted(automaton.edges)
    for name in [*states, *automaton.events]:
        assert re.fullmatch(r"[a-z_]+", name), "names become C identifiers"
    targets = {target for edges in automaton.edges.values() for target in edges.values()}
    assert targets == set(states), "every state is reached, and none is missing"


def first_finding(code: str, events: tuple[str, ...]) -> int:
    """The step at which the rule alone first fires on *events*; their number when it does not."""
    machine = Machine(NATIVE, rules=WATCHES[code])
    before = ["flag_dis"] if code == "P8" else []  # P8 says nothing before the flag is known
    for event in [*before, *events]:
        machine.step(event)
    found: list[Finding] = machine.found  # type: ignore[assignment]
    return min((one.step - len(before) for one in found), default=len(events))


def well_formed(events: tuple[str, ...]) -> bool:
    """Windows begin before they end, and do not nest."""
    windows = [event for event in events if event in ("begin", "end")]
    return windows == ["begin", "end"] * (len(windows) // 2) + ["begin"] * (len(windows) % 2)


@pytest.mark.parametrize("code", AUTOMATA)
def test_on_every_short_word_the_automaton_stops_where_the_rule_fires(code: str) -> None:
    automaton = AUTOMATA[code]
    stopped = 0
    for events in product(automaton.events, repeat=WORD_LENGTH.get(code, 5)):
        if "begin" in automaton.events and not well_formed(events):
            continue
        taken, _ = automaton.accepts_until(events)
        assert taken == first_finding(code, events), events
        stopped += taken < len(events)
    assert stopped > 50


def test_the_states_in_which_a_trace_may_end_are_those_in_which_no_mode_is_on() -> None:
    automaton = AUTOMATA["P2"]
    for events in product(automaton.events, repeat=3):
        taken, state = automaton.accepts_until(events)
        if taken == len(events):
            machine = Machine(NATIVE, rules=WATCHES["P2"])
            for event in events:
                machine.step(event)
            machine.finish()
            assert (machine.found == []) == (state in automaton.final), events


def test_a_rule_that_is_no_automaton_is_refused_with_those_that_are() -> None:
    for rule in all_rules():
        if rule.code not in AUTOMATA:
            with pytest.raises(UsageError, match=f"rule {rule.code} is no automaton") as caught:
                dot(rule.code)
            assert caught.value.hint == f"Automata are {', '.join(AUTOMATA)}."


def test_the_command_prints_dot() -> None:
    assert pvreplay("rule", "P1", "--dot").out == pvreplay("rule", "nest", "--dot").out == dot("P1")
    refused = pvreplay("rule", "H1", "--dot")
    assert refused.code == 2 and two_lines(refused.err) and "P1, P2" in refused.err
    assert pvreplay("rule", "--dot").code == 2

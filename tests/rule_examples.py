"""Reads the example commands out of the rules' pages, and runs them without the command line."""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

from pvreplay.backends.reader import load_backend
from pvreplay.kernels.reader import load_kernel
from pvreplay.machine.policy import get_policy
from pvreplay.replay.order import CHECK_KERNEL, context_of, split_order, step_order, violations_of
from pvreplay.replay.result import Violation
from pvreplay.rules.base import Rule


class Example(NamedTuple):
    """One ``pvreplay check`` line of a page and the step it says the rule fires at; None: stays silent."""

    rule: str
    command: str
    fires_at: int | None


def examples(rule: Rule) -> list[Example]:
    """The examples of a rule's page, in order."""
    found = []
    lines = rule.doc.splitlines()
    for number, line in enumerate(lines):
        if line.strip().startswith("pvreplay check "):
            after = lines[number + 1] if number + 1 < len(lines) else ""
            told = re.fullmatch(r"\s+fires at step (\d+)", after)
            found.append(Example(rule.code, line.strip(), int(told[1]) if told else None))
    return found


def run(command: str, backend: str | None = None) -> list[Violation]:
    """The violations of a ``pvreplay check`` command line; *backend* replaces its own."""
    words = shlex.split(command)
    assert words[:2] == ["pvreplay", "check"], command
    options: dict[str, list[str]] = {}
    flags = set()
    rest = iter(words[3:])
    for word in rest:
        if word == "--no-resident":
            flags.add(word)
        else:
            options.setdefault(word, []).append(next(rest))
    kernel = load_kernel(options.pop("--kernel", [CHECK_KERNEL])[0])
    policy = get_policy(options.pop("--policy", ["seed2006"])[0])
    own = options.pop("--backend", ["xen"])[0]
    context = context_of(
        want=options.pop("--want", ()),
        hw=options.pop("--hw", ()),
        live=options.pop("--live", ()),
        volatile=options.pop("--volatile", ()),
        scrub=options.pop("--scrub", ()),
        no_resident="--no-resident" in flags,
    )
    assert not options, options
    machine = step_order(
        split_order(words[2]), load_backend(backend or own, kernel), context=context, policy=policy
    )
    return violations_of(machine)

"""Orders of ops written by hand: checked and priced, nothing simulated.

An order is one line, ops separated by blanks (or commas), in the notation of
:mod:`pvreplay.machine.ops`; ``A>B`` after begin names the tasks and is passed
over.  What an order needs to know beyond its ops is its :class:`Context`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pvreplay.errors import UsageError
from pvreplay.machine import resources as res
from pvreplay.machine.backend import Backend
from pvreplay.machine.machine import Context, Machine, Watch
from pvreplay.machine.ops import parse
from pvreplay.machine.policy import DEFAULT_POLICY, POLICIES, Policy
from pvreplay.replay.result import Violation
from pvreplay.replay.window import draw
from pvreplay.rules import watch_all
from pvreplay.rules.base import SEVERITY_ORDER, verdicts
from pvreplay.rules.p7_window import CLASSES, EVENTS, unknown_reads

CHECK_KERNEL = "2.6.32"
"""The kernel whose backend rows hold for an order when none is named.

Every backend exists in it, and every op of the switch that a backend can defer
is deferred; nothing is simulated, so no path depends on it.
"""
OPS_MAX = 100_000


def split_order(text: str) -> list[str]:
    """The op tokens of an order.

    Raises :class:`pvreplay.errors.UsageError` for an empty or overlong order,
    :class:`pvreplay.errors.ConfigError` for an op that does not exist; both
    give the 0-based place.
    """
    tokens: list[str] = []
    for word in re.split(r"[\s,]+", text.strip()):
        if ">" in word and tokens and tokens[-1] == "begin":
            continue
        if word:
            tokens.append(word)
    if not tokens:
        raise UsageError("the order is empty", "Example: 'begin enter_cpu load_tls leave_cpu end'.")
    if len(tokens) > OPS_MAX:
        raise UsageError(f"the order has {len(tokens)} ops", f"At most {OPS_MAX}.")
    for place, token in enumerate(tokens):
        try:
            parsed = parse(token)
        except UsageError as error:
            raise UsageError(f"op {place}: {error.message}", error.hint) from None
        unknown = unknown_reads(parsed.operand) if parsed.op.name in EVENTS else []
        if unknown:
            known = ", ".join((*CLASSES, *res.NAMES))
            raise UsageError(
                f"op {place}: {token!r}: a handler that reads {unknown[0]!r}", f"Known: {known}; joined by +."
            )
    return tokens


def context_of(
    *,
    want: Iterable[str] = (),
    hw: Iterable[str] = (),
    live: Iterable[str] = (),
    volatile: Iterable[str] = (),
    scrub: Iterable[str] = (),
    tls_slots: int | None = None,
    no_resident: bool = False,
) -> Context:
    """A context from options: *want* and *hw* as ``RESOURCE=VALUE``, the others as resource names.

    Raises :class:`pvreplay.errors.UsageError` for a resource that does not exist.
    """
    return Context(
        want=_values("--want", want),
        hw=_values("--hw", hw),
        live=_mask("--live", live),
        volatile=_mask("--volatile", volatile),
        scrub=_mask("--scrub", scrub),
        tls_slots=tls_slots,
        no_resident=no_resident,
    )


def _values(option: str, pairs: Iterable[str]) -> dict[int, str]:
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"{option} {pair}: no value", f"Expected RESOURCE=VALUE, as in {option} IOPL=0.")
        values[_mask(option, [name])] = value
    return values


def _mask(option: str, names: Iterable[str]) -> int:
    mask = 0
    for name in names:
        bit = res.lookup(name)
        if bit is None:
            raise UsageError(f"{option} {name}: no such resource", f"Known: {', '.join(res.NAMES)}.")
        mask |= bit
    return mask


def step_order(
    tokens: Sequence[str],
    backend: Backend,
    *,
    context: Context | None = None,
    policy: Policy = POLICIES[DEFAULT_POLICY],
    rules: Watch | None = None,
) -> Machine:
    """Step an order; the machine then holds counts, history and findings."""
    machine = Machine(backend, policy=policy, context=context, rules=watch_all() if rules is None else rules)
    for token in tokens:
        machine.step(token)
    machine.finish()
    return machine


def violations_of(machine: Machine) -> list[Violation]:
    """The violations of a stepped order, in the order of their steps; ``step`` is the op's 0-based place."""
    found = [
        Violation(
            rule=verdict.finding.rule.code,
            name=verdict.finding.rule.name,
            severity=verdict.finding.rule.severity,
            backends=[machine.backend.name],
            count=1,
            step=verdict.finding.step,
            op=verdict.finding.op,
            message=verdict.finding.message,
            advice=verdict.finding.rule.advice,
            drawn=draw(machine, verdict),
            consequences=list(verdict.consequences),
        )
        for verdict in verdicts(machine)
    ]
    return sorted(found, key=lambda one: (one.step, SEVERITY_ORDER[one.severity], one.rule))

"""One order of ops on every backend: what it costs, what it breaks, what could not be checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from pvreplay import __version__
from pvreplay.machine.context import Context
from pvreplay.machine.policy import Policy
from pvreplay.machine.watch import Watch
from pvreplay.replay.order import step_order, violations_of
from pvreplay.replay.result import DrawnStep, Totals, Violation, WhatIf
from pvreplay.rules import all_rules, watch_all
from pvreplay.rules.base import SEVERITY_ORDER

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.machine.backend import Backend
    from pvreplay.machine.machine import Machine
    from pvreplay.rules.base import Rule

WHY: Final = {
    "sleep": "the order has no sleep",
    "irq": "the order has no interrupt, NMI or fault (--inject puts one in)",
    "switch_in_section": "the order has no lazy MMU section",
    "flag": "the order has no flag_en and flag_dis",
    "state": "the order does not say what next needs (--want, --hw)",
    "volatile": "nothing is declared volatile (--volatile)",
    "resident": "registers left behind a trap bit are allowed (--no-resident)",
    "shadow": "the order has no shadow_use",
    "mask": "the order has no set_mask",
    "operand": "no op names what its operand points to (op@OBJECT, unmap:, free:)",
    "scrub": "no residue is declared (--scrub)",
}
"""What a rule needs -> why an order without it cannot break the rule."""


class Expected(msgspec.Struct, frozen=True, order=True):
    """A violation that a line of an order file says there must be."""

    step: int
    rule: str


class OrderCost(msgspec.Struct, kw_only=True):
    """What one backend pays for an order; *switches* are the hypercalls of each begin..end."""

    name: str
    hypercalls: int
    entries: int
    traps: int
    rom_calls: int
    switches: list[int]
    flushes: dict[str, int]
    batch_sizes: dict[int, int]
    by_op: dict[str, Totals]
    steps: list[DrawnStep]
    """Every op with what became of it; the middle of an order of more than 4096 is left out."""
    notes: list[str] = []


class CheckedOrder(msgspec.Struct, kw_only=True):
    """One order, checked.

    *name* and *line* are those of the file it stood in ("" and 0 without one).
    *expected* is what its line says must be found, None when it says nothing;
    *met* whether exactly that was found on every backend.
    """

    name: str = ""
    line: int = 0
    order: list[str]
    kernel: str
    policy: str
    context: list[str]
    """The context as options: ``--want IOPL=0``."""
    backends: list[OrderCost]
    violations: list[Violation]
    not_checked: dict[str, str]
    expected: list[Expected] | None = None
    met: bool | None = None
    what_if: list[WhatIf] | None = None
    """What an event that was put in would have broken; None when none was."""


class Checked(msgspec.Struct, kw_only=True):
    """Everything one ``check`` did."""

    orders: list[CheckedOrder]
    version: str = __version__


def check_order(
    tokens: Sequence[str],
    kernel: Kernel,
    backends: Sequence[Backend],
    *,
    policy: Policy,
    context: Context,
    told: Sequence[str] = (),
    inject: Sequence[str] = (),
    rules: Sequence[Rule] | None = None,
) -> CheckedOrder:
    """Step *tokens* on every backend; *told* is *context* as options, *inject* kinds of events to put in."""
    judged = all_rules() if rules is None else list(rules)
    watch = watch_all() if rules is None else Watch(judged)
    costs, found = [], []
    for backend in backends:
        machine = step_order(tokens, backend, context=context, policy=policy, rules=watch)
        costs.append(_cost(machine))
        found.append(violations_of(machine))
        machine.forget()
    what_if = None
    if inject:
        from pvreplay.replay.inject import inject_order

        what_if = inject_order(tokens, kernel, backends, inject, policy=policy, context=context, watch=watch)
    return CheckedOrder(
        order=list(tokens),
        kernel=kernel.name,
        policy=policy.name,
        context=list(told),
        backends=costs,
        violations=_merged(found),
        not_checked=_not_checked(tokens, context, judged, bool(inject)),
        what_if=what_if,
    )


def judge(checked: CheckedOrder, expected: Iterable[Expected]) -> None:
    """Note what was *expected* of an order, and whether every backend found exactly that."""
    checked.expected = sorted(expected)
    wanted = set(checked.expected)
    checked.met = all(
        {Expected(one.step, one.rule) for one in checked.violations if cost.name in one.backends} == wanted
        for cost in checked.backends
    )


def _cost(machine: Machine) -> OrderCost:
    return OrderCost(
        name=machine.backend.name,
        hypercalls=machine.hypercalls,
        entries=machine.entries,
        traps=machine.traps,
        rom_calls=machine.rom_calls,
        switches=[switch[0] for switch in machine.switches],
        flushes=dict(sorted(machine.flushes.items())),
        batch_sizes=dict(sorted(machine.batch_sizes.items())),
        by_op={
            name: Totals(hypercalls=row[0], entries=row[1], traps=row[2], rom_calls=row[3], count=row[4])
            for name, row in sorted(machine.by_op.items())
        },
        steps=[
            DrawnStep(index=view.index, op=view.op, disposition=view.how, detail=view.detail())
            for view in machine.steps
        ],
        notes=list(machine.backend.notes),
    )


def _merged(found: Sequence[Sequence[Violation]]) -> list[Violation]:
    """Violations of all backends; those that agree in rule, step, message and consequences become one."""
    merged: dict[tuple[object, ...], Violation] = {}
    for violations in found:
        for one in violations:
            key = one.rule, one.step, one.message, tuple(one.consequences)
            if key in merged:
                merged[key].backends += one.backends
            else:
                merged[key] = one
    return sorted(merged.values(), key=lambda one: (one.step, SEVERITY_ORDER[one.severity], one.rule))


def _not_checked(
    tokens: Sequence[str], context: Context, rules: Sequence[Rule], injected: bool
) -> dict[str, str]:
    """Rule code -> why the order cannot break it."""
    from pvreplay.machine.ops import parse
    from pvreplay.replay.checked import INTERRUPTS

    ops = {parse(token).op.name for token in tokens}
    has = {
        "sleep": "sleep" in ops,
        "irq": injected or bool(ops & INTERRUPTS),
        "switch_in_section": "enter_lazy_mmu" in ops or bool(ops & INTERRUPTS and "begin" in ops),
        "flag": bool(ops & {"flag_en", "flag_dis"}),
        "state": bool(context.differs | context.same),
        "volatile": bool(context.volatile),
        "resident": context.no_resident,
        "shadow": "shadow_use" in ops,
        "mask": "set_mask" in ops,
        "operand": bool(ops & {"unmap", "free"}) or any("@" in token for token in tokens),
        "scrub": bool(context.scrub),
    }
    missing = {rule.code: [need for need in rule.needs if not has[need]] for rule in rules}
    return {code: WHY[needs[0]] for code, needs in missing.items() if needs}

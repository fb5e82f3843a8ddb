"""The text form of a check: what an order costs, what it breaks, drawn."""

from __future__ import annotations

from collections.abc import Sequence

from pvreplay.replay.order_check import Checked, CheckedOrder, Expected, OrderCost
from pvreplay.replay.result import Violation
from pvreplay.report.figures import count
from pvreplay.report.page import Page
from pvreplay.report.text_findings import STYLE, draw, violation_body, where
from pvreplay.report.what_if_text import what_if

OPS_SHOWN = 12
"""Ops of an order that head its part of the page, unless verbose."""


def render(
    checked: Checked,
    *,
    width: int = 80,
    color: bool = False,
    ascii: bool = False,
    top: int = 5,
    verbose: int = 0,
) -> str:
    """*checked* as text; an order that did what its line expects is one line unless *verbose*."""
    page = Page(width, ascii)
    for order in checked.orders:
        if order.met and not verbose and order.what_if is None:
            page.flow(
                (_label(order), "title"),
                ("as expected:", "good"),
                _told(order.expected or []),
                indent=4,
                first=0,
            )
            continue
        page.blank()
        _order(page, order, top, verbose)
    if len(checked.orders) > 1:
        page.blank()
        _summary(page, checked.orders)
    return page.text(color)


def _order(page: Page, order: CheckedOrder, top: int, verbose: int) -> None:
    label = f"{_label(order)}:" if order.line else ""
    page.flow(
        (label, "title"),
        count(len(order.order), "op"),
        ("on kernel", "dim"),
        f"{order.kernel},",
        ("policy", "dim"),
        order.policy,
        *order.context,
        indent=2,
        first=0,
    )
    shown = order.order if verbose else order.order[:OPS_SHOWN]
    more = f" ... {len(order.order) - len(shown)} more" if len(shown) < len(order.order) else ""
    page.flow(" ".join(shown) + more, indent=4, first=2)
    page.blank()
    _prices(page, order.backends)
    if verbose:
        for cost in order.backends:
            page.blank()
            _steps(page, cost)
    page.blank()
    priced = [cost.name for cost in order.backends]
    if not order.violations:
        page.line(("no rule broken", "good"))
    for violation in order.violations:
        _violation(page, violation, priced, verbose)
        page.blank()
    if order.met is not None:
        _expectation(page, order)
    if order.what_if is not None:
        page.blank()
        what_if(page, order.what_if, priced, top=top, verbose=verbose, counted=False)
        page.blank()
    if verbose:
        reasons: dict[str, list[str]] = {}
        for rule, why in order.not_checked.items():
            reasons.setdefault(why, []).append(rule)
        for why, rules in reasons.items():
            page.flow((f"not checked: {', '.join(rules)}", "dim"), (f"({why})", "dim"), indent=4, first=2)
    elif order.not_checked:
        page.flow(
            ("not checked:", "dim"),
            (", ".join(order.not_checked), "dim"),
            ("(-v says why)", "dim"),
            indent=2,
        )
    notes: dict[str, None] = dict.fromkeys(note for cost in order.backends for note in cost.notes)
    for note in notes:
        page.flow("note:", note, indent=6, first=0)


def _prices(page: Page, costs: Sequence[OrderCost]) -> None:
    columns: list[tuple[str, list[int]]] = [
        ("hypercalls", [cost.hypercalls for cost in costs]),
        ("entries", [cost.entries for cost in costs]),
        ("traps", [cost.traps for cost in costs]),
        ("ROM calls", [cost.rom_calls for cost in costs]),
    ]
    shown = [(head, cells) for head, cells in columns if head == "hypercalls" or any(cells)]
    flushes = [" ".join(f"{reason} {n}" for reason, n in cost.flushes.items()) for cost in costs]
    rows: list[list[str | int]] = []
    for number, cost in enumerate(costs):
        row: list[str | int] = [cost.name, *(cells[number] for _, cells in shown)]
        rows.append(row + [flushes[number]] * any(flushes))
    head = ["backend", *(head for head, _ in shown), *["flushes"] * any(flushes)]
    page.table(head, rows, text=(0, len(head) - 1) if any(flushes) else (0,), styles=["name"])


def _steps(page: Page, cost: OrderCost) -> None:
    page.line((cost.name, "head"))
    draw(page, cost.steps)


def _violation(page: Page, violation: Violation, priced: list[str], verbose: int) -> None:
    page.flow(
        (violation.rule, "title"),
        (violation.name, "title"),
        (f" {violation.severity}", STYLE[violation.severity]),
        f" {where(violation.backends, priced)}",
        f" at step {violation.step}",
        indent=4,
        first=0,
    )
    violation_body(page, violation, verbose)


def _expectation(page: Page, order: CheckedOrder) -> None:
    wanted = _told(order.expected or [])
    if order.met:
        page.flow(("as expected:", "good"), wanted, indent=4, first=0)
        return
    page.flow(("not as expected:", "bad"), f"expected {wanted}; found", indent=4, first=0)
    for cost in order.backends:
        found = [Expected(one.step, one.rule) for one in order.violations if cost.name in one.backends]
        page.flow((cost.name, "name"), _told(found), indent=6, first=4)


def _told(found: Sequence[Expected]) -> str:
    return ", ".join(f"{one.rule} at step {one.step}" for one in found) or "nothing"


def _label(order: CheckedOrder) -> str:
    return order.name or f"line {order.line}"


def _summary(page: Page, orders: Sequence[CheckedOrder]) -> None:
    met = sum(order.met is True for order in orders)
    unmet = sum(order.met is False for order in orders)
    broken = sum(
        order.met is None and any(one.severity != "perf" for one in order.violations) for order in orders
    )
    page.flow(
        count(len(orders), "order") + ":",
        *([(f"{met} as expected", "good")] if met else []),
        *([(f"{unmet} not as expected", "bad")] if unmet else []),
        *([(f"{broken} that break a rule", "bad")] if broken else []),
        *([(f"{len(orders) - met - unmet - broken} without a violation", "good")])
        if len(orders) > met + unmet + broken
        else [],
        indent=2,
        first=0,
    )

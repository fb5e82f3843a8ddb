"""Where each backend's cost comes from: ops, flushes, distribution; tasks, CPUs, shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pvreplay.replay.result import BackendResult, Report, Totals
from pvreplay.report import order
from pvreplay.report.figures import count, number, percent
from pvreplay.report.page import Page

COUNTERS = {
    "hypercalls": "hypercalls",
    "entries": "entries",
    "traps": "traps",
    "ROM calls": "rom_calls",
    "times run": "count",
}
"""Column heading -> field of Totals.  A column in which every row is zero is left out."""
BAR = 30
"""Columns of the longest bar."""


def details(page: Page, report: Report, shown: list[BackendResult], *, top: int, shapes: bool) -> None:
    """One block a backend that pays anything, then who pays: tasks, CPUs and, if *shapes*, shapes."""
    paying = [result for result in shown if result.hypercalls or result.traps or result.rom_calls]
    for result in paying:
        page.blank()
        backend(page, result, report.switches, top=top)
    if not paying:
        return
    names = report.task_names
    backends = order.without_baselines(result.name for result in paying)
    paying = [result for result in paying if result.name in backends]
    page.blank()
    by_task = [result.by_task for result in paying]
    matrix(
        page,
        "task",
        backends,
        by_task,
        lambda task: names.get(task) or ("idle" if task == 0 else f"task {task}"),
        top,
    )
    if report.cpus > 1:
        page.blank()
        matrix(page, "CPU", backends, [result.by_cpu for result in paying], str, top)
    if shapes:
        page.blank()
        matrix(page, "shape", backends, [result.by_shape for result in paying], str, top)


def backend(page: Page, result: BackendResult, switches: int, *, top: int) -> None:
    """Totals, distribution over switches, ops and flushes of one backend."""
    outside = {name: totals for name, totals in sorted(result.outside.items()) if totals.hypercalls}
    where = "in switches"
    if outside:
        paid = sum(totals.hypercalls for totals in outside.values())
        parts = ", ".join(f"{name} {number(totals.hypercalls)}" for name, totals in outside.items())
        where = f"in switches, {number(paid)} outside ({parts})"
    page.flow(
        (f"{result.name}:", "title"),
        f"{count(result.in_switch.hypercalls, 'hypercall')} {where}",
        indent=2,
        first=0,
    )
    distribution(page, result.histogram, switches, top)
    ops = sorted(result.by_op.items(), key=lambda item: (*order.cost(item[1]), item[0]))
    ops = [(op, totals) for op, totals in ops if _any(totals)]
    counters = [
        (head, field) for head, field in COUNTERS.items() if any(getattr(totals, field) for _, totals in ops)
    ]
    rows: list[list[str | int]] = [
        [
            op,
            *(getattr(totals, field) for _, field in counters),
            percent(totals.hypercalls, result.hypercalls),
        ]
        for op, totals in ops[:top]
    ]
    page.table(["op", *(head for head, _ in counters), "share"], rows, indent=2)
    if len(ops) > top:
        page.line((f"  {count(len(ops) - top, 'more op')}", "dim"))
    if result.flushes:
        page.flow(("flushes by", "dim"), _flushes(result.flushes, top), indent=4, first=2)
    if result.batch_sizes:
        page.flow(("entries per batch", "dim"), _sizes(result.batch_sizes, top), indent=4, first=2)


def distribution(page: Page, histogram: Mapping[int, int], switches: int, top: int) -> None:
    """Hypercalls in one switch -> number of switches, as bars; the rare tail on one line."""
    if not histogram:
        return
    costs = sorted(histogram)
    if len(costs) == 1:
        page.line(f"  every switch: {count(costs[0], 'hypercall')}")
        return
    shown = set(sorted(costs, key=lambda n: (-histogram[n], n))[: max(top, 3)])
    rows = [(str(n), histogram[n]) for n in costs if n in shown]
    rest = [n for n in costs if n not in shown]
    if rest:
        rows.append((f"{rest[0]} .. {rest[-1]}, others", sum(histogram[n] for n in rest)))
    label = max(len("hypercalls"), *(len(name) for name, _ in rows))
    counts = max(len("switches"), *(len(number(n)) for _, n in rows))
    largest = max(n for _, n in rows)
    page.line((f"  {'hypercalls':>{label}}  {'switches':>{counts}}", "head"))
    for name, n in rows:
        bar = page.block * max(1, round(BAR * n / largest))
        page.line(f"  {name:>{label}}  {number(n):>{counts}}  {percent(n, switches):>7}  ", (bar, "bar"))


def matrix(
    page: Page,
    what: str,
    backends: list[str],
    tables: Sequence[Mapping[Any, Totals]],
    name: Callable[[Any], str],
    top: int,
) -> None:
    """Rows are tasks, CPUs or shapes, *tables* one a backend; columns are the backends' hypercalls."""
    paid: dict[Any, int] = {}
    switches: dict[Any, int] = {}
    for table in tables:
        for key, totals in table.items():
            paid[key] = paid.get(key, 0) + totals.hypercalls
            switches[key] = max(switches.get(key, 0), totals.count)
    if not paid:
        return
    nothing = Totals()
    ranked = sorted(paid, key=lambda key: (-paid[key], -switches[key], str(key)))
    rows: list[list[str | int]] = [
        [name(key), switches[key], *(table.get(key, nothing).hypercalls for table in tables)]
        for key in ranked[:top]
    ]
    rest = ranked[top:]
    if rest:
        sums = [sum(table.get(key, nothing).hypercalls for key in rest) for table in tables]
        rows.append([f"{len(rest)} more", sum(switches[key] for key in rest), *sums])
    page.table([f"by {what}", "switches", *backends], rows, styles=["name"])


def _any(totals: Totals) -> bool:
    return bool(totals.hypercalls or totals.entries or totals.traps or totals.rom_calls)


def _flushes(counts: Mapping[str, int], top: int) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{reason} {number(n)}" for reason, n in ranked[:top]]
    if len(ranked) > top:
        parts.append(f"{len(ranked) - top} others {number(sum(n for _, n in ranked[top:]))}")
    return ", ".join(parts)


def _sizes(counts: Mapping[int, int], top: int) -> str:
    common = set(sorted(counts, key=lambda size: (-counts[size], size))[:top])
    parts = [f"{size}: {number(counts[size])}" for size in sorted(common)]
    if len(counts) > top:
        parts.append(f"others: {number(sum(n for size, n in counts.items() if size not in common))}")
    mean = sum(size * n for size, n in counts.items()) / sum(counts.values())
    return f"{', '.join(parts)}; mean {mean:.2f}"

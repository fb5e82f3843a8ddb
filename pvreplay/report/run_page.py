"""A run as a page: verdict, backends, what is broken, where the cost comes from, what to trust."""

from __future__ import annotations

from collections.abc import Iterable

from pvreplay.replay.result import BackendResult, Report, Totals, Violation
from pvreplay.report import order
from pvreplay.report.blocks import (
    Bars,
    Block,
    Cell,
    Drawing,
    Fold,
    Heading,
    Items,
    PageData,
    Para,
    Span,
    Table,
    cut,
)
from pvreplay.report.cases import also, grouped, total, windows
from pvreplay.report.context import Context
from pvreplay.report.figures import count, duration, number, percent
from pvreplay.report.text import saved
from pvreplay.report.text_details import COUNTERS
from pvreplay.report.text_findings import where

ROWS = 20
"""Rows of a table of ops, tasks or shapes."""
DRAWN = 50
"""Violations that are drawn."""
STYLE = {"security": "bad", "error": "bad", "perf": "warn"}
HOWS = {"observed": "good", "derived": "", "assumed": "warn"}
COUNTS = {
    "hypercalls": "hypercalls",
    "entries": "entries",
    "traps": "traps",
    "ROM calls": "rom_calls",
}


def page(report: Report, context: Context) -> PageData:
    """*report* as a page."""
    ranked = order.violations(report.violations)
    names = [result.name for result in report.backends]
    shown = [result for result in report.backends if result.name in order.without_baselines(names)]
    blocks: list[Block] = [
        Heading(2, [("pvreplay:", ""), (report.path, "name"), ("on kernel", ""), (report.kernel, "name")]),
        Para(_verdict(ranked, context)),
        *trust_first(report),
        Para([(_size(report), ""), (f"({report.format})" if report.format else "", "dim")]),
        backends(shown),
        *broken(report, names, context),
        *not_checked(report.not_checked),
        *what_if(report, names, context),
    ]
    paying = [result for result in shown if result.hypercalls or result.traps or result.rom_calls]
    if paying:
        blocks.append(Heading(3, [("Where the cost comes from", "")]))
        blocks += [Fold(_paid(result), cost(result, report.switches), roomy=True) for result in paying]
        blocks += _who(report, paying)
    blocks += _trust(report, shown)
    return PageData(f"pvreplay: {report.path} on kernel {report.kernel}", blocks)


def _verdict(ranked: list[Violation], context: Context) -> list[Span]:
    if not ranked:
        return [("No rule broken.", "good")]
    style = "bad" if any(context.fails(found.severity) for found in ranked) else "warn"
    return [(f"{total(ranked)}.", style)]


def trust_first(report: Report) -> list[Block]:
    """What is missing from the numbers, before any of them."""
    told: list[Block] = []
    if report.damage:
        told.append(Para([("Damaged trace:", "bad"), (report.damage, "")]))
    if report.lost_events:
        told.append(
            Para([(f"{count(report.lost_events, 'event')} lost:", "bad"), ("counts are lower bounds.", "")])
        )
    return told


def _size(report: Report) -> str:
    return ", ".join(
        [
            count(report.switches, "switch", "switches"),
            count(report.events, "event"),
            count(report.cpus, "CPU"),
            count(report.tasks, "task"),
            duration(report.duration_ns),
        ]
    )


def backends(shown: list[BackendResult]) -> Table:
    """One row a backend; columns of zeros are left out, hypercalls never."""
    columns: list[tuple[str, list[Cell]]] = [
        ("per switch", [f"{result.hypercalls_per_switch:.2f}" for result in shown]),
        ("unbatched", [result.unbatched_hypercalls for result in shown]),
        ("saved", [saved(result) for result in shown]),
        ("entries", [result.entries for result in shown]),
        ("traps", [result.traps for result in shown]),
        ("ROM calls", [result.rom_calls for result in shown]),
    ]
    columns = [(head, cells) for head, cells in columns if any(cell not in (0, None, "-") for cell in cells)]
    return Table(
        ["backend", "hypercalls", *(head for head, _ in columns)],
        [
            [(result.name, "name"), result.hypercalls, *(cells[row] for _, cells in columns)]
            for row, result in enumerate(shown)
        ],
    )


def broken(report: Report, priced: list[str], context: Context) -> Iterable[Block]:
    """The violations, each behind its line; those that fail the run are open."""
    groups = grouped(report)
    for first, *rest in groups[:DRAWN]:
        inside = violation(first)
        if rest:
            inside.append(Items([[(also(one, priced), "")] for one in rest]))
        yield Fold(_summary(first, priced), inside, open=context.fails(first.severity))
    if len(groups) > DRAWN:
        yield Para([(f"{len(groups) - DRAWN} more are not drawn.", "dim")])


def _summary(found: Violation, priced: list[str]) -> list[Span]:
    return [
        (f"{found.rule} {found.name}", "strong"),
        (found.severity, STYLE[found.severity]),
        (found.op, "name"),
        (f"on {where(found.backends, priced)},", ""),
        (count(found.count, "time"), ""),
    ]


def what_if(report: Report, priced: list[str], context: Context) -> Iterable[Block]:
    """What events put into every distinct unit would break."""
    if report.what_if is None:
        return
    found = windows(report)
    told = count(len(found), "window") if found else "no window found"
    yield Heading(3, [(f"What if an event had come: {told}", "")])
    for window in found[:DRAWN]:
        summary = [span for span in _summary(window, priced) if span[0] != "perf"]
        yield Fold(summary, violation(window), open=context.strict)
    if len(found) > DRAWN:
        yield Para([(f"{len(found) - DRAWN} more are not drawn.", "dim")])


def violation(found: Violation) -> list[Block]:
    """Place, sequence and advice of one violation."""
    blocks: list[Block] = [Para([(found.op, "name"), (f"{found.message}.", "")])]
    if (first := found.first) is not None:
        place = f"First: event {first.event:,}, cpu {first.cpu}, {first.time_ns / 1e9:.6f} s,"
        blocks.append(Para([(place, ""), (first.prev, "name"), ("to", ""), (first.next, "name")]))
    if found.drawn:
        blocks.append(Drawing(found.drawn, found.message))
    if found.consequences:
        blocks.append(Para([(f"Followed by {', '.join(found.consequences)}.", "dim")]))
    blocks.append(Para([(found.advice, ""), (f"pvreplay rule {found.rule}", "name")]))
    return blocks


def not_checked(reasons: dict[str, str]) -> Iterable[Block]:
    """Rules that this trace cannot tell of, by reason."""
    by_reason: dict[str, list[str]] = {}
    for rule, why in sorted(reasons.items()):
        by_reason.setdefault(why, []).append(rule)
    if by_reason:
        items: list[list[Span]] = [
            [(f"{', '.join(rules)}:", "strong"), (why, "")] for why, rules in by_reason.items()
        ]
        yield Fold([(f"{count(len(reasons), 'rule')} not checked on this trace", "")], [Items(items)])


def _paid(result: BackendResult) -> list[Span]:
    spans: list[Span] = [
        (f"{result.name}:", "strong"),
        (f"{count(result.in_switch.hypercalls, 'hypercall')} in switches", ""),
    ]
    outside = [(name, one.hypercalls) for name, one in sorted(result.outside.items()) if one.hypercalls]
    if outside:
        parts = ", ".join(f"{name} {number(n)}" for name, n in outside)
        spans[-1] = (f"{spans[-1][0]}, {number(sum(n for _, n in outside))} outside ({parts})", "")
    return spans


def cost(result: BackendResult, switches: int) -> list[Block]:
    """Distribution, ops, flushes and batches of one backend."""
    blocks: list[Block] = []
    if result.histogram:
        blocks.append(distribution(result.histogram, switches))
    ops = [item for item in result.by_op.items() if any(getattr(item[1], key) for key in COUNTS.values())]
    ops.sort(key=lambda item: (*order.cost(item[1]), item[0]))
    heads = [head for head, key in COUNTERS.items() if any(getattr(totals, key) for _, totals in ops)]
    rows: list[list[Cell]] = [
        [
            (op, "name"),
            *(getattr(totals, COUNTERS[head]) for head in heads),
            percent(totals.hypercalls, result.hypercalls),
        ]
        for op, totals in ops
    ]
    if rows:
        blocks.append(Table(["op", *heads, "share"], cut(rows, ROWS, len(heads) + 2)))
    if result.flushes:
        blocks.append(Para([("Flushes by", "dim"), (_ranked(result.flushes), "")]))
    if result.batch_sizes:
        sizes = {str(size): n for size, n in result.batch_sizes.items()}
        blocks.append(Para([("Batches by number of entries:", "dim"), (_ranked(sizes), "")]))
    return blocks


def _ranked(counts: dict[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{name}: {number(n)}" for name, n in ranked[:ROWS]]
    rest = ranked[ROWS:]
    if rest:
        parts.append(f"{len(rest)} others: {number(sum(n for _, n in rest))}")
    return ", ".join(parts) + "."


def distribution(histogram: dict[int, int], switches: int) -> Bars:
    """Hypercalls in one switch -> switches; the rare ones in one row."""
    costs = sorted(histogram)
    common = sorted(costs, key=lambda n: (-histogram[n], n))[:ROWS]
    rows = [(str(n), histogram[n]) for n in costs if n in common]
    rest = [n for n in costs if n not in common]
    if rest:
        rows.append((f"{rest[0]} to {rest[-1]}, others", sum(histogram[n] for n in rest)))
    largest = max(n for _, n in rows)
    return Bars(
        ("hypercalls in a switch", "switches"),
        [(label, n, percent(n, switches), n / largest if largest else 0.0) for label, n in rows],
    )


def _who(report: Report, paying: list[BackendResult]) -> Iterable[Block]:
    names = report.task_names
    tables: list[tuple[str, list[dict[str, Totals]]]] = [
        (
            "task",
            [
                {
                    names.get(task) or ("idle" if task == 0 else f"task {task}"): totals
                    for task, totals in result.by_task.items()
                }
                for result in paying
            ],
        ),
        ("CPU", [{str(cpu): totals for cpu, totals in result.by_cpu.items()} for result in paying]),
        ("shape", [result.by_shape for result in paying]),
    ]
    for what, table in tables:
        rows = who_pays(table)
        if rows:
            head = [what, "switches", *(result.name for result in paying)]
            yield Fold([(f"Hypercalls by {what}", "")], [Table(head, cut(rows, ROWS, len(head)))], roomy=True)


def who_pays(tables: list[dict[str, Totals]]) -> list[list[Cell]]:
    """Name, switches, hypercalls of each of *tables*; who pays most first."""
    nothing = Totals()
    found: dict[str, tuple[int, int]] = {}
    for table in tables:
        for name, totals in table.items():
            paid, switches = found.get(name, (0, 0))
            found[name] = (paid + totals.hypercalls, max(switches, totals.count))
    ranked = sorted(found.items(), key=lambda item: (-item[1][0], -item[1][1], item[0]))
    return [
        [(name, "name"), switches, *(table.get(name, nothing).hypercalls for table in tables)]
        for name, (_, switches) in ranked
    ]


def _trust(report: Report, shown: list[BackendResult]) -> Iterable[Block]:
    rows: list[list[Cell]] = [
        [(key, "strong"), (how, HOWS.get(how, "")), source, (option, "name") if option else ""]
        for key, (how, source, option) in report.state.items()
    ]
    inside: list[Block] = []
    if rows:
        inside.append(Table(["state", "is", "from", "option"], rows, (0, 1, 2, 3)))
    doubts = {name.replace("_", " "): n for name, n in report.doubts.items() if n}
    if doubts:
        inside.append(Para([("Doubts:", "warn"), (_ranked(doubts), "")]))
    notes: dict[str, list[str]] = {note: [] for note in report.notes}
    for result in shown:
        for note in result.notes:
            notes.setdefault(note, []).append(result.name)
    if notes:
        items: list[list[Span]] = [
            [*([(f"{', '.join(whose)}:", "strong")] if whose else []), (note, "")]
            for note, whose in notes.items()
        ]
        inside.append(Items(items))
    how = "every switch stepped" if report.engine == "step" else "each distinct shape stepped once"
    loop = "compiled loop" if report.compiled else "interpreted loop (slow: built without a C compiler)"
    inside.append(Para([(f"pvreplay {report.version}, {how}, {loop}.", "dim")]))
    if report.kernel_source:
        inside.append(Para([(f"Kernel {report.kernel}: {report.kernel_source}.", "dim")]))
    yield Fold([("What the numbers stand on", "")], inside, roomy=True)

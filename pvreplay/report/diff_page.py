"""Two sides as a page: metric by metric, the ops that make the difference, rules broken on one side."""

from __future__ import annotations

from collections.abc import Iterable

from pvreplay.replay.result import Violation
from pvreplay.report.blocks import Block, Cell, Fold, Heading, Items, PageData, Para, Span, Table, cut
from pvreplay.report.cases import total
from pvreplay.report.compare import METRICS, Comparison, OpChange, Pair
from pvreplay.report.diff_text import NAMES, ratio
from pvreplay.report.figures import count
from pvreplay.report.run_page import ROWS, STYLE, violation


def page(comparison: Comparison) -> PageData:
    """*comparison* as a page."""
    blocks: list[Block] = [
        Heading(2, [("pvreplay:", ""), (comparison.a, "name"), ("vs", ""), (comparison.b, "name")]),
        Para([_verdict(comparison)]),
        *_shared(comparison),
    ]
    if len(comparison.pairs) > 1:
        blocks.append(_summary(comparison))
    if comparison.path:
        changes = [[(f"{step}:", "name"), (told, "")] for step, told in comparison.path.items()]
        blocks.append(Fold([("What differs in the switch path", "strong")], [Items(changes)]))
    for pair in comparison.pairs:
        inside = list(_pair(pair))
        if len(comparison.pairs) == 1:
            blocks += inside
        else:
            blocks.append(Fold([(_title(pair), "strong"), _said(pair)], inside, roomy=not pair.equal))
    if comparison.notes:
        blocks.append(Items([[(note, "")] for note in comparison.notes]))
    blocks.append(Para([(f"pvreplay {comparison.version}", "dim")]))
    return PageData(f"pvreplay: {comparison.a} vs {comparison.b}", blocks)


def _verdict(comparison: Comparison) -> Span:
    if comparison.equal:
        return ("No difference.", "good")
    new = {(found.rule, found.op): found for pair in comparison.pairs for found in pair.only_b}
    if new:
        worst = any(found.severity != "perf" for found in new.values())
        return (f"Only on the second side: {total([*new.values()])}.", "bad" if worst else "warn")
    return ("The sides differ.", "warn")


def _shared(comparison: Comparison) -> Iterable[Block]:
    sides = [side for pair in comparison.pairs for side in (pair.a, pair.b)]
    traces = {(side.path, side.switches) for side in sides}
    if len(traces) == 1:
        path, switches = traces.pop()
        kernels = {side.kernel for side in sides}
        told: list[Span] = [(path, "name"), (count(switches, "switch", "switches"), "")]
        if len(kernels) == 1:
            told += [("on kernel", ""), (kernels.pop(), "name")]
        yield Para(told)


def _title(pair: Pair) -> str:
    return pair.a.backend if pair.a.backend == pair.b.backend else f"{pair.a.label} vs {pair.b.label}"


def _said(pair: Pair) -> Span:
    change = pair.metrics["hypercalls"].difference
    if pair.equal:
        return ("no difference", "dim")
    if not change:
        return ("the same hypercalls, another cost", "")
    return (f"{signed(int(change))} hypercalls", "bad" if change > 0 else "good")


def _summary(comparison: Comparison) -> Table:
    rows: list[list[Cell]] = []
    for pair in comparison.pairs:
        changed = pair.metrics["hypercalls"]
        difference = signed(int(changed.difference))
        rows.append([(_title(pair), "name"), int(changed.a), int(changed.b), difference, ratio(changed)])
    return Table(["hypercalls", comparison.a, comparison.b, "difference", "ratio"], rows)


def _pair(pair: Pair) -> Iterable[Block]:
    rows: list[list[Cell]] = []
    for name, changed in pair.metrics.items():
        if name == "hypercalls_per_switch":
            difference = f"{changed.difference:+.2f}" if changed.difference else "0"
            cells: list[Cell] = [f"{changed.a:.2f}", f"{changed.b:.2f}", difference]
        else:
            cells = [int(changed.a), int(changed.b), signed(int(changed.difference))]
        if name == "hypercalls" or changed.a or changed.b:
            rows.append([NAMES[name], *cells, ratio(changed)])
    yield Table(["metric", pair.a.label, pair.b.label, "difference", "ratio"], rows)
    yield from _ops(pair)
    for label, found in ((pair.a.label, pair.only_a), (pair.b.label, pair.only_b)):
        for one in found:
            yield _one_sided(one, label, pair)


def _ops(pair: Pair) -> Iterable[Block]:
    metrics = [name for name in METRICS if any(_delta(op, name) for op in pair.by_op)]
    costly = [op for op in pair.by_op if any(_delta(op, name) for name in metrics)]
    rows: list[list[Cell]] = [
        [(op.op, "name"), *(signed(_delta(op, name)) for name in metrics), op.how] for op in costly
    ]
    if rows:
        head = ["difference by op", *(NAMES[name] for name in metrics), "what becomes of it"]
        yield Table(head, cut(rows, ROWS, len(head)), (0, len(head) - 1))


def _one_sided(found: Violation, label: str, pair: Pair) -> Fold:
    summary: list[Span] = [
        ("only on", ""),
        (f"{label}:", ""),
        (f"{found.rule} {found.name}", "strong"),
        (found.severity, STYLE[found.severity]),
        (found.op, "name"),
        (count(found.count, "time"), ""),
    ]
    if found.rule in pair.batching_induced:
        summary.append(("(batching-induced: silent on native)", "dim"))
    return Fold(summary, violation(found), open=found.severity != "perf")


def _delta(op: OpChange, counter: str) -> int:
    return int(getattr(op.b, counter) - getattr(op.a, counter))


def signed(difference: int) -> str:
    """``+1,234``, ``-5`` or ``0``."""
    return f"{difference:+,}" if difference else "0"

"""Two sides as text: metric by metric, then what makes the difference."""

from __future__ import annotations

from pvreplay.replay.result import Violation
from pvreplay.report import text_findings
from pvreplay.report.compare import METRICS, Change, Comparison, OpChange, Pair
from pvreplay.report.figures import count
from pvreplay.report.page import Page

NAMES = {
    "hypercalls": "hypercalls",
    "hypercalls_per_switch": "per switch",
    "entries": "entries",
    "traps": "traps",
    "rom_calls": "ROM calls",
    "count": "times run",
}


def render(
    comparison: Comparison,
    *,
    width: int = 80,
    color: bool = False,
    ascii: bool = False,
    top: int = 5,
    verbose: int = 0,
) -> str:
    """*comparison* as text; *top* limits lists, *verbose* lifts the limit and draws every violation."""
    page = Page(width, ascii)
    header(page, comparison)
    if len(comparison.pairs) > 1:
        page.blank()
        summary(page, comparison)
    if comparison.path:
        page.blank()
        path(page, comparison, top, verbose)
    for pair in comparison.pairs:
        if len(comparison.pairs) > 1 and pair.equal and not verbose:
            continue
        page.blank()
        pair_block(page, pair, title=len(comparison.pairs) > 1, top=top, verbose=verbose)
    page.blank()
    if comparison.equal:
        page.line(("no difference", "good"))
    for note in comparison.notes:
        page.flow("note:", note, indent=6, first=0)
    return page.text(color)


def header(page: Page, comparison: Comparison) -> None:
    """The two sides, and the trace they share."""
    page.flow((comparison.a, "title"), ("vs", "dim"), (comparison.b, "title"), indent=2, first=0)
    shared = {(side.path, side.switches) for pair in comparison.pairs for side in (pair.a, pair.b)}
    kernels = {side.kernel for pair in comparison.pairs for side in (pair.a, pair.b)}
    if len(shared) == 1:
        path, switches = shared.pop()
        kernel = f", kernel {kernels.pop()}" if len(kernels) == 1 else ""
        page.flow(f"{path}: {count(switches, 'switch', 'switches')}{kernel}", indent=2)


def summary(page: Page, comparison: Comparison) -> None:
    """Hypercalls of every pair in one table."""
    rows: list[list[str | int]] = []
    for pair in comparison.pairs:
        changed = pair.metrics["hypercalls"]
        rows.append(
            [_title(pair), int(changed.a), int(changed.b), _signed(int(changed.difference)), ratio(changed)]
        )
    page.table(["hypercalls", comparison.a, comparison.b, "difference", "ratio"], rows, styles=["name"])


def path(page: Page, comparison: Comparison, top: int, verbose: int) -> None:
    """What differs in the switch path: first what explains an op whose cost differs."""
    paying = {op.why for pair in comparison.pairs for op in pair.by_op if any(_delta(op, m) for m in METRICS)}
    changes = sorted(
        comparison.path.items(),
        key=lambda change: not any(f"{change[0]}: {change[1]}" in why for why in paying),
    )
    shown = changes if verbose else changes[:top]
    page.line(("what differs in the switch path", "head"))
    for step, told in shown:
        page.flow((f"{step}:", "name"), told, indent=4, first=2)
    if len(changes) > len(shown):
        page.line((f"  {count(len(changes) - len(shown), 'more difference')}, -v shows all", "dim"))


def pair_block(page: Page, pair: Pair, *, title: bool, top: int, verbose: int) -> None:
    """Metrics, ops by contribution, violations on one side only."""
    if title:
        page.line((_title(pair), "title"))
    rows: list[list[str | int]] = []
    for name, changed in pair.metrics.items():
        if not verbose and name != "hypercalls" and changed.a == changed.b == 0:
            continue
        if name == "hypercalls_per_switch":
            rows.append(
                [
                    NAMES[name],
                    f"{changed.a:.2f}",
                    f"{changed.b:.2f}",
                    f"{changed.difference:+.2f}" if changed.difference else "0",
                    ratio(changed),
                ]
            )
        else:
            rows.append(
                [
                    NAMES[name],
                    int(changed.a),
                    int(changed.b),
                    _signed(int(changed.difference)),
                    ratio(changed),
                ]
            )
    page.table(["metric", pair.a.label, pair.b.label, "difference", "ratio"], rows)
    if verbose:
        every_op(page, pair)
    else:
        ops(page, pair, top)
    one_sided(page, pair, pair.a.label, pair.only_a, verbose)
    one_sided(page, pair, pair.b.label, pair.only_b, verbose)


def ops(page: Page, pair: Pair, top: int) -> None:
    """The ops whose cost differs, largest contribution first, and by how much in each metric."""
    metrics = [name for name in METRICS if any(_delta(op, name) for op in pair.by_op)]
    costly = [op for op in pair.by_op if any(_delta(op, name) for name in metrics)]
    if not costly:
        return
    page.blank()
    rows: list[list[str | int]] = [
        [op.op, *(_signed(_delta(op, name)) for name in metrics), op.how] for op in costly[:top]
    ]
    if len(costly) > top:
        sums = (sum(_delta(op, name) for op in costly[top:]) for name in metrics)
        rows.append([f"{len(costly) - top} more", *map(_signed, sums), ""])
    head = ["difference by op", *(NAMES[name] for name in metrics), "what becomes of it"]
    page.table(head, rows, text=(0, len(head) - 1), styles=["name"])


def every_op(page: Page, pair: Pair) -> None:
    """Every op that differs, with its numbers on both sides, a table a counter."""
    for counter in (*METRICS, "count"):
        changes = [op for op in pair.by_op if _delta(op, counter)]
        changes.sort(key=lambda op: (-abs(_delta(op, counter)), op.op))
        rows: list[list[str | int]] = [
            [op.op, getattr(op.a, counter), getattr(op.b, counter), _signed(_delta(op, counter)), op.how]
            for op in changes
        ]
        if rows:
            page.blank()
            head = [f"{NAMES[counter]} by op", pair.a.label, pair.b.label, "difference", "what becomes of it"]
            page.table(head, rows, text=(0, 4), styles=["name"])


def _delta(op: OpChange, counter: str) -> int:
    return int(getattr(op.b, counter) - getattr(op.a, counter))


def _signed(difference: int) -> str:
    return f"{difference:+,}" if difference else "0"


def one_sided(page: Page, pair: Pair, label: str, found: list[Violation], verbose: int) -> None:
    """Violations that fire on *label* and not on the other side."""
    if not found:
        return
    page.blank()
    page.flow((f"only on {label}:", "head"), count(len(found), "violation"), indent=2, first=0)
    for violation in found:
        induced = "batching-induced" if violation.rule in pair.batching_induced else ""
        if verbose:
            page.blank()
            text_findings.violation_lines(page, violation, [], verbose)
            if induced:
                page.line(("  batching-induced: silent on native", "warn"))
        else:
            page.flow(
                (violation.rule, "title"),
                violation.name,
                (f" {violation.severity}", text_findings.STYLE[violation.severity]),
                f" {count(violation.count, 'time')}",
                f" at {violation.op}",
                (f" {induced}" if induced else "", "warn"),
                indent=4,
                first=2,
            )


def ratio(changed: Change) -> str:
    """``1.50x``, or - when the first side is 0."""
    return "-" if changed.ratio is None else f"{changed.ratio:,.2f}x"


def _title(pair: Pair) -> str:
    return pair.a.backend if pair.a.backend == pair.b.backend else f"{pair.a.label} vs {pair.b.label}"

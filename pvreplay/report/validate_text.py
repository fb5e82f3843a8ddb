"""A validation as text: the verdict first, then what it rests on, then every class of difference."""

from __future__ import annotations

from itertools import zip_longest

from pvreplay.report.figures import count, number, percent
from pvreplay.report.page import Page, fit, width_of
from pvreplay.validate.result import Class, Example, Result


def render(
    result: Result,
    *,
    width: int = 80,
    color: bool = False,
    ascii: bool = False,
    top: int = 5,
    verbose: int = 0,
) -> str:
    """*result* as text; at most *top* classes are drawn, all of them with *verbose*."""
    page = Page(width, ascii)
    page.line((result.path, "name"), f"  ({result.format})")
    page.line(f"kernel {result.kernel}, backend {result.backend}")
    page.blank()
    _verdict(page, result)
    page.blank()
    _decisions(page, result)
    _flushes(page, result)
    page.blank()
    _confusion(page, result, verbose)
    page.blank()
    _reasons(page, result, verbose)
    page.blank()
    _notes(page, result)
    shown = result.classes if verbose else result.classes[:top]
    for each in shown:
        page.blank()
        _class(page, each, bool(verbose))
    left = len(result.classes) - len(shown)
    if left:
        page.blank()
        page.line((f"{count(left, 'class', 'classes')} more; -v shows them", "dim"))
    return page.text(color)


def _verdict(page: Page, result: Result) -> None:
    switches = result.switches
    good = not switches.different
    page.line(
        (
            f"{number(switches.equal)} of {count(switches.compared, 'switch', 'switches')} agree",
            "good" if good else "bad",
        ),
        f" ({percent(switches.equal, switches.compared)})",
        (f", {number(switches.different)} differ", "bad") if switches.different else "",
    )
    if switches.on_default:
        page.line(
            f"{number(switches.on_default)} of these rest on a default: the recording leaves a state untold"
        )
    total = switches.compared + switches.undecided
    if switches.undecided:
        page.line(
            f"{number(switches.undecided)} undecided ({percent(switches.undecided, total)}): state untold; "
            f"{percent(switches.equal, total)} agree if these count against it"
        )
    if switches.outside:
        page.line(f"{number(switches.outside)} before or after the evidence was switched on")


def _decisions(page: Page, result: Result) -> None:
    rows: list[list[str | int]] = [
        [name, d.predicted, d.seen, d.agree, d.differ, d.undecided] for name, d in result.decisions.items()
    ]
    page.table(["decision", "predicted", "seen", "agree", "differ", "undecided"], rows)


def _flushes(page: Page, result: Result) -> None:
    rows: list[list[str | int]] = []
    for name, batches in result.flushes.items():
        for size in sorted(batches.predicted.keys() | batches.seen.keys()):
            rows.append(
                [
                    f"{name.replace('_', ' ')}: {size}",
                    batches.predicted.get(size, 0),
                    batches.seen.get(size, 0),
                ]
            )
    if rows:
        page.blank()
        page.table(["flush: entries, argument bytes, callbacks", "predicted", "seen"], rows)
        page.line(
            f"hypercalls {number(result.predicted.hypercalls)} predicted, "
            f"{number(result.seen.hypercalls)} seen; "
            f"entries {number(result.predicted.entries)}, {number(result.seen.entries)}"
        )
    if result.by_op:
        page.blank()
        page.table(
            ["hypercalls by op", "predicted", "seen"],
            [[op, n["predicted"], n["seen"]] for op, n in result.by_op.items()],
        )


def _confusion(page: Page, result: Result, verbose: int) -> None:
    rows: list[list[str | int]] = []
    for expected, row in result.confusion.items():
        for found, times in row.items():
            rows.append([expected, "as predicted" if found == expected else found, times])
    rows.sort(key=lambda row: -int(row[2]))
    page.table(["shape predicted", "seen", "switches"], rows if verbose else rows[:12], text=(0, 1))


def _reasons(page: Page, result: Result, verbose: int) -> None:
    rows: list[list[str | int]] = [
        [name, r.exposed, r.switches, r.decisions]
        for name, r in result.reasons.items()
        if verbose or r.switches or r.decisions
    ]
    page.table(["not told", "exposed", "switches", "other decisions"], rows)
    for name, reason in result.reasons.items():
        if verbose or reason.switches or reason.decisions:
            page.flow((name + ":", "name"), reason.text, indent=4, first=2)


def _notes(page: Page, result: Result) -> None:
    if result.other_work:
        told = ", ".join(f"{name} {number(n)}" for name, n in sorted(result.other_work.items()))
        page.flow("other work inside the windows:", told, indent=4)
    if result.not_shown:
        page.flow("not shown by this recording:", ", ".join(result.not_shown), indent=4)
    for note in result.notes:
        page.flow("note:", note, indent=6, first=0)


def _class(page: Page, each: Class, verbose: bool) -> None:
    style = {"different": "bad", "undecided": "warn"}.get(each.verdict, "dim")
    page.line((f"{each.verdict}: {count(each.count, 'switch', 'switches')}", style), f"  {each.what}")
    if each.reasons:
        page.line(f"  hangs on: {', '.join(each.reasons)}")
    if each.example is not None and (verbose or each.verdict == "different"):
        _example(page, each.example)


def _example(page: Page, example: Example) -> None:
    page.line(
        f"  switch {number(example.switch)} at {example.time_ns / 1e9:.6f} on CPU {example.cpu}: ",
        (example.prev, "name"),
        " -> ",
        (example.next, "name"),
    )
    page.line("  facts: " + (", ".join(example.shape) or "none"))
    half = (page.width - 6) // 2
    page.line(f"    {'predicted':<{half}}  seen")
    for here, there in zip_longest(example.predicted, example.seen, fillvalue=""):
        mark = "  " if here == there else "> "
        left = fit(page.safe(here), half, page.ellipsis)
        page.line("  ", (mark, "mark"), left + " " * (half - width_of(left)), "  ", there)
    for line in example.lines[:40]:
        page.line(("    | " + line, "dim"))

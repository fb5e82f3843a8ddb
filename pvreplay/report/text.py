"""The text report: first what an engineer asks, then the details, then what to trust.

A pure function of the report; 80 columns, legible when piped and without colour.
"""

from __future__ import annotations

from pvreplay.replay.result import BackendResult, Report
from pvreplay.report import order, text_details, text_findings, text_trust
from pvreplay.report.figures import count, duration, percent
from pvreplay.report.page import Page, Span


def render(
    report: Report,
    *,
    width: int = 80,
    color: bool = False,
    ascii: bool = False,
    top: int = 5,
    verbose: int = 0,
    shapes: bool = False,
) -> str:
    """*report* as text.

    *top* limits every list (violations, ops, tasks, CPUs, shapes); *verbose* 1
    lifts the limit on drawn steps and adds shapes, baselines (unbatched, nolazy) of
    backends that are there themselves, and columns that hold only zeros.  *shapes* adds the shapes alone.
    """
    page = Page(width, ascii)
    names = [result.name for result in report.backends]
    plain = order.without_baselines(names)
    shown = [result for result in report.backends if verbose or result.name in plain]
    header(page, report)
    page.blank()
    backends(page, shown, verbose)
    page.blank()
    text_findings.findings(page, report, top=top, verbose=verbose)
    if report.what_if is not None:
        from pvreplay.report.what_if_text import what_if

        page.blank()
        what_if(page, report.what_if, plain, top=top, verbose=verbose, counted=True)
    text_details.details(page, report, shown, top=top, shapes=shapes or bool(verbose))
    page.blank()
    text_trust.trust(page, report)
    page.blank()
    footer(page, report, shown)
    return page.text(color)


def header(page: Page, report: Report) -> None:
    """What was replayed, and loudly what is missing from it."""
    kind = f"({report.format})" if report.format else ""
    page.flow((report.path, "title"), kind, ("on kernel", "dim"), (report.kernel, "title"), indent=2, first=0)
    counts = [
        count(report.switches, "switch", "switches"),
        count(report.events, "event"),
        count(report.cpus, "CPU"),
        count(report.tasks, "task"),
        duration(report.duration_ns),
    ]
    page.flow(", ".join(counts), indent=2)
    if report.filter:
        kept = ", ".join(f"{name} {value}" for name, value in report.filter.items())
        page.flow(("only", "warn"), kept, indent=2)
    if report.damage:
        page.flow(("damaged:", "bad"), f"{report.damage}", indent=2)
    if report.lost_events:
        lost = count(report.lost_events, "event")
        page.flow((f"{lost} lost:", "bad"), "the counts below are lower bounds", indent=2)


def backends(page: Page, results: list[BackendResult], verbose: int) -> None:
    """One row a backend.  Columns in which every row is zero are left out unless *verbose*.

    The unbatched baseline is a column, unless baselines are rows of their own.
    """
    columns: list[tuple[str, list[str | int]]] = [
        ("hypercalls", [result.hypercalls for result in results]),
        ("per switch", [f"{result.hypercalls_per_switch:.2f}" for result in results]),
        ("unbatched", [_or_dash(result.unbatched_hypercalls) for result in results]),
        ("saved", [saved(result) for result in results]),
        ("entries", [result.entries for result in results]),
        ("traps", [result.traps for result in results]),
        ("ROM calls", [result.rom_calls for result in results]),
    ]
    rows_of_baselines = len(order.without_baselines(result.name for result in results)) < len(results)
    shown = [
        (head, cells)
        for head, cells in columns
        if head == "hypercalls"
        or (
            not (rows_of_baselines and head in ("unbatched", "saved"))
            and (verbose or any(cell not in (0, "-") for cell in cells))
        )
    ]
    page.table(
        ["backend", *(head for head, _ in shown)],
        [
            [result.name, *row]
            for result, row in zip(results, zip(*(cells for _, cells in shown), strict=True), strict=True)
        ],
        styles=["name"],
    )


def saved(result: BackendResult) -> str:
    """What batching saves of the unbatched hypercalls, as a percentage."""
    if not result.unbatched_hypercalls:
        return "-"
    return percent(result.unbatched_hypercalls - result.hypercalls, result.unbatched_hypercalls)


def footer(page: Page, report: Report, shown: list[BackendResult]) -> None:
    """How the numbers were made."""
    for note in report.notes:
        page.flow("note:", note, indent=6, first=0)
    seen: dict[str, list[str]] = {}
    for result in shown:
        for note in result.notes:
            seen.setdefault(note, []).append(result.name)
    for note, names in seen.items():
        whose = [name for name in names if name not in note]
        page.flow("note:", f"{', '.join(whose)}: {note}" if whose else note, indent=6, first=0)
    how = "every switch stepped" if report.engine == "step" else "each distinct shape stepped once"
    loop: Span = ("compiled loop", "dim")
    if not report.compiled:
        loop = ("interpreted loop (slow: built without a C compiler)", "warn")
    page.flow((f"pvreplay {report.version}, {how},", "dim"), loop, indent=2, first=0)
    if report.kernel_source:
        page.flow((f"kernel {report.kernel}: {report.kernel_source}", "dim"), indent=2, first=0)


def _or_dash(n: int | None) -> str | int:
    return "-" if n is None else n

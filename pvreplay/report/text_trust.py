"""What the numbers stand on: seen, derived or assumed state, and the tool's own doubts."""

from __future__ import annotations

from pvreplay.replay.result import Report
from pvreplay.report.page import Page, Span, width_of

HOWS = ("observed", "derived", "assumed")
STYLE = {"observed": "good", "derived": "", "assumed": "warn"}


def trust(page: Page, report: Report) -> None:
    """Provenance of every piece of state, then doubts."""
    if report.state:
        page.line(("state of tasks and CPUs", "head"))
        provenance(page, report.state)
    doubts = {name: n for name, n in report.doubts.items() if n}
    if doubts:
        page.flow(
            ("doubts", "warn"),
            ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in sorted(doubts.items())),
            indent=4,
            first=2,
        )


def provenance(page: Page, state: dict[str, tuple[str, str, str]]) -> None:
    """Pieces with the same origin share a line: how, which, from what, option to change it."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for key, origin in state.items():
        groups.setdefault(origin, []).append(key)
    ranked = sorted(groups.items(), key=lambda item: HOWS.index(item[0][0]) if item[0][0] in HOWS else 3)
    column = 2 + max(width_of(page.safe(how)) for how, _, _ in groups) + 2
    shown = ""
    for (how, source, option), keys in ranked:
        spans: list[Span | str] = [(f"{', '.join(keys)}{':' if source else ''}", "name"), source]
        if option:
            spans.append((f"({option})", "dim"))
        label = "" if how == shown else how
        shown = how
        before = len(page.lines)
        page.flow(*spans, indent=column + 2, first=column)
        first = page.lines[before]
        first[0] = (f"  {label:<{column - 2}}", STYLE.get(how, ""))

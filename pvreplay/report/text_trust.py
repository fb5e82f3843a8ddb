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
    """How, which pieces, from what, option to change it.

    Pieces with the same origin share a line, and so do those that no option changes.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    for key, origin in state.items():
        groups.setdefault(origin, []).append(key)
    column = 2 + max(width_of(page.safe(how)) for how, _, _ in groups) + 2
    hows = [*HOWS, *sorted({how for how, _, _ in groups} - {*HOWS})]
    for how in hows:
        paragraphs: list[list[Span | str]] = []
        fixed: list[Span | str] = []
        for (_, source, option), keys in ((o, k) for o, k in groups.items() if o[0] == how):
            spans: list[Span | str] = [(f"{', '.join(keys)}{':' if source else ''}", "name")]
            if option:
                paragraphs.append([*spans, source, (f"({option})", "dim")])
            else:
                fixed += [*spans, f"{source};"]
        if fixed:
            fixed[-1] = str(fixed[-1]).removesuffix(";")
            paragraphs.append(fixed)
        for number, paragraph in enumerate(paragraphs):
            before = len(page.lines)
            page.flow(*paragraph, indent=column + 2, first=column)
            label = "" if number else page.safe(how)
            page.lines[before][0] = (f"  {label:<{column - 2}}", STYLE.get(how, ""))

"""Windows that injected events would find, as text: ``run`` and ``check`` show them alike."""

from __future__ import annotations

from collections.abc import Sequence

from pvreplay.replay.result import WhatIf
from pvreplay.report import text_findings
from pvreplay.report.figures import count
from pvreplay.report.page import Page
from pvreplay.report.text_findings import near, where


def what_if(
    page: Page, found: Sequence[WhatIf], priced: list[str], *, top: int, verbose: int, counted: bool
) -> None:
    """Every window, the first *top* of them drawn (all when *verbose*).

    *counted*: tell how often the units occurred; an order by hand occurs once.
    """
    if not found:
        page.line(("what if: no window found", "good"))
        return
    total = count(len(found), "window")
    page.line((f"what if an event had come: {total}", "head"))
    for number, window in enumerate(found):
        page.blank()
        _one(page, window, priced, counted, draw=verbose > 0 or number < top)


def _one(page: Page, window: WhatIf, priced: list[str], counted: bool, *, draw: bool) -> None:
    occurs = ""
    if counted:
        units = count(window.units, "kind")
        occurs = f" {count(window.count, 'time')} ({units} of switch or section)"
    page.flow(
        (f"{window.event}:", "warn"),
        (window.rule, "title"),
        (window.name, "title"),
        f" {where(window.backends, priced)}",
        occurs,
        indent=4,
        first=0,
    )
    page.flow(
        f"before {ranges(window.steps)}, between {window.after} and {window.before}:",
        window.message,
        indent=4,
        first=2,
    )
    if not draw:
        return
    text_findings.draw(page, near(window.drawn, window.message))
    page.flow(window.advice, indent=2)
    page.tail((f"pvreplay rule {window.rule}", "name"), indent=2)


def ranges(steps: Sequence[int]) -> str:
    """``step 3``, ``steps 3 to 9``, ``steps 3 to 5, 8``."""
    runs: list[list[int]] = []
    for step in steps:
        if runs and step == runs[-1][-1] + 1:
            runs[-1][1:] = [step]
        else:
            runs.append([step])
    told = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(told)}"

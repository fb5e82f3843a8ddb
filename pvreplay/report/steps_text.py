"""Drawn steps as lines, columns aligned, dots where some are left out."""

from __future__ import annotations

from collections.abc import Sequence

from pvreplay.replay.result import DrawnStep
from pvreplay.report.page import Page, width_of
from pvreplay.report.text_findings import step_line


def draw(page: Page, steps: Sequence[DrawnStep], message: str = "") -> None:
    """*steps*, one a line; *message* stands at the marked one."""
    columns = (
        max((width_of(page.safe(step.op)) for step in steps), default=0),
        max((width_of(page.safe(step.disposition)) for step in steps), default=0),
    )
    last = steps[0].index if steps else 0
    for step in steps:
        if step.index > last + 1:
            page.line(("     ...", "dim"))
        last = step.index
        step_line(page, step, message, columns)

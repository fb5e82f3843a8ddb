"""The HTML form of a comparison: one file."""

from __future__ import annotations

from pvreplay.report import diff_page, html
from pvreplay.report.compare import Comparison


def render(comparison: Comparison) -> str:
    """*comparison* as one HTML file."""
    return html.write(diff_page.page(comparison))

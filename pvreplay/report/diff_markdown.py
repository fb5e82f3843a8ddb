"""The Markdown form of a comparison: for a comment on a change."""

from __future__ import annotations

from pvreplay.report import diff_page, markdown
from pvreplay.report.compare import Comparison


def render(comparison: Comparison, *, limit: int = markdown.LIMIT) -> str:
    """*comparison* as Markdown of at most *limit* bytes."""
    return markdown.write(diff_page.page(comparison), limit)

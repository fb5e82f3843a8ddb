"""The forms of output that programs read: which module writes each, and what it is told.

A flat table; the module of a form is imported when it is asked for.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pvreplay.gate.verdict import Verdict
    from pvreplay.replay.result import Report
    from pvreplay.report.context import Context, Place, Spot

MODULES = {
    "junit": "pvreplay.report.junit",
    "sarif": "pvreplay.report.sarif",
    "github": "pvreplay.report.github",
    "gitlab": "pvreplay.report.gitlab",
    "ktap": "pvreplay.report.ktap",
    "markdown": "pvreplay.report.markdown",
    "csv": "pvreplay.report.csv",
    "html": "pvreplay.report.html",
}
"""Form -> module with ``render(report, context)`` and ``render_gate(verdict, context)``."""
LOCATED = frozenset({"sarif", "github", "gitlab"})
"""Forms that point at a line of the trace."""
ROOTS = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR")
"""Where GitHub and GitLab tell the root of the repository."""
SUMMARY = "GITHUB_STEP_SUMMARY"


def render(form: str, report: Report, *, strict: bool, lenient: bool, assume: Mapping[str, str]) -> str:
    """*report* in *form*; for GitHub the job summary is written too, where there is one."""
    from importlib import import_module

    context = base_context(strict=strict, lenient=lenient)
    if form in LOCATED:
        from pvreplay.cli.places import find_places

        context = context._replace(places=find_places(report.path, report.violations, assume))
    if form == "github":
        from pvreplay.report import markdown

        context = context._replace(
            summary=job_summary(lambda limit: markdown.render(report, context, limit=limit))
        )
    return str(import_module(MODULES[form]).render(report, context))


def base_context(*, strict: bool = False, lenient: bool = False) -> Context:
    """What the surroundings say: the root of the repository and where we are in it."""
    from pvreplay.report.context import Context

    cwd = os.path.realpath(os.curdir)
    root = next((os.environ[name] for name in ROOTS if os.environ.get(name)), "")
    return Context(strict=strict, lenient=lenient, base=os.path.realpath(root) if root else cwd, cwd=cwd)


def job_summary(write: Callable[[int], str]) -> bool:
    """Append ``write(limit in bytes)`` to the summary of the GitHub job; whether there is one.

    A summary that cannot be written is told and changes no verdict.
    """
    path = os.environ.get(SUMMARY)
    if not path:
        return False
    from pvreplay.report.markdown import SUMMARY_LIMIT

    try:
        written = os.path.getsize(path) if os.path.exists(path) else 0
        text = write(SUMMARY_LIMIT - written)
        with open(path, "ab") as file:
            file.write(text.encode("utf-8", "backslashreplace") + b"\n")
    except OSError as error:
        print(f"pvreplay: {path}: {error.strerror}: no job summary", file=sys.stderr)
        return False
    return True


def render_gate(form: str, verdict: Verdict, *, lenient: bool, assume: Mapping[str, str]) -> str:
    """*verdict* in *form*; for GitHub the job summary is written too, where there is one."""
    from importlib import import_module

    context = base_context(lenient=lenient)
    if form in LOCATED:
        from pvreplay.cli.places import find_lines, find_places
        from pvreplay.report.gate_view import groups

        places: dict[Spot, Place] = {}
        lines: dict[tuple[str, str], int] = {}
        for group in groups(verdict):
            found = [one.violation for one in group.findings if one.violation is not None]
            places |= find_places(group.trace.path, found, assume)
            if context.inside(group.trace.kernel_path):
                lines |= find_lines(group.trace.kernel_path)
        context = context._replace(places=places, lines=lines)
    if form == "github":
        from pvreplay.report import markdown

        context = context._replace(
            summary=job_summary(lambda limit: markdown.render_gate(verdict, context, limit=limit))
        )
    return str(import_module(MODULES[form]).render_gate(verdict, context))

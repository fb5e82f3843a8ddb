"""``pvreplay formats``: what is read, and from which evidence each piece of task state comes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from pvreplay.cli import options

OWN = {
    "trace.bin": ((".bin",), "pvreplay's own file (traces/FORMAT.md)"),
    "text": ((".txt",), "pvreplay's own text form, and traces of pv operations"),
    "ftrace": (
        (".txt", ".html", ".json"),
        "ftrace text: trace, trace_pipe, trace-cmd report (plain and -R), Android systrace, also in HTML "
        "and in a Chrome JSON trace (systemTraceEvents)",
    ),
    "perf-script": ((".txt",), "the text of perf script"),
}
"""Formats whose reader says nothing about itself: name -> (usual endings, what it is)."""


@click.command()
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the output.",
)
def command(form: str) -> int:
    """List what is read and which evidence gives the state.

    A recording is recognised by its content, never by its name; any of them may
    come on a pipe (-) or packed with gzip, xz or zstd. What a recording does not
    tell is assumed; pvreplay info TRACE says what was found in one and what was
    assumed, and --assume changes that.

    \b
    Examples
      pvreplay formats
      pvreplay formats --format json
    """
    from pvreplay.report.escape import json_bytes

    formats = [*((name, *about) for name, about in OWN.items()), *_sources()]
    if form == "json":
        import msgspec

        page = msgspec.json.format(msgspec.json.encode(_as_data(formats)))
        options.emit(json_bytes(page) + b"\n", None)
        return 0
    style = options.TextStyle(None, False)
    options.emit(_text(formats, color=style.color, ascii=style.ascii), None)
    return 0


def _sources() -> list[tuple[str, tuple[str, ...], str]]:
    """(name, endings, what it is) of every source that describes itself."""
    from pvreplay.sources.detect import DIRECTORIES, MAGICS, SNIFFERS

    found = []
    for module_name in dict.fromkeys([*(name for _, name in MAGICS), *SNIFFERS, *DIRECTORIES]):
        try:
            module = import_module(f"pvreplay.sources.{module_name}")
        except ModuleNotFoundError:
            continue
        found.append((module.NAME, tuple(module.EXTENSIONS), module.ABOUT))
    return found


def _as_data(formats: list[tuple[str, tuple[str, ...], str]]) -> dict[str, Any]:
    from pvreplay.sources.assume import assume_choices
    from pvreplay.sources.evidence import EVIDENCE

    return {
        "schema": "pvreplay.formats/1",
        "formats": [
            {"name": name, "extensions": list(endings), "about": about} for name, endings, about in formats
        ],
        "state": [
            {"state": row.state, "evidence": row.seen, "otherwise": row.otherwise, "assume": row.option}
            for row in EVIDENCE
        ],
        "assume": [
            {"key": key, "value": value, "meaning": meaning, "default": default}
            for key, value, meaning, default in assume_choices()
        ],
    }


def _text(formats: list[tuple[str, tuple[str, ...], str]], *, color: bool, ascii: bool) -> str:
    from pvreplay.report.page import Page
    from pvreplay.sources.assume import assume_choices
    from pvreplay.sources.evidence import CALLS, EVIDENCE

    page = Page(ascii=ascii)
    names = 2 + max(len(name) for name, _, _ in formats)
    page.line((f"{'format':<{names}}what it is", "head"))
    for name, endings, about in formats:
        page.flow((f"{name:<{names - 1}}", "name"), f"{about} ({', '.join(endings)})", indent=names, first=0)
    page.blank()
    states = 2 + max(len(row.state) for row in EVIDENCE)
    page.line((f"{'state':<{states}}evidence; what is assumed without it", "head"))
    for row in EVIDENCE:
        option = f" (--assume {row.option})" if row.option else ""
        page.flow(
            (f"{row.state:<{states - 1}}", "name"),
            f"{row.seen}; otherwise {row.otherwise}{option}",
            indent=states,
            first=0,
        )
    page.blank()
    page.flow((CALLS, "dim"))
    page.blank()
    page.line(("--assume", "head"))
    for key, value, meaning, default in assume_choices():
        page.flow((f"{key}={value}", "name"), meaning + (" (default)" if default else ""), indent=4, first=0)
    return page.text(color)

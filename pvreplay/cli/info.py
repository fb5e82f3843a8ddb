"""``pvreplay info``: what a trace holds, and where its state comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pvreplay.cli import options
from pvreplay.cli.together import jobs_option
from pvreplay.errors import TraceError

if TYPE_CHECKING:
    from pvreplay.trace.summary import Summary

SCHEMA = "pvreplay.info/1"
_WIDTH = 80


@click.command()
@click.argument("trace")
@options.assume_option
@options.filter_options
@jobs_option
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the output.",
)
@click.option("--lenient", is_flag=True, help="Accept a damaged trace without exit code 3.")
def command(
    trace: str,
    assume: dict[str, str],
    cpu: frozenset[int] | None,
    task: str | None,
    span: tuple[int, int] | None,
    form: str,
    lenient: bool,
) -> int:
    """Say what a trace holds and where its state comes from.

    Reads TRACE (- is standard input) to its end: format, events by kind, CPUs,
    tasks, time, clock, origin; per piece of task state whether it was observed,
    derived or assumed, and how to change an assumption; lost events, doubts of the
    reader, damage. With --cpu, --task or --time, events, switches, CPUs, tasks and
    times are those of that part, as run counts it.

    \b
    Examples
      pvreplay info trace.bin
      pvreplay info recording.txt --format json
      pvreplay info trace.bin --cpu 0 --time ,49.5
    """
    from pvreplay.sources.detect import open_trace

    told: dict[str, str] = {}
    if cpu is None and task is None and span is None:
        from pvreplay.trace.summary import summarise

        summary = summarise(open_trace(trace, assume=assume))
    else:
        from pvreplay.replay.filter import Filter
        from pvreplay.replay.part import summarise_part

        part = Filter(cpu, task, span)
        summary, told = summarise_part(open_trace(trace, assume=assume), part), part.told()
    if form == "json":
        import msgspec

        from pvreplay.report.escape import json_bytes

        content = msgspec.json.format(msgspec.json.encode(as_dict(summary, told)), indent=2)
        options.emit(json_bytes(content) + b"\n", None)
    else:
        from pvreplay.cli.outfile import print_lines

        print_lines(as_text(summary, told))
    if summary.damage and not lenient:
        raise TraceError(f"{trace}: {summary.damage}", "This is what could be read; --lenient accepts that.")
    return 0


def as_dict(summary: Summary, told: dict[str, str] | None = None) -> dict[str, object]:
    """The JSON object, keys in a fixed order; *told* is the filter it was made with."""
    from pvreplay.report.escape import unicode_text

    meta = summary.meta
    return {
        "schema": SCHEMA,
        "path": unicode_text(meta.path),
        "format": meta.format,
        "level": meta.level,
        "origin": unicode_text(meta.origin),
        "clock": unicode_text(meta.clock),
        "tool": unicode_text(meta.tool),
        "events": summary.events,
        "switches": summary.switches,
        "cpus": summary.cpus,
        "tasks": summary.tasks,
        "lost_events": summary.lost_events,
        "first_time_ns": summary.first_time_ns,
        "last_time_ns": summary.last_time_ns,
        "duration_ns": summary.duration_ns,
        "kinds": summary.kinds,
        "state": {
            key: {
                "how": origin.how,
                "source": unicode_text(origin.source),
                "option": unicode_text(origin.option),
            }
            for key, origin in meta.state.items()
        },
        "ops": [unicode_text(op) for op in meta.ops],
        **({"filter": told} if told else {}),
        **({"counts": summary.counts} if summary.counts else {}),
        "doubts": summary.doubts,
        "damage": unicode_text(summary.damage),
    }


def as_text(summary: Summary, told: dict[str, str] | None = None) -> list[str]:
    """The lines for a reader, at most 80 columns, legible anywhere."""
    from pvreplay.trace.text_write import time_text

    meta = summary.meta
    lines: list[str] = []

    def say(label: str, value: str) -> None:
        lines.extend(_wrapped(f"{label:<11}", value))

    say("trace", f"{meta.path} ({meta.format}, {'op' if meta.level == 'op' else 'switch'} level)")
    for label, value in (("origin", meta.origin), ("recorder", meta.tool), ("clock", meta.clock)):
        if value:
            say(label, value)
    if told:
        kept = ", ".join(f"{name} {value}" for name, value in told.items())
        say("part", f"{kept} (losses, damage and doubts are those of the whole)")
    say("events", f"{summary.events:,}")
    say("switches", f"{summary.switches:,}")
    say("CPUs", f"{summary.cpus:,}")
    say("tasks", f"{summary.tasks:,}")
    span = f"{time_text(summary.first_time_ns)} to {time_text(summary.last_time_ns)} s"
    say("duration", f"{time_text(summary.duration_ns)} s ({span})" if summary.events else "no event")
    unknown = summary.doubts.get("lost_unknown", 0)
    lost = f"{summary.lost_events:,} events" if summary.lost_events else ""
    more = f"{unknown:,} losses of unknown size" if unknown else ""
    say("lost", ", ".join(filter(None, (lost, more))) or "nothing")
    say("damage", summary.damage or "none")
    if summary.kinds:
        lines += ["", "Events by kind"]
        width = max(len(name) for name in summary.kinds)
        lines += [f"  {name:<{width}}  {count:>15,}" for name, count in summary.kinds.items()]
    for title, counts in summary.counts.items():
        lines += ["", title]
        width = max((len(name) for name in counts), default=0)
        lines += [f"  {name:<{width}}  {count:>15,}" for name, count in counts.items()]
    lines += ["", "Task state"]
    if summary.counts:
        lines.append("  none: no task is in this recording, so it cannot be replayed")
    elif meta.state:
        for key, origin in meta.state.items():
            lines += _wrapped(f"  {key:<11} {origin.how:<9} ", origin.source or "-")
            if origin.option:
                lines += _wrapped(" " * 24 + "change with ", origin.option)
    else:
        lines.append("  the trace does not say where it comes from")
    doubts = {name: count for name, count in summary.doubts.items() if name != "lost_unknown"}
    if doubts:
        lines += ["", "Doubts of the reader"]
        width = max(len(name) for name in doubts)
        lines += [f"  {name:<{width}}  {count:>15,}" for name, count in doubts.items()]
    return lines


def _wrapped(label: str, value: str) -> list[str]:
    """*value* after *label*, harmless on a terminal, wrapped to 80 columns under itself."""
    import textwrap

    from pvreplay.report.escape import terminal

    indent = " " * len(label)
    return textwrap.wrap(
        terminal(value), _WIDTH, initial_indent=label, subsequent_indent=indent, break_on_hyphens=False
    ) or [label.rstrip()]

"""``pvreplay dump``: every event of a trace, one line each."""

from __future__ import annotations

from collections.abc import Iterator

import click

from pvreplay.cli import options
from pvreplay.errors import TraceError
from pvreplay.trace.events import NKINDS, Kind
from pvreplay.trace.model import Meta, Task, Trace
from pvreplay.trace.names import HAS_ARG, KIND_NAMES, TAKES_TASK
from pvreplay.trace.quote import quote
from pvreplay.trace.taskline import format_task
from pvreplay.trace.text_write import time_text

_TASK_KINDS = frozenset(int(kind) for kind in TAKES_TASK)


@click.command()
@click.argument("trace")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Stop after N events.")
@options.assume_option
@click.option("--lenient", is_flag=True, help="Accept a damaged trace without exit code 3.")
def command(trace: str, limit: int | None, assume: dict[str, str], lenient: bool) -> int:
    """Print every event of a trace.

    One line an event: its number, time in seconds, CPU, the task that runs
    there, what happened. Definitions stand before the events that need them, after a
    dash. An event that pvreplay run would refuse is printed as it is, with a
    question mark.

    \b
    Examples
      pvreplay dump trace.bin
      pvreplay dump recording.txt --limit 20
    """
    from pvreplay.cli.outfile import print_lines
    from pvreplay.sources.detect import open_trace

    opened = open_trace(trace, assume=assume)
    print_lines(dump_lines(opened, limit))
    if opened.damage and not lenient:
        raise TraceError(f"{trace}: {opened.damage}", "This is what could be read; --lenient accepts that.")
    return 0


def dump_lines(trace: Trace, limit: int | None = None) -> Iterator[str]:
    """The lines, as the trace is read; with *limit* at most that many events."""
    names = {0: "idle"}
    current: dict[int, int] = {}
    number = 0
    for chunk in trace.chunks():
        for task in chunk.tasks:
            names[task.id] = _name(task)
            yield f"       - {format_task(task)}"
        for cpu, task_id in chunk.on:
            current[cpu] = task_id
            yield f"       - on {cpu} {names.get(task_id, f'? task {task_id}')}"
        words = chunk.events
        for at in range(0, len(words), 2):
            if number == limit:
                return
            word = words[at + 1]
            cpu, kind, arg = word >> 32 & 0xFFFF, word >> 48 & 0xFF, word & 0xFFFFFFFF
            who = names.get(current.get(cpu, 0), "?")
            yield f"{number:8} {time_text(words[at])} {cpu:3} {who:<20} {_what(word, names, trace.meta)}"
            if kind in (Kind.SWITCH, Kind.ON, Kind.BEGIN):
                current[cpu] = arg
            number += 1


def _name(task: Task) -> str:
    """Name and number, a long name cut: ``cc1[2]``."""
    number = f"[{task.id}]"
    comm = quote(task.comm or "?")
    return (comm if len(comm) <= 24 else comm[:21] + "...") + number


def _what(word: int, names: dict[int, str], meta: Meta) -> str:
    """The event's name and arguments, checked for nothing."""
    arg, kind, flags = word & 0xFFFFFFFF, word >> 48 & 0xFF, word >> 56
    if not 0 < kind < NKINDS:
        return f"? kind {kind} argument {arg} flags {flags}"
    text = KIND_NAMES[kind]
    if kind == Kind.TLS:
        return f"{text} slot {flags} = {arg:x}" + " ?" * (flags > 2)
    if kind == Kind.OP:
        index, operand = arg & 0xFFFF, arg >> 16
        text += f" {quote(meta.ops[index])}" if index < len(meta.ops) else f" ? {index}"
        arg = operand
    elif kind in _TASK_KINDS:
        text += f" {names.get(arg, f'? task {arg}')}"
        arg = 0
    elif HAS_ARG[kind]:
        text += f" {arg}"
        arg = 0
    if arg:
        text += f" {arg}" if kind == Kind.OP else f" ? argument {arg}"
    return text + (f" ? flags {flags}" if flags else "")

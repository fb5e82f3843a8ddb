"""``pvreplay counts``: what a replay counted, in a file of kilobytes that adds to others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from pvreplay.cli import options
from pvreplay.cli.main import QuickHelp
from pvreplay.cli.sides import COUNTS_BEGIN
from pvreplay.cli.together import jobs_option, together
from pvreplay.errors import TraceError, UsageError

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.replay.histogram import Histogram

_MAX_BYTES = 1 << 28
"""Counts are kilobytes; what is larger than this is none."""


@click.command(cls=QuickHelp)
@click.argument("traces", metavar="TRACE...", nargs=-1, required=True)
@click.option(
    "-k",
    "--kernel",
    metavar="NAME|FILE",
    default=options.DEFAULT_KERNEL,
    show_default=True,
    help="Kernel whose FPU rules the replay follows.",
)
@options.assume_option
@options.level_option
@jobs_option
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    callback=options.dash_is_stdout,
    help="Write to FILE, whole or not at all, instead of the terminal.",
)
@click.option("--lenient", is_flag=True, help="Accept a damaged trace without exit code 3.")
def command(
    traces: tuple[str, ...],
    kernel: str,
    assume: dict[str, str],
    level: str | None,
    output: str | None,
    lenient: bool,
) -> int:
    """Save what a replay counts, to add up and price later.

    Replays each TRACE, or takes what this command saved before, and writes how
    often each kind of switch occurred: kilobytes of JSON, however long the traces
    are. No backend is in it. pvreplay run FILE prices it as it
    prices a trace, on any backend and on every kernel with the same FPU rules,
    also when the trace is gone. Counts of many traces add up to one file; tasks
    of one name are one task in it.

    \b
    Examples
      pvreplay counts trace.bin -o monday.json
      pvreplay counts monday.json recording.txt -o week.json
    """
    from pvreplay.kernels.reader import load_kernel
    from pvreplay.replay.saved import add, encode

    for trace in traces:
        options.check_trace(trace)
    options.check_output(output, traces)
    loaded = load_kernel(kernel)
    counted = together([partial(_count, trace, loaded, assume, level) for trace in traces], traces)
    total = counted[0] if len(counted) == 1 else add(counted)
    options.emit(encode(total), output)
    if total.damage:
        where = f"{total.meta.path}: " if len(counted) == 1 else ""
        if not lenient:
            raise TraceError(
                f"{where}{total.damage}", "Counted is what could be read; --lenient accepts that."
            )
        from pvreplay.report.escape import terminal

        click.echo(f"pvreplay: {terminal(where + total.damage)}", err=True)
    return 0


def _count(path: str, kernel: Kernel, assume: dict[str, str], level: str | None) -> Histogram:
    from pvreplay.replay.run import replay
    from pvreplay.sources.detect import open_trace
    from pvreplay.sources.parallel import jobs

    saved = None if assume or level else read_counts(path, kernel)
    if saved is not None:
        return saved
    hist = replay(open_trace(path, assume=assume, level=level), kernel, jobs=jobs)
    if not hist.switches:
        raise TraceError(
            f"{path}: no switch in {hist.events:,} events" + (f"; {hist.damage}" if hist.damage else ""),
            "A replay needs sched_switch (or switch) events: record with -e sched:sched_switch.",
        )
    return hist


def read_counts(path: str, kernel: Kernel) -> Histogram | None:
    """The counts saved at *path*, to be priced on *kernel*; None when the file holds none.

    Raises TraceError when they are damaged, UsageError when they were counted by other FPU rules.
    """
    import os

    from pvreplay.replay.histogram import replay_rules
    from pvreplay.replay.saved import decode

    if not os.path.isfile(path):
        return None  # a pipe can be opened and read once, and that as a trace
    try:
        with open(path, "rb") as file:
            if not file.peek(len(COUNTS_BEGIN)).startswith(COUNTS_BEGIN):
                return None
            hist = decode(file.read(_MAX_BYTES), path)
    except OSError:
        return None  # whoever opens it as a trace tells why
    if hist.rules != replay_rules(kernel):
        raise UsageError(
            f"{path}: counted with kernel {hist.kernel}, whose FPU rules are not those of {kernel.name}",
            f"Price it with --kernel {hist.kernel}, or count the traces again.",
        )
    return hist

"""``pvreplay record``: record a command's scheduling over tracefs, and say what it costs."""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING

import click

from pvreplay.cli import formats, options, values
from pvreplay.cli.flow import make_report, verdict
from pvreplay.cli.outfile import FULL
from pvreplay.errors import UsageError

if TYPE_CHECKING:
    from pvreplay.record.session import Outcome
    from pvreplay.replay.result import Report

DEFAULT_FILE = "trace.bin"


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("argv", metavar="[CMD]...", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default=DEFAULT_FILE,
    show_default=True,
    help="Trace to write; one that is there becomes FILE.old.",
)
@click.option(
    "-p", "--pid", type=click.IntRange(min=1), metavar="PID", help="Only this process and its children."
)
@click.option("--cpu", metavar="LIST", callback=values.cpu_list, help="Only these CPUs, as in 0-3,5.")
@click.option("--duration", metavar="S", callback=values.seconds, help="Record this many seconds at most.")
@click.option(
    "--events",
    type=click.Choice(["full", "switch"]),
    default="full",
    show_default=True,
    help="full: what tells mm, FPU and the other state too. switch: switches and births, the cheapest.",
)
@click.option(
    "--buffer",
    metavar="SIZE",
    callback=values.size_bytes,
    help="Kernel buffer of each CPU, as in 512K. Default: 8M, 256M for all together.",
)
@click.option("--no-report", is_flag=True, help="Record only.")
@options.model_options
@options.backend_option
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["text", "json", *formats.MODULES]),
    default="text",
    show_default=True,
    help="Form of the report.",
)
@click.option(
    "--report",
    metavar="FILE",
    callback=options.dash_is_stdout,
    help="Write the report to FILE instead of the terminal.",
)
@click.option("--ascii", "ascii_only", is_flag=True, help="Text without a character beyond ASCII.")
@click.option("--strict", is_flag=True, help="Let performance findings set exit code 1 too.")
def command(
    argv: tuple[str, ...],
    output: str,
    pid: int | None,
    cpu: frozenset[int] | None,
    duration: float | None,
    events: str,
    buffer: int,
    no_report: bool,
    kernel: str,
    iopl: str | None,
    assume: dict[str, str],
    policy: str | None,
    engine: str,
    backend: tuple[str, ...],
    form: str,
    report: str | None,
    ascii_only: bool,
    strict: bool,
) -> int:
    """Record while a command runs, and report what its switches cost.

    All CPUs are recorded (with --pid, one process and its children) until CMD
    ends, --duration is over, PID ends or Ctrl-C comes; then the report of run is
    printed. Needs root and tracefs, and no other program: the events of a
    private tracing instance are decoded while they come, and are in FILE even
    if the recorder is killed, but for the last second and 2,048 records. CMD
    goes on when --duration ends the recording.

    The exit code is that of CMD if it is not 0 (128 and the signal's number when
    a signal ended it), otherwise that of the report.

    \b
    Examples
      pvreplay record -- make -j8
      pvreplay record -o trace.bin --events switch -- perf bench sched pipe
      pvreplay record --pid 1234 --duration 10 --backend vmi
      pvreplay record --cpu 0-1 --duration 5 --no-report
    """
    if assume:
        from pvreplay.sources.assume import check_assume

        check_assume(assume)
    if output == "-":
        raise UsageError(
            "-o -: a recording grows in a file", "Name one; pvreplay convert FILE - writes it to a pipe."
        )
    options.check_output(output)
    options.check_output(report, [output])
    if not no_report:
        _check_names(kernel, iopl, policy, backend)

    from pvreplay.record import session

    settings = session.Settings(
        argv, pid=pid or 0, cpus=sorted(cpu or ()), duration_s=duration, events=events, buffer_bytes=buffer
    )
    if not argv and pid is None and duration is None:
        print("pvreplay: recording until Ctrl-C", file=sys.stderr)
    try:
        outcome = session.record(settings, lambda: _create(output), output, assume=assume)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise UsageError(
            f"{output}: {error.strerror}",
            f"What was recorded before it is there: pvreplay run {output} --lenient",
        ) from None
    _say(outcome, output)
    code = 0
    if not no_report:
        made = make_report(
            output, kernel_spec=kernel, backend_specs=backend, iopl=iopl, policy=policy, engine=engine
        )
        _emit(made, form, report, ascii_only, strict)
        code = verdict(made, strict=strict, lenient=False)
    return outcome.status or code


def _check_names(kernel: str, iopl: str | None, policy: str | None, backend: tuple[str, ...]) -> None:
    """Tell a wrong name before a recording is made in vain."""
    from pvreplay.backends.reader import load_backend
    from pvreplay.kernels.reader import load_kernel
    from pvreplay.machine.policy import get_policy

    loaded = load_kernel(kernel, iopl=iopl)
    for spec in backend:
        load_backend(spec, loaded)
    if policy is not None:
        get_policy(policy)


def _create(path: str) -> IO[bytes]:
    """The trace's file; what was there is kept as FILE.old."""
    try:
        if os.path.isfile(path):
            os.replace(path, f"{path}.old")
        return open(path, "wb")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "Name a file that can be written.") from None


def _say(outcome: Outcome, path: str) -> None:
    """What was recorded, on stderr: stdout is the command's and the report's."""
    from pvreplay.report.escape import terminal

    size = os.path.getsize(path) if os.path.isfile(path) else 0
    lines = [
        f"{outcome.seconds:.2f} s recorded, clock {outcome.clock}, {_size(outcome.bytes_read)} read,"
        f" {outcome.lost:,} events lost; {path}: {_size(size)}"
    ]
    if outcome.lost:
        lines.append("events were lost: a larger --buffer or --events switch loses fewer")
    if outcome.status:
        lines.append(f"the command ended with status {outcome.status}")
    if outcome.missing:
        lines.append(f"this kernel lacks {', '.join(outcome.missing)}: what they tell is assumed")
    if outcome.stale:
        lines.append(f"removed what killed recorders left: {', '.join(outcome.stale)}")
    for line in lines:
        print(f"pvreplay: {terminal(line)}", file=sys.stderr)


def _size(count: int) -> str:
    """*count* bytes as people read it."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:,.1f} MB"


def _emit(made: Report, form: str, output: str | None, ascii_only: bool, strict: bool) -> None:
    """The report as ``run`` gives it."""
    if form == "json":
        from pvreplay.report import json

        options.emit(json.render(made), output)
    elif form in formats.MODULES:
        options.emit(formats.render(form, made, strict=strict, lenient=False, assume={}), output)
    else:
        from pvreplay.report import text

        style = options.TextStyle(output, ascii_only)
        options.emit(text.render(made, width=style.width, color=style.color, ascii=style.ascii), output)

"""What several commands share: options as decorators, the shipped trace, where output goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from pvreplay.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_KERNEL = "2.6.21"
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHIPPED = os.path.join(_PACKAGE, "data", "guest-n32-fpthreads.bin")
"""The recording that is installed with the package."""


def shipped_trace() -> str:
    """The path of the shipped recording; UsageError when the installation lacks it."""
    if not os.path.exists(SHIPPED):
        raise UsageError(
            f"{SHIPPED}: the shipped trace is missing", "Name a trace, or install pvreplay again."
        )
    return SHIPPED


def named_trace(trace: str | None) -> str:
    """*trace* as the user named it, the shipped recording when none was; UsageError for an empty name."""
    if trace is None:
        return shipped_trace()
    check_trace(trace)
    return trace


def check_trace(trace: str | None) -> None:
    """UsageError for an empty name, which a script's unset variable leaves: nobody meant the shipped one."""
    if trace == "":
        raise UsageError("TRACE is empty", "Name a trace, or - for standard input.")


def _pairs(ctx: click.Context, param: click.Parameter, values: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for value in values:
        key, equals, setting = value.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{value!r}: expected KEY=VALUE, as in fpu=always", ctx, param)
        pairs[key] = setting
    return pairs


def assume_option(command: F) -> F:
    """``assume``: task state that a recording does not hold, as a dict."""
    return click.option(
        "--assume",
        multiple=True,
        metavar="KEY=VALUE",
        callback=_pairs,
        help="Task state the recording lacks, e.g. fpu=always. May be repeated.",
    )(command)


def model_options(command: F) -> F:
    """Options that decide what is simulated: those of :func:`path_options`, and ``engine``."""
    return path_options(
        click.option(
            "--engine",
            type=click.Choice(["shape", "step"]),
            default="shape",
            help="shape: step each distinct switch once (default). step: step every one; slow, same result.",
        )(command)
    )


def path_options(command: F) -> F:
    """Options that decide which path is simulated: ``kernel``, ``iopl``, ``assume``, ``policy``."""
    for option in (
        click.option(
            "--policy",
            metavar="NAME",
            help="Contract the rules enforce: seed2006 (default), x86-2009, strict-nopreempt, generic2025.",
        ),
        assume_option,
        click.option(
            "--iopl",
            type=click.Choice(["posted", "merged", "never"]),
            help="When the path writes IOPL: as the patch was posted, as merged, or never.",
        ),
        click.option(
            "-k",
            "--kernel",
            metavar="NAME|FILE",
            default=DEFAULT_KERNEL,
            show_default=True,
            help="Switch path: a built-in kernel or a TOML file.",
        ),
    ):
        command = option(command)
    return command


def backend_option(command: F) -> F:
    """``backend``: names or files, may be repeated."""
    return click.option(
        "-b",
        "--backend",
        multiple=True,
        metavar="NAME|FILE",
        help="Backend, NAME-unbatched, NAME-nolazy or a TOML file; may be repeated. Default: all built in.",
    )(command)


def level_option(command: F) -> F:
    """``level``: what a recording of function calls or Xen tracepoints is read as."""
    return click.option(
        "--level",
        type=click.Choice(["switch", "op"]),
        help="Read function traces and Xen tracepoints as switches to simulate, or as the pv ops "
        "themselves. Default: switch where there is a sched_switch.",
    )(command)


def _kinds(ctx: click.Context, param: click.Parameter, values: Iterable[str]) -> list[str]:
    if not values:
        return []
    from pvreplay.replay.inject import check_kinds

    return check_kinds(values)


def _parsed(kind: str) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A callback of ``values.py``, which is imported when there is a value."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        from pvreplay.cli import values

        return getattr(values, kind)(ctx, param, value)

    return callback


def filter_options(command: F) -> F:
    """``cpu``, ``task`` and ``span``: what of the trace the report is about."""
    return part_options(
        click.option(
            "--task",
            metavar="NAME|PID",
            callback=_task,
            help="Count what this task costs. The state follows all.",
        )(command)
    )


def _task(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value == "":
        raise click.BadParameter("'': expected the name or the pid of a task", ctx, param)
    return value


def part_options(command: F) -> F:
    """``cpu`` and ``span`` of :func:`filter_options`, for a command whose ``task`` means more."""
    for option in (
        click.option(
            "--time",
            "span",
            metavar="A,B",
            callback=_parsed("time_span"),
            help="Count from A to before B, in seconds as the trace has them; either may be left out.",
        ),
        click.option(
            "--cpu", metavar="LIST", callback=_parsed("cpu_list"), help="Count these CPUs, as in 0-3,5."
        ),
    ):
        command = option(command)
    return command


def inject_option(command: F) -> F:
    """``inject``: kinds of events to put before every step."""
    return click.option(
        "--inject",
        multiple=True,
        metavar="EVENT",
        callback=_kinds,
        help="Put irq, nmi, fault, preempt (or all) before every step; tell what it would break.",
    )(command)


def dash_is_stdout(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """``-o -`` is what leaving it out is."""
    return None if value == "-" else value


def output_options(*formats: str, top: str = "Length of every list in text.") -> Callable[[F], F]:
    """``format`` (one of *formats*), ``output``, ``ascii``, ``top`` (its help text) and ``verbose``."""

    def decorate(command: F) -> F:
        for option in (
            click.option(
                "-v", "--verbose", count=True, help="Show everything: all steps, ops, shapes, reasons."
            ),
            click.option(
                "--top",
                metavar="N",
                type=click.IntRange(min=0),
                default=5,
                show_default=True,
                help=top,
            ),
            click.option(
                "--ascii", "ascii_only", is_flag=True, help="Text without a character beyond ASCII."
            ),
            click.option(
                "-o",
                "--output",
                metavar="FILE",
                callback=dash_is_stdout,
                help="Write to FILE, whole or not at all, instead of the terminal.",
            ),
            click.option(
                "-f",
                "--format",
                "form",
                type=click.Choice(formats),
                default=formats[0],
                show_default=True,
                help="Form of the output.",
            ),
        ):
            command = option(command)
        return command

    return decorate


def was_given(name: str) -> bool:
    """Whether the parameter *name* stands on the command line, its default or not."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


class TextStyle:
    """How text looks where it goes: a colour terminal, a pipe, a file."""

    __slots__ = ("ascii", "color", "width")

    def __init__(self, output: str | None, ascii_only: bool) -> None:
        terminal = output is None and sys.stdout.isatty()
        self.ascii = ascii_only or (output is None and not _speaks_unicode())
        self.color = (
            terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") not in (None, "dumb")
        )
        self.width = 80
        if terminal:
            self.width = max(40, min(80, os.get_terminal_size(sys.stdout.fileno()).columns or 80))


def _speaks_unicode() -> bool:
    try:
        "…▇".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def check_output(output: str | None, inputs: Iterable[str] = ()) -> None:
    """Refuse, before any work, an output that cannot be written or that is an input."""
    if output is None:
        return
    folder = os.path.dirname(output) or "."
    if not os.path.isdir(folder):
        raise UsageError(f"{output}: no folder {folder}", "Make it first, or choose another place.")
    if os.path.isdir(output):
        raise UsageError(f"{output}: is a folder", "Expected the name of a file.")
    for name in inputs:
        if name != "-" and os.path.exists(output) and os.path.exists(name) and os.path.samefile(output, name):
            raise UsageError(f"{output}: is the input too", "Choose another name.")


def emit(content: str | bytes, output: str | None) -> None:
    """Write *content* to stdout, or to the file *output* whole or not at all."""
    if output is None and isinstance(content, str):
        try:
            sys.stdout.write(content)
            sys.stdout.flush()
            return
        except UnicodeEncodeError:
            pass  # a form for machines in a locale without its characters: the bytes that a file would get
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    if os.path.exists(output) and not os.path.isfile(output):  # a device or a pipe: nothing to replace
        with open(output, "wb") as device:
            device.write(data)
        return
    target = os.path.realpath(output)
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        if os.path.exists(target):
            os.chmod(temporary, os.stat(target).st_mode & 0o7777)
        os.replace(temporary, target)
    except BaseException as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise UsageError(f"{output}: {error.strerror}", "Nothing was written.") from None
        raise

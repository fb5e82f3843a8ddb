"""``pvreplay show``: one switch of a trace, step by step, as the machine sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from pvreplay.cli import options
from pvreplay.cli.main import QuickHelp
from pvreplay.errors import TraceError, UsageError

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.machine.backend import Backend
    from pvreplay.machine.policy import Policy
    from pvreplay.replay.filter import Filter
    from pvreplay.replay.locate import Located, Target
    from pvreplay.replay.result import Violation
    from pvreplay.report.show import Shown
    from pvreplay.trace.model import Trace

DEFAULT_BACKEND = "xen"


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Seconds with up to nine decimals, as ns, without a float in between."""
    if value is None:
        return None
    whole, _, decimals = value.partition(".")
    digits = whole + decimals
    if not (digits.isascii() and digits.isdigit() and len(decimals) <= 9):
        raise click.BadParameter(f"{value!r}: expected seconds, as in 49.330517", ctx, param)
    return int(whole or "0") * 1_000_000_000 + int(decimals.ljust(9, "0"))


@click.command(cls=QuickHelp)
@click.argument("trace", required=False)
@click.option("--switch", "number", type=click.IntRange(min=0), metavar="N", help="Switch N, counted from 0.")
@click.option(
    "--at", "time_ns", metavar="TIME", callback=_seconds, help="The first switch at TIME (seconds) or later."
)
@click.option(
    "--task",
    metavar="NAME|PID",
    help="The first switch to or from this task; with --violation as in run.",
)
@click.option(
    "--violation",
    metavar="K|CODE",
    help="Violation K of the run, counted from 1 as its JSON lists them, or the first of rule CODE.",
)
@click.option(
    "-b",
    "--backend",
    metavar="NAME|FILE",
    help="Backend. Default: xen; with --violation the first one it is broken on.",
)
@options.part_options
@click.option("--vs", metavar="NAME|FILE", help="A second backend, side by side.")
@options.path_options
@click.option("-v", "--verbose", count=True, help="Show the skipped steps too, and why.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Text without a character beyond ASCII.")
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the output.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    callback=options.dash_is_stdout,
    help="Write to FILE, whole or not at all, instead of the terminal.",
)
@click.option("--lenient", is_flag=True, help="Accept a damaged trace without exit code 3.")
def command(
    trace: str | None,
    number: int | None,
    time_ns: int | None,
    task: str | None,
    violation: str | None,
    backend: str | None,
    cpu: frozenset[int] | None,
    span: tuple[int, int] | None,
    vs: str | None,
    kernel: str,
    iopl: str | None,
    assume: dict[str, str],
    policy: str | None,
    verbose: int,
    ascii_only: bool,
    form: str,
    output: str | None,
    lenient: bool,
) -> int:
    """Show one switch step by step, as the machine sees it.

    For each step of the kernel's path: its guard and why it was true, the
    paravirtual operations, what the backend made of each, the queue and the
    writes that are pending after it, and what has been paid so far. A switch
    inside a lazy MMU section or an op-level window is shown with the whole of
    it. Without TRACE, the recording installed with pvreplay is used.

    \b
    Examples
      pvreplay show --switch 400
      pvreplay show trace.bin --at 49.330517 --backend vmi
      pvreplay show recording.txt --task fpthreads --vs vmi -v
      pvreplay show trace.bin --violation 1 --kernel my.toml
    """
    asked = [
        given
        for given in (number, time_ns, task if violation is None else None, violation)
        if given is not None
    ]
    if len(asked) != 1:
        raise UsageError(
            f"show: {'no' if not asked else 'more than one'} switch to look for",
            "Give one of --switch N, --at TIME, --task NAME|PID and --violation K.",
        )
    if violation is None and (cpu is not None or span is not None):
        raise UsageError(
            "show: --cpu and --time without --violation",
            "They are those of the run whose violation is meant; --at TIME finds a switch by time.",
        )
    path = options.named_trace(trace)
    options.check_output(output, [path])

    from pvreplay.kernels.reader import load_kernel
    from pvreplay.machine.policy import DEFAULT_POLICY, get_policy
    from pvreplay.replay.filter import Filter
    from pvreplay.replay.locate import Target
    from pvreplay.sources.detect import open_trace

    loaded = load_kernel(kernel, iopl=iopl)
    contract = get_policy(policy or DEFAULT_POLICY)
    _backends(loaded, backend, vs)  # a wrong name is told before a long replay
    opened = open_trace(path, assume=assume)
    found = None
    if violation is None:
        located = _switch(opened, loaded, Target(number, time_ns, task))
    else:
        keep = Filter(cpu, task, span)
        located, found = _violation(opened, loaded, contract, violation, backend, keep)
    first = backend or (found.backend if found is not None else DEFAULT_BACKEND)
    shown = _shown(opened, located, loaded, contract, _backends(loaded, first, vs), found)
    if trace is None:
        shown.notes.append("no trace was named: this is the recording installed with pvreplay")
    _emit(shown, form, output, ascii_only, verbose)
    if opened.damage and not lenient:
        raise TraceError(f"{path}: {opened.damage}", "Shown is what could be read; --lenient accepts that.")
    return 0


def _backends(kernel: Kernel, *names: str | None) -> list[Backend]:
    """The backends that are named, each once."""
    from pvreplay.backends.reader import load_backend

    return [load_backend(name, kernel) for name in dict.fromkeys(names) if name is not None]


def _switch(trace: Trace, kernel: Kernel, target: Target) -> Located:
    from pvreplay.cli.progress import progress
    from pvreplay.replay.locate import locate

    bar = progress()
    try:
        return locate(trace, kernel, target, progress=bar)
    finally:
        if bar is not None:
            bar.done()


class Found(NamedTuple):
    """The violation asked for: number *place* (from 1) of *of*, and a backend it is broken on."""

    violation: Violation
    place: int
    of: int
    backend: str


def _violation(
    trace: Trace, kernel: Kernel, policy: Policy, asked: str, backend: str | None, keep: Filter
) -> tuple[Located, Found]:
    """Price the trace as ``run`` does, and choose among what is broken."""
    from pvreplay.backends.reader import builtin_backends
    from pvreplay.cli.progress import progress
    from pvreplay.replay.locate import located_violation
    from pvreplay.replay.price import price
    from pvreplay.replay.run import replay
    from pvreplay.report import order

    bar = progress()
    try:
        hist = keep.cut_some(replay(trace, kernel, progress=bar, window_ns=keep.window_ns))
    finally:
        if bar is not None:
            bar.done()
    backends = _backends(kernel, backend) if backend is not None else _backends(kernel, *builtin_backends())
    ranked = order.violations(price(hist, kernel, backends, policy=policy).violations)
    place = _place(ranked, asked, trace.meta.path)
    chosen = ranked[place]
    found = Found(chosen, place + 1, len(ranked), order.without_baselines(chosen.backends)[0])
    return located_violation(hist, chosen), found


def _place(ranked: Sequence[Violation], asked: str, path: str) -> int:
    """The index in *ranked* that *asked* (a number from 1, or a rule's code) means."""
    listed = ", ".join(f"{n} {found.rule} {found.op}" for n, found in enumerate(ranked[:5], 1))
    hint = f"Broken are: {listed}{', ...' if len(ranked) > 5 else ''}." if ranked else "No rule is broken."
    if asked.isascii() and asked.isdigit():
        if not 1 <= int(asked) <= len(ranked):
            raise UsageError(f"{path}: no violation {asked}, there are {len(ranked)}", hint)
        return int(asked) - 1
    from pvreplay.rules import get_rule

    code = get_rule(asked).code
    for place, found in enumerate(ranked):
        if found.rule == code:
            return place
    raise UsageError(f"{path}: {code} is not broken, {len(ranked)} others are", hint)


def _shown(
    trace: Trace,
    located: Located,
    kernel: Kernel,
    policy: Policy,
    backends: Sequence[Backend],
    found: Found | None,
) -> Shown:
    from pvreplay import __version__
    from pvreplay.replay.walk import walk
    from pvreplay.report.show import Shown

    what = {name: getattr(located, name) for name in ("unit_type", "shape", "items", "ops")}
    return Shown(
        path=trace.meta.path,
        format=trace.meta.format,
        kernel=kernel.name,
        kernel_source=kernel.title,
        located=located,
        walks=[walk(kernel, backend, policy=policy, **what) for backend in backends],
        version=__version__,
        violation=found.violation if found is not None else None,
        violation_number=found.place if found is not None else 0,
        violations=found.of if found is not None else 0,
        notes=list(dict.fromkeys(note for backend in backends for note in backend.notes)),
    )


def _emit(shown: Shown, form: str, output: str | None, ascii_only: bool, verbose: int) -> None:
    if form == "json":
        from pvreplay.report import show_json

        options.emit(show_json.render(shown), output)
        return
    from pvreplay.report import show_text

    style = options.TextStyle(output, ascii_only)
    options.emit(
        show_text.render(shown, width=style.width, color=style.color, ascii=style.ascii, verbose=verbose),
        output,
    )

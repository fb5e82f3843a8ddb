"""``pvreplay diff``: two sides, side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from pvreplay.cli import options
from pvreplay.cli.main import QuickHelp
from pvreplay.cli.sides import Side, parse_side, read_report
from pvreplay.cli.together import jobs_option, together
from pvreplay.errors import UsageError
from pvreplay.replay.result import BackendResult, Report

if TYPE_CHECKING:
    from pvreplay.report.compare import Paths

Pairs = list[tuple[Report, BackendResult, Report, BackendResult]]


@click.command(cls=QuickHelp)
@click.argument("sides", nargs=-1, metavar="A [vs] B [TRACE]", required=True)
@options.model_options
@options.backend_option
@jobs_option
@options.output_options("text", "json", "markdown", "html")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when the sides differ.")
@click.option("--lenient", is_flag=True, help="Accept a damaged trace.")
def command(
    sides: tuple[str, ...],
    form: str,
    output: str | None,
    ascii_only: bool,
    top: int,
    verbose: int,
    exit_code: bool,
    lenient: bool,
    **model: Any,
) -> int:
    """Compare two backends, kernels, traces or saved reports.

    A side is a backend, BACKEND@KERNEL, a kernel, a TOML file of your own, a
    trace, or a report saved with run --format json; both of one kind. TRACE
    is what backends and kernels are compared on: the recording installed with
    pvreplay unless you name one. Shown are the metrics, the ops that make the
    difference, and the rules broken on one side only.

    \b
    Examples
      pvreplay diff native vs vmi
      pvreplay diff xen@2.6.20 vs xen@2.6.21 trace.bin
      pvreplay diff 2.6.21 vs my.toml --backend xen
      pvreplay diff before.json after.json --exit-code
    """
    from pvreplay import __version__
    from pvreplay.report.compare import compare

    words = [side for place, side in enumerate(sides) if place != 1 or side != "vs"]
    if not 2 <= len(words) <= 3:
        raise click.UsageError("expected two sides and at most one trace: A vs B [TRACE]")
    a, b = parse_side(words[0]), parse_side(words[1])
    path = words[2] if len(words) == 3 else None
    options.check_output(output, [words[0], words[1], *words[2:]])
    notes: list[str] = []
    pairs = _pairs(a, b, path, model, notes)
    comparison = compare(a.label, b.label, pairs, notes, __version__, _paths(a, b, model))
    if form == "json":
        from pvreplay.report import diff_json

        options.emit(diff_json.render(comparison), output)
    elif form == "markdown":
        from pvreplay.report import diff_markdown

        options.emit(diff_markdown.render(comparison), output)
    elif form == "html":
        from pvreplay.report import diff_html

        options.emit(diff_html.render(comparison), output)
    else:
        from pvreplay.report import diff_text

        style = options.TextStyle(output, ascii_only)
        options.emit(
            diff_text.render(
                comparison, width=style.width, color=style.color, ascii=style.ascii, top=top, verbose=verbose
            ),
            output,
        )
    for report in {id(report): report for pair in pairs for report in (pair[0], pair[2])}.values():
        _check_damage(report, lenient)
    return int(exit_code and not comparison.equal)


def _paths(a: Side, b: Side, model: dict[str, Any]) -> Paths | None:
    """The switch paths of two sides that name, or stand on, different kernels."""
    if {a.kind, b.kind} - {"backend", "kernel"}:
        return None
    specs = a.kernel or b.kernel or model["kernel"], b.kernel or a.kernel or model["kernel"]
    if specs[0] == specs[1]:
        return None
    from pvreplay.gate.entry import path_of
    from pvreplay.kernels.reader import load_kernel
    from pvreplay.report.compare import Paths

    one, other = (path_of(load_kernel(spec, iopl=model["iopl"])) for spec in specs)
    return Paths(one, other)


def _check_damage(report: Report, lenient: bool) -> None:
    from pvreplay.cli.flow import verdict

    report.violations = []  # a diff judges the difference, not the sides
    verdict(report, strict=False, lenient=lenient)


def _pairs(a: Side, b: Side, path: str | None, model: dict[str, Any], notes: list[str]) -> Pairs:
    kinds = {a.kind, b.kind}
    if kinds <= {"report", "trace"}:
        if path is not None:
            raise UsageError(
                f"{path}: a third trace beside {a.text} and {b.text}", "Expected two sides: A vs B."
            )
        if a.text == b.text == "-":
            _once("-")
        told: tuple[list[str], list[str]] = ([], [])
        one, other = together(
            [lambda: _whole(a, b, model, told[0]), lambda: _whole(b, a, model, told[1])], [a.text, b.text]
        )
        notes += told[0] + told[1]
        return _by_name(one, other, a, b, model["backend"])
    if kinds == {"backend", "kernel"}:
        backend, kernel = (a, b) if a.kind == "backend" else (b, a)
        raise UsageError(
            f"{a.text} and {b.text} are a backend and a kernel",
            f"Say {backend.text}@{kernel.text} against another {backend.text}@KERNEL.",
        )
    if len(kinds) == 2:
        raise UsageError(
            f"{a.text} and {b.text} are a {a.kind} and a {b.kind}", "Expected two sides of one kind."
        )
    trace = options.named_trace(path)
    if path is None:
        notes.append("no trace was named: this is the recording installed with pvreplay")
    if a.kind == "kernel":
        return _kernels(a, b, trace, model)
    return _backends(a, b, trace, model)


def _backends(a: Side, b: Side, trace: str, model: dict[str, Any]) -> Pairs:
    kernel_a = a.kernel or b.kernel or model["kernel"]
    kernel_b = b.kernel or a.kernel or model["kernel"]
    assert a.backend is not None and b.backend is not None
    if kernel_a == kernel_b and a.backend != b.backend:
        both = _replay(trace, kernel_a, [a.backend, b.backend], model)
        if both.backends[0].name != both.backends[1].name:
            return [(both, both.backends[0], both, both.backends[1])]
    _once(trace)
    one, other = _both(trace, (kernel_a, [a.backend]), (kernel_b, [b.backend]), model)
    return [(one, one.backends[0], other, other.backends[0])]


def _kernels(a: Side, b: Side, trace: str, model: dict[str, Any]) -> Pairs:
    _once(trace)
    assert a.kernel is not None and b.kernel is not None
    backends = model["backend"] or _plain_backends()
    one, other = _both(trace, (a.kernel, backends), (b.kernel, backends), model)
    return [(one, x, other, y) for x, y in zip(one.backends, other.backends, strict=True)]


def _plain_backends() -> list[str]:
    """The built-in backends less their baselines."""
    from pvreplay.backends.reader import builtin_backends
    from pvreplay.report.order import without_baselines

    return without_baselines(builtin_backends())


def _whole(side: Side, opposite: Side, model: dict[str, Any], notes: list[str]) -> Report:
    """The report of a saved report or a trace; a trace takes kernel and backends of the report it faces."""
    if side.kind == "report":
        return read_report(side.text)
    kernel, backends = model["kernel"], model["backend"] or _plain_backends()
    if opposite.kind == "report":
        facing = read_report(opposite.text)
        kernel = _kernel_of(facing, opposite, model)
        backends = model["backend"] or _backends_of(facing, opposite)
        notes.append(f"{side.label} was replayed on kernel {facing.kernel}, as {opposite.label} was")
    return _replay(side.text, kernel, backends, model)


def _kernel_of(facing: Report, side: Side, model: dict[str, Any]) -> str:
    """The kernel that the report *facing* was made on; a file of the user's own he has to name."""
    from pvreplay.kernels.reader import builtin_kernels, load_kernel

    given: str = model["kernel"]
    if facing.kernel in (given, load_kernel(given, iopl=model["iopl"]).name):
        return given
    if facing.kernel in builtin_kernels():
        return facing.kernel
    raise UsageError(
        f"{side.text}: made on kernel {facing.kernel}, which is not built in",
        f"Name the file of {facing.kernel} with --kernel.",
    )


def _backends_of(facing: Report, side: Side) -> list[str]:
    """The backends of the report *facing* that can be had by name, less baselines."""
    from pvreplay.backends.reader import builtin_backends
    from pvreplay.report.order import without_baselines

    known = builtin_backends()
    names = [name for name in without_baselines(result.name for result in facing.backends) if name in known]
    if not names:
        raise UsageError(
            f"{side.text}: none of its backends is built in", "Name the file of one with --backend."
        )
    return names


def _by_name(one: Report, other: Report, a: Side, b: Side, asked: Sequence[str]) -> Pairs:
    """Results of one name are compared: those *asked* for, else all but baselines."""
    from pvreplay.report.order import without_baselines

    if len(one.backends) == len(other.backends) == 1:
        return [(one, one.backends[0], other, other.backends[0])]
    names = {result.name: result for result in other.backends}
    common = [result.name for result in one.backends if result.name in names]
    # A file's backend has a name of its own: reports know it by that one alone.
    chosen = [name for name in common if name in asked] or without_baselines(common)
    pairs = [(one, result, other, names[result.name]) for result in one.backends if result.name in chosen]
    if not pairs:
        raise UsageError(
            f"{a.text} and {b.text} have no backend in common", "Make both with the same --backend."
        )
    return pairs


def _both(
    trace: str, a: tuple[str, Sequence[str]], b: tuple[str, Sequence[str]], model: dict[str, Any]
) -> list[Report]:
    """One trace on two (kernel, backends)."""
    return together([lambda: _replay(trace, *a, model), lambda: _replay(trace, *b, model)], [trace, trace])


def _replay(trace: str, kernel: str, backends: Sequence[str], model: dict[str, Any]) -> Report:
    from pvreplay.cli.flow import make_report

    return make_report(
        trace,
        kernel_spec=kernel,
        backend_specs=backends,
        iopl=model["iopl"],
        assume=model["assume"],
        policy=model["policy"],
        engine=model["engine"],
    )


def _once(trace: str) -> None:
    is_pipe = os.path.exists(trace) and not os.path.isfile(trace) and not os.path.isdir(trace)
    if trace == "-" or is_pipe:
        what = "standard input" if trace == "-" else "a pipe"
        raise UsageError(
            f"{trace}: {what} can be read once, and these sides need two replays", "Save it in a file first."
        )

"""``pvreplay run``: one trace, every backend, one report."""

from __future__ import annotations

import click

from pvreplay.cli import formats, options
from pvreplay.cli.flow import make_report, verdict
from pvreplay.cli.main import QuickHelp
from pvreplay.cli.together import jobs_option


@click.command(cls=QuickHelp)
@click.argument("trace", required=False)
@options.model_options
@options.backend_option
@options.output_options(
    "text", "json", *formats.MODULES, top="Length of every list in text; when given, shapes are listed too."
)
@options.filter_options
@options.level_option
@options.inject_option
@jobs_option
@click.option("--strict", is_flag=True, help="Let performance findings and windows set exit code 1 too.")
@click.option(
    "--lenient", is_flag=True, help="Accept a damaged trace: report what it holds, without exit code 3."
)
def command(
    trace: str | None,
    kernel: str,
    iopl: str | None,
    assume: dict[str, str],
    policy: str | None,
    engine: str,
    backend: tuple[str, ...],
    form: str,
    output: str | None,
    ascii_only: bool,
    top: int,
    verbose: int,
    cpu: frozenset[int] | None,
    task: str | None,
    span: tuple[int, int] | None,
    level: str | None,
    inject: list[str],
    strict: bool,
    lenient: bool,
) -> int:
    """Replay a trace; count hypercalls and order violations.

    TRACE is a trace.bin, its text form, or a recording: perf.data, trace.dat,
    ftrace text and whatever else pvreplay formats lists; - is standard input.
    Without one, the recording that is installed with pvreplay is replayed. Every context switch goes through
    the switch path of a kernel, once per distinct kind of switch, under every
    backend, and what breaks a rule of the lazy modes is drawn step by step.

    \b
    Examples
      pvreplay run trace.bin
      pvreplay run perf.data --backend vmi --kernel 2.6.21 --format json
      perf script -i perf.data | pvreplay run -
      pvreplay run trace.bin --assume fpu=always --iopl posted
      pvreplay run trace.bin --inject nmi,fault --backend xen
      pvreplay run trace.bin --cpu 0-1 --task fpthreads --time ,49.5
    """
    path = options.named_trace(trace)
    options.check_output(output, [path])
    report = make_report(
        path,
        kernel_spec=kernel,
        backend_specs=backend,
        iopl=iopl,
        assume=assume,
        policy=policy,
        engine=engine,
        inject=inject,
        level=level,
        cpus=cpu,
        task=task,
        window_ns=span,
    )
    if trace is None:
        report.notes.append("no trace was named: this is the recording installed with pvreplay")
    if form == "json":
        from pvreplay.report import json

        options.emit(json.render(report), output)
    elif form in formats.MODULES:
        content = formats.render(form, report, strict=strict, lenient=lenient, assume=assume)
        options.emit(content, output)
    else:
        from pvreplay.report import text

        style = options.TextStyle(output, ascii_only)
        options.emit(
            text.render(
                report,
                width=style.width,
                color=style.color,
                ascii=style.ascii,
                top=top,
                verbose=verbose,
                shapes=options.was_given("top"),
            ),
            output,
        )
    return verdict(report, strict=strict, lenient=lenient)

"""``pvreplay validate``: does the model predict what a recorded guest really did?"""

from __future__ import annotations

import click

from pvreplay.cli import options
from pvreplay.cli.main import QuickHelp
from pvreplay.errors import TraceError

DEFAULT_KERNEL = "6.1"


@click.command(cls=QuickHelp)
@click.argument("recording")
@click.option(
    "-k",
    "--kernel",
    metavar="NAME|FILE",
    default=DEFAULT_KERNEL,
    show_default=True,
    help="Switch path: a built-in kernel or a TOML file.",
)
@click.option(
    "-b",
    "--backend",
    metavar="NAME|FILE",
    help="Backend: xen or native, or a TOML file. Default: what the evidence shows.",
)
@options.assume_option
@options.output_options("text", "json")
def command(
    recording: str,
    kernel: str,
    backend: str | None,
    assume: dict[str, str],
    form: str,
    output: str | None,
    ascii_only: bool,
    top: int,
    verbose: int,
) -> int:
    """Check the model against a recording that tells what happened.

    The recording holds sched_switch and evidence: xen:* events, the function
    tracer's lines of the switch path, kprobes, tlb:tlb_flush, x86_fpu:*.
    Every switch is predicted from the recording without that evidence, and
    compared with it. What the recording cannot tell is undecided, with its
    reason. Exit code 1 when a difference is left without one.

    An xentrace file, or the text of xenalyze --summary, is the hypervisor's
    view: its totals are compared with what as many switches cost.

    \b
    Examples
      pvreplay validate traces/guest-xen-tls.function.txt
      pvreplay validate recording.txt --format json
      pvreplay validate recording.txt --kernel my.toml --backend xen -v
    """
    options.check_output(output, [recording])

    from pvreplay.backends.reader import load_backend
    from pvreplay.kernels.reader import load_kernel
    from pvreplay.validate.compare import validate
    from pvreplay.validate.hypervisor import open_view
    from pvreplay.validate.items import Recording
    from pvreplay.validate.signs import Survey

    loaded = load_kernel(kernel)
    view = open_view(recording)
    opened = None
    if view is not None:
        from pvreplay.validate.hypervisor import check_view

        result = check_view(view, loaded, load_backend(backend or "xen", loaded))
    else:
        opened = Recording(recording)
        survey = Survey(opened.items())
        priced = load_backend(backend or ("xen" if survey.xen else "native"), loaded)
        result = validate(opened, survey, loaded, priced, assume)
    if form == "json":
        from pvreplay.report import validate_json

        options.emit(validate_json.render(result), output)
    else:
        from pvreplay.report import validate_text

        style = options.TextStyle(output, ascii_only)
        text = validate_text.render(
            result, width=style.width, color=style.color, ascii=style.ascii, top=top, verbose=verbose
        )
        options.emit(text, output)
    if opened is not None and opened.damage:
        raise TraceError(f"{recording}: {opened.damage}", "Compared is what could be read.")
    return int(result.failed)

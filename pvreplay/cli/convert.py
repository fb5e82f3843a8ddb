"""``pvreplay convert``: any trace or recording to trace.bin or its text form."""

from __future__ import annotations

import os

import click

from pvreplay.cli import options
from pvreplay.errors import TraceError, UsageError

_OWN = ("trace.bin", "trace text")
_FORMS = {".bin": "bin", ".txt": "text", ".text": "text"}


@click.command()
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option(
    "--to",
    "form",
    type=click.Choice(["bin", "text"]),
    help="Form of OUT. Default: by its name, .bin or .txt; text for -.",
)
@options.assume_option
@options.level_option
@click.option("--lenient", is_flag=True, help="Convert what a damaged trace holds without exit code 3.")
def command(
    source: str, target: str, form: str | None, assume: dict[str, str], level: str | None, lenient: bool
) -> int:
    """Convert a trace or recording to trace.bin or text.

    IN is a trace.bin, its text form, or a recording; - is standard input. OUT is
    written whole or not at all; - is standard output. Both forms hold the same
    events, tasks and provenance, and convert into each other without loss. What a
    damaged trace still holds is converted, the damage is noted in OUT, and the exit
    code is 3.

    \b
    Examples
      pvreplay convert trace.bin trace.txt
      pvreplay convert recording.txt trace.bin --assume fpu=always
      perf script -i perf.data | pvreplay convert - trace.bin
      pvreplay convert trace.bin - --to text
    """
    form = form or _FORMS.get(os.path.splitext(target)[1].lower()) or ("text" if target == "-" else None)
    if form is None:
        raise UsageError(f"{target}: bin or text?", "Name it .bin or .txt, or say --to bin or --to text.")
    if target != "-":
        options.check_output(target, [source])

    from pvreplay.cli.outfile import spare_terminal, whole_or_not
    from pvreplay.sources.detect import open_trace
    from pvreplay.trace.binary_write import write_binary
    from pvreplay.trace.text_write import write_text

    spare_terminal(target, form)
    trace = open_trace(source, assume=assume, level=level)
    if not trace.meta.origin and trace.meta.format not in _OWN:
        trace.meta.origin = f"{trace.meta.format} {os.path.basename(source)}"
    with whole_or_not(target) as out:
        (write_binary if form == "bin" else write_text)(trace, out)
    if trace.damage and not lenient:
        raise TraceError(
            f"{source}: {trace.damage}", f"{target} holds what could be read; --lenient accepts that."
        )
    return 0

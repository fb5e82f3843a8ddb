"""``pvreplay kernels``: the switch paths that are known, and what is in one."""

from __future__ import annotations

import click

from pvreplay.cli import options


@click.command()
@click.option("--show", metavar="NAME|FILE", help="Show one kernel: built in, or a TOML file of your own.")
@click.option(
    "--iopl",
    type=click.Choice(["posted", "merged", "never"]),
    help="Show it with another IOPL policy than its own.",
)
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the output.",
)
def command(show: str | None, iopl: str | None, form: str) -> int:
    """List the kernels, or show one's switch path.

    A kernel is a list of steps, each with the guard it depends on and the
    paravirtual operations it performs, and where that is known from. A file of
    your own may extend a built-in kernel and change single steps; --show checks
    it and shows the result.

    \b
    Examples
      pvreplay kernels
      pvreplay kernels --show 2.6.21
      pvreplay kernels --show seed --format json
    """
    from pvreplay.kernels import builtin_kernels, load_kernel
    from pvreplay.kernels.show import kernel_data, kernel_text, list_text
    from pvreplay.report import escape

    if show is None and iopl is not None:
        raise click.UsageError("--iopl goes with --show")
    kernels = (
        [load_kernel(name) for name in builtin_kernels()] if show is None else [load_kernel(show, iopl=iopl)]
    )
    if form == "json":
        import msgspec

        data = [kernel_data(kernel) for kernel in kernels]
        page = {"schema": "pvreplay.kernels/1", "kernels": data}
        options.emit(
            escape.json_bytes(msgspec.json.format(msgspec.json.encode(page), indent=2)) + b"\n", None
        )
    else:
        text = list_text(kernels) if show is None else kernel_text(kernels[0])
        options.emit("".join(escape.terminal(line) + "\n" for line in text.splitlines()), None)
    return 0

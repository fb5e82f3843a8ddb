"""``pvreplay backends``: what becomes of a paravirtual operation, backend by backend."""

from __future__ import annotations

import click

from pvreplay.cli import options


@click.command()
@click.option("--show", metavar="NAME|FILE", help="Show one backend's table, queue, notes and sources.")
@click.option(
    "-k",
    "--kernel",
    metavar="NAME|FILE",
    default=options.DEFAULT_KERNEL,
    show_default=True,
    help="Show the rows that hold for this kernel.",
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
def command(show: str | None, kernel: str, form: str) -> int:
    """List the backends, or show one's table.

    A backend says what becomes of each paravirtual operation: done by the guest
    itself, queued, a hypercall of its own, a trap, a call into the VMI ROM. Its
    rows are versioned by kernel. NAME-unbatched and NAME-nolazy are what the
    batching of NAME is compared with. --show also checks a file of your own.

    \b
    Examples
      pvreplay backends
      pvreplay backends --show xen
      pvreplay backends --show vmi --kernel 2.6.24 --format json
    """
    from pvreplay.backends.reader import builtin_backends, load_backend
    from pvreplay.kernels.reader import load_kernel
    from pvreplay.report import backend_text, escape

    loaded = load_kernel(kernel)
    backends = [load_backend(name, loaded) for name in ([show] if show is not None else builtin_backends())]
    if form == "json":
        import msgspec

        page = {
            "schema": "pvreplay.backends/1",
            "kernel": loaded.name,
            "backends": [backend_text.as_data(backend) for backend in backends],
        }
        options.emit(escape.json_bytes(msgspec.json.format(msgspec.json.encode(page))) + b"\n", None)
        return 0
    style = options.TextStyle(None, False)
    if show is None:
        listed = [(backend, _kernels(backend.path)) for backend in backends]
        options.emit(backend_text.list_text(listed, color=style.color, ascii=style.ascii), None)
    else:
        options.emit(
            backend_text.show_text(backends[0], loaded.name, color=style.color, ascii=style.ascii), None
        )
    return 0


def _kernels(path: str) -> str:
    """The kernels that had the backend whose file is *path*."""
    from pvreplay.backends.schema import read

    with open(path, "rb") as file:
        backend = read(path, file.read())
    if backend.since and backend.until:
        return f"{backend.since} to {backend.until}"
    return f"from {backend.since}" if backend.since else "all"

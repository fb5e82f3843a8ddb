"""``pvreplay check``: an order of pv ops, written by hand, priced and judged."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from pvreplay.cli import options
from pvreplay.cli.main import QuickHelp
from pvreplay.errors import UsageError

if TYPE_CHECKING:
    from pvreplay.replay.order_check import CheckedOrder
    from pvreplay.replay.order_file import OrderLine, Settings

FILE_BYTES_MAX = 1 << 24


@click.command(cls=QuickHelp)
@click.argument("order", nargs=-1, metavar="[ORDER]")
@click.option(
    "-f", "--file", "path", metavar="FILE", help="Check the orders in FILE, one a line; - is stdin."
)
@options.backend_option
@click.option(
    "-k",
    "--kernel",
    metavar="NAME|FILE",
    help="Kernel whose backend rows hold (default 2.6.32, where every op of the switch can be queued).",
)
@click.option(
    "--policy",
    metavar="NAME",
    help="Contract the rules enforce: seed2006 (default), x86-2009, strict-nopreempt, generic2025.",
)
@click.option("--want", multiple=True, metavar="RES=VALUE", help="What next must have, e.g. IOPL=0.")
@click.option("--hw", multiple=True, metavar="RES=VALUE", help="What the hardware holds, e.g. IOPL=3.")
@click.option("--live", multiple=True, metavar="SEGMENT", help="fs or gs: it still names a TLS entry.")
@click.option(
    "--volatile", multiple=True, metavar="RES", help="Others can change it behind a copy, e.g. BTF."
)
@click.option("--scrub", multiple=True, metavar="RES", help="Residue the switch must clear, e.g. RSB.")
@click.option("--tls-slots", type=click.IntRange(0, 3), help="How many TLS slots load_tls changes.")
@click.option("--no-resident", is_flag=True, help="No task's registers may stay behind a trap bit.")
@options.inject_option
@click.option(
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
    help="Write to FILE, whole or not at all.",
)
@click.option("--ascii", "ascii_only", is_flag=True, help="Text without a character beyond ASCII.")
@click.option(
    "--top", type=click.IntRange(min=0), default=5, show_default=True, help="Windows drawn in text."
)
@click.option(
    "-v", "--verbose", count=True, help="Draw every step on every backend, say what was not checked."
)
@click.option("--strict", is_flag=True, help="Let performance findings and windows set exit code 1 too.")
def command(
    order: tuple[str, ...],
    path: str | None,
    backend: tuple[str, ...],
    kernel: str | None,
    policy: str | None,
    inject: list[str],
    form: str,
    output: str | None,
    ascii_only: bool,
    top: int,
    verbose: int,
    strict: bool,
    **context: object,
) -> int:
    """Price an order of operations and say what it breaks.

    ORDER is what a CPU does, op by op, from begin to end of a switch or any
    part of it: 'begin enter_cpu write_cr3 load_tls leave_cpu end'. Nothing is
    simulated. Steps are numbered from 0. Default backends: all built in.

    A line of FILE is an order with its own options; before it may stand, up to
    a colon, a name, [BACKENDS], and 'bad STEP RULE' or 'good'. Exit code 1: an
    order breaks a rule, or does not do what its line says.

    \b
    Examples
      pvreplay check 'begin enter_cpu load_tls loadsegment:fs leave_cpu' -b xen
      pvreplay check 'begin end user' --want IOPL=0 --hw IOPL=3
      pvreplay check 'begin write_cr3 set_current end' --inject fault
      echo '[xen] bad 1 P4 : enter_mmu sleep leave_mmu' | pvreplay check -f -
    """
    from pvreplay.replay.order_check import Checked
    from pvreplay.replay.order_file import Settings

    if bool(order) == (path is not None):
        raise click.UsageError("expected an order, or -f FILE")
    options.check_output(output, [path] if path else [])
    given = Settings(backend=list(backend), kernel=kernel or "", policy=policy or "")
    for name, value in context.items():
        setattr(given, name, list(value) if isinstance(value, tuple) else value)
    lines = _lines(order, path, given)
    checked = Checked(orders=[_check(line, inject, path) for line in lines])
    if form == "json":
        from pvreplay.report import order_json

        options.emit(order_json.render(checked, file=path is not None), output)
    else:
        from pvreplay.report import order_text

        style = options.TextStyle(output, ascii_only)
        text = order_text.render(
            checked, width=style.width, color=style.color, ascii=style.ascii, top=top, verbose=verbose
        )
        options.emit(text, output)
    return int(any(_fails(one, strict) for one in checked.orders))


def _lines(order: tuple[str, ...], path: str | None, given: Settings) -> list[OrderLine]:
    from pvreplay.replay.order_file import read_orders, single

    if path is None:
        return [single(order, given)]
    lines = read_orders(_read(path), path)
    for line in lines:
        line.settings = line.settings.over(given)
    return lines


def _read(path: str) -> str:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", "Name a file of orders, or - for standard input."
        ) from None
    if len(data) > FILE_BYTES_MAX:
        raise UsageError(f"{path}: larger than {FILE_BYTES_MAX >> 20} MiB", "A file of orders is small.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path}: no text", "One order a line is expected.") from None


def _check(line: OrderLine, kinds: list[str], path: str | None) -> CheckedOrder:
    from pvreplay.backends.reader import builtin_backends, load_backend
    from pvreplay.kernels.reader import load_kernel
    from pvreplay.machine.policy import DEFAULT_POLICY, get_policy
    from pvreplay.replay.order import CHECK_KERNEL, context_of
    from pvreplay.replay.order_check import check_order, judge
    from pvreplay.report.order import without_baselines

    asked = line.settings
    try:
        kernel = load_kernel(asked.kernel or CHECK_KERNEL)
        names = dict.fromkeys(asked.backend) or without_baselines(builtin_backends())
        checked = check_order(
            line.tokens,
            kernel,
            [load_backend(name, kernel) for name in names],
            policy=get_policy(asked.policy or DEFAULT_POLICY),
            context=context_of(
                want=asked.want,
                hw=asked.hw,
                live=asked.live,
                volatile=asked.volatile,
                scrub=asked.scrub,
                tls_slots=asked.tls_slots,
                no_resident=asked.no_resident,
            ),
            told=asked.told(),
            inject=kinds,
        )
    except UsageError as error:
        if path is None:
            raise
        raise type(error)(f"{os.path.basename(path)}:{line.line}: {error.message}", error.hint) from None
    checked.name, checked.line = line.name, line.line
    if line.expected is not None:
        judge(checked, line.expected)
    return checked


def _fails(checked: CheckedOrder, strict: bool) -> bool:
    """Whether an order makes the exit code 1."""
    if strict and checked.what_if:
        return True
    if checked.met is not None:
        return not checked.met
    return any(strict or one.severity != "perf" for one in checked.violations)

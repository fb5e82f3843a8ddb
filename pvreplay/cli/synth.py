"""``pvreplay synth``: a seeded synthetic trace, or one fitted to a recording."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from pvreplay.cli import options
from pvreplay.errors import UsageError

if TYPE_CHECKING:
    from pvreplay.synth.inject import Injection
    from pvreplay.synth.trace import SynthTrace

_FORMS = {".bin": "bin", ".txt": "text", ".text": "text"}


@click.command()
@click.argument("workload", required=False)
@click.option("-n", "--switches", type=click.IntRange(min=1), help="Exactly so many switches.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Same seed, same bytes."
)
@click.option("--cpus", type=click.IntRange(min=1), default=1, show_default=True, help="CPUs that switch.")
@click.option("--tasks", type=click.IntRange(min=1), help="Tasks. Default: the workload's own number.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=N",
    help="An option of the workload (--describe names them). May be repeated.",
)
@click.option("--like", metavar="RECORDING", help="Fit rates and mixes from a recording instead.")
@options.assume_option
@click.option(
    "--inject",
    "plants",
    multiple=True,
    metavar="RULE@RATE",
    help="Plant violations, e.g. P1@1/1000 of the switches. May be repeated.",
)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE (.bin or .txt); - is standard output.")
@click.option(
    "--to", "form", type=click.Choice(["bin", "text"]), help="Form of FILE. Default: by its name; text for -."
)
@click.option("--list", "list_all", is_flag=True, help="List the workloads.")
@click.option("--describe", is_flag=True, help="Say what WORKLOAD models, its sources and its options.")
def command(
    workload: str | None,
    switches: int | None,
    seed: int,
    cpus: int,
    tasks: int | None,
    settings: tuple[str, ...],
    like: str | None,
    assume: dict[str, str],
    plants: tuple[str, ...],
    output: str | None,
    form: str | None,
    list_all: bool,
    describe: bool,
) -> int:
    """Make a seeded synthetic trace.

    The same request gives the same bytes on every machine. All state is known, so
    its provenance is "observed"; the request stands in the trace's origin.

    \b
    Examples
      pvreplay synth --list
      pvreplay synth pingpong --switches 23 --seed 1 -o t.bin
      pvreplay synth mmuremap -n 1000 --cpus 2 --set ptes=64 -o -
      pvreplay synth database -n 100000 --inject P4@1/1000 -o planted.bin
      pvreplay synth --like recording.txt -n 100000 -o like.bin
    """
    from pvreplay import synth

    if list_all:
        for name, summary in synth.summaries():
            click.echo(f"{name:<11} {summary}")
        return 0
    if workload is None and like is None:
        raise UsageError(
            "synth: no workload", f"Expected one of {', '.join(synth.workload_names())}, or --like FILE."
        )
    if workload is not None and like is not None:
        raise UsageError(f"synth: {workload} and --like", "Name a workload or a recording, not both.")
    if describe and workload is not None:
        click.echo(_page(synth.describe(workload)))
        return 0
    if switches is None or output is None:
        missing = "--switches N" if switches is None else "-o FILE"
        raise UsageError(
            f"synth: {missing} is missing", "Say how many switches and where to write them; -o - is stdout."
        )
    form = form or _FORMS.get(os.path.splitext(output)[1].lower()) or ("text" if output == "-" else None)
    if form is None:
        raise UsageError(f"{output}: bin or text?", "Name it .bin or .txt, or say --to bin or --to text.")
    if output != "-":
        options.check_output(output, [like] if like else [])

    from pvreplay.synth.inject import parse_injection

    inject = [parse_injection(text) for text in plants]
    if like is None:
        assert workload is not None
        trace = synth.make(
            workload,
            switches=switches,
            seed=seed,
            cpus=cpus,
            tasks=tasks,
            options=_numbers(settings),
            inject=inject,
        )
    else:
        trace = _fitted(like, assume, switches, seed, inject)
    _write(trace, output, form)
    for rule, count in trace.planted.items():
        print(f"planted {rule}: {count:,}", file=sys.stderr)
    return 0


def _numbers(settings: tuple[str, ...]) -> dict[str, int]:
    numbers = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not name or not equals or not value.isascii() or not value.isdigit():
            raise UsageError(f"--set {text}", "Expected NAME=N with a whole number, as in ptes=64.")
        numbers[name] = int(value)
    return numbers


def _fitted(
    like: str, assume: dict[str, str], switches: int, seed: int, inject: list[Injection]
) -> SynthTrace:
    """Fit *like*, and tell on stderr how well."""
    from pvreplay.sources.detect import open_trace
    from pvreplay.synth.like import compare, fit
    from pvreplay.synth.trace import SynthTrace

    profile, rates = fit(open_trace(like, assume=assume))
    print(f"{'fitted':<34} {'recording':>12} {'synthetic':>12}", file=sys.stderr)
    for what, recorded, made in compare(rates, profile, seed):
        print(f"{what:<34} {recorded:>12,.1f} {made:>12,.1f}", file=sys.stderr)
    recipe = f"--like {os.path.basename(like)} --switches {switches} --seed {seed}"
    recipe += "".join(f" --inject {plant.rule}@{plant.ppm}/1000000" for plant in inject)
    return SynthTrace(profile, recipe, switches=switches, seed=seed, injections=inject)


def _page(description: str) -> str:
    """What ``synth.describe`` tells, for a terminal: prose, then a line an option."""
    prose, _, options = description.rpartition("\n\n")
    formatter = click.HelpFormatter(width=80)
    formatter.write(click.wrap_text(prose.replace("``", "`"), 80, preserve_paragraphs=True) + "\n\n")
    pairs = [line.strip().split("  ", 1) for line in options.splitlines()]
    formatter.write_dl([(name, text) for name, text in pairs])
    return formatter.getvalue().rstrip("\n")


def _write(trace: SynthTrace, output: str, form: str) -> None:
    from pvreplay.cli.outfile import spare_terminal, whole_or_not

    spare_terminal(output, form)
    if form == "bin":
        from pvreplay.trace.binary_write import write_binary as write
    else:
        from pvreplay.trace.text_write import write_text as write
    with whole_or_not(output) as out:
        write(trace, out)

"""``pvreplay gate``: held against a baseline, and said in the words CI reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from pvreplay.cli import formats, options
from pvreplay.cli.main import QuickHelp
from pvreplay.cli.together import jobs_option
from pvreplay.errors import BaselineError, TraceError

if TYPE_CHECKING:
    from pvreplay.gate.baseline import Baseline
    from pvreplay.gate.budget import Budget
    from pvreplay.gate.config import GateConfig
    from pvreplay.gate.judge import Terms
    from pvreplay.gate.match import Measured
    from pvreplay.gate.verdict import Verdict

_ALLOW = {
    "allow_lost": "lost",
    "allow_model_change": "model_change",
    "allow_trace_change": "trace_change",
    "allow_kernel_change": "kernel_change",
}


def _increase(ctx: click.Context, param: click.Parameter, value: str | None) -> Budget | None:
    from pvreplay.gate.budget import parse_increase

    if value is None:
        return None
    try:
        return parse_increase(value, f"--max-increase {value}")
    except ValueError:
        raise click.BadParameter(
            f"{value!r}: expected a percentage like 2% or a number", ctx, param
        ) from None


@click.command(cls=QuickHelp)
@click.argument("traces", nargs=-1, required=True, metavar="TRACE...")
@click.option(
    "--baseline", metavar="FILE", help="What to compare with. Default: pvreplay-baseline.toml here."
)
@click.option("--update", is_flag=True, help="Make what is measured now the baseline.")
@click.option(
    "--max-increase",
    metavar="N|N%",
    callback=_increase,
    help="How much a metric may rise above the baseline. Default: not at all.",
)
@click.option("--config", metavar="FILE", help="Budgets. Default: [tool.pvreplay.gate] in pyproject.toml.")
@click.option("--explain", is_flag=True, help="Say which ops, shapes and tasks made a metric change.")
@click.option("--allow-lost", is_flag=True, help="Accept lost events: counts are lower bounds.")
@click.option("--allow-model-change", is_flag=True, help="Compare although pvreplay's model changed.")
@click.option("--allow-trace-change", is_flag=True, help="Compare per switch with another trace.")
@click.option("--allow-kernel-change", is_flag=True, help="Compare with the trace on another kernel.")
@click.option("--lenient", is_flag=True, help="Accept a damaged trace: judge what it holds.")
@options.model_options
@options.backend_option
@jobs_option
@options.output_options("text", "json", *formats.MODULES)
def command(traces: tuple[str, ...], output: str | None, **given: Any) -> int:
    """Fail when hypercalls rise above a baseline or a rule breaks.

    Replays each TRACE and compares hypercalls, entries, traps, ROM calls and
    broken rules of every backend with a baseline file, which --update writes.
    Counts are exact, so nothing may rise, unless --max-increase or a budget in
    a TOML file says how much. Kernel, backends and settings that are not given
    are those of the baseline; a kernel file of your own that extends the
    baseline's kernel is judged as a change of it.

    \b
    Exit codes
      0  nothing got worse
      1  a metric is over its limit, or a rule is broken that was not
      2  wrong usage or configuration, missing file
      3  a trace is damaged or holds no switch
      4  not comparable: no baseline, lost events, another trace or model

    \b
    Examples
      pvreplay gate trace.bin --update
      pvreplay gate trace.bin
      pvreplay gate trace.bin --kernel my.toml --explain
      pvreplay gate *.bin --backend xen --max-increase 2%
    """
    from pvreplay.cli.gate_files import beside, find_config, read_baseline, write_baseline
    from pvreplay.cli.gate_jobs import measure_all, plan

    ctx = click.get_current_context()
    config = find_config(given["config"])
    path = given["baseline"] or (beside(config.path, config.baseline) if config.baseline else _default())
    paths = list(dict.fromkeys(traces))
    options.check_output(output, [*paths, path])
    baseline = read_baseline(path)
    jobs = list(plan(paths, baseline, path, config, _chosen(ctx)))
    runs = measure_all(jobs, baseline, path, given["engine"])
    terms = _terms(runs, baseline, path, config, given)
    verdict = _verdict(ctx, runs, terms, config)
    if given["update"]:
        from pvreplay.gate.update import accept, updated

        _refuse_update(runs, terms, path)
        new, notes = updated(baseline, runs)
        write_baseline(new, path)
        accept(verdict, terms, notes)
    _render(verdict, runs, output, given)
    for run in runs:
        if run.report.damage:
            message = f"{run.path}: {run.report.damage}"
            if not given["lenient"]:
                raise TraceError(message, "The verdict covers what could be read; --lenient accepts that.")
            click.echo(f"pvreplay: {_plain(message)}", err=True)
    return verdict.exit_code


for _option in command.params:  # shared with other commands, which have no baseline
    if isinstance(_option, click.Option) and _option.name == "kernel":
        _option.show_default = False
        _option.help = f"{_option.help} Default: the baseline's, else {options.DEFAULT_KERNEL}."
    elif isinstance(_option, click.Option) and _option.name == "backend" and _option.help:
        _option.help = _option.help.replace("all built in", "the baseline's, else all built in")


def _chosen(ctx: click.Context) -> dict[str, Any]:
    """The options that were given, not their defaults."""
    from click.core import ParameterSource

    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


def _default() -> str:
    from pvreplay.gate.baseline import DEFAULT_NAME

    return DEFAULT_NAME


def _plain(message: str) -> str:
    from pvreplay.report.escape import terminal

    return terminal(message)


def _terms(
    runs: Sequence[Measured],
    baseline: Baseline | None,
    path: str,
    config: GateConfig,
    given: Mapping[str, Any],
) -> Terms:
    from pvreplay.backends.reader import builtin_backends
    from pvreplay.gate.budget import NO_INCREASE
    from pvreplay.gate.config import check_names
    from pvreplay.gate.judge import Terms

    check_names(
        config, (*builtin_backends(), *dict.fromkeys(name for run in runs for name in run.entry.backend))
    )
    allowed = {kind for option, kind in _ALLOW.items() if given[option] or option in config.allow}
    general = given["max_increase"] or config.max_increase or NO_INCREASE
    return Terms(
        baseline=baseline,
        baseline_path=path,
        budgets=config.budgets._replace(general=general),
        allow=frozenset(allowed),
        lenient=given["lenient"],
        explain=given["explain"],
    )


def _verdict(ctx: click.Context, runs: Sequence[Measured], terms: Terms, config: GateConfig) -> Verdict:
    from pvreplay import __version__
    from pvreplay.gate.judge import judge, verdict_of
    from pvreplay.gate.match import lost
    from pvreplay.gate.model import MODEL

    needed = ["--update"]
    if any(lost(run) for run in runs):
        needed.append("--allow-lost")
    if any(run.report.damage for run in runs):
        needed.append("--lenient")
    return verdict_of(
        judge(runs, terms),
        terms,
        config=config.path if config.budgets.table or config.max_increase else "",
        update_command=_command(ctx, needed),
        explain_command=_command(ctx, ["--explain"]),
        version=__version__,
        model=MODEL,
    )


def _command(ctx: click.Context, extra: Sequence[str]) -> str:
    """This command with *extra* flags, and without what only shapes its output, for a shell."""
    import shlex

    words = ["pvreplay", "gate", *ctx.params["traces"]]
    skipped = {"update", "explain", "form", "output", "ascii_only", "top", "verbose"}
    if "--update" in extra:
        skipped |= {"max_increase", "allow_model_change", "allow_trace_change", "allow_kernel_change"}
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if not isinstance(parameter, click.Option) or name in skipped or name not in _chosen(ctx):
            continue
        option, value = parameter.opts[-1], ctx.params[name]
        if name == "max_increase":
            value = value.where.split()[-1]
        if parameter.is_flag:
            words += [option] if value and option not in extra else []
        elif isinstance(value, dict):
            words += [word for key, one in value.items() for word in (option, f"{key}={one}")]
        else:
            words += [
                word for one in ([value] if isinstance(value, str) else value) for word in (option, one)
            ]
    return shlex.join([*words, *extra])


def _refuse_update(runs: Sequence[Measured], terms: Terms, path: str) -> None:
    """A baseline is not made of a trace that is known to lack events, unless that was accepted."""
    from pvreplay.gate.match import lost

    for run in runs:
        if run.report.damage and not terms.lenient:
            raise TraceError(
                f"{run.path}: {run.report.damage}", f"{path} was not written; --lenient accepts the trace."
            )
        for difference in lost(run):
            if difference.kind not in terms.allow:
                raise BaselineError(
                    f"{run.path}: {difference.text}", f"{path} was not written; --allow-lost accepts them."
                )


def _render(verdict: Verdict, runs: Sequence[Measured], output: str | None, given: Mapping[str, Any]) -> None:
    form = given["form"]
    if form == "json":
        from pvreplay.report import gate_json

        options.emit(gate_json.render_gate(verdict), output)
    elif form in formats.MODULES:
        assumed = {
            key.removeprefix("assume."): value
            for run in runs
            for key, value in run.entry.settings.items()
            if key.startswith("assume.")
        }
        options.emit(formats.render_gate(form, verdict, lenient=given["lenient"], assume=assumed), output)
    else:
        from pvreplay.report import gate_text

        style = options.TextStyle(output, given["ascii_only"])
        text = gate_text.render_gate(
            verdict,
            width=style.width,
            color=style.color,
            ascii=style.ascii,
            top=given["top"],
            verbose=given["verbose"],
        )
        options.emit(text, output)

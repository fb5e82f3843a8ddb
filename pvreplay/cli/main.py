"""The ``pvreplay`` group: knows the commands by name and imports the one that runs."""

from __future__ import annotations

import sys

import click

from pvreplay.cli import COMMANDS


class QuickHelp(click.Command):
    """A command whose --help has a fixed text: click's own goes through gettext, which costs every start."""

    _help: click.Option | None = None

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        names = self.get_help_option_names(ctx)
        if not names or not self.add_help_option:
            return None
        if self._help is None:
            self._help = click.Option(
                names,
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_print_help,
                help="Show this message and exit.",
            )
        return self._help


def _print_help(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


class LazyGroup(QuickHelp, click.Group):
    """A group whose commands are imported when they run, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module_name = COMMANDS[cmd_name][0]
        __import__(module_name)
        command = sys.modules[module_name].command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            guess = f" Did you mean {near[0]}?" if near else f" Commands: {', '.join(COMMANDS)}."
            raise click.UsageError(f"no command {args[0]!r}.{guess}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from pvreplay.cli.version import version_text

        click.echo(version_text())
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version and whether the replay loop is compiled.",
)
def group() -> None:
    """What does every context switch of a trace cost in hypercalls, and is its order safe?

    Replays a scheduler trace through the switch path of a kernel under paravirt
    backends: native, VMI, Xen and others.

    \b
    Exit codes
      0  clean
      1  a rule is broken, or a gate failed
      2  wrong usage or configuration, missing file
      3  trace unreadable, damaged, or without a switch
      4  baseline not comparable

    \b
    Examples
      pvreplay run trace.bin
      perf script -i perf.data | pvreplay run -
      pvreplay diff native vs vmi
    """

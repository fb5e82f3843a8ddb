"""Shell completion: what may stand where a value is expected.

Loaded only when a shell asks (``_PVREPLAY_COMPLETE`` is set) or its script is
printed.  The table is by command and parameter; a parameter that is not in it
takes a file when its metavar says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from pvreplay.cli import COMMANDS

if TYPE_CHECKING:
    Item = CompletionItem[str]
else:  # not subscriptable before click 8.4
    Item = CompletionItem
Values = Callable[[str], Iterable[tuple[str, str]]]
"""What has been typed -> (value, help) pairs, those that do not begin with it included."""

_BREAKS = ("=", "@")
"""Of what ends a word in bash (COMP_WORDBREAKS), the characters that our values hold."""
COMPLETE_VAR = "_PVREPLAY_COMPLETE"


# --- values ------------------------------------------------------------------------


def kernels(_typed: str) -> Iterable[tuple[str, str]]:
    """The built-in kernels."""
    from pvreplay.kernels.reader import builtin_kernels

    return [(name, "switch path") for name in builtin_kernels()]


def backends(_typed: str) -> Iterable[tuple[str, str]]:
    """The built-in backends and their baselines."""
    from pvreplay.backends.reader import builtin_backends

    return [(name, "backend") for name in builtin_backends()]


def sides(typed: str) -> Iterable[tuple[str, str]]:
    """What ``diff`` compares; after BACKEND@ a kernel."""
    backend, at, _ = typed.partition("@")
    if at:
        return [(f"{backend}@{name}", what) for name, what in kernels("")]
    return [*backends(""), *kernels(""), ("vs", "")]


def rules(_typed: str) -> Iterable[tuple[str, str]]:
    """Codes and names of the rules."""
    from pvreplay.rules import all_rules

    return [
        *((rule.code, rule.summary) for rule in all_rules()),
        *((rule.name, rule.code) for rule in all_rules()),
    ]


def policies(_typed: str) -> Iterable[tuple[str, str]]:
    """The contracts of the rules."""
    from pvreplay.machine.policy import POLICIES

    return [(name, policy.title) for name, policy in POLICIES.items()]


def assumptions(_typed: str) -> Iterable[tuple[str, str]]:
    """Every KEY=VALUE of ``--assume``."""
    from pvreplay.sources.assume import assume_choices

    return [(f"{key}={value}", meaning) for key, value, meaning, _ in assume_choices()]


def workloads(_typed: str) -> Iterable[tuple[str, str]]:
    """The synthetic workloads."""
    from pvreplay.synth import summaries

    return summaries()


def plants(_typed: str) -> Iterable[tuple[str, str]]:
    """Rules that can be planted, at a rate to be edited."""
    from pvreplay.synth.inject import PLANTABLE

    return [(f"{rule}@1/1000", "one switch in a thousand") for rule in PLANTABLE]


def events(_typed: str) -> Iterable[tuple[str, str]]:
    """What ``--inject`` can put before a step."""
    from pvreplay.replay.inject import MEANINGS

    return [*MEANINGS.items(), ("all", "each of them")]


def ops(_typed: str) -> Iterable[tuple[str, str]]:
    """The ops of an order, by every name they have."""
    from pvreplay.machine.ops import ALIASES, OPS

    return [
        *((name, op.meaning) for name, op in OPS.items()),
        *((alias, name) for alias, (name, _) in ALIASES.items()),
    ]


def resources(_typed: str) -> Iterable[tuple[str, str]]:
    """What an op reads and writes."""
    from pvreplay.machine.resources import NAMES

    return [(name, "resource") for name in NAMES]


def settings(_typed: str) -> Iterable[tuple[str, str]]:
    """A resource, to be followed by its value."""
    return [(f"{name}=", what) for name, what in resources("")]


def segments(_typed: str) -> Iterable[tuple[str, str]]:
    """The segment registers that may name a TLS entry."""
    return [("fs", "segment register"), ("gs", "segment register")]


VALUES: dict[tuple[str, str], Values] = {
    ("", "kernel"): kernels,
    ("", "backend"): backends,
    ("", "policy"): policies,
    ("", "assume"): assumptions,
    ("", "inject"): events,
    ("check", "order"): ops,
    ("check", "want"): settings,
    ("check", "hw"): settings,
    ("check", "volatile"): resources,
    ("check", "scrub"): resources,
    ("check", "live"): segments,
    ("diff", "sides"): sides,
    ("show", "vs"): backends,
    ("show", "violation"): rules,
    ("rule", "code"): rules,
    ("kernels", "show"): kernels,
    ("backends", "show"): backends,
    ("synth", "workload"): workloads,
    ("synth", "plants"): plants,
}
"""(command, or "" for any; name of the parameter) -> its values."""
NO_FILE = frozenset({("check", "order"), ("rule", "code"), ("synth", "workload"), ("show", "task")})
"""Arguments that name no file."""


# --- choosing ----------------------------------------------------------------------


def takes_file(command: str, param: click.Parameter) -> bool:
    """Whether a file may stand for *param*: every argument but a few, and options that say FILE."""
    if (command, param.name) in NO_FILE or isinstance(param.type, click.Choice):
        return False
    return isinstance(param, click.Argument) or "FILE" in (param.metavar or "")


def values(command: str, param: click.Parameter, typed: str) -> list[Item]:
    """What may stand for *param* and begins with *typed*; files are left to the shell."""
    name = param.name or ""
    choose = VALUES.get((command, name)) or VALUES.get(("", name))
    # A file's item comes first: bash forgets what it was given before it.
    items = [Item(typed, type="file")] if takes_file(command, param) else []
    if choose is not None:
        items += [Item(value, help=text) for value, text in choose(typed) if value.startswith(typed)]
    return items


class _Completes(ShellComplete):
    """Completion that knows our names, and lists the commands without importing them."""

    def get_completions(self, args: list[str], incomplete: str) -> list[Item]:
        from click.shell_completion import _resolve_context, _resolve_incomplete

        try:
            ctx = _resolve_context(self.cli, self.ctx_args, self.prog_name, args)
        except click.UsageError:  # a command that does not exist: nothing to offer, nothing to say
            return []
        wanted, incomplete = _resolve_incomplete(ctx, args, incomplete)
        if isinstance(wanted, click.Parameter):
            own = wanted.shell_complete(ctx, incomplete)
            return own or values(ctx.info_name or "", wanted, incomplete)
        if isinstance(wanted, click.Group) and not incomplete.startswith("-"):
            return [
                Item(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)
            ]
        return wanted.shell_complete(ctx, incomplete)


class _Bash(_Completes, BashComplete):
    """Bash takes ``fpu=se`` and ``xen@2`` for three words and replaces the last one alone."""

    def get_completions(self, args: list[str], incomplete: str) -> list[Item]:
        if incomplete in _BREAKS:
            args, incomplete = [*args, incomplete], ""
        if len(args) < 2 or args[-1] not in _BREAKS:
            return super().get_completions(args, incomplete)
        before = args[-2] + args[-1]
        items = super().get_completions(args[:-2], before + incomplete)
        return [
            Item(item.value.removeprefix(before), help=item.help) for item in items if item.type == "plain"
        ]


class _Zsh(_Completes, ZshComplete):
    pass


class _Fish(_Completes, FishComplete):
    pass


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def register() -> None:
    """Make click answer shells with the values above."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)


def script(shell: str) -> str:
    """The script that makes *shell* ask ``pvreplay`` for completions."""
    from pvreplay.cli.main import group

    # Not BashComplete.source(), which starts a bash to ask for its version.
    return ShellComplete.source(SHELLS[shell](group, {}, "pvreplay", COMPLETE_VAR))

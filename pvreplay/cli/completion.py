"""``pvreplay completion``: the script that lets a shell complete our command lines."""

from __future__ import annotations

import click

from pvreplay.cli import options
from pvreplay.cli.main import QuickHelp


@click.command(cls=QuickHelp)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the completion script of a shell.

    Completes commands, options, the names of backends, kernels, workloads,
    rules and policies, and files. For bash, put the first example into
    ~/.bashrc; for zsh, write the second's output to a file called _pvreplay in
    a folder of $fpath; fish reads ~/.config/fish/completions/pvreplay.fish.

    \b
    Examples
      eval "$(pvreplay completion bash)"
      pvreplay completion zsh > _pvreplay
      pvreplay completion fish > pvreplay.fish
    """
    from pvreplay.cli import complete

    options.emit(complete.script(shell), None)
    return 0

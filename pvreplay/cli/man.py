"""``pvreplay man``: the manual page."""

from __future__ import annotations

import click

from pvreplay.cli import options
from pvreplay.cli.main import QuickHelp


@click.command(cls=QuickHelp)
def command() -> int:
    """Print the manual page.

    It is roff source, made from the same texts as --help: every command with
    its options and examples on one page.

    \b
    Examples
      pvreplay man | man -l -
      pvreplay man > pvreplay.1
    """
    from pvreplay.cli import manpage

    options.emit(manpage.page(), None)
    return 0

"""``pvreplay rule``: the rules, and the documentation of each."""

from __future__ import annotations

import click

from pvreplay.cli import options

WIDE = 1000
"""A page's example commands are to be copied, so its lines are never cut."""


@click.command()
@click.argument("code", required=False)
@click.option(
    "--dot", is_flag=True, help="Print a protocol rule's automaton in DOT, as the kernel's rvgen reads it."
)
def command(code: str | None, dot: bool) -> int:
    """List the rules, or print a rule's documentation.

    CODE is a rule's code or name. The page says what the rule does and why that
    is bad, gives an order that fires and one that stays silent, and admits what
    the rule cannot see.

    \b
    Examples
      pvreplay rule
      pvreplay rule H1
      pvreplay rule raw-queued
      pvreplay rule P1 --dot
    """
    from pvreplay.report.page import Page
    from pvreplay.rules import all_rules, get_rule

    if dot:
        from pvreplay.rules import automata

        if code is None:
            raise click.UsageError(f"--dot needs a rule: one of {', '.join(automata.AUTOMATA)}")
        options.emit(automata.dot(code), None)
        return 0
    style = options.TextStyle(None, False)
    if code is None:
        page = Page(style.width, style.ascii)
        page.line(("code  severity  name, and when it fires", "head"))
        for rule in all_rules():
            page.flow(
                (f"{rule.code:<5}", "title"),
                f"{rule.severity:<9}",
                (f"{rule.name}:", "name"),
                rule.summary,
                indent=18,
                first=0,
            )
        page.blank()
        page.line(("pvreplay rule CODE prints a rule's page", "dim"))
    else:
        page = Page(WIDE, style.ascii)
        for line in get_rule(code).doc.splitlines():
            page.line((line, "head" if line and not line[0].isspace() else ""))
    options.emit(page.text(style.color), None)
    return 0

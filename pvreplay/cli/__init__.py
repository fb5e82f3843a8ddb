"""The command line: one thin file a command, loaded when it is asked for.

``COMMANDS`` is the whole registry.  Its help texts stand here so that
``pvreplay --help`` imports no command; a test compares them with the commands'
own.
"""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("pvreplay.cli.run", "Replay a trace; count hypercalls and order violations."),
    "diff": ("pvreplay.cli.diff", "Compare two backends, kernels, traces or saved reports."),
    "gate": ("pvreplay.cli.gate", "Fail when hypercalls rise above a baseline or a rule breaks."),
    "check": ("pvreplay.cli.check", "Price an order of operations and say what it breaks."),
    "record": ("pvreplay.cli.record", "Record while a command runs, and report what its switches cost."),
    "show": ("pvreplay.cli.show", "Show one switch step by step, as the machine sees it."),
    "validate": ("pvreplay.cli.validate", "Check the model against a recording that tells what happened."),
    "info": ("pvreplay.cli.info", "Say what a trace holds and where its state comes from."),
    "formats": ("pvreplay.cli.inputs", "List what is read and which evidence gives the state."),
    "convert": ("pvreplay.cli.convert", "Convert a trace or recording to trace.bin or text."),
    "counts": ("pvreplay.cli.counts", "Save what a replay counts, to add up and price later."),
    "dump": ("pvreplay.cli.dump", "Print every event of a trace."),
    "synth": ("pvreplay.cli.synth", "Make a seeded synthetic trace."),
    "kernels": ("pvreplay.cli.kernels", "List the kernels, or show one's switch path."),
    "backends": ("pvreplay.cli.backends", "List the backends, or show one's table."),
    "rule": ("pvreplay.cli.rule", "List the rules, or print a rule's documentation."),
    "man": ("pvreplay.cli.man", "Print the manual page."),
    "completion": ("pvreplay.cli.completion", "Print the completion script of a shell."),
}
"""name -> (module that holds a click command called ``command``, its first help sentence)."""

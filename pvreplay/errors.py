"""Every error the user can meet.

An error carries where it happened, what was found and what to do, and the exit
code of its class.  ``cli.main`` turns it into at most two lines on stderr; it
is never a traceback and never a verdict (exit 1 belongs to violations).
"""

from __future__ import annotations


class PvreplayError(Exception):
    """Base of all errors shown to the user.

    *message* is the first line: where, what was found.  *hint* is the second:
    what was expected, what to do.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PvreplayError):
    """A wrong option, a missing file, a wrong configuration (exit 2)."""


class ConfigError(UsageError):
    """A kernel, backend or settings file that cannot be used (exit 2)."""


class TraceError(PvreplayError):
    """A trace that cannot be read, is damaged or holds no switch (exit 3)."""

    exit_code = 3


class BaselineError(PvreplayError):
    """A baseline that cannot be compared with this run (exit 4)."""

    exit_code = 4

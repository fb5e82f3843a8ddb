"""Checks of what the schema cannot see: guards, and ops by the machine's own table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pvreplay.errors import ConfigError
from pvreplay.kernels.guard import Guard, GuardError, compile_guard
from pvreplay.kernels.model import split_op
from pvreplay.kernels.schema import refusal


def guard(where: str, text: str, macros: Mapping[str, str]) -> Guard:
    """The guard *text*; raises :class:`ConfigError` that begins with *where*."""
    try:
        return compile_guard(text, macros)
    except GuardError as error:
        raise ConfigError(f"{where}: {error.message}", f"{error.hint[0].upper()}{error.hint[1:]}.") from None


def ops(where: str, texts: Iterable[str]) -> tuple[str, ...]:
    """*texts* with short names spelt out; raises :class:`ConfigError` for an op the machine does not have."""
    from pvreplay.machine.ops import parse

    checked = []
    for text in texts:
        name, operand = split_op(text)
        if not name.isidentifier() or text.endswith(":"):
            raise refusal(where, f"found {text!r}, expected an op's name or name:operand")
        if name in ("begin", "end"):
            raise refusal(where, f"found {text!r}; the switch window is put around the path by itself")
        try:
            token = parse(text)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error.message}", error.hint) from None
        checked.append(
            f"{token.op.name}:{operand or token.operand}" if operand or token.operand else token.op.name
        )
    return tuple(checked)

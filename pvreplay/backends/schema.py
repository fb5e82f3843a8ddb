"""The shape of a backend file, and the conversion of what was read into it."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec

from pvreplay import modelfile
from pvreplay.errors import ConfigError
from pvreplay.machine.backend import ModeRow, OpRow, RomProfile
from pvreplay.machine.queue import QueueSpec

FILE: Final = modelfile.FileKind("backend", "docs/backend-files.md", "pvreplay.backends.reader")
refusal: Final = FILE.refusal
"""The error of a value that is wrong in itself."""
SettingName = Literal["kernel_rpl", "implicit", "irq_ignores_lazy", "reloads_selectors"]


class Setting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A property of the backend that is no op.

    kernel_rpl         0 or 1: the privilege level the kernel sees itself at (guards may ask)
    implicit           resources the hardware restores at a switch by itself
    irq_ignores_lazy   true, false, or "kernel": nothing is queued in an interrupt
    reloads_selectors  the hypervisor saves and reloads the guest's selectors itself
    """

    name: SettingName
    value: bool | int | str | list[str]
    since: str = ""
    until: str = ""
    source: str = ""


class BackendFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A whole backend file; rows of one name are told apart by since, until and arch."""

    extends: str = ""
    name: str = ""
    title: str = ""
    since: str = ""
    until: str = ""
    description: str = ""
    sources: list[str] = []
    notes: list[str] = []
    setting: list[Setting] = []
    queue: list[QueueSpec] = []
    mode: list[ModeRow] = []
    profile: list[RomProfile] = []
    op: list[OpRow] = []


_TABLES: Final[dict[str, type[msgspec.Struct]]] = {
    "": BackendFile,
    "setting": Setting,
    "queue": QueueSpec,
    "mode": ModeRow,
    "profile": RomProfile,
    "op": OpRow,
}


def read(path: str, data: bytes) -> BackendFile:
    """Parse *data*, the content of *path*.

    Raises :class:`ConfigError` with the line of a syntax error, or the key
    path, what was found there and what is allowed.
    """
    raw = FILE.decoded(path, data)
    try:
        return msgspec.convert(raw, BackendFile)
    except msgspec.ValidationError as error:
        raise _translate(path, raw, str(error)) from None


def _translate(path: str, raw: dict[str, Any], text: str) -> ConfigError:
    """msgspec names the place as ``$.op[3].does``; make that a key path and add the value found."""
    reason, key, table = modelfile.split_refusal(text)
    struct = _TABLES.get(table, BackendFile)
    where = _named(raw, key)
    unknown = re.search(r"unknown field `(.*)`", reason)
    if unknown:
        return ConfigError(
            f"{path}: {where + '.' if where else ''}{unknown[1]}: unknown key",
            f"Allowed here: {', '.join(struct.__struct_fields__)}.",
        )
    found = modelfile.look_up(raw, key)
    shown = "" if found is None else f", found {found!r}"
    allowed = _allowed(struct, key)
    message = f"{path}: {where or 'file'}: {reason[0].lower()}{reason[1:]}{shown}"
    return ConfigError(message, f"Allowed: {', '.join(allowed)}.") if allowed else refusal(message)


def _named(raw: dict[str, Any], key: str) -> str:
    """``op[3].does`` with the row's name beside its number: ``op[3] (clts).does``."""
    match = re.match(r"(\w+)\[(\d+)\]", key)
    if not match:
        return key
    row = modelfile.look_up(raw, match.group())
    name = (row.get("name") or row.get("event")) if isinstance(row, dict) else None
    return key.replace(match.group(), f"{match.group()} ({name})") if name else key


def _allowed(struct: type[msgspec.Struct], key: str) -> list[str]:
    """The words a field takes, from its type; empty when it takes anything."""
    field = re.search(r"\.(\w+)", key)
    if not field:
        return []
    for known in msgspec.structs.fields(struct):
        if known.name == field[1]:
            return re.findall(r"'([^']*)'", str(known.type)) if "Literal" in str(known.type) else []
    return []

"""The shape of a kernel file, and the conversion of what was read into it.

Every key may be left out here; which ones a file needs depends on whether it
extends another (:mod:`pvreplay.kernels.reader`).
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from pvreplay import modelfile
from pvreplay.errors import ConfigError

FILE: Final = modelfile.FileKind("kernel", "docs/kernel-files.md", "pvreplay.kernels.reader")
refusal: Final = FILE.refusal
"""The error of a value that is wrong in itself."""


class StepFile(msgspec.Struct, forbid_unknown_fields=True):
    """A ``[[step]]``."""

    name: str
    when: str = "true"
    ops: list[str] = []
    source: str = ""
    note: str = ""


class ChangeFile(msgspec.Struct, forbid_unknown_fields=True):
    """A ``[[change]]``: exactly one of the first five names a step."""

    move: str | None = None
    add: str | None = None
    drop: str | None = None
    guard: str | None = None
    replace: str | None = None
    before: str | None = None
    after: str | None = None
    when: str | None = None
    ops: list[str] | None = None
    source: str | None = None
    note: str | None = None


class FpuFile(msgspec.Struct, forbid_unknown_fields=True):
    """The ``[fpu]`` table."""

    model: str | None = None
    eager_above: int | None = None
    eager_needs_used_math: bool | None = None
    reset_on_exec: bool | None = None
    drop_on_exit: bool | None = None


class KernelFile(msgspec.Struct, forbid_unknown_fields=True):
    """A whole kernel file."""

    extends: str | None = None
    name: str | None = None
    title: str | None = None
    arch: str | None = None
    version: list[int] | None = None
    released: str | None = None
    iopl: str | None = None
    user_segment: str | None = None
    parks: bool | None = None
    irq_ignores_lazy: bool | None = None
    lazy_mmu: bool | None = None
    nm: list[str] | None = None
    leave_mm: list[str] | None = None
    sources: list[str] = []
    notes: list[str] = []
    uncertain: list[str] = []
    fpu: FpuFile = msgspec.field(default_factory=FpuFile)
    step: list[StepFile] = []
    change: list[ChangeFile] = []


_TABLES: Final[dict[str, type[msgspec.Struct]]] = {
    "": KernelFile,
    "fpu": FpuFile,
    "step": StepFile,
    "change": ChangeFile,
}


def read(path: str, data: bytes) -> KernelFile:
    """Parse *data*, the content of *path*.

    Raises :class:`ConfigError` with the line of a syntax error, or the key
    path, what was found there and what is allowed.
    """
    raw = FILE.decoded(path, data)
    try:
        return msgspec.convert(raw, KernelFile)
    except msgspec.ValidationError as error:
        raise _translate(path, raw, str(error)) from None


def _translate(path: str, raw: dict[str, Any], text: str) -> ConfigError:
    """msgspec names the place as ``$.step[3].ops[0]``; make that a key path and add the value found."""
    reason, key, table = modelfile.split_refusal(text)
    allowed = _TABLES.get(table, KernelFile).__struct_fields__
    unknown = re.search(r"unknown field `(.*)`", reason)
    if unknown:
        where = f"{key}.{unknown[1]}" if key else unknown[1]
        return ConfigError(f"{path}: {where}: unknown key", f"Allowed here: {', '.join(allowed)}.")
    found = modelfile.look_up(raw, key)
    shown = "" if found is None else f", found {found!r}"
    return refusal(f"{path}: {key or 'file'}", f"{reason[0].lower()}{reason[1:]}{shown}")

"""The baseline file: TOML of which every line is one number, so that a diff reads as a change of cost.

Reading and writing are functions of text.  Entries are sorted; equal content
is equal bytes; nothing in it depends on when or where it was written.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pvreplay.errors import BaselineError
from pvreplay.gate.entry import BackendEntry, Entry, shortened, spelled
from pvreplay.replay.result import Totals

SCHEMA = "pvreplay.baseline/1"
DEFAULT_NAME = "pvreplay-baseline.toml"
HEAD = """\
# What these traces cost when this was written: the baseline of pvreplay gate.
# Written by pvreplay gate --update; commit it, and read its diff as a change of cost.
"""

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_COUNTERS = ("hypercalls", "entries", "traps", "rom_calls")


class Baseline(msgspec.Struct, kw_only=True):
    """The content of a baseline file: trace name -> kernel name -> entry."""

    schema: str = SCHEMA
    trace: dict[str, dict[str, Entry]] = {}


def loads(data: bytes, path: str) -> Baseline:
    """The baseline that *data*, the content of *path*, holds.

    Raises :class:`BaselineError` when it is none, or of another schema.
    """
    import tomllib

    try:
        document = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        hint = "Restore it from version control, or remove it and write a new one with --update."
        if b"<<<<<<<" in data:
            hint = "It holds a merge conflict: take either side, then run the gate with --update."
        raise BaselineError(f"{path}: {error}", hint) from None
    found = document.get("schema", "")
    if found != SCHEMA:
        raise BaselineError(
            f"{path}: schema {found!r}, {SCHEMA} is read here", "Write a baseline anew with --update."
        )
    try:
        return msgspec.convert(document, Baseline)
    except msgspec.ValidationError as error:
        raise BaselineError(
            f"{path}: {error}", "Restore it from version control, or remove it and use --update."
        ) from None


def dumps(baseline: Baseline) -> str:
    """*baseline* as TOML; long tables are shortened to what a baseline keeps."""
    lines = [HEAD + f"schema = {quoted(SCHEMA)}"]
    for name, kernels in sorted(baseline.trace.items()):
        for kernel, entry in sorted(kernels.items()):
            lines += ["", f"[trace.{quoted(name)}.{quoted(kernel)}]"]
            lines += _entry(shortened(entry))
    return "\n".join(lines) + "\n"


def _entry(entry: Entry) -> Iterator[str]:
    yield f"digest = {quoted(entry.digest)}"
    yield f"events = {entry.events}"
    yield f"switches = {entry.switches}"
    yield f"lost_events = {entry.lost_events}"
    yield f"written_by = {quoted(entry.written_by)}"
    yield f"model = {entry.model}"
    yield f"rules = {quoted(entry.rules)}"
    for key in ("kernel_base", "kernel_file"):
        if getattr(entry, key):
            yield f"{key} = {quoted(getattr(entry, key))}"
    for key, value in sorted(entry.settings.items()):
        yield f"settings.{quoted(key)} = {quoted(value)}"
    yield "path = ["
    for step in entry.path:
        parts = [f"step = {quoted(step.step)}", f"ops = {quoted(step.ops)}"]
        parts += [f"when = {quoted(step.when)}"] if step.when else []
        yield f"  {{ {', '.join(parts)} }},"
    yield "]"
    for name, backend in sorted(entry.backend.items()):
        yield from _headlines(f"backend.{_key(name)}", backend)
    for name, backend in sorted(entry.backend.items()):
        yield from _details(f"backend.{_key(name)}", backend)


def _headlines(prefix: str, backend: BackendEntry) -> Iterator[str]:
    """What a gate compares; first, so that a diff begins with it."""
    if backend.model:
        yield f"{prefix}.model = {quoted(backend.model)}"
    if backend.file:
        yield f"{prefix}.file = {quoted(backend.file)}"
    for counter in _COUNTERS:
        yield f"{prefix}.{counter} = {getattr(backend, counter)}"
    for name, broken in sorted(backend.violation.items()):
        yield (
            f"{prefix}.violation.{_key(name)} = {{ count = {broken.count}, "
            f"severity = {quoted(broken.severity)}, name = {quoted(broken.name)} }}"
        )


def _details(prefix: str, backend: BackendEntry) -> Iterator[str]:
    """What explains a change."""
    for table in ("op", "outside", "shape", "task"):
        for name, totals in sorted(getattr(backend, table).items()):
            yield f"{prefix}.{table}.{_key(name)} = {_totals(totals)}"


def _totals(totals: Totals) -> str:
    parts = [f"{name} = {getattr(totals, name)}" for name in (*_COUNTERS, "count") if getattr(totals, name)]
    return f"{{ {', '.join(parts)} }}"


def _key(name: str) -> str:
    return name if name and _BARE.issuperset(name) else quoted(name)


def quoted(text: str) -> str:
    """*text* as a TOML string of one line, with nothing in it that a terminal or an editor obeys.

    A byte that was no UTF-8 becomes ``\\xHH``.
    """
    out = []
    for char in spelled(text):
        if char in '"\\':
            out.append("\\" + char)
        elif char.isprintable():
            out.append(char)
        else:
            code = ord(char)
            out.append(f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}")
    return f'"{"".join(out)}"'

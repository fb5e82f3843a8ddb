"""Kernel and backend files are TOML; the built-in ones are decoded once, when the package is built.

Parsing TOML in Python costs a short run more than its replay.  The snapshot
maps the exact bytes of a file to what they decode to, so it can be missing or
old but never wrong: an edited file is not in it and is parsed.
"""

from __future__ import annotations

import marshal
import os
import re
import sys
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from pvreplay.errors import ConfigError, UsageError

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDERS = ("kernels", "backends")
SNAPSHOT = os.path.join(HERE, "data", f"models.{sys.implementation.cache_tag}.marshal")

BYTES_MAX: Final = 1 << 20
DEPTH_MAX: Final = 8
"""How long a chain of ``extends`` may be; a circle ends here."""

_snapshot: dict[bytes, bytes] | None = None


class FileKind(NamedTuple):
    """A kind of model file: *noun* (kernel, backend) and where its format is documented."""

    noun: str
    page: str
    module: str

    def refusal(self, where: str, why: str = "") -> ConfigError:
        """The error of a value that is wrong in itself; the hint names the format's page."""
        message = f"{where}: {why}" if why else where
        return ConfigError(message, f"The format: {self.page}, or pydoc {self.module}.")

    def content(self, path: str, builtin: Iterable[str]) -> bytes:
        """The bytes of the file *path*; *builtin* are the names the hint of a missing one tells."""
        try:
            with open(path, "rb") as file:
                data = file.read(BYTES_MAX + 1)
        except OSError as error:
            raise UsageError(
                f"{path}: {(error.strerror or str(error)).lower()}",
                f"Built-in {self.noun}s: {', '.join(builtin)}.",
            ) from None
        if len(data) > BYTES_MAX:
            raise self.refusal(path, f"larger than {BYTES_MAX} bytes: not a {self.noun} file")
        return data

    def decoded(self, path: str, data: bytes) -> dict[str, Any]:
        """*data*, the content of *path*, decoded; :class:`ConfigError` with the line of a syntax error."""
        try:
            return loads(data)
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{path}: offset {error.start}: not UTF-8 text",
                f"A {self.noun} file is TOML, which is UTF-8.",
            ) from None
        except ValueError as error:  # tomllib.TOMLDecodeError
            raise self.refusal(path, str(error)) from None

    def parent(self, path: str, depth: int) -> None:
        """Refuse a chain of ``extends`` that is *depth* files long at *path*, if that is too long."""
        if depth == DEPTH_MAX:
            raise self.refusal(f"{path}: extends", f"a chain of {depth} files: does it go round in a circle?")


def split_refusal(text: str) -> tuple[str, str, str]:
    """msgspec's "reason - at `$.op[3].does`" as (reason, key path, the table the key is in)."""
    reason, _, place = text.partition(" - at `")
    key = place.rstrip("`").removeprefix("$").removeprefix(".")
    table = re.match(r"\w*", key)
    return reason, key, table.group() if table else ""


def look_up(raw: Any, key: str) -> Any:
    """What stands in *raw* at the key path *key*; None when nothing does."""
    for part in re.findall(r"\w+", key):
        try:
            raw = raw[int(part) if isinstance(raw, list) else part]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return raw


def loads(data: bytes) -> dict[str, Any]:
    """*data*, the content of a TOML file, decoded.

    Raises UnicodeDecodeError, or ValueError (tomllib.TOMLDecodeError) with the
    line of a syntax error.
    """
    global _snapshot
    if _snapshot is None:
        _snapshot = _read_snapshot()
    decoded = _snapshot.get(data)
    if decoded is not None:
        document = marshal.loads(decoded)
        assert isinstance(document, dict)
        return document
    import tomllib

    return tomllib.loads(data.decode())


def _read_snapshot() -> dict[bytes, bytes]:
    try:
        with open(SNAPSHOT, "rb") as file:
            snapshot = marshal.load(file)
    except (OSError, EOFError, ValueError, TypeError):
        return {}
    return snapshot if isinstance(snapshot, dict) else {}


def write_snapshot() -> None:
    """Decode every built-in file; part of building the package."""
    import tomllib

    snapshot = {}
    for folder in FOLDERS:
        names = sorted(name for name in os.listdir(os.path.join(HERE, folder)) if name.endswith(".toml"))
        for name in names:
            with open(os.path.join(HERE, folder, name), "rb") as file:
                data = file.read()
            try:
                snapshot[data] = marshal.dumps(tomllib.loads(data.decode()))
            except ValueError:
                continue  # whoever uses the file will be told where it is wrong
    os.makedirs(os.path.dirname(SNAPSHOT), exist_ok=True)
    temporary = f"{SNAPSHOT}.{os.getpid()}"
    with open(temporary, "wb") as file:
        marshal.dump(snapshot, file)
    os.replace(temporary, SNAPSHOT)

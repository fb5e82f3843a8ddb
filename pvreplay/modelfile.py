"""Kernel and backend files are TOML; the built-in ones are decoded once, when the package is built.

Parsing TOML in Python costs a short run more than its replay.  The snapshot
maps the exact bytes of a file to what they decode to, so it can be missing or
old but never wrong: an edited file is not in it and is parsed.
"""

from __future__ import annotations

import marshal
import os
import sys
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDERS = ("kernels", "backends")
SNAPSHOT = os.path.join(HERE, "data", f"models.{sys.implementation.cache_tag}.marshal")

_snapshot: dict[bytes, bytes] | None = None


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

"""The sides of ``diff``: backend, BACKEND@KERNEL, kernel, TOML file, trace, saved report."""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

from pvreplay.errors import UsageError
from pvreplay.replay.result import Report

COUNTS_BEGIN = b'{"schema":"pvreplay.histogram/'
"""What a file of ``pvreplay counts`` begins with."""

SideKind = Literal["backend", "kernel", "report", "trace"]


class Side(NamedTuple):
    """One side as the user named it; *kernel* is None when it did not say."""

    kind: SideKind
    text: str
    backend: str | None = None
    kernel: str | None = None

    @property
    def label(self) -> str:
        """What tables call it."""
        if os.path.isfile(self.text):
            return os.path.basename(self.text)
        return "@".join(os.path.basename(part) for part in self.text.split("@"))


def parse_side(text: str) -> Side:
    """Say what *text* names; UsageError when it is nothing that can be compared."""
    if text == "-":
        return Side("trace", text)
    if os.path.isfile(text):
        return _file(text)
    if os.path.exists(text):  # a folder, as some recordings are, or a pipe, which can be read once
        return Side("trace", text)
    if _is_backend(text):
        return Side("backend", text, backend=text)
    if _is_kernel(text):
        return Side("kernel", text, kernel=text)
    backend, at, kernel = text.partition("@")
    if at:
        for name, is_one, what in ((backend, _is_backend, "backend"), (kernel, _is_kernel, "kernel")):
            if not is_one(name) and not os.path.isfile(name):
                raise UsageError(f"side {text!r}: no {what} {name!r}", _known())
        return Side("backend", text, backend=backend, kernel=kernel)
    raise UsageError(f"side {text!r} is no backend, kernel or file", _known())


def _file(path: str) -> Side:
    if path.endswith(".toml"):
        if _describes_backend(path):
            return Side("backend", path, backend=path)
        return Side("kernel", path, kernel=path)
    with open(path, "rb") as file:
        start = file.read(256).lstrip()
    if start.startswith(COUNTS_BEGIN):  # priced like a trace
        return Side("trace", path)
    return Side("report" if start.startswith(b"{") else "trace", path)


def _describes_backend(path: str) -> bool:
    """Whether a TOML file is a backend, by its keys; what is wrong with it its reader will say."""
    from pvreplay import modelfile

    with open(path, "rb") as file:
        try:
            document = modelfile.loads(file.read())
        except ValueError:
            return False
    if document.keys() & {"op", "queue", "mode", "profile", "setting"}:
        return True
    return _is_backend(str(document.get("extends", "")).removesuffix(".toml"))


def _is_backend(name: str) -> bool:
    from pvreplay.backends.reader import builtin_backends

    base = name.removesuffix("-unbatched").removesuffix("-nolazy")
    return base in builtin_backends()


def _is_kernel(name: str) -> bool:
    from pvreplay.kernels.reader import builtin_kernels

    return name in builtin_kernels()


def _known() -> str:
    from pvreplay.backends.reader import builtin_backends
    from pvreplay.kernels.reader import builtin_kernels

    return f"Backends: {', '.join(builtin_backends())}; kernels: {', '.join(builtin_kernels())}."


def read_report(path: str) -> Report:
    """The saved report at *path*."""
    from pvreplay.report import json

    with open(path, "rb") as file:
        return json.parse(file.read(), path)

"""The files of a gate: settings, baseline, and what a kernel's or backend's file extends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pvreplay.errors import ConfigError, UsageError
from pvreplay.gate.baseline import Baseline, dumps, loads
from pvreplay.gate.config import GateConfig, read_config
from pvreplay.gate.entry import Ruler
from pvreplay.gate.model import MODEL, backend_digest, kernel_digest, rules_digest

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.machine.backend import Backend

_DEPTH_MAX = 8
"""Kernel and backend files cannot extend each other deeper; their readers check it."""


# --- settings ----------------------------------------------------------------------------------


def find_config(named: str | None) -> GateConfig:
    """The settings in the file *named*, or in the nearest pyproject.toml with ``[tool.pvreplay]``."""
    if named is not None:
        config = _config(_read(named), named)
        if config is None:
            raise ConfigError(f"{named}: no table gate", "Expected [gate], or [tool.pvreplay.gate].")
        return config
    folder = os.path.abspath(os.curdir)
    while True:
        path = os.path.join(folder, "pyproject.toml")
        if os.path.isfile(path):
            data = _read(path)
            config = _config(data, os.path.relpath(path)) if b"pvreplay" in data else None
            if config is not None:
                return config
        parent = os.path.dirname(folder)
        if parent == folder:
            return GateConfig()
        folder = parent


def _config(data: bytes, path: str) -> GateConfig | None:
    import tomllib

    from pvreplay.gate.config import find_table

    try:
        document = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "Expected TOML.") from None
    if find_table(document, path) is None:
        return None
    return read_config(document, path)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "Expected a TOML file with a table gate.") from None


def beside(config_path: str, spec: str) -> str:
    """*spec*, a name or a path relative to the file *config_path*, as seen from here."""
    if not (spec.endswith(".toml") or ".toml-" in spec or "/" in spec or os.sep in spec):
        return spec
    return os.path.normpath(os.path.join(os.path.dirname(config_path), spec))


# --- the baseline ------------------------------------------------------------------------------


def read_baseline(path: str) -> Baseline | None:
    """The baseline at *path*, or None when there is no such file."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "Expected a baseline file, or none yet.") from None
    return loads(data, path)


def write_baseline(baseline: Baseline, path: str) -> None:
    """Write *baseline* to *path*, whole or not at all; what was there stays until the last moment."""
    from pvreplay.cli.outfile import whole_or_not

    data = dumps(baseline).encode()
    with whole_or_not(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


# --- what measures -----------------------------------------------------------------------------


def lineage(kernel: Kernel) -> list[Kernel]:
    """*kernel* and, when its file extends others, those, the nearest first."""
    from pvreplay.kernels.reader import builtin_kernels, load_kernel

    return [kernel, *(load_kernel(spec) for spec in _ancestors(kernel.path, builtin_kernels()))]


def ruler(kernels: list[Kernel], backends: list[tuple[str, Backend]], baseline_path: str) -> Ruler:
    """What measures on the kernel *kernels*\\[0] (the others: :func:`lineage`).

    *backends* are (spec, backend).  Built-in backends are identified as they
    are for the built-in kernel, so that a kernel file's own changes do not count as changes of theirs.
    """
    from pvreplay.backends.reader import builtin_backends, load_backend
    from pvreplay.kernels.reader import load_kernel
    from pvreplay.rules import TABLE

    builtin = next((kernel for kernel in kernels if _is_builtin(kernel.path)), None)
    base = load_kernel(builtin.name) if builtin is not None else None  # without --iopl, which is a setting
    identities = {}
    for spec, backend in backends:
        if _is_builtin(backend.path):
            known, file = spec, ""
        else:
            known = next((name for name in _ancestors(backend.path, builtin_backends())), "")
            known = known if known in builtin_backends() else ""
            known += f"-{backend.form}" if known and backend.form else ""
            file = relative(spec, baseline_path)
        identities[backend.name] = (
            backend_digest(load_backend(known, base or kernels[0])) if known else "",
            file,
        )
    return Ruler(
        model=MODEL,
        rules=rules_digest(TABLE),
        kernel_base=f"{base.name} {kernel_digest(base)}" if base is not None else "",
        kernel_file="" if builtin is kernels[0] else relative(kernels[0].path, baseline_path),
        backends=identities,
    )


def relative(path: str, baseline_path: str) -> str:
    """*path* as seen from the folder of the baseline, so that a repository can be anywhere."""
    return os.path.relpath(path, os.path.dirname(baseline_path) or os.curdir).replace(os.sep, "/")


def _ancestors(path: str, builtin: list[str]) -> Iterator[str]:
    """What the model file at *path* extends, and what that extends: names and paths."""
    from pvreplay import modelfile

    for _ in range(_DEPTH_MAX):
        if _is_builtin(path):
            return
        parent = modelfile.loads(_read(path)).get("extends")
        if not isinstance(parent, str):
            return
        if parent in builtin:
            yield parent
            return
        path = os.path.join(os.path.dirname(path), parent)
        yield path


def _is_builtin(path: str) -> bool:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.dirname(os.path.dirname(os.path.abspath(path))) == package

"""The settings of a gate: the ``gate`` table of a TOML file or of ``[tool.pvreplay]`` in pyproject.toml.

::

    [gate]                              # [tool.pvreplay.gate] in a pyproject.toml
    baseline = "ci/baseline.toml"       # relative to this file
    kernel = "my.toml"
    backends = ["xen", "vmi"]
    max_increase = "2%"                 # or a number; the default is 0
    allow_lost = false                  # and allow_model_change, allow_trace_change, allow_kernel_change

    [gate.budget.xen]                   # a backend's name, or "*" for every backend
    hypercalls_per_switch = 1.0         # a number is the highest value that passes
    entries = "+2%"                     # a string is the allowed increase over the baseline
    violations.error = 0                # and violations.security, violations.perf
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pvreplay.errors import ConfigError
from pvreplay.gate.budget import ALL_METRICS, Budget, Budgets, parse_budget
from pvreplay.gate.verdict import SEVERITIES

ALLOW_KEYS = ("allow_lost", "allow_model_change", "allow_trace_change", "allow_kernel_change")
KEYS = ("baseline", "kernel", "backends", "max_increase", *ALLOW_KEYS, "budget")
_AMOUNT = 'Expected a number of 0 or more (the highest value), or an increase like "+2%" or "+100".'


class GateConfig(msgspec.Struct, kw_only=True):
    """What a settings file says; None and empty where it is silent.

    *max_increase* and *budgets* carry the file and key they come from.
    """

    path: str = ""
    baseline: str | None = None
    kernel: str | None = None
    backends: tuple[str, ...] = ()
    max_increase: Budget | None = None
    allow: frozenset[str] = frozenset()
    budgets: Budgets = Budgets()


def find_table(document: Mapping[str, Any], path: str) -> tuple[Mapping[str, Any], str] | None:
    """The gate table of *document* and its name, or None when it has none.

    It is ``gate`` at the top, or under ``tool.pvreplay``.  Raises
    :class:`ConfigError` for a key that stands where only ``gate`` can.
    """
    tool = document.get("tool")
    prefix, place = "", document
    if isinstance(tool, Mapping) or path.endswith("pyproject.toml"):
        if not isinstance(tool, Mapping) or "pvreplay" not in tool:
            return None
        prefix, place = "tool.pvreplay.", _table(tool["pvreplay"], path, "tool.pvreplay")
    for key in place:
        if key != "gate":
            raise ConfigError(f"{path}: {prefix}{key}: unknown key", f"Allowed: the table {prefix}gate.")
    if "gate" not in place:
        return None
    name = f"{prefix}gate"
    return _table(place["gate"], path, name), name


def read_config(document: Mapping[str, Any], path: str) -> GateConfig:
    """The settings in *document*, the decoded content of *path*.

    Raises :class:`ConfigError` naming file, key and what is allowed.
    """
    found = find_table(document, path)
    if found is None:
        return GateConfig(path=path)
    table, prefix = found
    for key in table:
        if key not in KEYS:
            raise ConfigError(f"{path}: {prefix}.{key}: unknown key", f"Allowed: {', '.join(KEYS)}.")
    return GateConfig(
        path=path,
        baseline=_text(table, "baseline", path, prefix),
        kernel=_text(table, "kernel", path, prefix),
        backends=_names(table, path, prefix),
        max_increase=_max_increase(table, path, prefix),
        allow=frozenset(key for key in ALLOW_KEYS if _switch(table, key, path, prefix)),
        budgets=Budgets(_budgets(table, path, prefix)),
    )


def _table(value: object, path: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path}: {where}: found {value!r}", "Expected a table.")
    return value


def _text(table: Mapping[str, Any], key: str, path: str, prefix: str) -> str | None:
    value = table.get(key)
    if value is None or (isinstance(value, str) and value):
        return value
    raise ConfigError(f"{path}: {prefix}.{key}: found {value!r}", "Expected a name or the path of a file.")


def _names(table: Mapping[str, Any], path: str, prefix: str) -> tuple[str, ...]:
    value = table.get("backends", [])
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ConfigError(
            f"{path}: {prefix}.backends: found {value!r}",
            'Expected names or TOML files, as in ["xen", "vmi"].',
        )
    return tuple(dict.fromkeys(value))


def _switch(table: Mapping[str, Any], key: str, path: str, prefix: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{path}: {prefix}.{key}: found {value!r}", "Allowed: true, false.")
    return value


def _max_increase(table: Mapping[str, Any], path: str, prefix: str) -> Budget | None:
    if "max_increase" not in table:
        return None
    value = table["max_increase"]
    where = f"{path}: {prefix}.max_increase"
    try:
        return parse_budget(value, where)._replace(relative=True)
    except ValueError:
        raise ConfigError(
            f"{where}: found {value!r}", 'Expected a number of 0 or more, or a percentage like "2%".'
        ) from None


def _budgets(table: Mapping[str, Any], path: str, prefix: str) -> dict[tuple[str, str], Budget]:
    budgets: dict[tuple[str, str], Budget] = {}
    for backend, metrics in _table(table.get("budget", {}), path, f"{prefix}.budget").items():
        where = f"{prefix}.budget.{backend}"
        for metric, value in _flat(_table(metrics, path, where)).items():
            if metric not in ALL_METRICS:
                raise ConfigError(
                    f"{path}: {where}.{metric}: unknown metric", f"Allowed: {', '.join(ALL_METRICS)}."
                )
            try:
                budgets[backend, metric] = parse_budget(value, f"{path}: {where}.{metric}")
            except ValueError:
                raise ConfigError(f"{path}: {where}.{metric}: found {value!r}", _AMOUNT) from None
    return budgets


def _flat(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """*metrics* with the table ``violations`` spelled as ``violations.SEVERITY``."""
    flat: dict[str, Any] = {}
    for metric, value in metrics.items():
        if metric == "violations" and isinstance(value, Mapping):
            flat.update({f"violations.{severity}": amount for severity, amount in value.items()})
        elif metric == "violations":
            flat.update({f"violations.{severity}": value for severity in SEVERITIES})
        else:
            flat[metric] = value
    return flat


def check_names(config: GateConfig, known: tuple[str, ...]) -> None:
    """Refuse a budget for a backend that is neither in *known* nor ``*``: it would never be checked."""
    for backend, metric in config.budgets.table:
        if backend != "*" and backend not in known:
            raise ConfigError(
                f"{config.budgets.table[backend, metric].where}: no backend {backend!r}",
                f'Allowed: "*", {", ".join(known)}.',
            )

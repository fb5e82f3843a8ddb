"""The order in which a report shows things, the same for every renderer."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pvreplay.replay.result import BackendResult, Totals, Violation

SEVERITIES = ("security", "error", "perf")
"""Worst first; the first two make exit code 1."""


def violations(found: Iterable[Violation]) -> list[Violation]:
    """Worst severity first, then the most frequent, then by rule and place."""
    return sorted(
        found,
        key=lambda v: (
            SEVERITIES.index(v.severity),
            -v.count,
            v.rule,
            v.first.event if v.first else -1,
            v.step,
            v.backends,
        ),
    )


def counted(found: Iterable[Violation]) -> list[tuple[str, str]]:
    """(severity, how many in words) of each severity that occurs: ``("error", "2 violations")``."""
    words = {"security": "security violation", "error": "violation", "perf": "performance finding"}
    severities: list[str] = [violation.severity for violation in found]
    return [
        (severity, f"{n} {words[severity]}{'s' if n > 1 else ''}")
        for severity in SEVERITIES
        if (n := severities.count(severity))
    ]


def backend(result: BackendResult) -> BackendResult:
    """*result* with every table sorted by its key, numbers as numbers."""
    return msgspec.structs.replace(
        result,
        flushes=dict(sorted(result.flushes.items())),
        batch_sizes=dict(sorted(result.batch_sizes.items())),
        by_op=dict(sorted(result.by_op.items())),
        histogram=dict(sorted(result.histogram.items())),
        outside=dict(sorted(result.outside.items())),
        by_task=_by_key(result.by_task),
        by_cpu=dict(sorted(result.by_cpu.items())),
        by_shape=dict(sorted(result.by_shape.items())),
    )


def _by_key(table: dict[int, Totals]) -> dict[int, Totals]:
    """*table* sorted; the same one if it is, as that of a hundred thousand tasks nearly always is."""
    keys = list(table)
    return table if keys == sorted(keys) else dict(sorted(table.items()))


def cost(totals: Totals) -> tuple[int, int, int, int, int]:
    """Sort key: the most expensive first when sorted ascending."""
    return -totals.hypercalls, -totals.traps, -totals.entries, -totals.rom_calls, -totals.count


FORMS = ("-unbatched", "-nolazy")
"""Suffixes of the baselines of a backend."""


def without_baselines(names: Iterable[str]) -> list[str]:
    """*names* less the baselines of those that are there themselves."""
    listed = list(names)
    return [
        name
        for name in listed
        if not any(name.endswith(form) and name.removesuffix(form) in listed for form in FORMS)
    ]

"""CSV: one long table for a spreadsheet or a data frame; docs/outputs.md."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

from pvreplay.gate.verdict import Verdict
from pvreplay.replay.result import BackendResult, Report, Totals
from pvreplay.report import order
from pvreplay.report.context import PLAIN, Context
from pvreplay.report.escape import csv_cell

Cell = str | int | float | None
COLUMNS = (
    "trace",
    "kernel",
    "backend",
    "part",
    "name",
    "severity",
    "count",
    "hypercalls",
    "entries",
    "traps",
    "rom_calls",
)
"""*count* is how often it happened: switches, ops run, flushes, batches, occurrences of a violation."""

_NONE: Final = (None, None, None, None)


def write(columns: tuple[str, ...], rows: Iterator[tuple[Cell, ...]]) -> str:
    """A header and *rows*; text is made harmless, None is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([csv_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue()


def render(report: Report, context: Context = PLAIN) -> str:
    """*report* as CSV, a row for every number."""
    head = (report.path, report.kernel)
    rows = (row for result in report.backends for row in _backend(report, result))
    return write(COLUMNS, ((*head, *row) for row in rows))


def _backend(report: Report, result: BackendResult) -> Iterator[tuple[Cell, ...]]:
    result = order.backend(result)
    name = result.name
    yield (
        *(name, "total", "", "", report.switches),
        *(result.hypercalls, result.entries, result.traps, result.rom_calls),
    )
    if result.unbatched_hypercalls is not None:
        yield (
            name,
            "total unbatched",
            "",
            "",
            report.switches,
            result.unbatched_hypercalls,
            None,
            None,
            None,
        )
    yield (name, "in switch", "", "", *_totals(result.in_switch))
    for part, table in (("outside", result.outside), ("op", result.by_op), ("shape", result.by_shape)):
        for key, totals in table.items():
            yield (name, part, key, "", *_totals(totals))
    for task, totals in result.by_task.items():
        who = report.task_names.get(task) or ("idle" if task == 0 else f"task {task}")
        yield (name, "task", who, "", *_totals(totals))
    for cpu, totals in result.by_cpu.items():
        yield (name, "cpu", str(cpu), "", *_totals(totals))
    for hypercalls, switches in result.histogram.items():
        yield (
            name,
            "switches by hypercalls",
            str(hypercalls),
            "",
            switches,
            hypercalls * switches,
            *3 * (None,),
        )
    for size, batches in result.batch_sizes.items():
        yield (name, "batches by entries", str(size), "", batches, None, size * batches, None, None)
    for reason, flushes in result.flushes.items():
        yield (name, "flushes", reason, "", flushes, *_NONE)
    for found in order.violations(report.violations):
        if name in found.backends:
            what = f"{found.rule} {found.name} {found.op}"
            yield (name, "violation", what, found.severity, found.count, *_NONE)
    for window in report.what_if or ():
        if name in window.backends:
            what = f"{window.rule} {window.name} {window.event} before {window.before}"
            yield (name, "what if", what, window.severity, window.count, *_NONE)


def _totals(totals: Totals) -> tuple[Cell, ...]:
    return (totals.count, totals.hypercalls, totals.entries, totals.traps, totals.rom_calls)


GATE_COLUMNS = (
    "trace",
    "kernel",
    "backend",
    "part",
    "name",
    "status",
    "fails",
    "baseline",
    "current",
    "difference",
    "limit",
    "rule",
    "reason",
)


def render_gate(verdict: Verdict, context: Context = PLAIN) -> str:
    """*verdict* as CSV: a row a check, then a row a broken rule and backend."""
    return write(GATE_COLUMNS, _gate(verdict))


def _gate(verdict: Verdict) -> Iterator[tuple[Cell, ...]]:
    for check in verdict.checks:
        yield (
            *(check.trace, check.kernel, check.backend, "check", check.metric, check.status),
            int(check.status == "fail"),
            *(check.baseline, check.current),
            None if check.baseline is None else check.difference,
            *(check.limit, check.rule, check.reason),
        )
    for one in verdict.findings:
        what = f"{one.rule} {one.name} {one.op}"
        for backend in one.backends:
            yield (
                *(one.trace, one.kernel, backend, "rule", what, one.standing, int(one.fails)),
                *(one.baseline, one.current, one.current - one.baseline, None, one.severity, ""),
            )

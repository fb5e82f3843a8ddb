"""The Python interface: a recording, its replay, and what a backend pays for it.

    >>> import pvreplay
    >>> replay = pvreplay.open("traces/pingpong23.txt").replay()
    >>> replay.price("xen").hypercalls
    23

Values come back as the plain data of :mod:`pvreplay.replay.result`, whose fields
are those of the JSON report (docs/report-json.md).  Everything raises the
errors of :mod:`pvreplay.errors`, and nothing prints or exits.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pvreplay.report.escape import html
from pvreplay.report.figures import number

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.replay.histogram import Histogram
    from pvreplay.replay.result import BackendResult, Report, Totals, Violation
    from pvreplay.trace.model import Meta
    from pvreplay.trace.summary import Summary

DEFAULT_KERNEL = "2.6.21"
Spec = str | os.PathLike[str]
"""A built-in name, or the path of a TOML file."""
OPS_SHOWN = 8
"""Ops in the table that a notebook shows of a price."""


def open(path: Spec, *, assume: Mapping[str, str] | None = None) -> Recording:
    """The trace or recording at *path*, of any format that ``pvreplay run`` reads.

    *assume* is what to take for task state that a recording lacks, as
    ``--assume KEY=VALUE`` does.  Raises :class:`~pvreplay.errors.UsageError`
    when the file or a key does not exist, :class:`~pvreplay.errors.TraceError`
    when it is no trace.
    """
    return Recording(os.fspath(path), dict(assume or {}))


class Recording:
    """A trace in a file; it is read when asked for something, and never held in memory."""

    def __init__(self, path: str, assume: Mapping[str, str]) -> None:
        from pvreplay.errors import UsageError
        from pvreplay.sources.detect import open_trace

        if path == "-":
            raise UsageError("-: standard input can be read once", "Save it in a file first.")
        self.path = path
        self.assume = dict(assume)
        open_trace(path, assume=self.assume)  # what is no trace is told now

    @cached_property
    def summary(self) -> Summary:
        """Counts over the whole trace: events by kind, switches, CPUs, tasks, times, doubts, damage."""
        from pvreplay.sources.detect import open_trace
        from pvreplay.trace.summary import summarise

        return summarise(open_trace(self.path, assume=self.assume))

    @property
    def meta(self) -> Meta:
        """Where the trace comes from: format, clock, origin, and per piece of task state how it is known."""
        return self.summary.meta

    def replay(self, kernel: Spec = DEFAULT_KERNEL, *, iopl: str | None = None) -> Replay:
        """Replay the trace through the switch path of *kernel*.

        *iopl* is another policy than the kernel's own: ``posted``, ``merged`` or
        ``never``.  Raises :class:`~pvreplay.errors.ConfigError` for a kernel that
        cannot be used and :class:`~pvreplay.errors.TraceError` for a trace that
        cannot be read to its end.  What a damaged file still holds is replayed;
        ``histogram.damage`` says so.
        """
        from pvreplay.kernels.reader import load_kernel
        from pvreplay.replay.run import replay
        from pvreplay.sources.detect import open_trace

        loaded = load_kernel(os.fspath(kernel), iopl=iopl)
        return Replay(loaded, replay(open_trace(self.path, assume=self.assume), loaded))

    def __repr__(self) -> str:
        return f"Recording({self.path!r})"

    def _repr_html_(self) -> str:
        summary = self.summary
        return _table(
            self.path,
            ["format", "switches", "events", "CPUs", "tasks", "lost events"],
            [
                [
                    self.meta.format,
                    summary.switches,
                    summary.events,
                    summary.cpus,
                    summary.tasks,
                    summary.lost_events,
                ]
            ],
        )


class Replay:
    """A trace replayed on one kernel: how often each kind of switch occurred, ready to be priced.

    ``histogram`` is a few kilobytes whatever the trace's size, and knows no backend.
    """

    def __init__(self, kernel: Kernel, histogram: Histogram) -> None:
        self._kernel = kernel
        self.histogram = histogram

    @property
    def kernel(self) -> str:
        """Name of the kernel."""
        return self._kernel.name

    @property
    def path(self) -> str:
        """The trace's file."""
        return self.histogram.meta.path

    @property
    def switches(self) -> int:
        """Context switches in the trace."""
        return self.histogram.switches

    def price(self, backend: Spec = "xen", *, policy: str | None = None) -> Price:
        """What *backend* pays for the trace, and the rules broken on it.

        *policy* is the contract that the rules enforce, as ``--policy``.  Raises
        :class:`~pvreplay.errors.ConfigError` for a backend that cannot be used.
        """
        from pvreplay.backends.reader import load_backend

        name = os.fspath(backend)
        loaded = load_backend(name, self._kernel)
        batches = not loaded.form and loaded.queue.kind != "none"
        report = self.report([name, f"{name}-unbatched"] if batches else [name], policy=policy)
        return Price(report)

    def report(self, backends: Iterable[Spec] | None = None, *, policy: str | None = None) -> Report:
        """The whole report, of all built-in backends when none is named.

        It is what ``pvreplay run --format json`` prints, as data.
        """
        from pvreplay.backends.reader import builtin_backends, load_backend
        from pvreplay.machine.policy import DEFAULT_POLICY
        from pvreplay.replay.price import price

        names = builtin_backends() if backends is None else [os.fspath(backend) for backend in backends]
        loaded = [load_backend(name, self._kernel) for name in dict.fromkeys(names)]
        return price(self.histogram, self._kernel, loaded, policy=policy or DEFAULT_POLICY)

    @cached_property
    def violations(self) -> list[Violation]:
        """The rules broken on any built-in backend, worst first."""
        from pvreplay.report import order

        return order.violations(self.report().violations)

    def __repr__(self) -> str:
        return f"Replay({self.path!r}, kernel {self.kernel}, {self.switches:,} switches)"

    def _repr_html_(self) -> str:
        from pvreplay.report import order

        report = self.report()
        shown = order.without_baselines(result.name for result in report.backends)
        return _table(
            f"{self.path} on kernel {self.kernel}, {self.switches:,} switches",
            ["backend", "hypercalls", "per switch", "entries", "traps", "ROM calls", "broken rules"],
            [
                [
                    result.name,
                    result.hypercalls,
                    f"{result.hypercalls_per_switch:.2f}",
                    result.entries,
                    result.traps,
                    result.rom_calls,
                    ", ".join(sorted({v.rule for v in report.violations if result.name in v.backends})),
                ]
                for result in report.backends
                if result.name in shown
            ],
        )


class Price:
    """What one backend pays for a replayed trace.

    ``result`` is all of it, ``violations`` the rules broken on this backend,
    worst first.  A violation names every backend that it was looked for and found on.
    """

    def __init__(self, report: Report) -> None:
        from pvreplay.report import order

        self.result: BackendResult = report.backends[0]
        self.kernel = report.kernel
        self.switches = report.switches
        self.task_names = report.task_names
        self.violations: list[Violation] = order.violations(
            found for found in report.violations if self.result.name in found.backends
        )
        for found in self.violations:
            found.backends = [self.result.name]

    @property
    def backend(self) -> str:
        """Name of the backend."""
        return self.result.name

    @property
    def hypercalls(self) -> int:
        """Crossings into the hypervisor that the guest asked for, in switches and outside."""
        return self.result.hypercalls

    @property
    def per_switch(self) -> float:
        """Hypercalls per context switch."""
        return self.result.hypercalls_per_switch

    @property
    def entries(self) -> int:
        """Entries that queued ops put into batches."""
        return self.result.entries

    @property
    def traps(self) -> int:
        """Privileged instructions that the hypervisor emulates."""
        return self.result.traps

    @property
    def rom_calls(self) -> int:
        """Calls into the VMI ROM."""
        return self.result.rom_calls

    @property
    def unbatched_hypercalls(self) -> int | None:
        """Hypercalls if every entry were one; None for a backend that never batches."""
        return self.result.unbatched_hypercalls

    @property
    def flushes(self) -> dict[str, int]:
        """Reason -> how many flushes crossed for it."""
        return self.result.flushes

    @property
    def batch_sizes(self) -> dict[int, int]:
        """Entries in a batch -> number of batches."""
        return self.result.batch_sizes

    @property
    def by_op(self) -> dict[str, Totals]:
        """Op -> its share; adds up to the whole."""
        return self.result.by_op

    @property
    def by_task(self) -> dict[str, Totals]:
        """Name of a task -> what switching to it costs; tasks of one name and pid are added up."""
        from pvreplay.replay.result import Totals

        named: dict[str, Totals] = {}
        for task, totals in self.result.by_task.items():
            name = self.task_names.get(task, f"task {task}")
            had = named.get(name, Totals())
            named[name] = Totals(
                hypercalls=had.hypercalls + totals.hypercalls,
                entries=had.entries + totals.entries,
                traps=had.traps + totals.traps,
                count=had.count + totals.count,
                rom_calls=had.rom_calls + totals.rom_calls,
            )
        return named

    @property
    def by_shape(self) -> dict[str, Totals]:
        """The guards that were true, joined by "+" -> what such switches cost."""
        return self.result.by_shape

    @property
    def histogram(self) -> dict[int, int]:
        """Hypercalls in one switch -> number of switches."""
        return self.result.histogram

    def __repr__(self) -> str:
        return (
            f"Price({self.backend}, kernel {self.kernel}: {self.hypercalls:,} hypercalls, "
            f"{self.per_switch:.2f} per switch, {self.entries:,} entries, {self.traps:,} traps)"
        )

    def _repr_html_(self) -> str:
        from pvreplay.report import order

        ops = sorted(self.by_op.items(), key=lambda item: (*order.cost(item[1]), item[0]))
        return _table(
            f"{self.backend} on kernel {self.kernel}: {self.hypercalls:,} hypercalls, "
            f"{self.per_switch:.2f} per switch",
            ["op", "hypercalls", "entries", "traps", "ROM calls", "times run"],
            [
                [op, totals.hypercalls, totals.entries, totals.traps, totals.rom_calls, totals.count]
                for op, totals in ops[:OPS_SHOWN]
            ],
        )


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str | int]]) -> str:
    """A small HTML table; names in it are hostile."""
    cells = "".join(f"<th>{html(name)}</th>" for name in head)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td style='text-align: right'>{number(cell)}</td>"
            if isinstance(cell, int)
            else f"<td>{html(cell)}</td>"
            for cell in row
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><caption>{html(caption)}</caption><tr>{cells}</tr>{body}</table>"

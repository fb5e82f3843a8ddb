"""From a trace's name to a report: what ``run`` and ``diff`` do before they render."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pvreplay.errors import TraceError, UsageError
from pvreplay.replay.result import Report

if TYPE_CHECKING:
    from pvreplay.trace.model import Trace


def make_report(
    path: str,
    *,
    kernel_spec: str,
    backend_specs: Sequence[str] = (),
    iopl: str | None = None,
    assume: Mapping[str, str] | None = None,
    policy: str | None = None,
    engine: str = "shape",
    wrap: Callable[[Trace], Trace] | None = None,
    inject: Sequence[str] = (),
    cpus: frozenset[int] | None = None,
    task: str | None = None,
    window_ns: tuple[int, int] | None = None,
    level: str | None = None,
) -> Report:
    """Replay the trace at *path* (``-`` is stdin) and price it.

    *wrap* is handed the opened trace and gives the one to replay.  *inject*
    are events to put before every step of every distinct unit.  *cpus*, *task*
    and *window_ns* are a :class:`pvreplay.replay.filter.Filter`.  *level* is
    that of ``open_trace``.

    The kernel and the backends (all built-in ones by default) are read first,
    so that a wrong name is told before a long replay.  Raises the errors of
    the readers, and :class:`TraceError` when there was no switch.
    """
    from pvreplay.backends.reader import builtin_backends, load_backend
    from pvreplay.kernels.reader import load_kernel
    from pvreplay.machine.policy import DEFAULT_POLICY, get_policy
    from pvreplay.sources.detect import open_trace

    if inject and engine == "step":
        raise UsageError(
            "--inject with --engine step", "Events are put into distinct units: leave --engine out."
        )
    kernel = load_kernel(kernel_spec, iopl=iopl)
    backends = [load_backend(spec, kernel) for spec in dict.fromkeys(backend_specs or builtin_backends())]
    asked = [backend.name for backend in backends]
    for spec, backend in zip(dict.fromkeys(backend_specs), list(backends), strict=False):
        if not backend.form and backend.queue.kind != "none" and f"{backend.name}-unbatched" not in asked:
            backends.append(load_backend(f"{spec}-unbatched", kernel))
    contract = get_policy(policy or DEFAULT_POLICY)
    counted = None
    try:
        trace = open_trace(path, assume=assume or {}, level=level)
    except TraceError:
        from pvreplay.cli.counts import read_counts

        counted = read_counts(path, kernel)
        if counted is None or wrap is not None:
            raise
        _refuse_for_counts(path, assume=assume, engine=engine, time=window_ns, level=level)
    else:
        if wrap is not None:
            trace = wrap(trace)
    keep = None
    if cpus is not None or task is not None or window_ns is not None:
        from pvreplay.replay.filter import Filter

        keep = Filter(cpus, task, window_ns)
    gc.freeze()  # what was imported stays: no collection need look at it
    gc.enable()
    bar = None
    if sys.stderr.isatty():
        from pvreplay.cli.progress import progress

        bar = progress()
    try:
        if engine == "step":
            from pvreplay.replay.step import step_trace

            report = step_trace(trace, kernel, backends, policy=contract, progress=bar, keep=keep)
        else:
            from pvreplay.replay.price import price
            from pvreplay.replay.run import replay

            hist = counted or replay(trace, kernel, progress=bar, window_ns=window_ns, jobs=_jobs)
            if keep is not None:
                hist = keep.cut_some(hist)
            report = price(hist, kernel, backends, policy=contract, jobs=_jobs)
            if inject:
                from pvreplay.replay.inject import inject_report

                inject_report(report, hist, kernel, backends, inject, contract)
    finally:
        if bar is not None:
            bar.done()
    _keep(report, asked)
    if keep is not None:
        report.filter = keep.told()
        kept = ", ".join(f"{name} {value}" for name, value in report.filter.items())
        report.notes.append(
            f"Counted is only {kept}; events, losses and the state are those of the whole trace."
        )
    if report.switches == 0:
        raise TraceError(
            f"{path}: no switch in {report.events:,} events"
            + (f"; {report.damage}" if report.damage else ""),
            "A replay needs sched_switch (or switch) events: record with -e sched:sched_switch.",
        )
    return report


def _refuse_for_counts(path: str, **asked: object) -> None:
    """UsageError for what needs the trace itself, of the options *asked* by name."""
    for name, value in asked.items():
        if value and value != "shape":
            raise UsageError(
                f"{path}: --{name} with saved counts, which hold no events",
                "Name the trace, or leave the option out.",
            )


def _jobs() -> int:
    from pvreplay.sources.parallel import jobs

    return jobs()


def _keep(report: Report, asked: list[str]) -> None:
    """Drop what was priced only to compare with."""
    if len(report.backends) == len(asked):
        return
    report.backends = report.backends[: len(asked)]
    for violation in report.violations:
        violation.backends = [name for name in violation.backends if name in asked]
    report.violations = [violation for violation in report.violations if violation.backends]


def verdict(report: Report, *, strict: bool, lenient: bool) -> int:
    """The exit code that *report* deserves.

    A security or error violation is 1, with *strict* a performance finding
    or a window of an injected event too.  A damaged trace raises TraceError (exit 3), unless *lenient*, which
    only warns.
    """
    if report.damage:
        message = f"{report.path}: {report.damage}"
        if not lenient:
            raise TraceError(message, "The report covers what could be read; --lenient accepts that.")
        from pvreplay.report.escape import terminal

        print(f"pvreplay: {terminal(message)}", file=sys.stderr)
    if strict and report.what_if:
        return 1
    return int(any(strict or violation.severity != "perf" for violation in report.violations))

"""What a gate replays: each trace on each kernel the baseline has it on, and how it is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pvreplay.cli import options
from pvreplay.cli.gate_files import beside, lineage, ruler
from pvreplay.errors import UsageError
from pvreplay.gate.match import Measured, guess, names_for

if TYPE_CHECKING:
    from pvreplay.gate.baseline import Baseline
    from pvreplay.gate.config import GateConfig
    from pvreplay.gate.entry import Entry


class Job(NamedTuple):
    """One trace on one kernel, with everything said by the user, the settings file or the baseline."""

    path: str
    kernel: str
    backends: tuple[str, ...]
    iopl: str | None
    policy: str | None
    assume: Mapping[str, str]


def plan(
    paths: Sequence[str],
    baseline: Baseline | None,
    baseline_path: str,
    config: GateConfig,
    chosen: Mapping[str, Any],
) -> Iterator[Job]:
    """What to replay for *paths*: as *chosen* by option, else settings file, else baseline, else default.

    A trace whose name the baseline knows, and no kernel chosen, is replayed on each kernel it has there.
    """
    for path in paths:
        names = guess(path, baseline)
        if path == "-" and baseline is not None and len(baseline.trace) == len(paths) == 1:
            names = list(baseline.trace)
        entries = baseline.trace[names[0]] if baseline is not None and names else {}
        kernel = chosen.get("kernel") or (beside(config.path, config.kernel) if config.kernel else None)
        if kernel is not None:
            yield _job(path, kernel, _entry_of(kernel, entries), baseline_path, config, chosen)
        elif entries:
            if path == "-" and len(entries) > 1:
                raise UsageError(
                    f"-: standard input can be read once, and the baseline has it on {len(entries)} kernels",
                    f"Say --kernel: {', '.join(sorted(entries))}.",
                )
            for name, entry in sorted(entries.items()):
                spec = beside(baseline_path, entry.kernel_file) if entry.kernel_file else name
                yield _job(path, spec, entry, baseline_path, config, chosen)
        else:
            yield _job(path, options.DEFAULT_KERNEL, None, baseline_path, config, chosen)


def _entry_of(kernel: str, entries: Mapping[str, Entry]) -> Entry | None:
    """The entry whose backends and settings a run on *kernel* takes over."""
    from pvreplay.kernels.reader import load_kernel

    names = [one.name for one in lineage(load_kernel(kernel))] if entries else []
    return next((entries[name] for name in [*names, *entries] if name in entries), None)


def _job(
    path: str,
    kernel: str,
    entry: Entry | None,
    baseline_path: str,
    config: GateConfig,
    chosen: Mapping[str, Any],
) -> Job:
    from pvreplay.backends.reader import builtin_backends
    from pvreplay.report.order import without_baselines

    settings = entry.settings if entry is not None else {}
    backends = chosen.get("backend") or tuple(beside(config.path, spec) for spec in config.backends)
    if not backends and entry is not None:
        known = builtin_backends()
        order = sorted(entry.backend, key=lambda name: known.index(name) if name in known else len(known))
        files = {name: entry.backend[name].file for name in order}
        backends = tuple(beside(baseline_path, file) if file else name for name, file in files.items())
    assumed = {
        key.removeprefix("assume."): value for key, value in settings.items() if key.startswith("assume.")
    }
    return Job(
        path,
        kernel,
        tuple(dict.fromkeys(backends)) or tuple(without_baselines(builtin_backends())),
        chosen.get("iopl", settings.get("iopl")),
        chosen.get("policy", settings.get("policy")),
        chosen.get("assume", assumed),
    )


def measure_all(
    jobs: Sequence[Job], baseline: Baseline | None, baseline_path: str, engine: str
) -> list[Measured]:
    """Every job replayed, priced and measured; all of a file's runs have the name the baseline gives it."""
    from pvreplay.cli.together import together

    runs = together(
        [partial(_measured, job, baseline_path, engine) for job in jobs], [job.path for job in jobs]
    )
    digests = {run.path: run.entry.digest for run in runs}
    names = dict(zip(digests, names_for(list(digests.items()), baseline), strict=True))
    for run in runs:
        run.name = names[run.path]
    return runs


def _measured(job: Job, baseline_path: str, engine: str) -> Measured:
    """One job, without its name."""
    from pvreplay.backends.reader import load_backend
    from pvreplay.cli.flow import make_report
    from pvreplay.gate.entry import measure
    from pvreplay.gate.identity import Identified
    from pvreplay.kernels.reader import load_kernel
    from pvreplay.machine.policy import DEFAULT_POLICY
    from pvreplay.trace.model import Trace

    kernel = load_kernel(job.kernel, iopl=job.iopl)
    kernels = lineage(kernel)
    backends = [(spec, load_backend(spec, kernel)) for spec in job.backends]
    identified: list[Identified] = []

    def identify(trace: Trace) -> Trace:
        identified.append(Identified(trace))
        return identified[0]

    report = make_report(
        job.path,
        kernel_spec=job.kernel,
        backend_specs=job.backends,
        iopl=job.iopl,
        assume=job.assume,
        policy=job.policy,
        engine=engine,
        wrap=identify,
    )
    assert identified[0].hashed == report.events, "the replay did not read the trace's chunks"
    settings = {f"assume.{key}": value for key, value in job.assume.items()}
    settings |= {"iopl": job.iopl} if job.iopl else {}
    settings |= {"policy": job.policy} if job.policy and job.policy != DEFAULT_POLICY else {}
    return Measured(
        name="",
        path=job.path,
        kernel=kernel.name,
        kernel_path=kernel.path,
        lineage=tuple(one.name for one in kernels),
        report=report,
        entry=measure(
            report,
            kernel,
            ruler(kernels, backends, baseline_path),
            digest=identified[0].digest(),
            settings=settings,
        ),
    )

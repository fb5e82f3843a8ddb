"""What a baseline keeps of one trace on one kernel; a run is measured into the same form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from pvreplay.replay.result import BackendResult, Report, Severity, Totals

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel

OTHERS = ""
"""The key under which a baseline sums up what it does not list."""
SHAPES_MAX = 100
TASKS_MAX = 20
"""How many shapes and tasks of a backend a baseline lists; the dearest ones."""
IN_SECTION = "switch inside a lazy MMU section"


class PathStep(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A step of the switch path; *ops* separated by spaces.

    The kernel's rules that are no step are steps with a name in parentheses.
    """

    step: str
    ops: str = ""
    when: str = ""


class Broken(msgspec.Struct, kw_only=True):
    """A rule broken at one op, and how often."""

    severity: Severity
    name: str
    count: int


class BackendEntry(msgspec.Struct, kw_only=True):
    """What one backend paid.

    *model* is the digest of the built-in backend it is or extends, "" for a file that stands alone.
    *file* is the backend's own file.  The tables list what cost something; *violation* is
    keyed by rule and op, as in ``"H1 loadsegment:gs"``.
    """

    model: str = ""
    file: str = ""
    hypercalls: int
    entries: int
    traps: int
    rom_calls: int
    op: dict[str, Totals] = {}
    outside: dict[str, Totals] = {}
    shape: dict[str, Totals] = {}
    task: dict[str, Totals] = {}
    violation: dict[str, Broken] = {}


class Entry(msgspec.Struct, kw_only=True):
    """One trace on one kernel: what it is, what measured it, what it cost.

    *kernel_base* is the name and the digest of the built-in kernel that the
    kernel is or extends; *settings* the options that were not the defaults
    (``assume.fpu``, ``iopl``, ``policy``).
    """

    digest: str
    events: int
    switches: int
    lost_events: int
    written_by: str
    model: int
    rules: str
    kernel_base: str = ""
    kernel_file: str = ""
    settings: dict[str, str] = {}
    path: list[PathStep] = []
    backend: dict[str, BackendEntry] = {}


class Ruler(msgspec.Struct, kw_only=True):
    """What measured a run, for :func:`measure`: digests of what is built in.

    *backends* is name -> (digest, file); both may be empty.
    """

    model: int
    rules: str
    kernel_base: str
    kernel_file: str
    backends: dict[str, tuple[str, str]]


def measure(
    report: Report, kernel: Kernel, ruler: Ruler, *, digest: str, settings: Mapping[str, str]
) -> Entry:
    """*report* as an entry, with every shape and task (:func:`shortened` drops some)."""
    return Entry(
        digest=digest,
        events=report.events,
        switches=report.switches,
        lost_events=report.lost_events,
        written_by=report.version,
        model=ruler.model,
        rules=ruler.rules,
        kernel_base=ruler.kernel_base,
        kernel_file=ruler.kernel_file,
        settings=dict(sorted(settings.items())),
        path=path_of(kernel),
        backend={result.name: _backend(report, result, ruler) for result in report.backends},
    )


def _backend(report: Report, result: BackendResult, ruler: Ruler) -> BackendEntry:
    model, file = ruler.backends.get(result.name, ("", ""))
    tasks: dict[str, Totals] = {}
    for task, totals in result.by_task.items():
        name = spelled(report.task_names.get(task, f"task {task}"))
        tasks[name] = plus(tasks[name], totals) if name in tasks else totals
    outside = dict(result.outside)
    elsewhere = result.in_switch
    for totals in result.by_shape.values():
        elsewhere = plus(elsewhere, totals, -1)
    outside[IN_SECTION] = elsewhere
    broken: dict[str, Broken] = {}
    for violation in report.violations:
        if result.name in violation.backends:
            key = violation_key(violation.rule, violation.op)
            count = violation.count + (broken[key].count if key in broken else 0)
            broken[key] = Broken(severity=violation.severity, name=violation.name, count=count)
    return BackendEntry(
        model=model,
        file=file,
        hypercalls=result.hypercalls,
        entries=result.entries,
        traps=result.traps,
        rom_calls=result.rom_calls,
        op=dict(result.by_op),
        outside=outside,
        shape=dict(result.by_shape),
        task=tasks,
        violation=dict(sorted(broken.items())),
    )


def violation_key(rule: str, op: str) -> str:
    """What makes a broken rule the same one in two runs: step numbers move when a path changes."""
    return f"{rule} {op}"


def path_of(kernel: Kernel) -> list[PathStep]:
    """The switch path of *kernel* and its other rules."""
    fpu = f"{kernel.fpu.model}"
    if kernel.fpu.model == "lazy":
        fpu += f", eager above {kernel.fpu.eager_above}"
        fpu += ", needs used_math" if kernel.fpu.eager_needs_used_math else ""
        fpu += ", reset on exec" if kernel.fpu.reset_on_exec else ""
    fpu += ", dropped on exit" if kernel.fpu.drop_on_exit else ""
    modes = [
        word
        for word, holds in (
            ("lazy MMU mode", kernel.lazy_mmu),
            ("parks it at a switch", kernel.parks),
            ("interrupts ignore it", kernel.irq_ignores_lazy),
        )
        if holds
    ]
    version = ".".join(map(str, kernel.version))
    return [
        PathStep(step="(kernel)", ops=f"{kernel.arch} {version}, {kernel.user_segment}"),
        PathStep(step="(FPU)", ops=fpu),
        PathStep(step="(lazy MMU)", ops=", ".join(modes) or "none"),
        *(
            PathStep(step=step.name, ops=" ".join(step.ops), when="" if step.when == "true" else step.when)
            for step in kernel.steps
        ),
        PathStep(step="(#NM)", ops=" ".join(kernel.nm_ops)),
        PathStep(step="(leave_mm)", ops=" ".join(kernel.leave_mm_ops)),
    ]


def spelled(name: str) -> str:
    """*name* as valid Unicode: bytes that were no UTF-8 become ``\\xHH``, as in every JSON of the tool."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a surrogate pair: no byte stands behind it
        return name.encode("utf-8", "surrogatepass").decode("utf-8", "backslashreplace")


# --- totals ------------------------------------------------------------------------------------


def plus(one: Totals, other: Totals, times: int = 1) -> Totals:
    """*one* + *other* x *times*."""
    return Totals(
        hypercalls=one.hypercalls + times * other.hypercalls,
        entries=one.entries + times * other.entries,
        traps=one.traps + times * other.traps,
        rom_calls=one.rom_calls + times * other.rom_calls,
        count=one.count + times * other.count,
    )


def costs(totals: Totals) -> bool:
    """Whether any of the four counters is not 0."""
    return bool(totals.hypercalls or totals.entries or totals.traps or totals.rom_calls)


def shortened(entry: Entry) -> Entry:
    """*entry* as a baseline keeps it: what costs nothing left out, long tables summed up."""
    return msgspec.structs.replace(
        entry,
        backend={
            name: msgspec.structs.replace(
                backend,
                op=_dearest(backend.op, None),
                outside=_dearest(backend.outside, None),
                shape=_dearest(backend.shape, SHAPES_MAX),
                task=_dearest(backend.task, TASKS_MAX),
            )
            for name, backend in entry.backend.items()
        },
    )


def _dearest(table: Mapping[str, Totals], most: int | None) -> dict[str, Totals]:
    paid = {key: totals for key, totals in table.items() if costs(totals)}
    kept = sorted(paid, key=lambda key: (*_cost(paid[key]), key))[:most]
    shown = {key: paid[key] for key in sorted(kept)}
    rest = Totals()
    for key in paid.keys() - shown.keys():
        rest = plus(rest, paid[key])
    if costs(rest):
        shown[OTHERS] = plus(shown.get(OTHERS, Totals()), rest)
    return shown


def _cost(totals: Totals) -> Sequence[int]:
    return -totals.hypercalls, -totals.traps, -totals.entries, -totals.rom_calls, -totals.count

"""What in the baseline is this run to be compared with, and can it be?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from pvreplay.gate.baseline import Baseline
from pvreplay.gate.entry import Entry, spelled
from pvreplay.replay.result import Report

Kind = Literal["absent", "lost", "model_change", "trace_change", "kernel_change"]
OPTIONS: Mapping[Kind, str] = {
    "lost": "--allow-lost",
    "model_change": "--allow-model-change",
    "trace_change": "--allow-trace-change",
    "kernel_change": "--allow-kernel-change",
}
"""Why it cannot be compared -> the option that compares nevertheless."""


class Measured(msgspec.Struct, kw_only=True):
    """A trace replayed on a kernel.

    *lineage* names the kernel and those its file extends, nearest first: a file
    that extends the baseline's kernel is that kernel with a change to be judged.
    """

    name: str
    path: str
    kernel: str
    kernel_path: str
    lineage: tuple[str, ...]
    report: Report
    entry: Entry


class Difference(NamedTuple):
    """A reason not to compare, as a sentence."""

    kind: Kind
    text: str


class Match(NamedTuple):
    """The entry to compare with, and what speaks against it."""

    kernel: str
    entry: Entry | None
    differences: list[Difference]


def names_for(traces: Sequence[tuple[str, str]], baseline: Baseline | None) -> list[str]:
    """What the baseline calls each of *traces*, which are (path, digest).

    The same content has its name back wherever the file is; else the same
    file name; else it is new and named by its file name, with as many folders
    as tell it from the other traces of this gate.
    """
    known = baseline.trace if baseline is not None else {}
    names: list[str | None] = [None] * len(traces)
    taken: set[str] = set()

    def take(place: int, candidates: list[str]) -> None:
        for name in candidates:
            if names[place] is None and name not in taken:
                names[place] = name
                taken.add(name)

    for place, (path, digest) in enumerate(traces):
        same = [name for name, held in known.items() if any(one.digest == digest for one in held.values())]
        take(place, sorted(same, key=lambda name: not _is_suffix(name, path)))
    for place, (path, _) in enumerate(traces):
        take(place, guess(path, baseline))
    for place, (path, _) in enumerate(traces):
        take(place, _new_names([p for p, _ in traces], place, path))
    return [name if name is not None else path for name, (path, _) in zip(names, traces, strict=True)]


def guess(path: str, baseline: Baseline | None) -> list[str]:
    """The names in *baseline* that the trace at *path* may have, the longest first."""
    names = baseline.trace if baseline is not None else {}
    return sorted((name for name in names if _is_suffix(name, path)), key=lambda name: -len(name))


def _is_suffix(name: str, path: str) -> bool:
    if path == "-":
        return name == "stdin"
    whole, end = _parts(path), _parts(name)
    return whole[-len(end) :] == end


def _parts(path: str) -> list[str]:
    return spelled(os.path.normpath(path)).replace(os.sep, "/").split("/")


def _new_names(paths: Sequence[str], place: int, path: str) -> list[str]:
    if path == "-":
        return ["stdin"]
    parts = _parts(path)
    others = [_parts(other) for at, other in enumerate(paths) if at != place]
    names = []
    for length in range(1, len(parts) + 1):
        end = parts[-length:]
        if not any(other[-length:] == end for other in others):
            names.append("/".join(end))
    return names


def match(run: Measured, baseline: Baseline) -> Match:
    """The entry of *baseline* that *run* is to be compared with, and every reason not to."""
    kernels = baseline.trace.get(run.name)
    if not kernels:
        return Match("", None, [Difference("absent", f"the baseline has no trace {run.name}")])
    kernel = next((name for name in run.lineage if name in kernels), "")
    if kernel:
        entry = kernels[kernel]
        return Match(kernel, entry, [*_trace(run, entry), *_ruler(run.entry, entry)])
    held = ", ".join(sorted(kernels))
    differs = Difference("kernel_change", f"another kernel: {run.kernel} now, {held} in the baseline")
    if len(kernels) > 1:
        return Match("", None, [Difference("absent", differs.text)])
    kernel, entry = next(iter(kernels.items()))
    ruler = [one for one in _ruler(run.entry, entry) if not one.text.startswith("built-in kernel")]
    return Match(kernel, entry, [differs, *_trace(run, entry), *ruler])


def lost(run: Measured) -> list[Difference]:
    """Lost events, which make counts lower bounds."""
    known, unknown = run.report.lost_events, run.report.doubts.get("lost_unknown", 0)
    if not known and not unknown:
        return []
    what = f"{known:,} {'event was' if known == 1 else 'events were'} lost" if known else "events were lost"
    return [Difference("lost", f"{what}: the counts are lower bounds")]


def _trace(run: Measured, entry: Entry) -> list[Difference]:
    if run.entry.digest == entry.digest:
        return []
    return [
        Difference(
            "trace_change",
            f"another trace: {run.entry.switches:,} and {entry.switches:,} switches, "
            f"{run.entry.events:,} and {entry.events:,} events now and in the baseline, contents differ",
        )
    ]


def _ruler(now: Entry, then: Entry) -> list[Difference]:
    """What about the model, or the settings, is not as it was."""
    texts = []
    if now.model != then.model:
        texts.append(f"the model is number {now.model} now, {then.model} in the baseline")
    if now.rules != then.rules:
        texts.append("there are other rules now than in the baseline")
    if now.kernel_base != then.kernel_base:
        old, new = then.kernel_base.partition(" ")[0], now.kernel_base.partition(" ")[0]
        if old == new:
            texts.append(f"built-in kernel {new} is not what it was")
        else:
            texts.append(f"built-in kernel {old or 'none'} in the baseline, {new or 'none'} now")
    if texts and then.written_by != now.written_by:
        texts[-1] += f" (pvreplay {then.written_by} then, {now.written_by} now)"
    for key in sorted({*now.settings, *then.settings}):
        a, b = then.settings.get(key), now.settings.get(key)
        if a != b:
            texts.append(f"setting {key} is {b or 'not given'} now, {a or 'not given'} in the baseline")
    return [Difference("model_change", text) for text in texts]

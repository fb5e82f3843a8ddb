"""The hypervisor's view of a Xen PV guest: an xentrace file, or the text of ``xenalyze --summary``.

It knows no tasks.  What it shows of a switch are the crossings: the RDMSR it
emulated, the hypercalls in order, stack_switch as the last.  A window of an
xentrace file is right when the model gives that order of crossings for some
switch; a summary is right when the totals hold what that many switches cost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

from pvreplay.errors import TraceError
from pvreplay.machine.shape import GUARDS
from pvreplay.sources.xentrace import read_records, sniff
from pvreplay.validate.predict import Path, Paths
from pvreplay.validate.result import Class, Decision, Example, Numbers, Result, Switches

if TYPE_CHECKING:
    from pvreplay.kernels.model import Kernel
    from pvreplay.machine.backend import Backend

_PRIVOP: Final = 0x201006
EMULATED: Final = "emulated RDMSR"
_LINE: Final = re.compile(r"^\s+(\w+)\s+\[\s*(\d+)\]:\s+(\d+)\s*$", re.MULTILINE)
_EMULATED_LINE: Final = re.compile(r"^\s+emulate privop\s+(\d+)\s*$", re.MULTILINE)


class HypervisorView(NamedTuple):
    """*totals* name -> how often; *windows* the crossings of each switch, () for a summary."""

    path: str
    format: str
    totals: Mapping[str, int]
    windows: list[tuple[str, ...]]
    damage: str


def open_view(path: str) -> HypervisorView | None:
    """The view in a file; None when it is neither form (or is a stream, or cannot be opened)."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
            if sniff(head):
                return _binary(path, head + file.read())
            if b"|-- Domain" in head and b"Total time:" in head:
                return _summary(path, (head + file.read()).decode("utf-8", "replace"))
    except OSError:
        pass
    return None


def _binary(path: str, data: bytes) -> HypervisorView:
    totals: dict[str, int] = {}
    windows: list[tuple[str, ...]] = []
    open_: dict[int, list[str]] = {}
    records = read_records(data)
    while True:
        try:
            record = next(records)
        except StopIteration as over:
            end = int(over.value)
            break
        name = EMULATED if record.event == _PRIVOP else record.call
        if not name:
            continue
        totals[name] = totals.get(name, 0) + 1
        window = open_.setdefault(record.cpu, [])
        if name == EMULATED:
            window[:] = [name]
        elif name == "stack_switch":
            if window[:1] == [EMULATED]:
                windows.append((*window, name))
            window.clear()
        elif window:
            window.append(name)
    damage = f"the file ends in the middle of a record, at byte {end}" if end < len(data) else ""
    return HypervisorView(path, "xentrace", totals, windows, damage)


def _summary(path: str, text: str) -> HypervisorView:
    totals: dict[str, int] = {}
    for name, _, times in _LINE.findall(text):
        totals[name] = totals.get(name, 0) + int(times)
    emulated = sum(int(times) for times in _EMULATED_LINE.findall(text))
    if emulated:
        totals[EMULATED] = emulated
    return HypervisorView(path, "xenalyze --summary", totals, [], "")


# --- the model's side ----------------------------------------------------------------------------


def _facts(**true: int) -> dict[str, int]:
    facts = dict.fromkeys(GUARDS, 0)
    facts["tls"] = 0
    return {**facts, **true}


def crossings_of(path: Path, facts: Mapping[str, int]) -> tuple[str, ...]:
    """What the hypervisor sees of one switch, in order."""
    seen: list[str] = []
    flushes = iter(path.flushes)
    for op in path.ops:
        if op == "read_msr:gs_base":
            seen.append(EMULATED)
        elif op in ("write_msr:gs_base", "load_gs_index"):
            seen.append("set_segment_base")
        elif op in ("end_context_switch", "load_sp0"):
            flushed = next(flushes)
            if flushed.entries > 1:
                seen.append("multicall")
            elif flushed.entries == 1:
                queued = "update_descriptor" if facts["tls"] else "mmuext_op"
                seen.append(queued if op == "end_context_switch" else "stack_switch")
    return tuple(seen)


def possible_windows(kernel: Kernel, backend: Backend) -> set[tuple[str, ...]]:
    """Every order of crossings the model has for a switch, up to its stack_switch."""
    paths = Paths(kernel, backend)
    windows = set()
    for differs, ldt, tls, gs in product((0, 1), (0, 1), range(4), (0, 1)):
        facts = _facts(mm_differs=differs, next_ldt=ldt & differs, tls=tls, next_gs=gs)
        windows.add(crossings_of(paths.of(facts), facts))
    return windows


def check_view(view: HypervisorView, kernel: Kernel, backend: Backend) -> Result:
    """The hypervisor's view beside the model.  :class:`TraceError` when it holds no stack_switch."""
    switched = view.totals.get("stack_switch", 0)
    if not switched:
        raise TraceError(
            f"{view.path}: no stack_switch hypercall in it",
            "Record the PV events of xentrace (class 0x20f000).",
        )
    plain = _facts()
    least = crossings_of(Paths(kernel, backend).of(plain), plain)
    by_op = {
        name: {"predicted": switched * least.count(name), "seen": view.totals.get(name, 0)}
        for name in (EMULATED, "set_segment_base", "stack_switch", "multicall")
    }
    short = [name for name, numbers in by_op.items() if numbers["seen"] < numbers["predicted"]]
    result = Result(
        path=view.path,
        format=view.format,
        kernel=kernel.name,
        backend=backend.name,
        switches=Switches(),
        decisions={},
        flushes={},
        predicted=Numbers(),
        seen=Numbers(),
        by_op=by_op,
        confusion={},
        reasons={},
        classes=[],
        other_work={},
        not_shown=[],
        notes=[
            f"{switched} switches, told by stack_switch; what is seen beyond the prediction is from outside "
            "switches (fork reads the GS base, exec and exit load selectors, page tables fill multicalls).",
        ],
    )
    if view.damage:
        result.notes.append(view.damage)
    if view.windows:
        _judge(view, possible_windows(kernel, backend), result)
    else:
        result.switches.different = max(
            (by_op[name]["predicted"] - by_op[name]["seen"] for name in short), default=0
        )
        result.switches.compared = switched
        result.switches.equal = switched - result.switches.different
    return result


def _judge(view: HypervisorView, possible: set[tuple[str, ...]], result: Result) -> None:
    classes: dict[tuple[str, ...], int] = {}
    for raw in view.windows:
        window = _without_restarts(raw)
        if window != raw:
            result.other_work["restarted mmuext_op"] = result.other_work.get("restarted mmuext_op", 0) + 1
        shape = " ".join(window)
        row = result.confusion.setdefault(shape if window in possible else "-", {})
        row[shape] = row.get(shape, 0) + 1
        if window in possible:
            result.switches.equal += 1
        else:
            result.switches.different += 1
            classes[window] = classes.get(window, 0) + 1
    result.switches.compared = len(view.windows)
    switched = view.totals["stack_switch"]
    if switched > len(view.windows):
        result.switches.outside = switched - len(view.windows)
    result.decisions["order of crossings"] = Decision(
        predicted=len(view.windows),
        seen=len(view.windows),
        agree=result.switches.equal,
        differ=result.switches.different,
        sign="xentrace records of one CPU",
    )
    nearest = min(possible, key=len)
    result.classes = [
        Class(
            verdict="different",
            what=" ".join(window),
            count=count,
            example=Example(
                switch=view.windows.index(window) if window in view.windows else 0,
                time_ns=0,
                cpu=0,
                prev="?",
                next="?",
                predicted=list(nearest),
                seen=list(window),
                lines=[],
                shape=[],
            ),
        )
        for window, count in sorted(classes.items(), key=lambda pair: -pair[1])
    ]


def _without_restarts(window: tuple[str, ...]) -> tuple[str, ...]:
    """A long mmuext_op is preempted and issued again: two records, one call."""
    return tuple(
        name for at, name in enumerate(window) if not (name == "mmuext_op" and at and window[at - 1] == name)
    )

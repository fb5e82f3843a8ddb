"""Backends as text: the list, and one backend's table with its sources."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from pvreplay.machine import resources as res
from pvreplay.machine.backend import Backend, OpRow, RomProfile
from pvreplay.report.page import Page

WORDS = {"cpu": "lazy CPU", "mmu": "lazy MMU"}
OUTSIDE = {
    "issue": "queued and flushed at once",
    "hypercall": "a hypercall",
    "trap": "a trap",
    "plain": "done by the guest itself",
}
EVENTS = {
    "enter_cpu": "enter lazy CPU",
    "leave_cpu": "leave lazy CPU",
    "enter_mmu": "enter lazy MMU",
    "leave_mmu": "leave lazy MMU",
    "flush": "explicit flush",
}


def _file(backend: Backend) -> str:
    """Where the table is: a user's file as given, ours by its place in the package, wherever that is."""
    folder, name = os.path.split(backend.path)
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return f"pvreplay/backends/{name}" if folder == os.path.join(package, "backends") else backend.path


def list_text(backends: Sequence[tuple[Backend, str]], *, color: bool = False, ascii: bool = False) -> str:
    """One line a backend and the kernels that had it, then the baselines and what each is."""
    page = Page(ascii=ascii)
    names = 2 + max(len(backend.name) for backend, _ in backends)
    page.line((f"{'backend':<{names}}{'kernels':<18}what it is", "head"))
    for backend, kernels in backends:
        if backend.form:
            continue
        page.flow(
            (f"{backend.name:<{names - 1}}", "name"),
            f"{kernels:<17}",
            backend.title,
            indent=names + 18,
            first=0,
        )
    page.blank()
    page.line(("baselines, to compare with", "head"))
    for backend, _ in backends:
        if backend.form:
            what = backend.title.rpartition("baseline: ")[2]
            page.flow((f"{backend.name:<{names - 1}}", "name"), what, indent=names, first=0)
    page.blank()
    page.line(("pvreplay backends --show NAME prints a backend's table and its sources", "dim"))
    return page.text(color)


def as_data(backend: Backend) -> dict[str, Any]:
    """*backend* as plain data for JSON."""
    return {
        "name": backend.name,
        "base": backend.base,
        "form": backend.form,
        "title": backend.title,
        "description": " ".join(backend.description.split()),
        "rows_version": backend.rows_version,
        "queue": backend.queue,
        "modes": list(backend.modes.values()),
        "settings": {
            "kernel_rpl": backend.traits["kernel_rpl"],
            "implicit": res.names(backend.implicit),
            "irq_ignores_lazy": backend.irq_ignores_lazy,
            "reloads_selectors": backend.reloads_selectors,
        },
        "profile": backend.profile,
        "profiles": list(backend.profiles),
        "ops": [backend.rows[name] for name in sorted(backend.rows)],
        "notes": [*backend.notes, *backend.file_notes],
        "sources": list(backend.sources),
        "path": _file(backend),
    }


def show_text(backend: Backend, kernel: str, *, color: bool = False, ascii: bool = False) -> str:
    """*backend* as it is priced for *kernel*: queue, lazy modes, ops, notes, sources."""
    page = Page(ascii=ascii)
    page.flow((f"{backend.name}:", "title"), backend.title, indent=2, first=0)
    page.flow(f"for kernel {kernel}, rows of {backend.rows_version}; {_file(backend)}", indent=2)
    if backend.profile is not None:
        assumed = " ".join(backend.profile.assumption.split())
        page.flow(f"ROM profile {backend.profile.name}, an assumption: {assumed}", indent=2)
    if backend.description:
        page.blank()
        page.flow(" ".join(backend.description.split()), indent=2)
    _section(page, "settings", _settings(backend))
    if backend.profile is not None:
        _section(page, f"ROM profile {backend.profile.name}", _profile(backend, backend.profile))
    _section(page, "queue", _queue(backend))
    page.blank()
    page.line(("lazy modes", "head"))
    for event, row in backend.modes.items():
        parts = [
            {"never": "no flush", "queued": "flushes what is queued", "always": "always a hypercall"}[
                row.flush
            ]
        ]
        if row.rom_calls:
            parts.append(f"{row.rom_calls} ROM call{'s' if row.rom_calls > 1 else ''}")
        _entry(page, EVENTS[event], ", ".join(parts), row.note, row.source)
    page.blank()
    page.line(("ops", "head"))
    for name, op_row in sorted(backend.rows.items()):
        _entry(page, name, fate(op_row), op_row.note, op_row.source)
    _entry(page, "every other op", "done by the guest itself, at no cost", "", "")
    for heading, texts in (("notes", (*backend.notes, *backend.file_notes)), ("sources", backend.sources)):
        _section(page, heading, texts)
    return page.text(color)


def fate(row: OpRow) -> str:
    """What becomes of an op, as a sentence."""
    if row.does == "queue":
        modes = " and ".join(WORDS[mode] for mode in row.mode)
        size = (
            "one entry a changed slot"
            if row.entries == "tls"
            else f"{row.entries} {'entry' if row.entries == 1 else 'entries'}"
        )
        merged = ", merged with an entry of the same call" if row.extend else ""
        cleared = f", clears {' and '.join(row.clears)} in lazy CPU mode" if row.clears else ""
        size += f" of {row.arg_bytes} bytes" if row.arg_bytes else ""
        return f"queued in {modes} mode ({size}{merged}){cleared}; otherwise {OUTSIDE[row.outside]}"
    if row.does == "rom":
        return f"ROM call {', '.join(row.calls)}"
    text = {
        "plain": "done by the guest itself",
        "nothing": "nothing",
        "trap": "a trap",
        "hypercall": "a hypercall",
    }[row.does]
    if row.drains:
        text += ", after flushing the queue"
    if row.shadow:
        text += ", read from a copy"
    return text


def _settings(backend: Backend) -> list[str]:
    implicit = ", ".join(res.names(backend.implicit))
    return [
        f"kernel_rpl {backend.traits['kernel_rpl']}: the privilege level the kernel finds itself at",
        f"implicit {implicit or 'nothing'}: what needs no op at a switch",
        f"irq_ignores_lazy {_yes(backend.irq_ignores_lazy)}: whether nothing is queued in an interrupt",
        f"reloads_selectors {_yes(backend.reloads_selectors)}: whether the hypervisor reloads selectors",
    ]


def _profile(backend: Backend, profile: RomProfile) -> list[str]:
    calls = [
        ("deferred in lazy CPU mode", profile.cpu),
        ("deferred in lazy MMU mode", profile.mmu),
        ("answered in the ROM", profile.local),
        ("left as native instructions", profile.ident),
    ]
    others = [f"{backend.base}:{name}" for name in backend.profiles if name != profile.name]
    return [
        *(f"{what}: {', '.join(names)}" for what, names in calls if names),
        "every other call crosses at once",
        f"a call that crosses takes the deferred ones along (cross_drains): {_yes(profile.cross_drains)}",
        f"entering a lazy mode crosses (enter_crosses): {_yes(profile.enter_crosses)}",
        f"other profiles: {', '.join(others) or 'none'}",
        *([" ".join(profile.source.split())] if profile.source else []),
    ]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _queue(backend: Backend) -> list[str]:
    queue = backend.queue
    if queue.kind == "none":
        return ["none: nothing is ever batched"]
    limits = [
        f"{queue.entries} entries" if queue.entries else "",
        f"{queue.arg_bytes} argument bytes (flush when used {queue.bound} that)" if queue.arg_bytes else "",
        f"{queue.callbacks} callbacks" if queue.callbacks else "",
        "a single entry goes out as a plain hypercall" if queue.bypass_single else "",
        f"the host takes {queue.host_bytes} bytes a call" if queue.host_bytes else "",
    ]
    found = "; ".join(limit for limit in limits if limit)
    return [
        f"{queue.kind}: {found or 'no limit known'}",
        *([" ".join(queue.source.split())] if queue.source else []),
    ]


def _entry(page: Page, name: str, what: str, note: str, source: str) -> None:
    page.flow((f"{name:<22}", "name"), what, indent=25, first=2)
    for text in (note, source):
        if text:
            page.flow((" ".join(text.split()), "dim"), indent=6)


def _section(page: Page, heading: str, texts: Sequence[str]) -> None:
    if texts:
        page.blank()
        page.line((heading, "head"))
        for text in texts:
            page.flow("-", " ".join(text.split()), indent=4, first=2)

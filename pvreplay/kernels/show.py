"""Kernels as text for a terminal of 80 columns, and as plain data for JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from pvreplay.kernels.model import Kernel, split_op

WIDTH = 80


def list_text(kernels: Iterable[Kernel]) -> str:
    """One line a kernel: name, architecture, release, what is special about it."""
    lines = ["kernel  arch    since    what is special"]
    for kernel in kernels:
        lines.append(f"{kernel.name:<7} {kernel.arch:<7} {kernel.released:<8} {kernel.title}")
    return "\n".join(lines) + "\n"


def kernel_text(kernel: Kernel) -> str:
    """The step table of *kernel* with its sources, the FPU and lazy-mode rules, and the notes."""
    lines = [
        *_wrap(f"{kernel.name}: {kernel.title}", ""),
        f"{kernel.arch}, {kernel.released or 'no release'}; sorted as {'.'.join(map(str, kernel.version))}",
        "",
        *_row("step", "when", "ops"),
    ]
    for number, step in enumerate(kernel.steps, 1):
        lines += _row(f"{number:2} {step.name}", _when(step.when), join_ops(step.ops) or "(no op)")
        for text in (step.note, step.source):
            if text:
                lines += _wrap(text, "     ")
    lines += ["", "Outside a switch", *_pair("#NM", join_ops(kernel.nm_ops) or "never occurs")]
    lines += _pair("leave_mm", join_ops(kernel.leave_mm_ops) or "(no op)")
    lines += ["", "Rules", *_pair("IOPL", _iopl(kernel)), *_pair("FPU", _fpu(kernel))]
    lines += _pair("lazy CPU mode", "yes" if kernel.lazy_cpu else "none: every op is carried out at once")
    lines += _pair("lazy MMU mode", _lazy_mmu(kernel))
    for heading, texts in (
        ("Notes", kernel.notes),
        ("Not settled by the sources", kernel.uncertain),
        ("Sources", kernel.sources),
    ):
        if texts:
            lines += ["", heading]
            for text in texts:
                lines += _wrap(text, "    ", "  - ")
    return "\n".join(lines) + "\n"


def kernel_data(kernel: Kernel) -> dict[str, Any]:
    """*kernel* as plain data, keys in the order of the file format."""
    return {
        "name": kernel.name,
        "title": kernel.title,
        "arch": kernel.arch,
        "version": list(kernel.version),
        "released": kernel.released,
        "iopl": kernel.iopl,
        "user_segment": kernel.user_segment,
        "parks": kernel.parks,
        "irq_ignores_lazy": kernel.irq_ignores_lazy,
        "lazy_cpu": kernel.lazy_cpu,
        "lazy_mmu": kernel.lazy_mmu,
        "nm": list(kernel.nm_ops),
        "leave_mm": list(kernel.leave_mm_ops),
        "fpu": {
            "model": kernel.fpu.model,
            "eager_above": kernel.fpu.eager_above,
            "eager_needs_used_math": kernel.fpu.eager_needs_used_math,
            "reset_on_exec": kernel.fpu.reset_on_exec,
            "drop_on_exit": kernel.fpu.drop_on_exit,
        },
        "steps": [
            {
                "name": step.name,
                "when": step.when,
                "ops": list(step.ops),
                "source": step.source,
                "note": step.note,
            }
            for step in kernel.steps
        ],
        "sources": list(kernel.sources),
        "notes": list(kernel.notes),
        "uncertain": list(kernel.uncertain),
    }


def join_ops(ops: Iterable[str]) -> str:
    """Ops joined by commas; neighbours that differ in the operand alone become ``name:0,1,2``."""
    joined: list[str] = []
    last = ""
    for op in ops:
        name, operand = split_op(op)
        if operand and name == last:
            joined[-1] += f",{operand}"
        else:
            joined.append(op)
        last = name if operand else ""
    return ", ".join(joined)


def _when(guard: str) -> str:
    return {"true": "always", "false": "never"}.get(guard, guard)


def _iopl(kernel: Kernel) -> str:
    return {
        "posted": "posted: written whenever IOPL differs",
        "merged": "merged: written when IOPL differs and the kernel is not at ring 0",
        "never": "never written in the switch",
    }[kernel.iopl]


def _fpu(kernel: Kernel) -> str:
    rules = kernel.fpu
    if rules.model == "none":
        last = ", but not at the last switch: exit drops them" if rules.drop_on_exit else ""
        return f"no CR0.TS and no #NM: the registers of user tasks are always saved{last}"
    used = " and the task has used_math" if rules.eager_needs_used_math else ""
    survives = "cleared by exec" if rules.reset_on_exec else "survives exec"
    return (
        f"lazy by CR0.TS; restored eagerly when fpu_counter > {rules.eager_above}{used}; the 8-bit counter "
        f"wraps, is cleared by a switch out without use, and {survives}"
    )


def _lazy_mmu(kernel: Kernel) -> str:
    if not kernel.lazy_mmu:
        return "none: every op is carried out at once"
    parks = "parked at a switch" if kernel.parks else "must not be on at a switch"
    return f"{parks}; {'off' if kernel.irq_ignores_lazy else 'stays on'} in interrupts"


def _row(step: str, when: str, ops: str) -> list[str]:
    whens = _pieces(when, 29) or [""]
    opses = _pieces(ops, 26) or [""]
    steps = [step]
    lines = []
    for index in range(max(len(whens), len(opses))):
        cells = [column[index] if index < len(column) else "" for column in (steps, whens, opses)]
        lines.append(f"{cells[0]:<23} {cells[1]:<29} {cells[2]}".rstrip())
    return lines


def _pair(key: str, value: str) -> list[str]:
    return _wrap(value, " " * 17, f"  {key:<14} ")


def _wrap(text: str, indent: str, first: str | None = None) -> list[str]:
    start = indent if first is None else first
    return [
        (start if index == 0 else indent) + piece
        for index, piece in enumerate(_pieces(text, WIDTH - max(len(indent), len(start))))
    ]


def _pieces(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)

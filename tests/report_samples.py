"""Reports made by hand, for the renderers' tests."""

from __future__ import annotations

from pvreplay.replay.result import BackendResult, DrawnStep, First, Report, Totals, Violation, WhatIf

HOSTILE = 'e\x1b[31mvil\x07\u202e"<b>[red]\udcff\n'
"""Terminal sequences, bell, a direction override, quotes, markup, a byte that is no UTF-8, a newline."""


def violation(**changes: object) -> Violation:
    """A RAW hazard on two backends."""
    fields: dict[str, object] = {
        "rule": "H1",
        "name": "raw-queued",
        "severity": "error",
        "backends": ["vmi", "xen"],
        "count": 182044,
        "step": 4,
        "first": First(event=311, time_ns=412_000, cpu=1, prev="make", next="cc1"),
        "op": "loadsegment:gs",
        "message": "reads GDT.TLS, still queued since step 3",
        "advice": "Leave lazy CPU mode before loading a selector whose descriptor is queued.",
        "drawn": [
            DrawnStep(index=2, op="write_cr3", disposition="queued", detail="CR3 pending"),
            DrawnStep(index=3, op="load_tls", disposition="queued", detail="GDT.TLS pending"),
            DrawnStep(index=4, op="loadsegment:gs", disposition="immediate", mark=True),
            DrawnStep(index=5, op="leave_lazy_cpu", disposition="flush", detail="1 hypercall, 4 entries"),
        ],
        "shape": "mm_differs+next_gs",
        "consequences": ["W2"],
    }
    return Violation(**(fields | changes))  # type: ignore[arg-type]


def native() -> BackendResult:
    """A backend that never crosses."""
    return BackendResult(name="native", histogram={0: 23}, by_op={"write_cr3": Totals(count=20)})


def xen() -> BackendResult:
    """A backend that crosses once or twice a switch, and in #NM."""
    return BackendResult(
        name="xen",
        hypercalls=30,
        hypercalls_per_switch=30 / 23,
        entries=71,
        traps=3,
        flushes={"leave_lazy_cpu": 23, "other_mode": 2},
        batch_sizes={2: 13, 11: 1, 4: 9},
        by_op={
            "leave_lazy_cpu": Totals(hypercalls=25, count=23),
            "load_tls": Totals(entries=21, count=23),
            "write_cr3": Totals(entries=50, count=20),
            "clts": Totals(hypercalls=5, traps=3, count=5),
        },
        histogram={1: 21, 2: 2},
        in_switch=Totals(hypercalls=25, entries=71, count=23),
        outside={"nm": Totals(hypercalls=5, traps=3, count=5), "leave_mm": Totals()},
        by_task={
            0: Totals(hypercalls=3, count=3),
            1: Totals(hypercalls=15, count=11),
            2: Totals(hypercalls=12, count=9),
        },
        by_cpu={0: Totals(hypercalls=20, count=13), 1: Totals(hypercalls=10, count=10)},
        by_shape={
            "mm_differs": Totals(hypercalls=20, count=15),
            "mm_differs+next_gs+tls=1": Totals(hypercalls=5, count=8),
        },
        notes=["entered the kernel in 2.6.23: priced by its 2.6.24 rows"],
        unbatched_hypercalls=94,
    )


def report(**changes: object) -> Report:
    """A small clean run on two backends."""
    fields: dict[str, object] = {
        "kernel": "2.6.21",
        "kernel_source": "built in",
        "path": "pingpong.bin",
        "format": "trace.bin",
        "events": 58,
        "switches": 23,
        "cpus": 2,
        "tasks": 2,
        "lost_events": 0,
        "duration_ns": 1_204_000_000,
        "state": {
            "mm": ("derived", "task_newtask, exec", ""),
            "fpu": ("assumed", "never used", "--assume fpu=always"),
            "tls": ("assumed", "none set", "--assume tls=..."),
            "ldt": ("assumed", "none set", "--assume tls=..."),
            "iopl": ("observed", "trace.bin", ""),
        },
        "doubts": {},
        "damage": "",
        "backends": [native(), xen()],
        "violations": [],
        "task_names": {1: "make-101", 2: "cc1-102"},
        "engine": "shape",
        "compiled": True,
        "version": "0.1.0",
    }
    return Report(**(fields | changes))  # type: ignore[arg-type]


def window(**changes: object) -> WhatIf:
    """An NMI that would find the FPU's owner and CR0.TS apart."""
    fields: dict[str, object] = {
        "rule": "P7",
        "name": "window",
        "severity": "error",
        "event": "nmi",
        "backends": ["xen"],
        "count": 577,
        "units": 5,
        "steps": [3, 4],
        "after": "fpu_save",
        "before": "write_cr0",
        "message": "FPU.owner is next's since step 2, CR0.TS only from step 4",
        "advice": "Make both writes take effect with nothing in between.",
        "drawn": [
            DrawnStep(index=2, op="fpu_save", disposition="plain"),
            DrawnStep(index=3, op="nmi_enter:gdt+fpu", disposition="put in", mark=True),
            DrawnStep(index=3, op="nmi_exit", disposition="put in"),
            DrawnStep(index=4, op="write_cr0", disposition="trap"),
        ],
    }
    return WhatIf(**(fields | changes))  # type: ignore[arg-type]

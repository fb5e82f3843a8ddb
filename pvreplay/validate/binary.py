"""trace.dat, perf.data and raw pages as items: the decoders of the sources give evidence, too."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pvreplay.sources import records as r
from pvreplay.sources.records import RawSource

if TYPE_CHECKING:
    from pvreplay.validate.items import Item, Recording

RECORDS: Final = 8192
NAMES: Final[dict[int, str]] = {
    r.SWITCH: "sched_switch",
    r.NEWTASK: "task_newtask",
    r.TLB_FLUSH: "tlb_flush",
    r.FPU_DEACTIVATED: "x86_fpu_regs_deactivated",
    r.FPU_ACTIVATED: "x86_fpu_regs_activated",
    r.XEN_CR3: "xen_mmu_write_cr3",
    r.XEN_SET_LDT: "xen_cpu_set_ldt",
    r.MM_FLUSHED: "mm flushed",
    r.MC_BATCH: "xen_mc_batch",
    r.MC_ISSUE: "xen_mc_issue",
    r.MC_ENTRY: "xen_mc_entry",
    r.MC_ENTRY_ALLOC: "xen_mc_entry_alloc",
    r.MC_EXTEND: "xen_mc_extend_args",
    r.MC_CALLBACK: "xen_mc_callback",
    r.MC_FLUSH: "xen_mc_flush",
    r.MC_FLUSH_REASON: "xen_mc_flush_reason",
}
_ONE_COMM: Final = frozenset({r.NEWTASK, r.FORK, r.EXEC, r.RENAME, r.INFO})


def record_items(recording: Recording) -> Iterator[Item]:
    """The items of a trace.dat or perf.data."""
    from pvreplay.validate.items import Item

    source = _open(recording)
    recording.word_bits = source.word_bits
    words = memoryview(array("Q", bytes(r.RECORD_BYTES * RECORDS)))
    comms = [0]
    while count := source.fill(words, 0):
        for name in source.comms[len(comms) :]:
            comms.append(recording.intern(name))
        for at in range(0, 4 * count, 4):
            w0, w1, w2, c = words[at : at + 4]
            kind, a, b = w1 >> 16 & 0xFF, w2 & 0xFFFFFFFF, w2 >> 32
            if kind == r.SWITCH:
                c = c & ~0xFFFFFFFFFFFF | comms[c & 0xFFFFFF] | comms[c >> 24 & 0xFFFFFF] << 24
            elif kind in _ONE_COMM:
                c = comms[c & 0xFFFFFF]
            event = NAMES.get(kind, f"record {kind}")
            text = f"{event}: {a} {b} {c:x}"
            yield Item(w0, w1 & 0xFFFF, w1 >> 32, kind, a, b, c, w1 >> 24 & 0xFF, event, "", text)
    if source.damage:
        recording.damage = source.damage


def _open(recording: Recording) -> RawSource:
    if recording.binary == "perf.data":
        from pvreplay.sources.perfdata import PerfData

        return PerfData(recording.local_path(), recording.path)
    if recording.binary != "trace.dat":
        from pvreplay.sources import rawpages

        return rawpages.open_raw(recording.path)
    from pvreplay.sources.tracedat import open_raw

    return open_raw(recording.local_path(), recording.path)

"""trace.dat, perf.data and raw pages as items: the decoders of the sources give evidence, too."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pvreplay.sources import records as r
from pvreplay.sources.kallsyms import Names
from pvreplay.sources.records import RawSource
from pvreplay.sources.tracinghead import Buffer

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
_CALLS: Final = frozenset({r.FUNCTION, r.CALL, r.RETURN})
_ONE_COMM: Final = frozenset({r.NEWTASK, r.FORK, r.EXEC, r.RENAME, r.INFO})


def record_items(recording: Recording) -> Iterator[Item]:
    """The items of a trace.dat or perf.data."""
    from pvreplay.validate.items import Item

    source = _open(recording)
    calls = _Calls(getattr(source, "kallsyms", b""))
    recording.word_bits = source.word_bits
    words = memoryview(array("Q", bytes(r.RECORD_BYTES * RECORDS)))
    comms = [0]
    while count := source.fill(words, 0):
        for name in source.comms[len(comms) :]:
            comms.append(recording.intern(name))
        for at in range(0, 4 * count, 4):
            w0, w1, w2, c = words[at : at + 4]
            kind, a, b = w1 >> 16 & 0xFF, w2 & 0xFFFFFFFF, w2 >> 32
            if kind in _CALLS:
                called = calls.item((w0, w1 & 0xFFFF, w1 >> 32), kind, w2, c)
                recording.graphed = recording.graphed or kind != r.FUNCTION
                if called is not None:
                    yield called
                continue
            if kind == r.SWITCH:
                c = c & ~0xFFFFFFFFFFFF | comms[c & 0xFFFFFF] | comms[c >> 24 & 0xFFFFFF] << 24
            elif kind in _ONE_COMM:
                c = comms[c & 0xFFFFFF]
            event = NAMES.get(kind, f"record {kind}")
            text = f"{event}: {a} {b} {c:x}"
            yield Item(w0, w1 & 0xFFFF, w1 >> 32, kind, a, b, c, w1 >> 24 & 0xFF, event, "", text)
    if source.damage:
        recording.damage = source.damage


class _Calls:
    """Records of the function tracers as items, with the names of *kallsyms*."""

    def __init__(self, kallsyms: Buffer) -> None:
        from pvreplay.validate.graph import CallStacks

        self._names = Names(bytes(kallsyms))
        self._stacks = CallStacks()

    def item(self, where: tuple[int, int, int], kind: int, address: int, caller: int) -> Item | None:
        """The item of a call; None for the end of one."""
        from pvreplay.validate.items import Item

        if kind == r.RETURN:
            self._stacks.end(where)
            return None
        name = self._names(address)
        if kind == r.CALL:
            return self._stacks.call(where, name, f"{name.decode()}()")
        parent = self._names(caller)
        called, by = (each.decode().partition(".")[0] for each in (name, parent))
        return Item(*where, r.FUNCTION, 0, 0, 0, 0, called, by, f"{name.decode()} <-{parent.decode()}")


def _open(recording: Recording) -> RawSource:
    if recording.binary == "perf.data":
        from pvreplay.sources.perfdata import PerfData

        return PerfData(recording.local_path(), recording.path)
    if recording.binary != "trace.dat":
        from pvreplay.sources import rawpages

        return rawpages.open_raw(recording.path)
    from pvreplay.sources.tracedat import open_raw

    return open_raw(recording.local_path(), recording.path, calls=True)

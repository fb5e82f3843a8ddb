"""What in a recording shows that an op of the switch path ran, and what tells the state of a task.

*Signs* are evidence: nothing of them reaches the prediction.  What is left of
a recording without them, and the calls of functions from outside the switch
path, tells the state: a task that returns to user mode with an I/O bitmap, a
task that clones itself, an mm that is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pvreplay.sources import records as r
from pvreplay.validate.items import Item

ALWAYS: Final = frozenset(
    {
        "start_context_switch",
        "read_msr:gs_base",
        "load_tls",
        "end_context_switch",
        "write_msr:gs_base",
        "load_sp0",
    }
)
"""Ops of every switch under Xen."""
SIZES: Final = ("ev:xen_mc_batch", "ev:xen_mc_flush", "ev:stack_switch")
"""Signs that together tell the flushes of every switch."""
XTRA: Final = "__switch_to_xtra"
"""Pseudo op: the call of __switch_to_xtra(), which is no pv op but decides on some."""

#: op -> what shows it, best first.  "fn:NAME<-CALLER" ("" any caller), "ev:EVENT".
XEN_SIGNS: Final[dict[str, tuple[str, ...]]] = {
    "start_context_switch": ("fn:paravirt_start_context_switch",),
    "write_cr3": ("fn:xen_write_cr3", "ev:xen_mmu_write_cr3"),
    "set_ldt": ("fn:xen_set_ldt", "ev:xen_cpu_set_ldt"),
    "fpu_save": ("fn:save_fpregs_to_fpstate<-__switch_to", "ev:x86_fpu_regs_deactivated"),
    "read_msr:gs_base": ("fn:xen_read_msr<-__rdgsbase_inactive",),
    "load_tls": ("fn:xen_load_tls", "ev:xen_mc_issue"),
    "end_context_switch": ("fn:xen_end_context_switch", "ev:xen_mc_flush"),
    "load_gs_index": ("fn:xen_load_gs_index<-__switch_to",),
    "write_msr:gs_base": ("fn:xen_write_msr<-__wrgsbase_inactive",),
    "load_sp0": ("fn:xen_load_sp0", "ev:stack_switch"),
    XTRA: ("fn:__switch_to_xtra",),
    "invalidate_io_bitmap": ("fn:xen_invalidate_io_bitmap<-__switch_to_xtra",),
    "read_msr:debugctl": ("fn:xen_read_msr<-__switch_to_xtra",),
    "write_msr:debugctl": ("fn:xen_write_msr<-__switch_to_xtra",),
    "write_cr4": ("fn:xen_write_cr4", "fn:native_write_cr4"),
}
NATIVE_SIGNS: Final[dict[str, tuple[str, ...]]] = {
    "write_cr3": (
        "ev:tlb_flush",
        "fn:load_new_mm_cr3",
        "fn:switch_mm_irqs_off:args",
        "fn:switch_ldt<-switch_mm_irqs_off",
    ),
    "set_ldt": ("fn:load_mm_ldt",),
    "fpu_save": ("fn:save_fpregs_to_fpstate<-__switch_to", "ev:x86_fpu_regs_deactivated"),
    XTRA: ("fn:__switch_to_xtra",),
}

#: Callers that are the switch path itself.
PATH: Final = frozenset(
    {
        "__schedule",
        "context_switch",
        "__switch_to",
        "__switch_to_asm",
        "__switch_to_xtra",
        "switch_mm_irqs_off",
        "load_new_mm_cr3",
        "switch_ldt",
        "load_mm_ldt",
        "xen_load_tls",
        "xen_end_context_switch",
        "__rdgsbase_inactive",
        "__wrgsbase_inactive",
        "xen_mc_issue",
    }
)
#: Functions of perf's sched-out and sched-in: in the window, not of the path.
BREAKPOINT: Final = frozenset({"arch_install_hw_breakpoint", "arch_uninstall_hw_breakpoint"})
#: Steps inside ops, or work whose op is told by another line.
DETAILS: Final = frozenset(
    {
        "enter_lazy_tlb",
        "switch_mm_irqs_off",
        "load_new_mm_cr3",
        "switch_ldt",
        "load_mm_ldt",
        "load_TLS_descriptor",
        "xen_mc_flush",
        "paravirt_end_context_switch",
        "xen_write_cr3",
        "xen_set_ldt",
        "native_tss_update_io_bitmap",
    }
)

XEN_TYPES: Final = frozenset(
    {
        r.MC_BATCH,
        r.MC_ISSUE,
        r.MC_ENTRY,
        r.MC_ENTRY_ALLOC,
        r.MC_EXTEND,
        r.MC_CALLBACK,
        r.MC_FLUSH,
        r.MC_FLUSH_REASON,
        r.XEN_CR3,
        r.XEN_SET_LDT,
    }
)
STATE_TYPES: Final = frozenset(
    {
        r.SWITCH,
        r.NEWTASK,
        r.FORK,
        r.EXEC,
        r.EXIT,
        r.FREE,
        r.RENAME,
        r.INFO,
        r.SAME_MM,
        r.LOST,
        r.MM_FLUSHED,
        r.SYS_ENTER,
        r.SYS_EXIT,
        r.RAW_ENTER,
        r.RAW_EXIT,
    }
)
"""Records the prediction may see; every other type is evidence, or tells nothing."""

#: Calls that flush the TLB entries of the current task's mm on other CPUs.
FLUSHES: Final = frozenset(
    {("xen_flush_tlb_multi", "flush_tlb_mm_range"), ("native_flush_tlb_multi", "flush_tlb_mm_range")}
)
XEN_FLUSH: Final = "xen_mmu_flush_tlb_multi"
SEND_IPI: Final = 4
"""tlb_flush's reason TLB_REMOTE_SEND_IPI."""
#: (function, caller) that tell a task's state, and are not called so inside the switch path.
STATE_CALLS: Final = frozenset(
    {
        ("save_fpregs_to_fpstate", "fpu_clone"),
        ("save_fpregs_to_fpstate", "kernel_fpu_begin_mask"),
        ("xen_dup_mmap", "dup_mmap"),
        ("xen_load_gs_index", "start_thread_common"),
        ("enter_lazy_tlb", "do_exit"),
        ("switch_mm_irqs_off", "switch_mm"),
        ("switch_mm_irqs_off", "flush_tlb_func"),
        ("switch_mm_irqs_off", "flush_tlb_mm_range"),
        ("switch_mm_irqs_off", "__flush_smp_call_function_queue"),
        ("xen_load_tls", "set_tls_desc"),
        ("set_tls_desc", "do_set_thread_area"),
        ("do_set_thread_area", "__ia32_sys_set_thread_area"),
        ("do_set_thread_area", ""),
        ("load_mm_ldt", "flush_ldt"),
        ("xen_update_io_bitmap", "exit_to_user_mode_prepare"),
        ("native_tss_update_io_bitmap", "exit_to_user_mode_prepare"),
        ("native_tss_update_io_bitmap", ""),
        ("xen_update_io_bitmap", "task_update_io_bitmap"),
        ("native_tss_update_io_bitmap", "task_update_io_bitmap"),
        ("switch_fpu_return", "exit_to_user_mode_prepare"),
        *FLUSHES,
    }
)


def is_state(item: Item) -> bool:
    """Whether the prediction may see *item*."""
    if item.type == r.FUNCTION:
        return (item.name, item.parent) in STATE_CALLS
    if item.name == XEN_FLUSH or (item.type == r.TLB_FLUSH and item.a == SEND_IPI):
        return True
    return item.type in STATE_TYPES


def sign_of(item: Item) -> str:
    """The name under which :class:`Survey` counts *item* as a sign; "" when it is none."""
    if item.type == r.FUNCTION:
        return f"fn:{item.name}"
    if item.type == r.MC_ENTRY:
        return "ev:stack_switch" if item.a == 3 else "ev:xen_mc_entry"
    if item.type == r.TLB_FLUSH:
        return "ev:tlb_flush" if item.a == 0 else ""
    if item.type in XEN_TYPES or item.type == r.FPU_DEACTIVATED:
        return f"ev:{item.name}"
    return ""


class Survey:
    """One pass over everything: which signs and which sources of state a recording has."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.signs: dict[str, list[int]] = {}
        """sign -> numbers of the switches after its first, and before its last, occurrence."""
        self.switches = 0
        self.lost = 0
        for item in items:
            sign = sign_of(item)
            if sign:
                self._meet(sign)
                if item.type == r.FUNCTION and item.parent:
                    self._meet(f"{sign}<-{item.parent}")
                elif item.type == r.FUNCTION and (item.a or item.b):
                    self._meet(f"{sign}:args")
            if item.type == r.SWITCH:
                self.switches += 1
            elif item.type == r.LOST:
                self.lost += 1

    def _meet(self, sign: str) -> None:
        self.signs.setdefault(sign, [self.switches, 0])[1] = self.switches - 1

    def covered(self, signs: Iterable[str]) -> tuple[int, int]:
        """The first and the last switch whose window holds all of *signs*, if every switch has them.

        A recording is switched on, and off, event by event.
        """
        spans = [self.signs[sign] for sign in signs if sign in self.signs]
        return max((span[0] for span in spans), default=0), min(
            (span[1] for span in spans), default=self.switches - 1
        )

    @property
    def xen(self) -> bool:
        """Whether a Xen guest was recorded."""
        return any(sign.startswith(("ev:xen_", "fn:xen_")) for sign in self.signs)

    @property
    def flushes(self) -> bool:
        """Whether flushes were recorded with their sizes."""
        return "ev:xen_mc_flush" in self.signs

    def shown(self, signs: dict[str, tuple[str, ...]]) -> dict[str, str]:
        """op -> the sign to look for, for the ops this recording shows."""
        return {
            op: next(sign for sign in choices if sign in self.signs)
            for op, choices in signs.items()
            if any(sign in self.signs for sign in choices)
        }

"""Small Xen recordings written in code: switches as ftrace text with their evidence."""

from __future__ import annotations

CR3 = (
    "xen_mc_batch: start batch LAZY_CPU",
    "xen_mmu_write_cr3: kernel cr3 679a000",
    "xen_mc_extend_args: extending op 26(mmuext_op) by 24 bytes res BAD_OP",
    "xen_mc_entry_alloc: alloc entry 24 arg bytes",
    "xen_mc_entry: op 26(mmuext_op) args [ffff88809901ead0, 1, 0, 7ff0, 0, 0]",
    "xen_mc_callback: callback set_current_cr3, data 00000000d646c61c",
    "xen_mmu_write_cr3: user cr3 bbc3000",
    "xen_mc_extend_args: extending op 26(mmuext_op) by 24 bytes res OK",
    "xen_mc_issue: start batch LAZY_CPU",
)
SET_LDT = (
    "xen_mc_batch: start batch LAZY_CPU",
    "xen_cpu_set_ldt: addr ffffc90000000000, entries 1",
    "xen_mc_entry_alloc: alloc entry 24 arg bytes",
    "xen_mc_entry: op 26(mmuext_op) args [ffff88809901eae8, 1, 0, 7ff0, 0, 0]",
    "xen_mc_issue: start batch LAZY_CPU",
)
DESCRIPTOR = (
    "xen_mc_entry_alloc: alloc entry 0 arg bytes",
    "xen_mc_entry: op 10(update_descriptor) args [af878060, dff3002000ffff, 0, 0, 0, 0]",
)
LOAD_SP0 = (
    "xen_mc_batch: start batch LAZY_NONE",
    "xen_mc_entry_alloc: alloc entry 0 arg bytes",
    "xen_mc_entry: op 3(stack_switch) args [18, ffffc9004064c000, 0, 0, 0, 0]",
    "xen_mc_issue: start batch LAZY_CPU",
    "xen_mc_flush: flushing 1 hypercalls, 0 arg bytes, 0 callbacks",
)


class Text:
    """Lines of one CPU, a microsecond apart."""

    def __init__(self) -> None:
        self.lines = ["# tracer: nop", "#"]
        self._time_us = 1_000_000
        self._now = ("swapper/0", 0)

    def line(self, text: str, cpu: int = 0) -> Text:
        """One event of whoever runs."""
        name, pid = self._now
        self._time_us += 1
        seconds, rest = divmod(self._time_us, 1_000_000)
        comm = "<idle>" if pid == 0 else name
        self.lines.append(f"{comm:>16}-{pid:<7} [{cpu:03}] d..2.  {seconds}.{rest:06}: {text}")
        return self

    def switch(
        self,
        to: tuple[str, int],
        *,
        cr3: bool = False,
        ldt: bool = False,
        tls: int = 0,
        state: str = "S",
        inside: tuple[str, ...] = (),
        flush: str = "",
    ) -> Text:
        """A switch and what the kernel did; *flush* replaces the end-of-switch flush."""
        (prev, prev_pid), (name, pid) = self._now, to
        self.line(
            f"sched_switch: prev_comm={prev} prev_pid={prev_pid} prev_prio=120 "
            f"prev_state={'R' if prev_pid == 0 else state} ==> next_comm={name} next_pid={pid} next_prio=120"
        )
        tls_batch = (
            "xen_mc_batch: start batch LAZY_CPU",
            *DESCRIPTOR * tls,
            "xen_mc_issue: start batch LAZY_CPU",
        )
        entries, size = cr3 + ldt + tls, 48 * cr3 + 24 * ldt
        end = flush or f"xen_mc_flush: flushing {entries} hypercalls, {size} arg bytes, {int(cr3)} callbacks"
        for text in (*(CR3 if cr3 else ()), *(SET_LDT if ldt else ()), *inside, *tls_batch, end):
            self.line(text)
        self._now = to
        for text in LOAD_SP0:
            self.line(text)
        return self

    def born(self, name: str, pid: int, flags: int = 0x1200000) -> Text:
        """A child of whoever runs."""
        return self.line(f"task_newtask: pid={pid} comm={name} clone_flags={flags:x} oom_score_adj=0")

    def call(self, number: int, *args: int) -> Text:
        """A raw system call that succeeds."""
        told = ", ".join(f"{arg:x}" for arg in (*args, 0, 0, 0, 0, 0, 0)[:6])
        return self.line(f"sys_enter: NR {number} ({told})").line(f"sys_exit: NR {number} = 0")

    def bytes(self) -> bytes:
        return ("\n".join(self.lines) + "\n").encode("utf-8", "surrogateescape")


IDLE = ("swapper/0", 0)
SHELL = ("sh", 100)


def started() -> Text:
    """A shell that runs and has made two processes, 201 and 202."""
    text = Text().switch(SHELL, cr3=True).switch(IDLE).switch(SHELL)
    return text.born("one", 201).born("two", 202)

"""The pv ops of one CPU, line by line: where a switch begins and ends, and what counts once.

A function trace shows calls.  One call of the kernel can show up under several
names, and again as a tracepoint; lines of a switch carry the name of either
task.  So a line is never attributed by its task column: a switch belongs to
the last sched_switch on its CPU, and an op to the switch when it is called
from inside it.

Where there are tracepoints alone, the batches tell: one that begins in lazy
CPU mode was begun in a switch, one without an op in it is that of load_tls,
and a flush outside any batch ends the mode that is on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from pvreplay.sources.symbols import OTHER_PTE, Meaning, Symbols
from pvreplay.trace.events import Kind
from pvreplay.trace.names import KINDS_BY_NAME

NONE: Final = "NONE"
MMU: Final = "MMU"
CPU: Final = "CPU"

_START: Final = "start_context_switch"
_END: Final = "end_context_switch"
_IN_SWITCH: Final = frozenset({"write_cr3", "set_ldt", "load_sp0", "load_tls"})
"""Calls that tracepoints show and a switch may make."""
_PTE: Final = re.compile(rb"ptep ([0-9a-f]+)")

Out = Callable[[int, int, int, int], None]
"""(time in ns, CPU, kind, argument) of an event."""
Line = tuple[int, Meaning, bytes]
"""Time, meaning, and the PTE its text names."""


class Shared:
    """What all CPUs of a trace know.

    *functions*: functions are traced.  *batches*: so are Xen's batches.
    *unknown* gives the task of a switch that nothing told of, *doubt* counts
    what could not be told.
    """

    def __init__(self, out: Out, unknown: Callable[[], int], doubt: Callable[[str], None]) -> None:
        self.functions = False
        self.batches = False
        self.out = out
        self.unknown = unknown
        self.doubt = doubt


class OpCpu:
    """One CPU of a trace of pv ops."""

    def __init__(self, number: int, symbols: Symbols, shared: Shared) -> None:
        self.number = number
        self.current: int | None = None
        """The task that runs, None when nothing has told."""
        self._symbols = symbols
        self._shared = shared
        self._fresh()

    def _fresh(self) -> None:
        """Nothing is known of what is under way."""
        # the switch, its events held until it is over
        self._window: list[tuple[int, int, int]] | None = None
        self._told = False
        self._started = self._ended = False
        self._cr3_written = False
        self._once: set[bytes] = set()
        self._start_due: int | None = None
        self._user_due = False
        # one call under several names
        self._call = ""
        self._names: set[str] = set()
        # what waits for the next line
        self._held: Line | None = None
        self._tls: tuple[int, int] | None = None
        """Time of a load_tls, and how many slots it changes as far as is known."""
        # lazy MMU mode: None when it is not known
        self._section: bool | None = None
        self._queued: set[bytes] = set()
        """PTEs written in the section."""
        # batches
        self._batch: str | None = None
        self._batch_ops = 0
        self._batch_slots = 0

    # --- who runs -------------------------------------------------------------------------------

    def switch(self, time_ns: int, prev: int, following: int) -> None:
        """sched_switch: the switch from *prev* to *following* begins."""
        self._settle()
        self.close()
        if self.current != prev:
            self._emit(time_ns, Kind.ON, prev)
        self._begin(time_ns, following)
        self._told = True

    def runs(self, time_ns: int, task: int) -> None:
        """function_graph: *task* runs now, so a switch to it is under way or just over."""
        self._settle()
        if self._window is not None and not self._told:
            self._window[0] = (self._window[0][0], Kind.BEGIN, task)
            self.current = task
        elif self.current != task:
            self.close()
            self._begin(time_ns, task)
        self._told = True

    def _begin(self, time_ns: int, task: int) -> None:
        self._window = [(time_ns, Kind.BEGIN, task)]
        self.current = task
        self._started = self._ended = self._cr3_written = self._user_due = self._told = False
        self._once = set()
        self._new_call("")

    def lost(self, time_ns: int, count: int) -> None:
        """Events are missing: nothing of what was under way is known any more."""
        self.finish()
        self._emit(time_ns, Kind.LOST, count)
        self.current = None
        self._fresh()

    def finish(self) -> None:
        """After the last line: a switch that is cut off is left out."""
        self._settle()
        if self._window is not None and self._started and not self._ended:
            self._shared.doubt("cut_switches")
            self._window = None
            return
        self.close()

    def close(self) -> None:
        """The switch is over, at the last of its ops."""
        self._flush_due()
        window, self._window = self._window, None
        if window is None:
            return
        if len(window) == 1:
            self._shared.doubt("switches_without_ops")
        if not self._told:
            self._shared.doubt("switches_of_unknown_tasks")
        for time_ns, kind, arg in window:
            self._emit(time_ns, kind, arg)
        self._emit(window[-1][0], Kind.END, 0)

    # --- lines ----------------------------------------------------------------------------------

    def function(self, time_ns: int, name: bytes, caller: bytes) -> bool:
        """A traced function; whether it is known."""
        meaning = self._symbols.function(name, caller)
        if meaning is None:
            return False
        self._settle()
        if meaning.does:
            return True
        inside = not caller or caller in self._symbols.callers
        if caller in self._symbols.roots:
            self._in_switch(time_ns, name)
        if self._same_call(meaning):
            return True
        if self._user_due and meaning.kind != "user":
            self._user(time_ns)
        if not inside:
            self.close()
        self._ops(time_ns, meaning)
        if meaning.kind == "user":
            self._user(time_ns)
        else:
            self._user_due = "update_io_bitmap" in meaning.ops and caller.startswith(b"exit_to_user")
        return True

    def _in_switch(self, time_ns: int, name: bytes) -> None:
        """A call from inside a switch: begin one when none is known of, or when this is the next."""
        if self._window is None or name in self._once:
            self.close()
            self._begin(time_ns, self._shared.unknown())
        if name in self._symbols.once:
            self._once.add(name)

    def event(self, time_ns: int, name: bytes, text: bytes) -> bool:
        """A tracepoint; whether it means something."""
        meaning = self._symbols.event(name, text)
        if meaning is None:
            return False
        if meaning.does == "slot":
            self._batch_slots += 1
            if self._tls is not None:
                self._tls = self._tls[0], min(self._tls[1] + 1, 3)
            return True
        if meaning.does == "batch":
            self._begin_batch(time_ns, text)
            return True
        self._settle()
        found = _PTE.search(text) if meaning.pte else None
        line = time_ns, meaning, found[1] if found else b""
        if meaning.does == "issue":
            self._issue(time_ns)
        elif meaning.does == "flush":
            self._flush(time_ns)
        elif meaning.held:
            self._held = line
        else:
            self._release(line)
        return True

    def interrupt(self, time_ns: int, begins: bool) -> None:
        """function_graph's arrows: an interrupt begins or ends."""
        self._settle()
        self._out(time_ns, Kind.IRQ_ENTER if begins else Kind.IRQ_EXIT)

    # --- batches --------------------------------------------------------------------------------

    def _begin_batch(self, time_ns: int, text: bytes) -> None:
        """xen_mc_batch: an op that was held is one that is queued."""
        mode = NONE if b"LAZY_NONE" in text else MMU if b"LAZY_MMU" in text else CPU
        self._shared.batches = True
        if not self._shared.functions:
            self._infer_mode(self._held[0] if self._held else time_ns, mode)
        held, self._held = self._held, None
        self._batch, self._batch_ops, self._batch_slots = mode, 0, 0
        if held is not None:
            self._release(held)

    def _infer_mode(self, time_ns: int, mode: str) -> None:
        """Enter the lazy mode that a batch says is on."""
        if mode == MMU and not self._section:
            self.close()
            self._out(time_ns, Kind.ENTER_MMU)
        if mode == CPU and not (self._window is not None and self._started):
            if self._window is None:
                self._begin(time_ns, self._shared.unknown())
            self._started = True
            self._op(time_ns, _START)

    def _issue(self, time_ns: int) -> None:
        """xen_mc_issue: a batch without an op of its own is that of load_tls."""
        batch, self._batch = self._batch, None
        if batch is None or self._shared.functions or self._batch_ops:
            return
        if batch == CPU or self._batch_slots:
            if self._ended:
                self.close()
            self._new_call("load_tls")
            self._op(time_ns, f"load_tls:{min(self._batch_slots, 3)}")
        else:
            # page tables pinned or unpinned; a whole TLB flushed
            self._shared.doubt("batches_of_no_known_op")

    def _flush(self, time_ns: int) -> None:
        """xen_mc_flush outside a batch: the mode that is on is left."""
        if self._shared.functions or self._batch is not None:
            return
        if self._section:
            self._out(time_ns, Kind.LEAVE_MMU)
        elif self._window is not None and self._started and not self._ended:
            self._ended = True
            self._op(time_ns, _END)

    # --- ops ------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """The next line has come: what was held counts as it stands."""
        held, self._held = self._held, None
        if held is not None and not (held[1].batched and self._shared.batches):
            self._release(held)

    def _release(self, line: Line) -> None:
        """A tracepoint's op; one that is no part of the switch ends it."""
        time_ns, meaning, pte = line
        if self._same_call(meaning):
            return
        outside = bool(meaning.kind) or meaning.call not in _IN_SWITCH
        late = self._ended and not self._shared.functions and meaning.call != "load_sp0"
        if (outside or late) and not meaning.kind.startswith("irq_"):
            self.close()
        self._ops(time_ns, meaning, pte)

    def _same_call(self, meaning: Meaning) -> bool:
        """Whether the line shows a call that another name has shown already."""
        if meaning.call and meaning.call == self._call:
            if meaning.name not in self._names or meaning.repeats:
                self._names.add(meaning.name)
                return True
        elif not (meaning.ops or meaning.kind):
            return False
        self._new_call(meaning.call)
        self._names.add(meaning.name)
        return False

    def _new_call(self, call: str) -> None:
        self._call = call
        self._names = set()

    def _ops(self, time_ns: int, meaning: Meaning, pte: bytes = b"") -> None:
        for op in meaning.ops:
            self._batch_ops += 1
            if op == "write_cr3":
                if self._cr3_written:
                    self.close()  # a switch writes it once
                self._cr3_written = self._window is not None
            if op == _START:
                self._started = True
                self._start_due = time_ns
            elif op == _END and not self._started:
                pass  # began before the trace
            elif op == "load_tls":
                self._flush_due()
                self._tls = time_ns, 0
            else:
                self._ended = self._ended or op == _END
                self._op(time_ns, f"{op}:{OTHER_PTE}" if self._reads_other(meaning, pte) else op)
        if meaning.kind == "set_pte":
            self._batch_ops += 1
            self._out(time_ns, Kind.SET_PTE, 1)
        elif meaning.kind not in ("", "user"):
            self._out(time_ns, KINDS_BY_NAME[meaning.kind])
        if meaning.pte == "write" and pte and self._section:
            self._queued.add(pte)

    def _reads_other(self, meaning: Meaning, pte: bytes) -> bool:
        """Whether the op reads a PTE that has no queued write."""
        return meaning.pte == "read" and bool(pte) and pte not in self._queued

    def _op(self, time_ns: int, op: str) -> None:
        self._out(time_ns, Kind.OP, self._symbols.op_numbers[op])

    def _out(self, time_ns: int, kind: int, arg: int = 0) -> None:
        """An event of the switch, or of the task that runs."""
        if kind in (Kind.ENTER_MMU, Kind.LEAVE_MMU, Kind.FLUSH):
            self._queued.clear()
        if kind == Kind.LEAVE_MMU and self._section is None:
            return  # it was entered before the trace
        if kind in (Kind.ENTER_MMU, Kind.LEAVE_MMU):
            self._section = kind == Kind.ENTER_MMU
        # A section is left inside start_context_switch, before lazy CPU mode is on.
        if not (kind == Kind.LEAVE_MMU and self._start_due is not None):
            self._flush_due()
        self._put(time_ns, kind, arg)

    def _flush_due(self) -> None:
        if self._start_due is not None:
            time_ns, self._start_due = self._start_due, None
            self._put(time_ns, Kind.OP, self._symbols.op_numbers[_START])
        if self._tls is not None:
            (time_ns, slots), self._tls = self._tls, None
            self._put(time_ns, Kind.OP, self._symbols.op_numbers[f"load_tls:{slots}"])

    def _put(self, time_ns: int, kind: int, arg: int) -> None:
        if self._window is not None:
            self._window.append((time_ns, kind, arg))
        else:
            self._emit(time_ns, kind, arg)

    def _emit(self, time_ns: int, kind: int, arg: int) -> None:
        self._shared.out(time_ns, self.number, kind, arg)

    def _user(self, time_ns: int) -> None:
        self.close()
        self._user_due = False
        self._emit(time_ns, Kind.USER, 0)

"""A private tracing instance: made, set up, and always removed again.

Everything a recording changes is inside ``instances/pvreplay-PID``; nothing of
the machine's own tracing (or of another tool's) is touched, and removing the
instance is the whole of restoring.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Final

from pvreplay.errors import UsageError

MOUNTS: Final = "/proc/self/mounts"
PREFIX: Final = "pvreplay-"
CLOCKS: Final = ("mono", "perf", "global", "local")
"""Trace clocks in ns, the best first: mono is the clock other tools and programs can read too."""
REMOVE_TRIES: Final = 20
REMOVE_PAUSE_S: Final = 0.05
_HINT: Final = "Record as root (sudo), or with perf or trace-cmd, and give their file to 'pvreplay run'."

SWITCH_EVENTS: Final = (
    "sched:sched_switch",
    "task:task_newtask",
    "task:task_rename",
    "sched:sched_process_fork",
    "sched:sched_process_exec",
    "sched:sched_process_exit",
)
"""Who runs, who is born, who dies: the least a replay can do with."""
_CALLS: Final = (
    "iopl",
    "ioperm",
    "modify_ldt",
    "set_thread_area",
    "arch_prctl",
    "prctl",
    "ptrace",
    "seccomp",
    "perf_event_open",
)
FULL_EVENTS: Final = (
    *SWITCH_EVENTS,
    "tlb:tlb_flush",
    "x86_fpu:x86_fpu_regs_deactivated",
    "x86_fpu:x86_fpu_regs_activated",
    *(f"syscalls:sys_{way}_{call}" for call in _CALLS for way in ("enter", "exit")),
)
"""... and what tells the mm, the FPU, TLS, LDT, IOPL, I/O bitmap, debug registers and the TSC flag."""
EVENT_SETS: Final = {"full": FULL_EVENTS, "switch": SWITCH_EVENTS}


def find_tracefs(mounts: str = MOUNTS) -> str:
    """Where tracefs is mounted; UsageError with what is needed when it is nowhere."""
    found = []
    with contextlib.suppress(OSError), open(mounts, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.split()
            if len(fields) > 2 and fields[2] == "tracefs":
                found.append(fields[1].replace("\\040", " "))
    for place in found:
        if os.path.isdir(os.path.join(place, "instances")) or not os.access(place, os.X_OK):
            return place
    if found:
        raise UsageError(
            f"{found[0]}: no instances", "The kernel needs CONFIG_TRACING and is too old or too bare."
        )
    raise UsageError(
        "tracefs is not mounted",
        "As root: mount -t tracefs tracefs /sys/kernel/tracing (Linux with CONFIG_TRACING).",
    )


def remove_stale(root: str, proc: str = "/proc") -> list[str]:
    """Remove instances whose recorder was killed; their names.  One in use elsewhere is busy and stays."""
    gone = []
    folder = os.path.join(root, "instances")
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            pid = name.removeprefix(PREFIX)
            if name.startswith(PREFIX) and pid.isdigit() and not os.path.exists(os.path.join(proc, pid)):
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.join(folder, name))
                    gone.append(name)
    return gone


class Instance:
    """One tracing instance, off until :meth:`start`.

    Use it as a context: the instance is gone afterwards, however the block ends.
    UsageError when it cannot be made.
    """

    def __init__(self, root: str, name: str = "") -> None:
        self.root = root
        self.path = os.path.join(root, "instances", name or f"{PREFIX}{os.getpid()}")
        self.enabled: list[str] = []
        """Events switched on, "system:name"."""
        self.missing: list[str] = []
        """Events this kernel does not have."""
        self.clock = ""
        self._made = False

    def __enter__(self) -> Instance:
        try:
            os.mkdir(self.path)
        except FileExistsError:
            raise UsageError(f"{self.path}: exists", "Another recording runs under this name.") from None
        except OSError as error:
            raise UsageError(f"{os.path.dirname(self.path)}: {error.strerror}", _HINT) from None
        self._made = True
        try:
            self.write("tracing_on", "0")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Stop tracing and remove the instance; UsageError when the kernel does not let go of it."""
        if not self._made:
            return
        with contextlib.suppress(UsageError):
            self.write("tracing_on", "0")
        for left in range(REMOVE_TRIES - 1, -1, -1):
            try:
                os.rmdir(self.path)
                break
            except FileNotFoundError:
                break
            except OSError as error:
                if not left:
                    raise UsageError(
                        f"{self.path}: {error.strerror}", f"Remove it by hand: rmdir {self.path}"
                    ) from None
                time.sleep(REMOVE_PAUSE_S)
        self._made = False

    # --- files -------------------------------------------------------------------------------
    def file(self, *parts: str) -> str:
        """The path of a file of the instance."""
        return os.path.join(self.path, *parts)

    def write(self, name: str, value: str) -> None:
        """Write *value* to one of the instance's files; UsageError with the kernel's reason."""
        try:
            handle = os.open(self.file(name), os.O_WRONLY | os.O_TRUNC)
            try:
                os.write(handle, value.encode())
            finally:
                os.close(handle)
        except OSError as error:
            raise UsageError(f"{self.file(name)}: {value!r}: {error.strerror}", _HINT) from None

    def read(self, *parts: str) -> str:
        """The text of one of the instance's files; UsageError with the kernel's reason."""
        try:
            with open(self.file(*parts), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError as error:
            raise UsageError(f"{self.file(*parts)}: {error.strerror}", _HINT) from None

    def exists(self, *parts: str) -> bool:
        """Whether the kernel has this file in the instance."""
        return os.path.exists(self.file(*parts))

    # --- setting up --------------------------------------------------------------------------
    def choose_clock(self) -> str:
        """Select the best of CLOCKS that the kernel has."""
        known = self.read("trace_clock").replace("[", " ").replace("]", " ").split()
        for clock in CLOCKS:
            if clock in known:
                self.write("trace_clock", clock)
                self.clock = clock
                return clock
        raise UsageError(
            f"{self.file('trace_clock')}: none of {', '.join(CLOCKS)}", f"It has {', '.join(known)}."
        )

    def buffer_bytes(self) -> int:
        """The size of the first CPU's buffer."""
        words = self.read("per_cpu", f"cpu{self.cpus()[0]}", "buffer_size_kb").split()
        return int(words[0]) * 1024 if words and words[0].isdigit() else 0

    def set_buffer(self, size_bytes: int, cpus: Iterable[int] = ()) -> None:
        """The size of the buffer of each of *cpus* (none: of all); the kernel rounds it to whole pages."""
        size = str(max(1, (size_bytes + 1023) // 1024))
        names = [f"per_cpu/cpu{cpu}/buffer_size_kb" for cpu in cpus]
        for name in names or ["buffer_size_kb"]:
            self.write(name, size)

    def set_cpus(self, cpus: Iterable[int]) -> None:
        """Record on these CPUs alone."""
        mask = sum(1 << cpu for cpu in set(cpus))
        words: list[str] = []
        while mask or not words:
            words.append(f"{mask & 0xFFFFFFFF:x}" if mask >> 32 == 0 else f"{mask & 0xFFFFFFFF:08x}")
            mask >>= 32
        self.write("tracing_cpumask", ",".join(reversed(words)))

    def follow(self, tids: Iterable[int]) -> None:
        """Record only what these threads do, and their children."""
        self.write("options/event-fork", "1")
        self.write("set_event_pid", " ".join(map(str, tids)))

    def enable(self, events: Iterable[str]) -> None:
        """Switch events on; those the kernel lacks are put on :attr:`missing`."""
        for event in events:
            system, _, name = event.partition(":")
            if self.exists("events", system, name, "enable"):
                self.write(f"events/{system}/{name}/enable", "1")
                self.enabled.append(event)
            else:
                self.missing.append(event)

    def start(self) -> None:
        """Trace from now on."""
        self.write("tracing_on", "1")

    def stop(self) -> None:
        """Trace no more; what is in the buffers stays."""
        self.write("tracing_on", "0")

    # --- CPUs --------------------------------------------------------------------------------
    def cpus(self) -> list[int]:
        """The CPUs that have a buffer."""
        names = os.listdir(self.file("per_cpu"))
        return sorted(int(name[3:]) for name in names if name.startswith("cpu") and name[3:].isdigit())

    def stats(self, cpu: int) -> Stats:
        """What the kernel says of a CPU's buffer now."""
        return Stats(self.read("per_cpu", f"cpu{cpu}", "stats"))


class Stats:
    """``per_cpu/cpuN/stats``: *lost* events in all (overwritten, dropped), *now_ns* the trace clock or -1."""

    __slots__ = ("lost", "now_ns")

    def __init__(self, text: str) -> None:
        self.lost = 0
        self.now_ns = -1
        for line in text.splitlines():
            name, _, value = line.partition(":")
            value = value.strip()
            if name in ("overrun", "commit overrun", "dropped events") and value.isdigit():
                self.lost += int(value)
            elif name == "now ts":
                seconds, point, micros = value.partition(".")
                if point and seconds.isdigit() and micros.isdigit() and len(micros) == 6:
                    self.now_ns = int(seconds) * 1_000_000_000 + int(micros) * 1000

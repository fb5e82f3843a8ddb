"""CTF traces, of LTTng and of `perf data convert --to-ctf`, through the bindings of babeltrace2.

The format describes itself in a language of its own, so it is read by its own library, which does not
come from PyPI.  Debian's python3-bt2 is for the system's Python: when this Python is of the same
version (the same ABI), its copy in SYSTEM_PACKAGES is taken from a virtual environment too.

LTTng and the kernel differ in names, and in numbers only where nothing here looks: its priorities are
the kernel's less 100.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, BinaryIO, Final

from pvreplay.errors import TraceError, UsageError
from pvreplay.sources import records as rec
from pvreplay.sources.ctf_cut import WholePackets
from pvreplay.sources.ctfevents import ANY_CALL, Payload, parse_event
from pvreplay.sources.tables import UNKNOWN_PID
from pvreplay.trace.events import CPU_MAX
from pvreplay.trace.model import Trace

NAME: Final = "CTF"
EXTENSIONS: Final = ("metadata",)
ABOUT: Final = (
    "a directory of CTF 1.8, of LTTng or perf, either endianness: through babeltrace2's Python bindings, "
    "which must be installed (Debian: python3-bt2)"
)

SYSTEM_PACKAGES: Final = "/usr/lib/python3/dist-packages"
PACKET_MAGIC: Final = b"\x75\xd1\x1d\x57"
STREAM_MAGIC: Final = b"\xc1\xfc\x1f\xc1"
TEXT: Final = b"/* CTF 1."
LONG_BITS: Final = {"x86_64": 64, "aarch64": 64, "i386": 32, "i686": 32}


def sniff(head: bytes) -> bool:
    """Whether it is a file out of a CTF trace: the metadata, or a stream of events."""
    magics = (PACKET_MAGIC, PACKET_MAGIC[::-1], STREAM_MAGIC, STREAM_MAGIC[::-1])
    return head[:4] in magics or head.startswith(TEXT)


def sniff_directory(path: str) -> bool:
    """Whether a directory, or one below it, holds CTF metadata."""
    return any(True for _ in _traces(path))


def _traces(path: str) -> Iterator[str]:
    """The directories of a session that are traces: LTTng has one for the kernel and one for programs."""
    for root, directories, names in os.walk(path):
        directories.sort()
        if "metadata" in names:
            with builtins.open(os.path.join(root, "metadata"), "rb") as file:
                head = file.read(16)
            if head[:4] in (PACKET_MAGIC, PACKET_MAGIC[::-1]) or head.startswith(TEXT):
                yield root


def open(source: str | BinaryIO, assume: Mapping[str, str] | None = None, path: str = "-") -> Trace:
    """The trace in a directory (or of one of its files).  UsageError for a stream: it takes a directory."""
    from pvreplay.sources.recover import RecoveredTrace

    if not isinstance(source, str):
        raise UsageError(
            f"{path}: a single file of a CTF trace", "Name the directory that holds its metadata."
        )
    directory = source if os.path.isdir(source) else os.path.dirname(source) or "."
    if not sniff_directory(directory):
        raise UsageError(
            f"{path}: a file of a CTF trace, and no metadata beside it", "Name the directory that holds it."
        )
    return RecoveredTrace(CtfSource(directory, find_bindings(path)), assume)


def find_bindings(where: str) -> Any:
    """The module bt2.  UsageError saying how to get it when it is not there."""
    try:
        return import_module("bt2")
    except ImportError:
        pass
    native = f"_native_bt.{sys.implementation.cache_tag}-"
    try:
        fits = any(name.startswith(native) for name in os.listdir(os.path.join(SYSTEM_PACKAGES, "bt2")))
    except OSError:
        fits = False
    if fits:
        sys.path.append(SYSTEM_PACKAGES)
        try:
            return import_module("bt2")
        except ImportError:
            pass
        finally:
            sys.path.remove(SYSTEM_PACKAGES)
    version = ".".join(map(str, sys.version_info[:2]))  # Debian's bindings fit one version
    raise UsageError(
        f"{where}: a CTF trace, and this Python {version} has no babeltrace2 bindings (module bt2)",
        "Install them (Debian: apt install python3-bt2, for the system's Python), or give the text of "
        "perf script, or trace.dat or perf.data of the same run.",
    )


class CtfSource:
    """A RawSource over a CTF trace (see ``records.RawSource``); *bt2* is the module of the bindings.

    Raises TraceError when babeltrace2 cannot open it.
    """

    format = NAME

    def __init__(self, path: str, bt2: Any) -> None:
        self.path = path
        self.origin = ""
        self.clock = ""
        self.word_bits = 0
        self.enabled: frozenset[str] | None = None
        self.comms: list[bytes] = [b""]
        self.doubts: dict[str, int] = {}
        self.damage = ""
        self.offset = 0
        self._bt2 = bt2
        self._numbers: dict[bytes, int] = {b"": 0}
        self._running: dict[int, int] = {}
        self._calling: set[int] = set()
        """Threads inside a system call that was told."""
        self._cpus: dict[int, int] = {}
        self._time_ns = 0
        self._pending: list[tuple[int, int, int, int]] = []
        self._whole: WholePackets | None = None
        traces = list(_traces(path))
        try:
            self._begin(traces)
        except bt2._Error as error:
            refused = TraceError(f"{path}: {_reason(error)}", "babeltrace2 does not read it either.")
            self._mend(traces, refused)

    def _mend(self, traces: list[str], refused: TraceError) -> None:
        """Read what is there of a trace with a cut stream; raises *refused* when that is nothing."""
        self._whole = WholePackets(traces, self._reads)
        self.damage = self._whole.damage
        try:
            if not self._whole.directories or not self.damage:
                raise refused
            self._begin(self._whole.directories)
        except BaseException as error:
            self._whole.close()
            if isinstance(error, self._bt2._Error):
                raise refused from None
            raise

    def _begin(self, traces: list[str]) -> None:
        """Open the traces, and read up to the first record."""
        # told which plugin to take: its own search aborts the process over damaged metadata (2.0.4)
        make = self._bt2.ComponentSpec.from_named_plugin_and_component_class
        parts = [make("ctf", "fs", {"inputs": [trace]}) for trace in traces]
        self._messages: Iterator[Any] = iter(self._bt2.TraceCollectionMessageIterator(parts))
        self._look_for()

    def _reads(self, directory: str) -> tuple[int, bool]:
        """How many messages babeltrace2 gives of a trace, and whether it comes to the end."""
        make = self._bt2.ComponentSpec.from_named_plugin_and_component_class
        count = 0
        try:
            for _ in self._bt2.TraceCollectionMessageIterator(make("ctf", "fs", {"inputs": [directory]})):
                count += 1
        except self._bt2._Error:
            return count, False
        return count, True

    def _look_for(self) -> None:
        """Read up to the first record, so that what the trace says of itself is known."""
        while not self._pending:
            message = next(self._messages, None)
            if message is None:
                break
            self._take(message)

    def fill(self, words: memoryview, start: int) -> int:
        """As ``records.RawSource`` has it."""
        n, room = start, len(words) // rec.RECORD_WORDS
        while n < room:
            while self._pending and n < room:
                for place, word in enumerate(self._pending.pop(0)):
                    words[n * rec.RECORD_WORDS + place] = word
                n += 1
            if n == room:
                break
            try:
                message = next(self._messages, None)
                if message is None:
                    self._finish()
                    break
                self._take(message)
            except self._bt2._Error as error:
                stopped = f"babeltrace2 stops after {self.offset} messages: {_reason(error)}"
                self.damage = f"{self.damage}; {stopped}" if self.damage else stopped
                self._messages = iter(())
        return n

    def _finish(self) -> None:
        """Nothing more will come: what was made to read it can go."""
        self._messages = iter(())
        if self._whole is not None:
            self._whole.close()

    def _take(self, message: Any) -> None:
        """Turn one message into records."""
        self.offset += 1
        kind = type(message).__name__
        if kind == "_EventMessageConst":
            self._event(message)
        elif kind in ("_DiscardedEventsMessageConst", "_DiscardedPacketsMessageConst"):
            count = message.count if kind == "_DiscardedEventsMessageConst" else None
            cpu = self._cpus.get(message.stream.id, -1)
            self._pending.append(
                rec.record(
                    *(self._time_ns, max(cpu, 0), rec.LOST, UNKNOWN_PID, min(count or 0, 0xFFFFFFFF)),
                    flags=rec.ANY_CPU if cpu < 0 else 0,
                )
            )
        elif kind == "_StreamBeginningMessageConst":
            self._describe(message.stream)

    def _describe(self, stream: Any) -> None:
        environment = {name: stream.trace.environment[name] for name in stream.trace.environment}

        def told(*names: str) -> str:
            return next((str(environment[name]) for name in names if name in environment), "")

        tracer, release = told("tracer_name"), told("kernel_release", "release")
        self.origin = self.origin or f"{tracer} on Linux {release}".removesuffix(" on Linux ").strip()
        self.word_bits = self.word_bits or LONG_BITS.get(told("machine", "arch"), 0)
        clock = stream.cls.default_clock_class
        self.clock = self.clock or str((clock and clock.name) or "")

    def _event(self, message: Any) -> None:
        event = message.event
        name = event.name or ""
        parse = parse_event(name)
        if parse is None:
            return
        fields: Payload = event.payload_field or {}
        cpu, tid = self._context(event, fields)
        time_ns = message.default_clock_snapshot.ns_from_origin if _has_clock(message) else self._time_ns
        if not 0 <= cpu < CPU_MAX:
            self.doubts["cpu_too_high"] = self.doubts.get("cpu_too_high", 0) + 1
            return
        self._time_ns = time_ns
        self._cpus[message.event.stream.id] = cpu
        pid = self._running.get(cpu, UNKNOWN_PID) if tid is None else tid
        try:
            found = parse(name, fields, self._intern)
        except (KeyError, TypeError, ValueError):
            self.doubts["events_without_their_fields"] = self.doubts.get("events_without_their_fields", 0) + 1
            return
        if found is None:
            return
        kind, a, b, c, flags = found
        if kind == rec.SWITCH:
            self._running[cpu] = b & 0xFFFFFFFF
        elif kind == rec.SYS_ENTER:
            self._calling.add(pid)
        elif kind == rec.SYS_EXIT:
            if a == ANY_CALL and pid not in self._calling:
                return  # the end of a call that is of no use
            self._calling.discard(pid)
        self._pending.append(rec.record(time_ns, cpu, kind, pid, a, b, c, flags))

    def _context(self, event: Any, payload: Payload) -> tuple[int, int | None]:
        """(CPU, thread or None) of an event: perf says it in each event, LTTng of the packet."""
        cpu, tid = -1, None
        for field in (payload, event.common_context_field or {}, event.specific_context_field or {}):
            if "perf_cpu" in field:
                cpu = int(field["perf_cpu"])
            name = "perf_tid" if "perf_tid" in field else "tid"
            if name in field and (name == "perf_tid" or field is not payload):
                tid = int(field[name]) & 0xFFFFFFFF
        if cpu < 0 and event.packet is not None:
            context = event.packet.context_field
            if context is not None and "cpu_id" in context:
                cpu = int(context["cpu_id"])
        return cpu, tid

    def _intern(self, name: bytes) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.comms)
            self.comms.append(name)
        return number


def _has_clock(message: Any) -> bool:
    return message.event.stream.cls.default_clock_class is not None


def _reason(error: Any) -> str:
    """The innermost cause babeltrace2 gives, in one line."""
    try:
        causes = [cause.message for cause in error]
    except TypeError:
        causes = []
    words = str(causes[0] if causes else error).split()
    return " ".join(word for word in words if "addr=" not in word)[:200]

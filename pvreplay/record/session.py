"""One recording from its first setting to the last: trace, decode, write, put everything back."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import IO, Final

from pvreplay import __version__
from pvreplay.errors import UsageError
from pvreplay.record import snapshot
from pvreplay.record.live import LiveSource, programs_of
from pvreplay.record.reader import Readers, hurry
from pvreplay.record.tracefs import EVENT_SETS, Instance, find_tracefs, remove_stale
from pvreplay.sources.formats import parse_header_page
from pvreplay.sources.recover import RecoveredTrace
from pvreplay.trace.binary_write import BinaryWriter

BUFFER_PERCENT: Final = 25
"""How full a buffer is when its reader is woken: the rest is the time it has."""
BUFFER_BYTES: Final = 8 << 20
"""A CPU's buffer, if not told.  At 450,000 switches/s on one CPU, --events full fills it in 0.13 s."""
ALL_BUFFERS_BYTES: Final = 256 << 20
"""All of them together, if that is more than the kernel's default for each."""
FLUSH_S: Final = 1.0
"""What is decoded is in the file at most this much later."""
PATIENCE_S: Final = 1.0
"""How long a command has to end after a signal that ends the recording, before it is told to."""
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Settings:
    """What to record.

    *command* empty: until *pid* ends, *duration_s* is over or a signal comes.
    *cpus* empty: all.  *buffer_bytes* a CPU, 0: BUFFER_BYTES.
    """

    def __init__(
        self,
        command: Sequence[str] = (),
        pid: int = 0,
        cpus: Sequence[int] = (),
        duration_s: float | None = None,
        events: str = "full",
        buffer_bytes: int = 0,
    ) -> None:
        self.command = list(command)
        self.pid = pid
        self.cpus = list(cpus)
        self.duration_s = duration_s
        self.events = events
        self.buffer_bytes = buffer_bytes


class Outcome:
    """How it went: *status* of the command as a shell gives it (None without one), *signal* that ended it."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.signal = 0
        self.seconds = 0.0
        self.lost = 0
        self.bytes_read = 0
        self.missing: list[str] = []
        self.clock = ""
        self.stale: list[str] = []
        self.damage = ""


class _Command:
    """The command under way, waited for in a thread of its own."""

    def __init__(self, argv: Sequence[str], ended: Callable[[], None]) -> None:
        self.done = threading.Event()
        try:
            self.process = subprocess.Popen(argv)
        except OSError as error:
            raise UsageError(
                f"{argv[0]}: {error.strerror}", "Expected a program and its arguments after --."
            ) from None
        self._ended = ended
        threading.Thread(target=self._wait, name="command", daemon=True).start()

    def _wait(self) -> None:
        self.process.wait()
        self.done.set()
        self._ended()

    @property
    def status(self) -> int:
        """As a shell tells it: 128 and the signal's number when one ended it."""
        code = self.process.returncode
        return code if code >= 0 else 128 - code

    def finish(self, told: int) -> None:
        """Wait for its end; after the signal *told* it has a while, and is then told itself."""
        if told:
            if told != signal.SIGINT:  # a terminal sends that to the command too
                self.tell(told)
            if not self.done.wait(PATIENCE_S):
                self.tell(signal.SIGTERM)
        self.done.wait()

    def tell(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if not self.done.is_set():
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


class Recording:
    """A recording under way: decides when it is over, and stops it once."""

    def __init__(self, settings: Settings, instance: Instance, readers: Readers) -> None:
        self.settings = settings
        self.instance = instance
        self.readers = readers
        self.command: _Command | None = None
        self.signal = 0
        self.started = self.stopped = 0.0
        self._watch = _watch(settings.pid) if settings.pid else None

    def begin(self, source: LiveSource) -> None:
        """Take the snapshot, start to trace, then the command."""
        kcmp = snapshot.system_kcmp()
        found = list(snapshot.tasks())
        leaders = [task.tid for task in found if task.user and task.tid == task.tgid]
        pairs = list(snapshot.same_mm(leaders, kcmp)) if kcmp is not None else None
        self.started = time.monotonic()
        self.instance.start()
        self.readers.start()
        late = list(snapshot.tasks(known={task.tid for task in found}))
        numbers = source.add_names(task.comm for task in (*found, *late))
        source.first.extend(snapshot.records_of(found, numbers, pairs))
        source.first.extend(snapshot.records_of(late, numbers, None))
        if self.settings.command:
            self.command = _Command(self.settings.command, self._news)

    def check(self) -> None:
        """Stop when it is time."""
        if not self.stopped and self._over():
            self.stop()

    def stop(self) -> None:
        """Trace no more, and let the readers fetch what is left."""
        self.instance.stop()
        self.stopped = time.monotonic()
        self.readers.finish()

    def _over(self) -> bool:
        duration = self.settings.duration_s
        if self.signal or (duration is not None and time.monotonic() - self.started >= duration):
            return True
        if self.command is not None:
            return self.command.done.is_set()
        return self._watch is not None and self._watch()

    def _news(self) -> None:
        with self.readers.changed:
            self.readers.tell()

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """The first signal ends the recording in order; a second one ends the program."""
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number


def _watch(pid: int) -> Callable[[], bool]:
    """A function that tells whether a process has ended.  UsageError when there is none."""
    if not os.path.exists(f"/proc/{pid}"):
        raise UsageError(f"--pid {pid}: no such process", "Name one that runs.")
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return lambda: not os.path.exists(f"/proc/{pid}")
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return lambda: bool(poll.poll(0))


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let *handler* have the signals that end a recording, and put the old handlers back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def record(
    settings: Settings,
    create: Callable[[], IO[bytes]],
    path: str,
    *,
    assume: Mapping[str, str] | None = None,
    root: str = "",
) -> Outcome:
    """Record to the binary file that *create* opens (*path* in messages): trace.bin, growing while recording.

    UsageError says what is missing (root, tracefs, the command), before *create* is called.  The
    tracing instance is removed however this ends.  *assume* as in ``sources/assume.py``.
    """
    if settings.command and shutil.which(settings.command[0]) is None:
        raise UsageError(
            f"{settings.command[0]}: no such program", "Expected a program and its arguments after --."
        )
    root = root or find_tracefs()
    outcome = Outcome()
    outcome.stale = remove_stale(root)
    with Instance(root) as instance:
        set_up(instance, settings)
        outcome.missing, outcome.clock = instance.missing, instance.clock
        header = parse_header_page(
            instance.read("events", "header_page"), instance.file("events", "header_page")
        )
        programs = programs_of(instance)
        cpus = [cpu for cpu in instance.cpus() if not settings.cpus or cpu in settings.cpus]
        with Readers(instance, cpus, header.page_size) as readers:
            recording = Recording(settings, instance, readers)
            source = LiveSource(instance, readers, header, programs, recording.check)
            source.origin = f"tracefs of {_machine()}"
            trace = RecoveredTrace(source, assume)
            trace.meta.path, trace.meta.format = path, "trace.bin"
            trace.meta.tool = f"pvreplay {__version__}"
            with _signals(recording.on_signal), create() as out:
                before = os.getpriority(os.PRIO_PROCESS, 0)
                try:
                    recording.begin(source)
                    hurry()  # the command is under way, and did not inherit it
                    _write(trace, out)
                finally:
                    os.setpriority(os.PRIO_PROCESS, 0, before)
                    if recording.command is not None:
                        recording.command.finish(
                            recording.signal or (0 if recording.stopped else signal.SIGTERM)
                        )
            outcome.seconds = recording.stopped - recording.started
            outcome.signal = recording.signal
            outcome.bytes_read = sum(reader.bytes_read for reader in readers.all)
            if recording.command is not None:
                outcome.status = recording.command.status
    outcome.lost, outcome.damage = source.lost, trace.damage
    return outcome


def set_up(instance: Instance, settings: Settings) -> None:
    """Everything but starting.  UsageError for what this kernel cannot do."""
    instance.choose_clock()
    if instance.exists("buffer_percent"):
        instance.write("buffer_percent", str(BUFFER_PERCENT))
    there = instance.cpus()
    if settings.cpus:
        absent = sorted(set(settings.cpus) - set(there))
        if absent:
            raise UsageError(f"--cpu: no CPU {absent[0]}", f"CPUs here are {there[0]} to {there[-1]}.")
        instance.set_cpus(settings.cpus)
    share = min(BUFFER_BYTES, ALL_BUFFERS_BYTES // (len(settings.cpus) or len(there)))
    if settings.buffer_bytes or share > instance.buffer_bytes():
        instance.set_buffer(settings.buffer_bytes or share, settings.cpus)
    if settings.pid:
        try:
            tids = [int(name) for name in os.listdir(f"/proc/{settings.pid}/task")]
        except OSError:
            raise UsageError(f"--pid {settings.pid}: no such process", "Name one that runs.") from None
        instance.follow(tids)
    instance.enable(EVENT_SETS[settings.events])
    if "sched:sched_switch" in instance.missing:
        raise UsageError(
            f"{instance.root}: the kernel has no sched_switch event",
            "It needs CONFIG_EVENT_TRACING and its scheduler events.",
        )


def _write(trace: RecoveredTrace, out: IO[bytes]) -> None:
    writer = BinaryWriter(out, trace.meta)
    flushed = time.monotonic()
    for chunk in trace.chunks():
        writer.write(chunk)
        if time.monotonic() - flushed >= FLUSH_S:
            writer.flush()
            flushed = time.monotonic()
    writer.close(trace.doubts, trace.damage)


def _machine() -> str:
    name = os.uname()
    return f"{name.sysname} {name.release} {name.machine}"

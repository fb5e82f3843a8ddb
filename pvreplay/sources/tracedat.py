"""trace.dat of trace-cmd, versions 6 and 7: record, extract, several instances, 32- and 64-bit."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import BinaryIO, Final

from pvreplay.errors import TraceError
from pvreplay.sources import tracepoints as tp
from pvreplay.sources.pages import MAX_INSTANCES, page_layout
from pvreplay.sources.rawpages import selected_clock
from pvreplay.sources.records import RawSource
from pvreplay.sources.segments import SegmentSource, SegmentStream, piece_bytes, with_threads
from pvreplay.sources.streams import Mapped, map_file, map_stream
from pvreplay.sources.tracedat_data import pieces
from pvreplay.sources.tracedat_data import text as latency_text
from pvreplay.sources.tracedat_head import BufferData, TraceDat
from pvreplay.sources.tracinghead import MAGIC
from pvreplay.trace.model import Trace

NAME: Final = "trace.dat"
EXTENSIONS: Final = (".dat",)
ABOUT: Final = (
    "trace-cmd record, extract: versions 6 and 7, plain, zlib and zstd, 32- and 64-bit, all instances "
    "merged; events by their own formats"
)

#: Clocks whose unit is not the nanosecond; times are then counted in that unit.
OTHER_UNITS: Final = {"x86-tsc": "cycles", "ppc-tb": "cycles", "counter": "events", "uptime": "jiffies"}


def sniff(head: bytes) -> bool:
    """Whether these first bytes are a trace.dat's."""
    return head[: len(MAGIC)] == MAGIC


def open(source: str | BinaryIO, assume: Mapping[str, str] | None = None, path: str = "-") -> Trace:
    """The trace in a trace.dat: a path, or a stream (copied, since it is read at many places)."""
    from pvreplay.sources.recover import RecoveredTrace

    if isinstance(source, str):
        mapped, path = map_file(source), source
    else:
        mapped = map_stream(source, b"", path)
    dat = TraceDat(mapped, path, tp.WANTED)
    if _is_text(dat):
        return RecoveredTrace(_text_source(dat, mapped), assume)
    size = sum(cpu.size for buffer in dat.buffers for cpu in buffer.cpus)
    return RecoveredTrace(with_threads(lambda jobs: TraceDatSource(mapped, dat, jobs), size), assume)


def _is_text(dat: TraceDat) -> bool:
    """A latency tracer leaves text instead of pages."""
    return dat.text_at >= 0 and not any(cpu.size for buffer in dat.buffers for cpu in buffer.cpus)


class _Text(BytesIO):
    """A text, and what it is known to lack."""

    damage = ""


def _text_source(dat: TraceDat, mapped: Mapped) -> RawSource:
    from pvreplay.sources.textsniff import sniff_text
    from pvreplay.sources.textsource import TextSource

    text, damage = latency_text(dat, mapped)
    style = sniff_text(text[:65536])
    if not style:
        raise TraceError(
            f"{dat.path}: the text of a latency tracer without events",
            "Record with trace-cmd record -e sched.",
        )
    stream = _Text(text)
    stream.damage = dat.damage or damage
    source = TextSource(stream, style, dat.path)
    source.origin = dat.recorded_by()
    source.clock = selected_clock(dat.clock)
    return source


class TraceDatSource(SegmentSource):
    """The records of a trace.dat, decoded by *jobs* threads (see ``records.RawSource``)."""

    def __init__(self, mapped: Mapped, dat: TraceDat, jobs: int = 1) -> None:
        self._dat = dat
        path = dat.path
        if _is_text(dat):
            raise TraceError(f"{path}: the text of a latency tracer, not events")
        header = dat.head.page
        if header is None:
            raise TraceError(f"{path}: no header_page", "The head is damaged: the pages cannot be read.")
        programs = tp.Programs()
        programs.add_head(dat.head)
        programs.word_bits = header.commit_size * 8
        chosen, clock = self._choose(dat.buffers, dat.clock)
        size = chosen[0].page_size if chosen and chosen[0].page_size > header.data_offset else 0
        layout = page_layout(header, size or header.page_size)
        used = [(instance, cpu) for instance, buffer in enumerate(chosen) for cpu in buffer.cpus if cpu.size]
        step = piece_bytes(len(used), layout[0])
        streams = [
            SegmentStream(
                cpu.cpu,
                pieces(dat, cpu, mapped, layout[0], step),
                instance,
                dat.lost.get(cpu.cpu, -1) if len(chosen) == 1 else -1,
            )
            for instance, cpu in used
        ]
        cycles = dat.cycles if clock in ("x86-tsc", "tsc2nsec") else None
        super().__init__(path, streams, layout, programs, cycles, jobs)
        self.format = NAME
        unit = OTHER_UNITS.get(clock)
        self.clock = f"{clock} ({unit})" if unit and cycles is None else clock
        self.origin = dat.recorded_by()
        self.kallsyms = dat.kallsyms
        """The kernel's symbols ("address type name" a line), where calls are read."""
        names = [buffer.name for buffer in chosen if buffer.name]
        if names:
            self.origin += f"; instances {', '.join(names)}"
        left = sum(1 for buffer in dat.buffers if any(cpu.size for cpu in buffer.cpus)) - len(chosen)
        if left:
            self.doubts["instances_not_read"] = left

    @staticmethod
    def _choose(buffers: list[BufferData], clock_text: str) -> tuple[list[BufferData], str]:
        """The instances to merge: those that hold data and share the first one's clock."""
        default = selected_clock(clock_text)
        chosen: list[BufferData] = []
        clock = ""
        for buffer in buffers:
            if not any(cpu.size for cpu in buffer.cpus):
                continue
            own = buffer.clock or default
            if not chosen:
                clock = own
            if own == clock and len(chosen) < MAX_INSTANCES:
                chosen.append(buffer)
        return chosen, clock or default

    def _finish(self) -> None:
        super()._finish()
        self.damage = self._dat.damage or self.damage


def open_raw(
    source: str | BinaryIO, path: str = "-", jobs: int = 1, *, calls: bool = False
) -> TraceDatSource:
    """The records of a trace.dat, decoded by *jobs* threads; with *calls* those of traced functions, too.

    Raises TraceError for a file that is none, is big-endian, or whose formats are missing.
    """
    mapped = map_file(source) if isinstance(source, str) else map_stream(source, b"", path)
    wanted = tp.WANTED_WITH_CALLS if calls else tp.WANTED
    dat = TraceDat(mapped, source if isinstance(source, str) else path, wanted)
    return TraceDatSource(mapped, dat, jobs)

"""trace.dat of trace-cmd, versions 6 and 7: record, extract, several instances, 32- and 64-bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO, Final

from pvreplay.errors import TraceError
from pvreplay.sources import tracepoints as tp
from pvreplay.sources.pages import MAX_INSTANCES, PageSource, PageStream, page_layout
from pvreplay.sources.rawpages import selected_clock
from pvreplay.sources.records import RawSource
from pvreplay.sources.streams import Mapped, map_file, map_stream
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
    from pvreplay.sources.ahead import read_ahead
    from pvreplay.sources.recover import RecoveredTrace

    if isinstance(source, str):
        mapped, path = map_file(source), source
    else:
        mapped = map_stream(source, b"", path)
    dat = TraceDat(mapped, path, tp.WANTED)
    if _is_text(dat):
        return RecoveredTrace(_text_source(dat, mapped), assume)
    recording = TraceDatSource(mapped, dat)
    return RecoveredTrace(read_ahead(recording, recording.size_bytes), assume)


def _is_text(dat: TraceDat) -> bool:
    """A latency tracer leaves text instead of pages."""
    return dat.text_at >= 0 and not any(cpu.size for buffer in dat.buffers for cpu in buffer.cpus)


def _text_source(dat: TraceDat, mapped: Mapped) -> RawSource:
    from io import BytesIO

    from pvreplay.sources.textsniff import sniff_text
    from pvreplay.sources.textsource import TextSource

    text = b"".join(dat.text(mapped))
    style = sniff_text(text[:65536])
    if not style:
        raise TraceError(
            f"{dat.path}: the text of a latency tracer without events",
            "Record with trace-cmd record -e sched.",
        )
    source = TextSource(BytesIO(text), style, dat.path)
    source.origin = dat.recorded_by()
    source.clock = selected_clock(dat.clock)
    return source


class TraceDatSource(PageSource):
    """The records of a trace.dat (see ``records.RawSource``)."""

    def __init__(self, mapped: Mapped, dat: TraceDat) -> None:
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
        streams = [
            PageStream(
                cpu.cpu,
                dat.blocks(cpu, mapped, layout[0]),
                instance,
                dat.lost.get(cpu.cpu, -1) if len(chosen) == 1 else -1,
            )
            for instance, buffer in enumerate(chosen)
            for cpu in buffer.cpus
            if cpu.size
        ]
        self.size_bytes = sum(cpu.size for buffer in chosen for cpu in buffer.cpus)
        cycles = dat.cycles if clock in ("x86-tsc", "tsc2nsec") else None
        super().__init__(path, streams, layout, programs, cycles)
        self.format = NAME
        unit = OTHER_UNITS.get(clock)
        self.clock = f"{clock} ({unit})" if unit and cycles is None else clock
        self.origin = dat.recorded_by()
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


def open_raw(source: str | BinaryIO, path: str = "-") -> TraceDatSource:
    """The records of a trace.dat.

    Raises TraceError for a file that is none, is big-endian, or whose formats are missing.
    """
    mapped = map_file(source) if isinstance(source, str) else map_stream(source, b"", path)
    return TraceDatSource(mapped, TraceDat(mapped, source if isinstance(source, str) else path, tp.WANTED))

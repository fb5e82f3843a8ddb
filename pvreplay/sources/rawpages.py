"""Ring-buffer pages as the kernel hands them out (trace_pipe_raw), with their formats, in a directory.

Looked for in the directory and below: the CPUs' pages in files ``cpuN.raw``,
``cpuN`` or ``cpuN/trace_pipe_raw``; ``header_page``; the formats in
``EVENT.format`` or ``EVENT/format``; ``trace_clock``.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterator, Mapping
from typing import Final

from pvreplay.errors import TraceError
from pvreplay.sources import tracepoints as tp
from pvreplay.sources.formats import parse_format, parse_header_page
from pvreplay.sources.pages import page_layout
from pvreplay.sources.pieces import mapped_pieces
from pvreplay.sources.segments import SegmentSource, SegmentStream, piece_bytes, with_threads
from pvreplay.sources.streams import map_file
from pvreplay.trace.model import Trace

NAME: Final = "raw pages"
EXTENSIONS: Final = (".rawpages",)
ABOUT: Final = (
    "a directory of the kernel's ring-buffer pages (trace_pipe_raw) with header_page and format files"
)

MAX_FILES: Final = 100_000
MAX_TEXT: Final = 1 << 20


def sniff_directory(path: str) -> bool:
    """Whether a directory holds the pages of at least one CPU."""
    return any(True for _ in _cpu_files(path))


def sniff(head: bytes) -> bool:
    """Never: loose pages say nothing about themselves; a directory with their formats is asked for."""
    return False


def open(source: str, assume: Mapping[str, str] | None = None, path: str = "") -> Trace:
    """The trace in a directory of raw pages."""
    from pvreplay.sources.recover import RecoveredTrace

    size = sum(os.path.getsize(file) for _, file in _cpu_files(source))
    return RecoveredTrace(with_threads(lambda jobs: open_raw(source, jobs), size), assume)


def _files(path: str) -> Iterator[str]:
    count = 0
    for root, directories, names in os.walk(path):
        directories.sort()
        for name in sorted(names):
            count += 1
            if count > MAX_FILES:
                return
            yield os.path.join(root, name)


def _cpu_of(file: str) -> int:
    """The CPU whose pages a file holds by its name, or -1."""
    parent, name = os.path.split(file)
    if name == "trace_pipe_raw":
        name = os.path.basename(parent)
    stem = name[:-4] if name.endswith(".raw") else name
    digits = stem[3:] if stem.startswith("cpu") else ""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else -1


def _cpu_files(path: str) -> Iterator[tuple[int, str]]:
    for file in _files(path):
        cpu = _cpu_of(file)
        if cpu >= 0:
            yield cpu, file


def _text(file: str) -> str:
    with builtins.open(file, "rb") as stream:
        return stream.read(MAX_TEXT).decode("utf-8", "replace")


def _formats(path: str, programs: tp.Programs) -> None:
    """Make programs of the formats that stand in the directory; the event's name tells its system."""
    for file in _files(path):
        parent, name = os.path.split(file)
        if not (name == "format" or name.endswith(".format")):
            continue
        event = os.path.basename(parent) if name == "format" else name[: -len(".format")]
        if event in tp.SYSTEM_OF:
            programs.add(parse_format(_text(file), tp.SYSTEM_OF[event], file))


def open_raw(path: str, jobs: int = 1) -> SegmentSource:
    """The records of a directory of raw pages, decoded by *jobs* threads.

    Raises TraceError when it has no pages, no header_page, or no format of an event that is read.
    """
    files = dict(_cpu_files(path))
    headers = [file for file in _files(path) if os.path.basename(file) == "header_page"]
    if not files or not headers:
        raise TraceError(
            f"{path}: {'no header_page' if files else 'no pages (cpu0.raw, cpu0, cpu0/trace_pipe_raw)'}",
            "Copy events/header_page and the events' format files from tracefs beside the pages.",
        )
    header = parse_header_page(_text(headers[0]), headers[0])
    programs = tp.Programs()
    _formats(path, programs)
    if not programs.known:
        raise TraceError(
            f"{path}: no format of an event that is read here",
            "Copy events/sched/sched_switch/format from the recorded machine beside the pages.",
        )
    layout = page_layout(header, header.page_size)
    programs.word_bits = header.commit_size * 8
    step = piece_bytes(len(files), header.page_size)
    streams = []
    for cpu, file in sorted(files.items()):
        pages = map_file(file)
        streams.append(SegmentStream(cpu, mapped_pieces(pages, 0, len(pages.data), step)))
    source = SegmentSource(path, streams, layout, programs, None, jobs)
    source.format = NAME
    source.origin = "ring-buffer pages"
    source.clock = _clock(path)
    return source


def _clock(path: str) -> str:
    for file in _files(path):
        if os.path.basename(file) == "trace_clock":
            return selected_clock(_text(file))
    return ""


def selected_clock(text: str) -> str:
    """The clock in brackets in a ``trace_clock`` text; a bare name is itself the clock."""
    _, bracket, rest = text.partition("[")
    if bracket:
        return rest.partition("]")[0].strip()
    return text.strip() if len(text.split()) == 1 else ""

"""The worked example of traces/FORMAT.md, as values and as the page's hex lines.

``python -m tests.trace_example`` prints the lines for the page.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from pvreplay.trace.binary import BinaryWriter
from pvreplay.trace.events import Kind
from pvreplay.trace.memory import ListTrace
from pvreplay.trace.model import Meta, Origin, Task

PAGE = Path(__file__).parent.parent / "traces" / "FORMAT.md"


def example_trace() -> ListTrace:
    """Two tasks, one CPU, three events."""
    meta = Meta(origin="worked example", clock="mono", tool="pvreplay 0.1.0", cpus=1)
    meta.state["fpu"] = Origin("observed", "x86_fpu")
    meta.state["iopl"] = Origin("assumed", "0", "--assume iopl=3")
    tasks = [Task(1, "make", pid=1, mm=1, fpu=True), Task(2, "cc 1", pid=77, mm=2, tls=(0x1A, 0, 0))]
    events = [(1000, 0, Kind.SWITCH, 2), (2000, 0, Kind.FPU), (3000, 0, Kind.LOST, 23)]
    return ListTrace(events, tasks, [(0, 1)], meta)


def example_bytes() -> bytes:
    """The example as the writer writes it."""
    out = io.BytesIO()
    trace = example_trace()
    writer = BinaryWriter(out, trace.meta)
    for chunk in trace.chunks():
        writer.write(chunk)
    writer.close({"out_of_order": 1})
    return out.getvalue()


def page_bytes() -> bytes:
    """The bytes of the hex lines in the page: offset, colon, up to 16 bytes."""
    out = bytearray()
    for match in re.finditer(r"^    ([0-9a-f]{4}): ((?:[0-9a-f]{2} ?){1,16})", PAGE.read_text(), re.M):
        assert int(match[1], 16) == len(out), f"line {match[1]} of the page is out of order"
        out += bytes.fromhex(match[2])
    return bytes(out)


def page_text() -> str:
    """The example in the text form, from the page."""
    found = re.search(r"^    # pvreplay trace 1\n    origin(?:.|\n    )*", PAGE.read_text(), re.M)
    assert found
    return "".join(line[4:] + "\n" for line in found[0].splitlines())


if __name__ == "__main__":
    raw = example_bytes()
    for at in range(0, len(raw), 16):
        row = raw[at : at + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        print(f"    {at:04x}: {row.hex(' '):<47}  {shown}".rstrip())

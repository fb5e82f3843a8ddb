"""One ring buffer printed under different tracefs options must give the same records.

    python tests/crosscheck/ftrace_options.py [PROGRAM...]        needs root and tracefs

Records PROGRAM (default: a few short commands) in a private instance, prints its buffer plainly and
with each option that changes the text, and compares what the text source makes of it.  Options that
leave out what is needed must be refused.  The instance is removed again.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from array import array
from pathlib import Path

from pvreplay.errors import TraceError
from pvreplay.sources import records as r
from pvreplay.sources.textsniff import sniff_text
from pvreplay.sources.textsource import TextSource

INSTANCE = Path("/sys/kernel/tracing/instances/pvreplay-crosscheck")
EVENTS = (
    "sched/sched_switch",
    "sched/sched_process_fork",
    "sched/sched_process_exec",
    "task",
    "tlb",
    "x86_fpu",
)
ACCEPTED = (
    {"fields": "1"},
    {"irq-info": "0"},
    {"record-tgid": "1"},
    {"latency-format": "1"},
    {"hash-ptr": "0"},
)
VERBOSE = {"latency-format": "1", "verbose": "1"}
REFUSED = ("raw", "hex", "bin", "context-info")
CLOCKS = ("counter", "uptime", "tai", "x86-tsc", "mono")


def records(text: bytes) -> list[tuple[object, ...]]:
    """All records but INFO, without time and pointers, with names instead of their numbers."""
    source = TextSource(io.BytesIO(text), sniff_text(text[:65536]))
    words = memoryview(array("Q", bytes(r.RECORD_BYTES * 4096)))
    found: list[tuple[object, ...]] = []
    while count := source.fill(words, 0):
        for at in range(0, 4 * count, 4):
            _, head, payload, c = words[at : at + 4]
            kind = head >> 16 & 0xFF
            if kind in (r.FPU_ACTIVATED, r.FPU_DEACTIVATED):
                c = 0  # a pointer, hashed or not
            names = ()
            if kind == r.SWITCH:
                names = (source.comms[c & 0xFFFFFF], source.comms[c >> 24 & 0xFFFFFF])
                c >>= 48
            elif kind in (r.NEWTASK, r.FORK, r.RENAME):
                names = (source.comms[c],)
                c = 0
            if kind != r.INFO:
                found.append((head, payload, c, *names))
    if source.doubts:
        print("    doubts:", source.doubts)
    return found


def main(command: list[str]) -> int:
    command = command or ["sh", "-c", "ls / >/dev/null; sleep 0.01; (true); echo a | cat >/dev/null"]
    wrong = 0
    INSTANCE.mkdir()
    try:
        for event in EVENTS:
            (INSTANCE / "events" / event / "enable").write_text("1")
        subprocess.run(command, check=False)
        (INSTANCE / "tracing_on").write_text("0")
        plain = records((INSTANCE / "trace").read_bytes())
        print(f"plain: {len(plain)} records")
        for options in (*ACCEPTED, VERBOSE):
            text = printed(options)
            same = records(text) == plain
            wrong += not same
            print(f"{' '.join(options)}: {'same' if same else 'DIFFERENT'}")
        for name in REFUSED:
            text = printed({name: "0" if name == "context-info" else "1"})
            try:
                style = sniff_text(text[:65536])
                wrong += 1
                print(f"{name}: TAKEN as {style}")
            except TraceError as error:
                print(f"{name}: refused: {error.message}")
        for clock in CLOCKS:
            (INSTANCE / "trace_clock").write_text(clock)
            (INSTANCE / "tracing_on").write_text("1")
            subprocess.run(command, check=False)
            (INSTANCE / "tracing_on").write_text("0")
            text = (INSTANCE / "trace").read_bytes()
            lines = sum(1 for line in text.split(b"\n") if b": sched_switch: " in line)
            switches = sum(1 for head, *_ in records(text) if head >> 16 & 0xFF == r.SWITCH)
            wrong += lines != switches
            print(f"clock {clock}: {switches} of {lines} switches")
    finally:
        os.rmdir(INSTANCE)
    return 1 if wrong else 0


def printed(options: dict[str, str]) -> bytes:
    """The buffer as text under these options, which are put back."""
    before = {name: (INSTANCE / "options" / name).read_text() for name in options}
    for name, value in options.items():
        (INSTANCE / "options" / name).write_text(value)
    text = (INSTANCE / "trace").read_bytes()
    for name, value in before.items():
        (INSTANCE / "options" / name).write_text(value)
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

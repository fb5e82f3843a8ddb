"""Records of the function tracers in a trace.dat are evidence as their text is."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests import binary_files as b
from tests.cli_helpers import pvreplay
from tests.test_sources_tracedat_ops import CALL, FTRACE, LINE, SWITCH, Kernel, paged

TRACES = Path(__file__).parent.parent / "traces"
STATES = {b"R": 0, b"R+": b.PREEMPTED, b"S": 1, b"D": 2, b"X": 16, b"Z": 32, b"I": 1026}


def validated(path: Path, *more: str) -> dict[str, Any]:
    done = pvreplay("validate", path, "--format", "json", *more)
    assert done.code == 0, done.err
    report: dict[str, Any] = json.loads(done.out)
    return report


def counts(report: dict[str, Any]) -> dict[str, Any]:
    return {key: report[key] for key in ("switches", "decisions", "confusion", "reasons")}


def written(tmp_path: Path, kernel: Kernel, events: list[tuple[int, int, bytes]]) -> Path:
    path = tmp_path / "a.dat"
    more: dict[str, Any] = {"ftrace": FTRACE, "kallsyms": kernel.kallsyms()}
    path.write_bytes(b.trace_dat6(paged(events, 2), {"sched": [b.switch_format()]}, **more))
    return path


@pytest.mark.parametrize("name", ["guest-xen-tls", "guest-n64-state"])
def test_function_records_say_what_their_text_says(name: str, tmp_path: Path) -> None:
    kernel, events, kept = Kernel(), [], [b"# tracer: function\n"]
    for line in (TRACES / f"{name}.function.txt").read_bytes().splitlines(keepends=True):
        found = LINE.search(line.rstrip(b"\n"))
        if found is None:
            continue
        pid, cpu, time = int(found[1]), int(found[2]), int(found[3]) * 10**9 + int(found[4]) * 1000
        call, switch = CALL.match(found[5]), SWITCH.match(found[5])
        if call:
            payload = struct.pack("<HHiQQ", 1, 0, pid, kernel.address(call[1]), kernel.address(call[2]))
        elif switch:
            payload = b.switch_payload(
                int(switch[2]), int(switch[5]), switch[1], switch[4], STATES[switch[3]]
            )
        else:
            continue
        events.append((cpu, time, payload))
        kept.append(line)
    text = tmp_path / "a.txt"
    text.write_bytes(b"".join(kept))
    backend = ("--backend", "xen" if "xen" in name else "native")
    binary = validated(written(tmp_path, kernel, events), *backend)
    assert counts(binary) == counts(validated(text, *backend))
    assert binary["switches"]["equal"] > 50


def test_a_graph_in_records_says_what_trace_cmds_text_of_it_says(tmp_path: Path) -> None:
    kernel, events, lines = Kernel(), [], ["cpus=1"]
    clock = iter(range(100, 100_000))

    def say(name: str, pid: int, payload: bytes, text: str) -> None:
        time = next(clock)
        events.append((0, 10**9 + 1000 * time, payload))
        if text:
            lines.append(f"{name:>16}-{pid:<5} [000]     1.{time:06}: {text}")

    def graph(pid: int, number: int, function: bytes) -> bytes:
        return struct.pack("<HHiQi", number, 0, pid, kernel.address(function), 0)

    def switch(one: tuple[str, int], two: tuple[str, int], *calls: str) -> None:
        say(*one, graph(one[1], 11, b"schedule"), "funcgraph_entry:                   |  schedule() {")
        payload = b.switch_payload(one[1], two[1], one[0].encode(), two[0].encode(), 1)
        say(*one, payload, f"sched_switch:         {one[0]}:{one[1]} [120] S ==> {two[0]}:{two[1]} [120]")
        for call in calls:
            say(
                *one,
                graph(one[1], 11, call.encode()),
                f"funcgraph_entry:        1.424 us   |    {call}();",
            )
            say(*one, graph(one[1], 10, call.encode()), "")
        say(*two, graph(two[1], 10, b"schedule"), "funcgraph_exit:       + 16.799 us  |  }")

    shell, swapper, kworker = ("bash", 5), ("swapper/0", 0), ("kworker/0:1", 7)
    for _ in range(3):
        switch(swapper, shell, "switch_mm_irqs_off")
        switch(shell, kworker, "enter_lazy_tlb", "save_fpregs_to_fpstate")
        switch(kworker, shell, "switch_mm_irqs_off")
        switch(shell, swapper, "enter_lazy_tlb", "save_fpregs_to_fpstate")
    text = tmp_path / "a.txt"
    text.write_text("\n".join(lines) + "\n")
    binary = validated(written(tmp_path, kernel, events))
    assert counts(binary) == counts(validated(text))
    assert binary["switches"]["equal"] == 11  # the first switch finds an mm that nobody saw loaded

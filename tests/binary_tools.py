"""What the tests of binary sources share: switches as other tools list them, engines run interpreted."""

from __future__ import annotations

import pytest

from pvreplay.sources import (
    comms,
    pages,
    perfdata,
    perfdata_guess,
    perfdata_head,
    perfdata_order,
    perfdata_parts,
    segments,
    tracepoints,
)
from pvreplay.sources import records as r
from tests.source_tools import DATA, drain, interpreted

Switch = tuple[int, int, int, bytes, bytes]

PERF = DATA / "sources-n32-tasklife.perf.data"
DAT64 = DATA / "sources-n64-tasklife.dat"
DAT32 = DATA / "sources-n32-tasklife-v7.dat"
PAGES = DATA / "sources-n64-nofp.rawpages"

_NAMES = ("_perfdata_cy", "_perfwalk_cy", "_tracepoint_cy", "_merge_cy", "_ring_cy")
_SLOW = {name: interpreted(name) for name in _NAMES}
_WALK = _SLOW["_perfwalk_cy"]
_WALK.decode_range = _SLOW["_tracepoint_cy"].decode
_WALK.comm_of = _SLOW["_tracepoint_cy"].comm_of
_WALK.scan = _SLOW["_perfdata_cy"].scan
_WALK.event_of = _SLOW["_perfdata_cy"].event_of
_WALK.guess = _SLOW["_perfdata_cy"].guess
_USERS = (
    (perfdata, "engine", "_perfdata_cy"),
    (perfdata_head, "engine", "_perfdata_cy"),
    (perfdata_guess, "engine", "_perfdata_cy"),
    (perfdata, "walking", "_perfwalk_cy"),
    (perfdata_parts, "engine", "_perfdata_cy"),
    (perfdata_parts, "walking", "_perfwalk_cy"),
    (comms, "payloads", "_tracepoint_cy"),
    (pages, "payloads", "_tracepoint_cy"),
    (tracepoints, "engine", "_tracepoint_cy"),
    (perfdata_order, "merging", "_merge_cy"),
    (pages, "merging", "_merge_cy"),
    (pages, "ring", "_ring_cy"),
    (segments, "ring", "_ring_cy"),
    (segments, "payloads", "_tracepoint_cy"),
)


def run_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sources use their compiled modules as plain Python."""
    for module, name, engine in _USERS:
        monkeypatch.setattr(module, name, _SLOW[engine])


def switches(source: r.RawSource, room: int = 50) -> list[Switch]:
    """(CPU, prev pid, next pid, prev comm, next comm) of every switch."""
    return [
        (cpu, a, b, source.comms[c & 0xFFFFFF], source.comms[c >> 24 & 0xFFFFFF])
        for _, cpu, type, _, _, a, b, c in drain(source, room)
        if type == r.SWITCH
    ]


def listed(name: str) -> list[Switch]:
    """The same from a .switches.txt in tests/data, which another tool made."""
    found = []
    for line in (DATA / f"{name}.switches.txt").read_bytes().splitlines():
        cpu, prev, following, prev_comm, next_comm = line.split(b"\t")
        found.append((int(cpu), int(prev), int(following), prev_comm, next_comm))
    return found

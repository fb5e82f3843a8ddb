"""`pvreplay formats`: what is read, and the evidence for each piece of state."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pvreplay.sources.assume import CHOICES
from pvreplay.sources.detect import FORMATS, open_trace
from pvreplay.sources.evidence import EVIDENCE
from pvreplay.trace.model import STATE_KEYS
from tests.binary_tools import DAT64, PAGES, PERF
from tests.cli_helpers import pvreplay


def test_every_piece_of_state_has_its_evidence() -> None:
    assert tuple(row.state for row in EVIDENCE) == STATE_KEYS


def test_the_options_named_can_be_assumed() -> None:
    named = {option.strip() for row in EVIDENCE for option in row.option.split(",") if option}
    assert named <= set(CHOICES)


def test_the_list_fits_in_80_columns_and_names_every_format() -> None:
    done = pvreplay("formats")
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= 80
    for name in (*FORMATS, "raw pages"):
        assert f"\n{name} " in done.out
    for state in STATE_KEYS:
        assert f"\n{state} " in done.out


def test_the_json_form_has_the_same() -> None:
    page = json.loads(pvreplay("formats", "--format", "json").out)
    assert page["schema"] == "pvreplay.formats/1"
    assert {one["name"] for one in page["formats"]} >= {*FORMATS, "raw pages"}
    assert [one["state"] for one in page["state"]] == list(STATE_KEYS)
    assert {one["key"] for one in page["assume"]} == set(CHOICES)


@pytest.mark.parametrize(
    ("path", "name", "packed"),
    [
        (PERF, "perf.data", False),
        (PERF, "perf.data", True),
        (DAT64, "trace.dat", False),
        (DAT64, "trace.dat", True),
        (PAGES, "raw pages", False),  # a directory has no packed form
    ],
)
def test_a_recording_is_recognised_by_its_content(
    path: Path, name: str, packed: bool, tmp_path: Path
) -> None:
    if path == DAT64:
        pytest.importorskip("zstandard")
    given = tmp_path / "recording.of.no.kind"
    if path.is_dir():
        given = path
    else:
        given.write_bytes(gzip.compress(path.read_bytes()) if packed else path.read_bytes())
    trace = open_trace(str(given))
    assert trace.meta.format == name
    assert sum(len(chunk.events) for chunk in trace.chunks()) > 300

"""`pvreplay formats`: what is read, and the evidence for each piece of state."""

from __future__ import annotations

import json

from pvreplay.sources.assume import CHOICES
from pvreplay.sources.detect import FORMATS
from pvreplay.sources.evidence import EVIDENCE
from pvreplay.trace.model import STATE_KEYS
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

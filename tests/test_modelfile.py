"""Model files decoded ahead of time: never wrong, whatever becomes of the snapshot."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from pvreplay import modelfile

BUILTIN = [
    path for folder in modelfile.FOLDERS for path in sorted((Path(modelfile.HERE) / folder).glob("*.toml"))
]


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A snapshot of this test's own, not read yet."""
    path = tmp_path / "data" / "models.marshal"
    monkeypatch.setattr(modelfile, "SNAPSHOT", str(path))
    monkeypatch.setattr(modelfile, "_snapshot", None)
    return path


def test_every_built_in_file_decodes_to_what_its_text_says(snapshot: Path) -> None:
    modelfile.write_snapshot()
    assert os.listdir(snapshot.parent) == ["models.marshal"]
    for path in BUILTIN:
        data = path.read_bytes()
        assert data in modelfile._read_snapshot()
        assert modelfile.loads(data) == tomllib.loads(data.decode())


def test_an_edited_file_is_parsed_and_not_looked_up(snapshot: Path) -> None:
    modelfile.write_snapshot()
    edited = BUILTIN[0].read_bytes() + b"\n[added]\nkey = 1\n"
    assert modelfile.loads(edited)["added"] == {"key": 1}


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"i\x01\x00\x00\x00"])
def test_a_missing_or_broken_snapshot_costs_time_and_nothing_else(
    snapshot: Path, content: bytes | None
) -> None:
    if content is not None:
        snapshot.parent.mkdir()
        snapshot.write_bytes(content)
    assert modelfile.loads(b"key = 1") == {"key": 1}


def test_what_one_reader_does_to_its_document_no_other_sees(snapshot: Path) -> None:
    modelfile.write_snapshot()
    data = BUILTIN[0].read_bytes()
    modelfile.loads(data).clear()
    assert modelfile.loads(data) == tomllib.loads(data.decode())


def test_errors_are_those_of_the_text(snapshot: Path) -> None:
    with pytest.raises(UnicodeDecodeError):
        modelfile.loads(b"\xff")
    with pytest.raises(ValueError, match="line 2"):
        modelfile.loads(b"a = 1\nb =\n")

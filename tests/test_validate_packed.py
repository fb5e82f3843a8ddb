"""A packed recording is validated as what it holds; a cut one says so."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli_helpers import pvreplay, two_lines

RECORDING = Path(__file__).parent.parent / "traces" / "guest-xen-tls.function.txt"


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_packed_recording_is_validated_as_what_it_holds(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    (tmp_path / "packed").write_bytes(pack(RECORDING.read_bytes()))
    plain, packed = pvreplay("validate", RECORDING), pvreplay("validate", tmp_path / "packed")
    assert packed.code == plain.code == 0
    assert packed.out.splitlines()[1:] == plain.out.splitlines()[1:]


def test_a_recording_cut_in_the_middle_is_compared_as_far_as_it_goes_and_is_exit_3(tmp_path: Path) -> None:
    whole = gzip.compress(RECORDING.read_bytes())
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    done = pvreplay("validate", tmp_path / "cut.gz")
    assert done.code == 3 and two_lines(done.err) and "cut" in done.err
    assert "kernel 6.1, backend xen" in done.out and " of " in done.flat

"""The hypervisor's view: xentrace records and the totals of xenalyze."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pvreplay.backends.reader import load_backend
from pvreplay.errors import TraceError
from pvreplay.kernels.reader import load_kernel
from pvreplay.validate.hypervisor import EMULATED, HypervisorView, check_view, open_view, possible_windows
from pvreplay.validate.result import Result

TRACES = Path(__file__).parent.parent / "traces"
KERNEL = load_kernel("6.1")
XEN = load_backend("xen", KERNEL)


def view_of(path: Path) -> HypervisorView:
    found = open_view(str(path))
    assert found is not None
    return found


def checked(path: Path) -> Result:
    return check_view(view_of(path), KERNEL, XEN)


def record(event: int, *words: int) -> bytes:
    return struct.pack(f"<IQ{len(words)}I", 1 << 31 | len(words) << 28 | event, 5, *words)


def cpu(number: int) -> bytes:
    return struct.pack("<III", 2 << 28 | 0x1F003, number, 0)


RDMSR = record(0x201106, 0x81022506, 0xFFFFFFFF)


def call(number: int) -> bytes:
    return record(0x20100D, number | 1 << 20, 0)


def test_every_switch_of_the_shipped_xentrace_has_an_order_the_model_gives() -> None:
    result = checked(TRACES / "guest-xen.xentrace")
    assert (result.switches.equal, result.switches.compared, result.switches.different) == (596, 596, 0)
    # as xenalyze counted them: facts of the recording, not of this reader
    assert result.by_op["stack_switch"] == {"predicted": 596, "seen": 596}
    assert result.by_op["set_segment_base"] == {"predicted": 596, "seen": 600}
    assert result.by_op[EMULATED] == {"predicted": 596, "seen": 605}
    assert result.by_op["multicall"] == {"predicted": 0, "seen": 21}


def test_the_totals_of_a_summary_hold_what_the_switches_cost() -> None:
    result = checked(TRACES / "guest-xen.xenalyze-summary.txt")
    assert not result.failed and result.switches.compared == 442
    assert result.by_op["set_segment_base"] == {"predicted": 442, "seen": 446}
    assert result.by_op[EMULATED] == {"predicted": 442, "seen": 451}


def test_a_summary_with_too_few_calls_differs(tmp_path: Path) -> None:
    text = (TRACES / "guest-xen.xenalyze-summary.txt").read_text()
    short = tmp_path / "short.txt"
    short.write_text(
        text.replace("set_segment_base             [25]:    235", "set_segment_base             [25]:    200")
    )
    result = checked(short)
    assert result.failed and result.switches.different == 31


def test_an_order_the_model_does_not_have_differs(tmp_path: Path) -> None:
    good = RDMSR + call(25) + call(3)
    path = tmp_path / "trace.bin"
    path.write_bytes(
        cpu(0) + good + RDMSR + call(3) + good + RDMSR + call(26) + call(26) + call(25) + call(3)
    )
    result = checked(path)
    assert (result.switches.equal, result.switches.different) == (3, 1)
    assert result.classes[0].what == f"{EMULATED} stack_switch"
    assert result.other_work == {"restarted mmuext_op": 1}


def test_cpus_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "trace.bin"
    path.write_bytes(
        cpu(0) + RDMSR + cpu(1) + RDMSR + call(25) + cpu(0) + call(25) + call(3) + cpu(1) + call(3)
    )
    assert checked(path).switches.equal == 2


def test_a_cut_file_says_so_and_gives_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "trace.bin"
    path.write_bytes(cpu(0) + RDMSR + call(25) + call(3) + RDMSR[:-3])
    found = view_of(path)
    assert "middle of a record" in found.damage
    assert check_view(found, KERNEL, XEN).switches.equal == 1


def test_no_switch_is_an_error_and_other_files_are_no_view(tmp_path: Path) -> None:
    path = tmp_path / "trace.bin"
    path.write_bytes(cpu(0) + RDMSR)
    with pytest.raises(TraceError, match="no stack_switch"):
        checked(path)
    assert open_view(str(TRACES / "pingpong23.txt")) is None
    assert open_view(str(tmp_path / "none")) is None


def test_more_than_one_entry_is_a_multicall() -> None:
    windows = possible_windows(KERNEL, XEN)
    assert (EMULATED, "set_segment_base", "stack_switch") in windows
    assert (EMULATED, "mmuext_op", "set_segment_base", "stack_switch") in windows
    assert (EMULATED, "multicall", "set_segment_base", "stack_switch") in windows
    assert (EMULATED, "stack_switch") not in windows

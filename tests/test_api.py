"""The Python interface: it says what the command line says, and its page's examples run."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import pvreplay
from pvreplay.trace.quote import quote
from tests import cli_helpers
from tests.cli_helpers import LEAVE_LATE, PINGPONG, WITH_TLS
from tests.report_samples import HOSTILE

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "t.txt").write_text(PINGPONG)
    (tmp_path / "tls.txt").write_text(WITH_TLS)
    (tmp_path / "late.toml").write_text(LEAVE_LATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_of_the_page_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    ran = doctest.testfile(str(PAGE), module_relative=False)
    assert ran.attempted > 15 and ran.failed == 0


def test_the_example_of_the_module_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from pvreplay import api

    monkeypatch.chdir(ROOT)
    assert doctest.testmod(api) == (0, 3)


def test_the_page_names_everything_public() -> None:
    page = PAGE.read_text()
    for cls in (pvreplay.Recording, pvreplay.Replay, pvreplay.Price):
        for name in vars(cls):
            assert name.startswith("_") or f"`{name}" in page, f"{cls.__name__}.{name}"
    assert all(f"{name}" in page for name in pvreplay.__all__ if name != "__version__")


def test_a_price_is_what_the_command_line_prints(folder: Path) -> None:
    done = cli_helpers.pvreplay("run", "t.txt", "-b", "xen", "-f", "json")
    (printed,) = json.loads(done.out)["backends"]
    xen = pvreplay.open("t.txt").replay().price("xen")
    assert (xen.hypercalls, xen.per_switch, xen.entries, xen.traps, xen.rom_calls) == (
        printed["hypercalls"],
        printed["hypercalls_per_switch"],
        printed["entries"],
        printed["traps"],
        printed["rom_calls"],
    )
    assert xen.unbatched_hypercalls == printed["unbatched_hypercalls"]
    assert {op: totals.hypercalls for op, totals in xen.by_op.items()} == {
        op: totals["hypercalls"] for op, totals in printed["by_op"].items()
    }
    assert xen.histogram == {int(n): count for n, count in printed["histogram"].items()}
    assert xen.flushes == printed["flushes"]
    assert xen.batch_sizes == {int(n): count for n, count in printed["batch_sizes"].items()}


def test_one_replay_is_priced_under_every_backend_without_the_trace(folder: Path) -> None:
    replay = pvreplay.open(folder / "t.txt").replay()
    (folder / "t.txt").unlink()
    assert replay.price("xen-unbatched").hypercalls == replay.price("xen").unbatched_hypercalls == 115
    assert replay.price("native").unbatched_hypercalls is None
    assert [result.name for result in replay.report(["vmi", "vmi", "native"]).backends] == ["vmi", "native"]


def test_the_violations_are_those_of_the_backend_worst_first(folder: Path) -> None:
    replay = pvreplay.open("tls.txt").replay(folder / "late.toml")
    assert replay.price("native").violations == []
    found = replay.price("xen").violations
    assert found[0].rule == "H1" and {tuple(one.backends) for one in found} == {("xen",)}
    assert replay.violations[0].rule == "H1" and "vmi" in replay.violations[0].backends


def test_settings_are_those_of_the_command_line(folder: Path) -> None:
    (folder / "iopl.txt").write_text(PINGPONG.replace("comm=pong", "comm=pong iopl=3"))
    recording = pvreplay.open("iopl.txt", assume={"fpu": "never"})
    posted, never = (
        recording.replay(iopl=iopl).price("vmi-unbatched").entries for iopl in ("posted", "never")
    )
    assert posted > never
    assert recording.assume == {"fpu": "never"}
    assert "policy" in recording.replay().report(["xen"], policy="x86-2009").notes[-1]
    with pytest.raises(pvreplay.UsageError):
        recording.replay().price("xen", policy="nosuch")


def test_tasks_are_named(folder: Path) -> None:
    by_task = pvreplay.open("t.txt").replay().price("xen").by_task
    assert {name: totals.count for name, totals in by_task.items()} == {"ping-1": 11, "pong-2": 12}


@pytest.mark.parametrize(
    ("path", "error"),
    [("missing.txt", pvreplay.UsageError), ("-", pvreplay.UsageError), (".", pvreplay.PvreplayError)],
)
def test_what_is_no_trace_is_told_when_it_is_opened(folder: Path, path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        pvreplay.open(path)


def test_an_empty_file_and_a_wrong_assumption_are_told_when_opened(folder: Path) -> None:
    (folder / "empty").touch()
    with pytest.raises(pvreplay.TraceError):
        pvreplay.open("empty")
    (folder / "trace").write_text("# tracer: nop\n#\n a-1 [000] .... 1.0: sched_switch: prev_comm=a\n")
    with pytest.raises(pvreplay.UsageError):
        pvreplay.open("trace", assume={"nosuch": "x"})


def test_a_damaged_trace_gives_what_it_holds_and_says_so(folder: Path) -> None:
    assert cli_helpers.pvreplay("synth", "pingpong", "-n", "20000", "-o", "t.bin").code == 0
    whole = (folder / "t.bin").read_bytes()
    (folder / "cut.bin").write_bytes(whole[: len(whole) // 2])
    replay = pvreplay.open("cut.bin").replay()
    assert replay.histogram.damage and replay.report(["xen"]).damage


class Tables(HTMLParser):
    """The tags of a table and the text in it; tags out of place fail."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_a_notebook_shows_small_tables_and_a_hostile_name_stays_text(folder: Path) -> None:
    evil = folder / f"<b>{'x'}&\x1b.txt"
    evil.write_text(PINGPONG.replace("comm=pong", f"comm={quote(HOSTILE[:15])}"))
    recording = pvreplay.open(evil)
    replay = recording.replay()
    price = replay.price("xen")
    for shown, words in (
        (recording, ("switches", "23")),
        (replay, ("vmi", "1.00")),
        (price, ("leave_lazy_cpu", "23")),
    ):
        tables = Tables()
        tables.feed(shown._repr_html_())
        assert tables.tags == {"table", "caption", "tr", "th", "td"}
        assert all(word in tables.text.split() for word in words)
        assert "\x1b" not in shown._repr_html_()
        assert len(repr(shown)) < 300 and "\x1b" not in repr(shown)


def test_importing_pvreplay_imports_nothing_of_it_until_it_is_used() -> None:
    script = (
        "import sys, pvreplay\n"
        "before = {m for m in sys.modules if m.startswith('pvreplay')}\n"
        "assert before == {'pvreplay'}, before\n"
        "assert 'open' in dir(pvreplay) and not hasattr(pvreplay, 'nosuch')\n"
        "assert {m for m in sys.modules if m.startswith('pvreplay')} == {'pvreplay'}\n"
        "pvreplay.open\n"
        "assert 'pvreplay.api' in sys.modules and 'click' not in sys.modules and 'rich' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_every_name_that_is_promised_is_there() -> None:
    assert all(hasattr(pvreplay, name) for name in pvreplay.__all__)


TYPED = """\
import pvreplay

replay: pvreplay.Replay = pvreplay.open("trace.bin", assume={"fpu": "never"}).replay(kernel="2.6.21")
calls: int = replay.price("xen").hypercalls
rate: float = replay.price().per_switch
rules: list[str] = [found.rule for found in replay.violations]
ops: list[tuple[str, int]] = [(op, totals.entries) for op, totals in replay.price("xen").by_op.items()]
wrong: str = replay.price("xen").hypercalls  # the one error
"""


def test_a_program_that_uses_it_is_type_checked(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(TYPED)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(tmp_path / "user.py")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1 and "user.py:8" in errors[0], done.stdout

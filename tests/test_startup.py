"""Starting is cheap because nothing is imported before it is needed: the lists are held here.

A module that a command comes to import is added to its list on purpose or not
at all.  What an import costs is measured by ``make bench``, not by a test.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pvreplay.__main__ import script
from tests.cli_helpers import PINGPONG

CLI = {"pvreplay", "pvreplay.__main__", "pvreplay.cli", "pvreplay.errors"}
VERSION = {
    "pvreplay",
    "pvreplay.__main__",
    "pvreplay.cli",
    "pvreplay.cli.version",
    "pvreplay.replay",
    "pvreplay.replay._loop_cy",
    "pvreplay.replay.build",
}
RUN = CLI | {
    "pvreplay.backends",
    "pvreplay.backends.reader",
    "pvreplay.backends.schema",
    "pvreplay.cli.flow",
    "pvreplay.cli.formats",
    "pvreplay.cli.main",
    "pvreplay.cli.options",
    "pvreplay.cli.run",
    "pvreplay.cli.together",
    "pvreplay.modelfile",
    "pvreplay.report",
    "pvreplay.report.escape",
    "pvreplay.report.order",
    "pvreplay.sources",
    "pvreplay.sources.assume",
    "pvreplay.sources.detect",
}
RUN_PACKAGES = {"kernels", "machine", "replay", "rules", "trace"}
"""Packages of the core, of which a run may import any module but those of NEVER."""
RUN_JSON = RUN | {"pvreplay.report.json"}
RUN_TEXT = RUN | {
    "pvreplay.report.figures",
    "pvreplay.report.page",
    "pvreplay.report.text",
    "pvreplay.report.text_details",
    "pvreplay.report.text_findings",
    "pvreplay.report.text_trust",
}
NEVER = {
    "pvreplay.replay.step",
    "pvreplay.replay.track",
    "pvreplay.replay.saved",
    "pvreplay.trace.binary_write",
    "pvreplay.trace.text",
    "pvreplay.trace.text_write",
}
"""Modules a run of a trace.bin has no use for."""
HEAVY = {
    "asyncio",
    "concurrent",
    "csv",
    "dataclasses",
    "email",
    "hashlib",
    "http",
    "importlib.metadata",
    "importlib.resources",
    "json",
    "logging",
    "lzma",
    "numpy",
    "pathlib",
    "pickle",
    "random",
    "rich",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
    "tomllib",
    "unittest",
    "urllib",
    "xml",
    "zipfile",
}
"""What must not come in by the back door; click and msgspec import none of it."""

SPY = """
import sys
from pvreplay.__main__ import main
before = set(sys.modules)
code = main(sys.argv[1:])
print(*sorted(sys.modules), sep="\\n", file=sys.stderr)
sys.exit(code)
"""


def imported(*args: str) -> set[str]:
    """The modules in memory after the command *args*, in a fresh process.

    Not those that this interpreter starts with: an editable install may bring an import hook of its own.
    """
    bare = [sys.executable, "-c", "import sys; print(*sys.modules, sep='\\n')"]
    before = subprocess.run(bare, capture_output=True, text=True, timeout=60, check=True)
    done = subprocess.run([sys.executable, "-c", SPY, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split("\n")) - set(before.stdout.split("\n"))


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "pvreplay"}


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The known workload as a trace.bin."""
    from pvreplay.__main__ import main

    folder: Path = tmp_path_factory.mktemp("startup")
    (folder / "t.txt").write_text(PINGPONG)
    assert main(["convert", str(folder / "t.txt"), str(folder / "t.bin")]) == 0
    return str(folder / "t.bin")


def test_version_imports_neither_click_nor_anything_of_the_replay_but_the_loop() -> None:
    modules = imported("--version")
    assert ours(modules) == VERSION
    assert not modules & (HEAVY | {"click", "msgspec"})


def test_help_imports_no_command() -> None:
    modules = imported("--help")
    assert ours(modules) == {"pvreplay", "pvreplay.__main__", "pvreplay.cli", "pvreplay.cli.main"}
    assert not modules & {"msgspec", "rich"}


def core(modules: set[str]) -> set[str]:
    return {name for name in modules if name.split(".")[1:2] and name.split(".")[1] in RUN_PACKAGES}


def test_a_run_to_json_imports_what_it_needs_and_no_rich(trace: str) -> None:
    modules = imported("run", trace, "--format", "json")
    assert ours(modules) - core(ours(modules)) == RUN_JSON
    assert not modules & (HEAVY | NEVER)


def test_a_run_to_text_imports_what_it_needs_and_no_rich_in_a_pipe(trace: str) -> None:
    modules = imported("run", trace)
    assert ours(modules) - core(ours(modules)) == RUN_TEXT
    assert not modules & (HEAVY | NEVER)


def test_rich_comes_in_only_for_colour() -> None:
    program = (
        "import sys; from pvreplay.report.page import Page; p = Page(); p.line(('x', 'bad'));"
        "p.text({}); print('rich' in sys.modules)"
    )
    for color, loaded in (("False", "False"), ("True", "True")):
        done = subprocess.run(
            [sys.executable, "-c", program.format(color)], capture_output=True, text=True, timeout=60
        )
        assert done.stdout.strip() == loaded, done.stderr


def test_only_the_source_that_reads_the_trace_is_imported(trace: str) -> None:
    binary = {name for name in imported("run", trace) if name.startswith("pvreplay.sources.")}
    assert binary == {"pvreplay.sources.assume", "pvreplay.sources.detect"}


def test_the_command_leaves_at_once_with_its_exit_code_and_all_output(trace: str) -> None:
    program = "import sys; from pvreplay.__main__ import script; sys.argv[1:] = {!r}; script()"
    for args, code in ((["run", trace], 0), (["run", "/no/such"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", program.format(args)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code
        assert done.stdout.endswith("the default\n") if code == 0 else done.stderr.startswith("pvreplay: ")


def test_a_profiler_gets_the_ordinary_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pvreplay", "--version"])
    monkeypatch.setattr(sys, "gettrace", lambda: print)
    with pytest.raises(SystemExit) as left:
        script()
    assert left.value.code == 0

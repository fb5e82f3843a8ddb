"""Golden files: what commands print at 80 columns, beside the command.

``make goldens`` writes them anew; they are read in the diff and never edited by
hand.  Commands run in a copy of ``traces/``'s folder, so that paths are the same
everywhere.
"""

from __future__ import annotations

import os
import re
import shutil
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP
from pathlib import Path

import pytest

from pvreplay.replay.build import COMPILED
from pvreplay.report.page import width_of
from tests.cli_helpers import pvreplay

ROOT = Path(__file__).parent.parent
GOLDENS = Path(__file__).parent / "goldens"
WRITE = os.environ.get("PVREPLAY_GOLDENS") == "write"
RECORDING = "traces/guest-n32-fpthreads.trace.txt"
TLS = "traces/tls-iopl.txt"
LATE = "traces/late-leave.toml"

CASES: dict[str, list[str]] = {
    "run-recording": [f"run {RECORDING}"],
    "run-recording-top": [f"run {RECORDING} --backend xen --top 3"],
    "run-pingpong23": ["run traces/pingpong23.txt"],
    "run-violation": [f"run {TLS} --kernel {LATE}"],
    "run-violation-ascii": [f"run {TLS} --kernel {LATE} --ascii"],
    "run-order": ["run traces/seed.ops.txt --backend xen -v"],
    "diff-native-vmi": [f"diff native vs vmi {RECORDING}"],
    "diff-xen-2.6.31-2.6.32": [f"diff xen@2.6.31 vs xen@2.6.32 {RECORDING}"],
    "diff-kernel-file": [f"diff 2.6.21 vs {LATE} {TLS}"],
    "show-switch": [f"show {RECORDING} --switch 400 --backend xen"],
    "show-switch-ascii": [f"show {RECORDING} --switch 400 --backend xen --ascii -v"],
    "show-vs": [f"show {TLS} --switch 1 --backend xen --vs vmi"],
    "show-violation": [f"show {TLS} --violation H1 --kernel {LATE}"],
    "show-order": ["show traces/seed.ops.txt --switch 0"],
    "gate": [
        f"gate {TLS} --backend xen --update",
        f"gate {TLS}",
        f"gate {TLS} --kernel {LATE} --explain",
        f"gate {RECORDING}",
    ],
    "info-recording": [f"info {RECORDING}"],
    "dump": ["dump traces/pingpong23.txt --limit 5"],
    "check": [
        "check begin enter_cpu load_tls loadsegment:fs leave_cpu end --backend xen",
        "check begin enter_cpu load_tls leave_cpu loadsegment:fs end --backend xen",
    ],
    "rule-p1-dot": ["rule P1 --dot"],
    "formats": ["formats"],
    "rule": ["rule"],
    "rule-h1": ["rule H1"],
    "kernels": ["kernels"],
    "kernels-2.6.21": ["kernels --show 2.6.21"],
    "backends": ["backends"],
    "backends-xen": ["backends --show xen"],
    "synth-list": ["synth --list"],
    "version": ["--version"],
    "errors": ["run missing.bin", "run traces/README.md", f"show {RECORDING} --switch 787", "rnu"],
}
"""Name of the file -> the commands in it, run one after the other."""
WIDE = {
    "rule-h1": "a rule's page holds commands to be copied, which are never cut",
    "errors": "an error is two lines, whatever it has to say",
    "rule-p1-dot": "a file for another program",
}
"""Golden that may be wider than a page -> why."""
PAGES = ["show.md"]
"""Pages of docs whose console blocks are a command and what it prints, from end to end."""
ASCII = [
    commands[0]
    for name, commands in CASES.items()
    if commands[0].split()[0] in ("run", "diff", "show", "gate", "check") and name != "errors"
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "traces", tmp_path / "traces")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def session(commands: list[str]) -> str:
    """The commands as typed, each followed by what it prints and an exit code that is not 0."""
    parts = []
    for command in commands:
        done = pvreplay(*command.split())
        code = f"[exit {done.code}]\n" if done.code else ""
        parts.append(f"$ pvreplay {command}\n{done.out}{done.err}{code}")
    return "\n".join(parts)


@pytest.mark.skipif(not COMPILED, reason="every footer says that the loop is interpreted")
@pytest.mark.parametrize("name", list(CASES))
def test_a_command_prints_what_its_golden_says(name: str, folder: Path) -> None:
    printed = session(CASES[name])
    golden = GOLDENS / f"{name}.txt"
    if WRITE:
        GOLDENS.mkdir(exist_ok=True)
        golden.write_text(printed, encoding="utf-8")
    assert printed == golden.read_text(encoding="utf-8"), "make goldens writes it anew"


def test_there_is_no_golden_without_a_command() -> None:
    assert {path.name for path in GOLDENS.iterdir()} == {f"{name}.txt" for name in CASES}


@pytest.mark.parametrize("name", sorted(CASES.keys() - WIDE.keys()))
def test_no_golden_is_wider_than_eighty_columns_or_has_blanks_at_the_end_of_a_line(name: str) -> None:
    lines = (GOLDENS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    output = [line for line in lines if not line.startswith("$ ")]
    assert [line for line in output if width_of(line) > 80] == []
    assert [line for line in output if line != line.rstrip()] == []


def console_blocks(page: str) -> list[str]:
    """The console blocks of a page, fences left out."""
    return re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not COMPILED, reason="every footer says that the loop is interpreted")
@pytest.mark.parametrize("page", PAGES)
def test_the_output_on_a_page_is_what_golden_commands_print(page: str, folder: Path) -> None:
    path = ROOT / "docs" / page
    text = path.read_text(encoding="utf-8")
    blocks = console_blocks(text)
    assert blocks
    for block in blocks:
        command = block.splitlines()[0].removeprefix("$ pvreplay ")
        text = text.replace(block, session([command]))
    if WRITE:
        path.write_text(text, encoding="utf-8")
    assert console_blocks(path.read_text(encoding="utf-8")) == console_blocks(text), "see make goldens"


@pytest.mark.parametrize("command", ASCII)
def test_a_golden_command_in_ascii_survives_a_plain_text_mail(command: str, folder: Path) -> None:
    text = pvreplay(*command.split(), "--ascii").out
    assert text and all(char == "\n" or " " <= char <= "~" for char in text)
    assert max(map(len, text.splitlines())) <= 80
    mail = EmailMessage(policy=SMTP)
    mail.set_content(text, cte="7bit")
    sent = BytesParser(policy=SMTP).parsebytes(bytes(mail))
    assert sent["Content-Transfer-Encoding"] == "7bit"
    assert sent.get_content().replace("\r\n", "\n") == text

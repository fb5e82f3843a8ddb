"""Whole processes, as a user starts them: how long one takes, and what it says."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


class Done(NamedTuple):
    """What a process took and wrote."""

    seconds: float
    cpu_seconds: float
    output: bytes


def pvreplay(*arguments: str) -> list[str]:
    """Our command: the script that is installed beside this Python, else the package itself."""
    script = Path(sys.executable).parent / "pvreplay"
    return [*([str(script)] if script.exists() else [sys.executable, "-m", "pvreplay"]), *arguments]


def run(command: list[str], *, fails: bool = False) -> Done:
    """Run *command* to its end.  CalledProcessError when it fails, unless *fails* says that it does."""
    with tempfile.TemporaryFile() as said, open(os.devnull, "wb") as nowhere:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=said, stderr=nowhere, env=ENVIRONMENT)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        output = said.read()
    if child.returncode and not fails:
        raise subprocess.CalledProcessError(child.returncode, command, output)
    return Done(seconds, usage.ru_utime + usage.ru_stime, output)

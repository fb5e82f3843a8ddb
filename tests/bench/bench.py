"""``make bench``: the speed table, every figure beside a limit or a peer measured in the same run.

    python tests/bench/bench.py [PART ...] [--runs N] [--write FILE] [--check FILE]
    python tests/bench/bench.py --readme

A PART is one of the ``of_*.py`` files here, without ``of_``; all by default.
``--write`` keeps the ratios as JSON (those of parts that were not measured, or
could not be here, stay), ``--check`` compares with them and exits 1 when one has
become worse by more than a fifth.  ``--readme`` measures nothing: it puts the
table of ratios.json into the README.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from tests.bench import table  # noqa: E402 - the package is found from the line above
from tests.bench.lines import Line  # noqa: E402

README = HERE.parent.parent / "README.md"
RATIOS = HERE / "ratios.json"
WORSE = 0.2
"""Part of a committed ratio that may be lost to noise and other machines."""


def parts() -> list[str]:
    """The names of the parts there are."""
    return sorted(path.stem.removeprefix("of_") for path in HERE.glob("of_*.py"))


def shown(line: Line) -> str:
    """A line of the table."""
    goal = "" if line.goal is None else f"{'>=' if line.better == 'higher' else '<='} {line.goal:g}"
    met = {True: "yes", False: "NO", None: ""}[line.met]
    return (
        f"{line.what:24} {line.ours:10.2f} {line.peer:10.2f} {line.ratio:6.2f}  {goal:8} {met:4}"
        f"{line.unit:13} {line.peer_name}; spread {line.spread:.0%}"
        + "".join(f"; {note}" for note in line.notes)
    )


def check(lines: list[Line], path: Path) -> int:
    """Print what has become worse than *path* says; how many."""
    kept = {(one["what"], one["peer_name"]): one["ratio"] for one in json.loads(path.read_text())["lines"]}
    worse = 0
    for line in lines:
        before = kept.get((line.what, line.peer_name))
        if before is None:
            continue
        bad = (
            line.ratio < before * (1 - WORSE)
            if line.better == "higher"
            else line.ratio > before * (1 + WORSE)
        )
        if bad:
            worse += 1
            print(
                f"bench-check: {line.what} against {line.peer_name}: {line.ratio:.2f}, was {before:.2f}",
                file=sys.stderr,
            )
    return worse


def kept(line: Line, part: str) -> dict[str, object]:
    """A line as ratios.json has it."""
    return {
        "part": part,
        "what": line.what,
        "ours": round(line.ours, 4),
        "peer": round(line.peer, 4),
        "ratio": round(line.ratio, 4),
        "unit": line.unit,
        "peer_name": line.peer_name,
        "better": line.better,
        "goal": line.goal,
        "spread": round(line.spread, 4),
        "notes": line.notes,
    }


def write(measured: dict[str, list[Line]], path: Path) -> None:
    """Keep what was measured, part by part; a row that was not measured stays as it is in *path*."""
    rows = {
        (row["part"], row["what"], row["peer_name"]): row
        for row in (json.loads(path.read_text())["lines"] if path.exists() else ())
    }
    for part, lines in measured.items():
        rows.update(((part, line.what, line.peer_name), kept(line, part)) for line in lines)
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    ordered = sorted(rows.values(), key=lambda row: row["part"])
    path.write_text(json.dumps({"machine": machine, "lines": ordered}, indent=1) + "\n")


def readme() -> None:
    """Put the table of ratios.json into the README."""
    new = table.table(json.loads(RATIOS.read_text()))
    README.write_text(table.put(README.read_text(), new))


def main() -> int:
    """Measure, print, write or check."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("part", nargs="*", choices=[*parts(), []], help="default: all")
    options.add_argument("--runs", type=int, default=5, help="runs of each, by turns (default 5)")
    options.add_argument("--write", type=Path, metavar="FILE")
    options.add_argument("--check", type=Path, metavar="FILE")
    options.add_argument("--readme", action="store_true", help="put the table into the README")
    chosen = options.parse_args()
    if chosen.readme:
        readme()
        return 0
    measured: dict[str, list[Line]] = {}
    print(f"{'what':24} {'ours':>10} {'peer':>10} {'ratio':>6}  {'goal':8} {'met':4}{'unit':13} peer")
    for part in chosen.part or parts():
        measured[part] = []
        for line in importlib.import_module(f"tests.bench.of_{part}").measure(chosen.runs):
            measured[part].append(line)
            print(shown(line), flush=True)
    if chosen.write:
        write(measured, chosen.write)
    lines = [line for part in measured.values() for line in part]
    return 1 if chosen.check and check(lines, chosen.check) else 0


if __name__ == "__main__":
    sys.exit(main())

"""What the README shows is what the commands print."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.console import examples, matches

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def run(command: str) -> list[str]:
    words = shlex.split(command)
    assert words[0] == "pvreplay"
    done = subprocess.run(
        [sys.executable, "-m", "pvreplay", *words[1:]],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return [line.rstrip() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("command, shown", examples(README), ids=[command for command, _ in examples(README)])
def test_the_readme_shows_what_is_printed(command: str, shown: list[str]) -> None:
    printed = run(command)
    assert matches(shown, printed), "\n".join(printed)


def test_the_readme_has_examples() -> None:
    assert len(examples(README)) >= 4


def test_every_folder_of_the_package_is_on_the_map() -> None:
    text = README.read_text()
    folders = {path.parent.name for path in (ROOT / "pvreplay").glob("*/__init__.py")}
    missing = [name for name in sorted(folders) if f"{name}/`" not in text]
    assert not missing, f"not on the README's map of the code: {missing}"


def test_the_table_of_agreement_is_what_validate_says() -> None:
    rows = re.findall(
        r"^\| `(traces/\S+)` \| ([\d.]+), (\w+) \| (\d+) of (\d+) \| (\d+) \| (\d+) \|$",
        README.read_text(),
        re.M,
    )
    assert len(rows) >= 6
    for path, kernel, backend, *numbers in rows:
        done = subprocess.run(
            [sys.executable, "-m", "pvreplay", "validate", path, "--format", "json"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        result = json.loads(done.stdout)
        switches = result["switches"]
        assert (kernel, backend) == (result["kernel"], result["backend"])
        assert [int(number) for number in numbers] == [
            switches[key] for key in ("equal", "compared", "undecided", "on_default")
        ], path


def test_the_table_of_claims_is_that_of_their_page() -> None:
    page = (ROOT / "docs" / "claims.md").read_text().replace("](#", "](docs/claims.md#")
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert "\n".join(table[:11]) in README.read_text()
    assert len(table) >= 11


PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "traces").glob("*.md"))]


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as the usual renderers make it."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = page.parent / name if name else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_every_page_is_linked_from_the_readme_or_a_page_it_links() -> None:
    linked = fresh = {README.resolve()}
    while fresh:
        found = {
            (page.parent / name.partition("#")[0]).resolve()
            for page in fresh
            if page.suffix == ".md"
            for name in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
        }
        fresh = found - linked
        linked = linked | found
    assert {page.resolve() for page in PAGES} <= linked

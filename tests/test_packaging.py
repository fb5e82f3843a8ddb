"""What the source distribution and the package's metadata hold."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import setuptools  # noqa: F401  brings distutils where Python has none

ROOT = Path(__file__).parent.parent
BUILT = {"__pycache__", ".venv", "build", "dist", ".git", ".benchmarks"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def sources() -> list[str]:
    """Every file of the repository, what was built left out."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in BUILT and not name.endswith(("_cache", ".egg-info")) and name != ".hypothesis"
        ]
        here = os.path.relpath(folder, ROOT)
        found += [
            os.path.normpath(os.path.join(here, name))
            for name in names
            if not name.endswith((".so", "_cy.c", ".marshal", ".pyc"))
            and name not in ("PKG-INFO", "setup.cfg")  # of an unpacked source distribution
        ]
    return found


def package_data() -> set[Path]:
    """What pyproject.toml declares as data of the package."""
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["pvreplay"]
    return {path for pattern in patterns for path in (ROOT / "pvreplay").glob(pattern)}


def distributed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What MANIFEST.in takes, and what setuptools takes by itself."""
    from distutils.filelist import FileList

    monkeypatch.chdir(ROOT)
    files = FileList()
    files.findall()
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        if line and not line.startswith("#"):
            files.process_template_line(line)
    names = {os.path.normpath(name) for name in files.files}
    names |= {
        "pyproject.toml",
        "setup.py",
        "README.md",
        "MANIFEST.in",
        *PYPROJECT["project"]["license-files"],
    }
    names |= {name for name in sources() if name.startswith("pvreplay/") and name.endswith(".py")}
    names |= {os.path.relpath(path, ROOT) for path in package_data()} & set(sources())
    return names


def test_the_source_distribution_holds_every_file_of_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = sorted(set(sources()) - distributed(monkeypatch))
    assert not missing, f"not named in MANIFEST.in: {missing}"


def test_the_source_distribution_holds_nothing_that_was_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built = [name for name in distributed(monkeypatch) if name.endswith((".so", "_cy.c", ".pyc", ".marshal"))]
    assert not built


def test_data_of_the_package_is_declared() -> None:
    """Declarations for Cython (.pxd) are for building only."""
    data = {
        ROOT / name
        for name in sources()
        if name.startswith("pvreplay/") and not name.endswith((".py", ".pyi", ".pxd"))
    }
    assert data <= package_data(), sorted(str(path) for path in data - package_data())


def test_the_license_file_is_the_license_that_is_stated() -> None:
    project = PYPROJECT["project"]
    assert project["license"] == "GPL-2.0-only"
    assert project["license-files"] == ["LICENSE"]
    lines = [line.strip() for line in (ROOT / "LICENSE").read_text().splitlines()]
    assert lines[:2] == ["GNU GENERAL PUBLIC LICENSE", "Version 2, June 1991"]
    assert "END OF TERMS AND CONDITIONS" in lines


def test_without_a_c_compiler_the_package_is_built_all_the_same(tmp_path: Path) -> None:
    few = [*(ROOT / "pvreplay").glob("*.py"), ROOT / "setup.py", ROOT / "pvreplay/trace/_scan_cy.py"]
    for path in few:  # all that building takes, and one module to compile
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    for folder in ("kernels", "backends"):
        shutil.copytree(ROOT / "pvreplay" / folder, tmp_path / "pvreplay" / folder)
    done = subprocess.run(
        [sys.executable, "setup.py", "build", "--build-base", "made", "--build-lib", "lib"],
        cwd=tmp_path,
        env={**os.environ, "CC": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "_scan_cy" in done.stderr  # said that it failed, and for which
    assert (tmp_path / "pvreplay/trace/_scan_cy.c").exists()
    assert not list((tmp_path / "lib").rglob("*.so"))

"""Imports point one way (README, "Map of the code")."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pvreplay"

#: What each part may import, itself aside.  BELOW stands under all and imports nothing of ours.
BELOW = {"errors", "modelfile", "_cython_shim"}
MAY_IMPORT = {
    "trace": BELOW,
    "sources": BELOW | {"trace"},
    "synth": BELOW | {"trace"},
    "record": BELOW | {"trace", "sources"},
    "machine": BELOW | {"trace"},
    "kernels": BELOW | {"trace", "machine"},
    "backends": BELOW | {"trace", "machine"},
    "rules": BELOW | {"trace", "machine"},
    "replay": BELOW | {"trace", "machine", "kernels", "backends", "rules"},
    "gate": BELOW | {"trace", "machine", "kernels", "backends", "rules", "replay"},
    "validate": BELOW | {"trace", "sources", "machine", "kernels", "backends", "rules", "replay"},
    "report": BELOW | {"trace", "machine", "kernels", "backends", "rules", "replay", "gate", "validate"},
}


def parts() -> list[str]:
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py") if path.parent.name != "cli")


def imported_parts(path: Path) -> set[str]:
    """The parts of pvreplay that *path* imports at run time, wherever in the file the import stands."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module] if node.module != "pvreplay" else [f"pvreplay.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("pvreplay.")}
    return found - {"__version__"}


@pytest.mark.parametrize("part", parts())
def test_imports_point_one_way(part: str) -> None:
    wrong = {
        f"{path.relative_to(PACKAGE.parent)} imports {name}"
        for path in sorted((PACKAGE / part).rglob("*.py"))
        for name in imported_parts(path) - MAY_IMPORT[part] - {part}
    }
    assert not wrong, "\n".join(sorted(wrong))


def test_an_import_against_the_grain_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text("def f():\n    from pvreplay.cli import run\n    import pvreplay.report.text\n")
    assert imported_parts(path) == {"cli", "report"}

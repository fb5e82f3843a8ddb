"""What ``pvreplay --version`` prints; needs no click."""

from __future__ import annotations

from pvreplay import __version__


def version_text() -> str:
    """Version, and whether the replay loop is compiled."""
    from pvreplay.replay.build import COMPILED

    loop = "compiled loop" if COMPILED else "interpreted loop (slow): built without a C compiler"
    return f"pvreplay {__version__}, {loop}"

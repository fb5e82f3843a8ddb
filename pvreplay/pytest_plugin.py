"""A pytest fixture that counts hypercalls, and failures that say where they come from.

    def test_budget(hypercalls):
        assert hypercalls("trace.bin", backend="xen").per_switch <= 1.0

Loaded by every pytest run of the environment it is installed in, so it imports
nothing of pvreplay until the fixture is used.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pvreplay.testing import Cache, Replays

_CACHE: pytest.StashKey[Cache] = pytest.StashKey()
_VALUES = "pvreplay.testing"
"""Where the values that a failure can explain are defined; imported by the fixture."""


@pytest.fixture
def hypercalls(request: pytest.FixtureRequest) -> Replays:
    """What a trace costs: ``hypercalls(trace, backend="xen", kernel="2.6.21", assume={...})``.

    The cost is a ``pvreplay.Price``: ``per_switch``, ``hypercalls``, ``entries``, ``traps``,
    ``violations``, ``errors``, ``by_op``, ``histogram`` and more.  Files are looked for
    beside the test, in pytest's root folder, then in the current one.  A trace is
    replayed once a session.
    """
    from pvreplay.testing import Cache, Replays

    cache = request.config.stash.setdefault(_CACHE, Cache())
    return Replays(cache, (request.path.parent, request.config.rootpath))


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain a comparison of costs: what makes them up, or makes them differ."""
    values = sys.modules.get(_VALUES)
    if values is None:  # the fixture was not used
        return None
    lines: list[str] | None = values.explain(op, left, right)
    return lines

"""Which loop runs: the compiled module, or the same file interpreted."""

from __future__ import annotations

from typing import Any, Final

from pvreplay.replay import _loop_cy

COMPILED: Final[bool] = not str(_loop_cy.__file__).endswith(".py")
"""False when the package was built without a C compiler: some hundred times slower, and the tool says so."""


def loop_module(*, interpreted: bool = False) -> Any:
    """The module with ``run``, ``finish`` and ``move``.

    *interpreted* gives the Python source of the compiled module, loaded under
    another name, so that tests can hold one against the other.
    """
    if not interpreted or not COMPILED:
        return _loop_cy
    import importlib.util
    import os
    import sys

    name = "pvreplay.replay._loop_interpreted"
    if name in sys.modules:
        return sys.modules[name]
    path = os.path.join(os.path.dirname(str(_loop_cy.__file__)), "_loop_cy.py")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module

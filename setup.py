"""Build the modules named ``*_cy.py`` ahead of time with Cython's pure-Python mode.

They are ordinary Python and stay importable as they are, so a machine without
a C compiler still gets a working, slower tool; ``pvreplay --version`` says so.
"""

from __future__ import annotations

import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from pvreplay.modelfile import write_snapshot  # noqa: E402

write_snapshot()

extensions = [
    Extension(
        ".".join(path.relative_to(HERE).with_suffix("").parts),
        [str(path.relative_to(HERE))],
        extra_compile_args=["-O3", "-g0"],  # debug information would be two thirds of the wheel
    )
    for path in sorted((HERE / "pvreplay").rglob("*_cy.py"))
]

modules = cythonize(
    extensions,
    language_level=3,
    compiler_directives={
        "boundscheck": False,
        "wraparound": False,
        "cdivision": True,
        "initializedcheck": False,
    },
)
for module in modules:  # cythonize makes new objects and drops this
    module.optional = True

setup(ext_modules=modules)

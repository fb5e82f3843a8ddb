"""A stand-in for the ``cython`` module, enough to run ``*_cy.py`` files interpreted.

Cython's pure-Python mode needs ``import cython`` when a file runs uncompiled.
The real shadow module comes with the compiler, which is a build dependency and
not a run-time one, so a compiled module's interpreted twin falls back on this:

    try:
        import cython
    except ModuleNotFoundError:
        from pvreplay._cython_shim import cython

Types convert nothing and check nothing: the files mask explicitly where C
would wrap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class _Type:
    """A C type: indexable for memoryviews and arrays, callable as a conversion."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, item: object) -> _Type:
        return self

    def __call__(self, value: Any = 0) -> Any:
        return float(value) if self.name in ("float", "double", "longdouble") else int(value)

    def __repr__(self) -> str:
        return f"cython.{self.name}"


class _Directive:
    """A compiler directive: a bare decorator, a decorator with arguments, or a context."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and callable(args[0]) and not isinstance(args[0], _Type):
            return args[0]
        return _undecorated

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc_info: object) -> None:
        return None


def _undecorated(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


_TYPES = (
    *("char", "schar", "uchar", "short", "ushort", "int", "uint", "long", "ulong", "longlong", "ulonglong"),
    *("size_t", "ssize_t", "Py_ssize_t", "bint", "float", "double", "longdouble", "void"),
)
_DIRECTIVES = (
    *("cfunc", "ccall", "cclass", "inline", "nogil", "gil", "with_gil", "exceptval", "returns", "locals"),
    *("boundscheck", "wraparound", "initializedcheck", "cdivision", "nonecheck", "overflowcheck"),
    *("final", "infer_types", "profile", "linetrace", "binding", "always_allow_keywords"),
)


class _Cython:
    """What ``import cython`` gives."""

    compiled = False
    Py_ssize_t: _Type

    def __init__(self) -> None:
        for name in _TYPES:
            setattr(self, name, _Type(name))
        for name in _DIRECTIVES:
            setattr(self, name, _Directive())

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"pvreplay._cython_shim has no cython.{name}; add it there")

    @staticmethod
    def cast(kind: object, value: Any, typecheck: bool = False) -> Any:
        """The value as it is."""
        return value

    @staticmethod
    def declare(kind: object = None, value: Any = None, **names: object) -> Any:
        """The value as it is."""
        return value


cython: Any = _Cython()

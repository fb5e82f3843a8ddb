"""Guards: the small language of the ``when`` keys of a kernel file.

A guard is made of names, ``and``, ``or``, ``not`` and parentheses.  Names are
those of :data:`pvreplay.machine.shape.GUARDS`, ``tls`` (some TLS slot differs),
the backend trait ``kernel_rpl`` (the kernel does not run at ring 0), and the
constants ``true`` and ``false``.  Nothing else of Python is accepted.

>>> guard = compile_guard("iopl_differs and kernel_rpl")
>>> guard({"iopl_differs": 1, "kernel_rpl": 0})
False
>>> guard.explain({"iopl_differs": 1, "kernel_rpl": 0})
(('kernel_rpl', 0),)
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Final

from pvreplay.machine.shape import GUARDS

Facts = Mapping[str, int]

TRAITS: Final = ("kernel_rpl",)
"""What a guard may ask about the backend rather than about the tasks."""

NAMES: Final = frozenset(GUARDS) | {"tls"} | frozenset(TRAITS)
CONSTANTS: Final = {"true": True, "false": False}
LENGTH_MAX: Final = 1000
"""Characters; the longest built-in guard has some 150.  Bounds the parser's recursion."""
_ALLOWED: Final = "a guard is names, and, or, not and parentheses"


class GuardError(ValueError):
    """A text that is not a guard.  *hint* says what is allowed."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Guard:
    """A compiled guard: call it with the facts, or ask why it is what it is.

    *test* is the bare function behind the call, ``None`` when the guard is the
    constant ``true`` (most steps of a path), so that a loop may skip it.
    """

    __slots__ = ("names", "test", "text", "tree")

    def __init__(self, text: str, tree: ast.expr) -> None:
        self.text = text
        self.tree = tree
        self.names = frozenset(
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id not in CONSTANTS
        )
        self.test = None if _constant(tree) is True else _compile(tree)

    def __call__(self, facts: Facts) -> bool:
        return self.test is None or self.test(facts)

    def explain(self, facts: Facts) -> tuple[tuple[str, int], ...]:
        """The names, with their values, that decided the guard; none for a constant.

        Of an ``or`` that is true only the true operands decided, of an ``and``
        that is false only the false ones; otherwise all of them did.
        """
        return tuple(dict.fromkeys(_decided(self.tree, facts)[1]))

    def __repr__(self) -> str:
        return f"Guard({self.text!r})"


_compiled: dict[str, Guard] = {}
"""Guards by text: a kernel's steps repeat few, and every one is checked and then used."""


def compile_guard(text: str, macros: Mapping[str, str] = {}) -> Guard:
    """Compile *text*; *macros* are names that stand for another guard.

    Raises :class:`GuardError` for anything that is not a guard.
    """
    text = " ".join(text.split())
    known = _compiled.get(text)
    if known is not None:
        return known
    tree = _parse(text)
    if any(isinstance(node, ast.Name) and node.id in macros for node in ast.walk(tree)):
        tree = _Expander({name: _parse(body) for name, body in macros.items()}).visit(tree)
        text = ast.unparse(tree)
    _check(tree)
    return _compiled.setdefault(text, Guard(text, tree))


def _parse(text: str) -> ast.expr:
    if len(text) > LENGTH_MAX:
        raise GuardError(f"a guard of {len(text)} characters", f"at most {LENGTH_MAX} characters")
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise GuardError(f"{text!r} is not an expression", _ALLOWED) from None


def _check(node: ast.expr) -> None:
    match node:
        case ast.BoolOp(values=operands):
            for operand in operands:
                _check(operand)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check(operand)
        case ast.Name(id=name):
            if name not in NAMES and name not in CONSTANTS:
                raise GuardError(f"unknown name {name!r}", _suggest(name))
        case _:
            raise GuardError(f"{ast.unparse(node)!r} is not allowed in a guard", _ALLOWED)


def _suggest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, NAMES, n=1)
    question = f"did you mean {near[0]}? " if near else ""
    return f"{question}names: {', '.join([*GUARDS, 'tls', *TRAITS, *CONSTANTS])}"


class _Expander(ast.NodeTransformer):
    """Puts the macros' trees in the place of their names."""

    def __init__(self, trees: Mapping[str, ast.expr]) -> None:
        self.trees = trees

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.trees.get(node.id, node)


def _constant(tree: ast.expr) -> bool | None:
    return CONSTANTS.get(tree.id) if isinstance(tree, ast.Name) else None


def _compile(tree: ast.expr) -> Callable[[Facts], bool]:
    # Safe: _check() let nothing but names of the closed list and boolean operators through.
    true_or_false = ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), _subscripted(tree)))
    parameters = ast.arguments(
        posonlyargs=[], args=[ast.arg("facts")], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    function = ast.Expression(ast.Lambda(parameters, true_or_false))
    test: Callable[[Facts], bool] = eval(
        compile(ast.fix_missing_locations(function), "<guard>", "eval"), {"__builtins__": {}}
    )
    return test


def _subscripted(node: ast.expr) -> ast.expr:
    """A copy of *node* with the name ``n`` as ``facts["n"]``, and true and false as constants."""
    match node:
        case ast.BoolOp(op=op, values=operands):
            return ast.BoolOp(op, [_subscripted(operand) for operand in operands])
        case ast.UnaryOp(op=op, operand=operand):
            return ast.UnaryOp(op, _subscripted(operand))
        case ast.Name(id=name) if name in CONSTANTS:
            return ast.Constant(CONSTANTS[name])
        case ast.Name(id=name):
            return ast.Subscript(ast.Name("facts", ast.Load()), ast.Constant(name), ast.Load())
    raise AssertionError(node)


def _decided(node: ast.expr, facts: Facts) -> tuple[bool, list[tuple[str, int]]]:
    match node:
        case ast.BoolOp(op=op, values=operands):
            stops_at = isinstance(op, ast.Or)
            judged = [_decided(operand, facts) for operand in operands]
            value = stops_at if any(found == stops_at for found, _ in judged) else not stops_at
            return value, [name for found, names in judged if found == value for name in names]
        case ast.UnaryOp(operand=operand):
            value, names = _decided(operand, facts)
            return not value, names
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name], []
        case ast.Name(id=name):
            return bool(facts[name]), [(name, facts[name])]
    raise AssertionError(node)

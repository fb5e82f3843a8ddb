"""What the bits of prev_state mean, read from sched_switch's own print format.

The letters and their bits moved over the years: Z was 16 and is 32, "preempted" was a bit of its own
at 1024, 2048, 4096 and is 256.  The format's own table of flags decides.
"""

from __future__ import annotations


def state_masks(print_fmt: str) -> tuple[int, int, int]:
    """(preempted, dead, blocked) masks of prev_state, from sched_switch's print format.

    All 0 when the format has no table: the class of the state is then not known.
    """
    dead = 0
    found = False
    at = print_fmt.find("__print_flags(")
    end = print_fmt.find(")", print_fmt.find('"|"', at)) if at >= 0 else -1
    for piece in print_fmt[at:end].split("{")[1:] if end > at >= 0 else ():
        number, comma, rest = piece.partition(",")
        letter = rest.partition("}")[0].strip().strip('"')
        value = _constant(number)
        if comma and value is not None:
            found = True
            if letter in ("Z", "X", "x"):
                dead |= value
    if not found:
        return 0, 0, 0
    preempted = 0
    plus = print_fmt.find('? "+"')
    start = print_fmt.rfind("prev_state &", 0, plus) if plus > 0 else -1
    if start >= 0:
        preempted = _constant(print_fmt[start + len("prev_state &") : plus]) or 0
    limit = (1 << 62) - 1
    return preempted & limit, dead & limit, limit & ~preempted & ~dead


def _constant(text: str) -> int | None:
    """The value of a constant C expression of numbers, ( ) + - | << and nothing else, or None."""
    tokens = text.replace("(", " ( ").replace(")", " ) ").replace("<<", " << ")
    for sign in "+-|":
        tokens = tokens.replace(sign, f" {sign} ")
    rest = tokens.split()[::-1]
    if len(rest) > 400:
        return None
    try:
        value = _or(rest)
    except (ValueError, IndexError, RecursionError):
        return None
    return value if not rest and 0 <= value < 1 << 62 else None


def _or(rest: list[str]) -> int:
    value = _shift(rest)
    while rest and rest[-1] == "|":
        rest.pop()
        value |= _shift(rest)
    return value


def _shift(rest: list[str]) -> int:
    value = _sum(rest)
    while rest and rest[-1] == "<<":
        rest.pop()
        by = _sum(rest)
        if not 0 <= by < 64:
            raise ValueError(by)
        value <<= by
    return value


def _sum(rest: list[str]) -> int:
    value = _atom(rest)
    while rest and rest[-1] in ("+", "-"):
        sign = rest.pop()
        value = value + _atom(rest) if sign == "+" else value - _atom(rest)
    return value


def _atom(rest: list[str]) -> int:
    token = rest.pop()
    if token == "(":
        value = _or(rest)
        if rest.pop() != ")":
            raise ValueError(token)
        return value
    return int(token, 0)

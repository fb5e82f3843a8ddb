"""Words and quoted strings of the text form.

A line is words separated by blanks.  A word that is not plain is written in
double quotes, with ``\\"``, ``\\\\``, ``\\n``, ``\\r``, ``\\t`` and ``\\xNN``;
``\\xNN`` is one *byte* of the UTF-8 string, so that a name which is not UTF-8
survives.  In Python such a byte is a lone surrogate (``surrogateescape``).
"""

from __future__ import annotations

from typing import Final

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@+,")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNESCAPES: Final = {'"': b'"', "\\": b"\\", "n": b"\n", "r": b"\r", "t": b"\t"}
_HEX: Final = frozenset("0123456789abcdefABCDEF")


def to_bytes(text: str) -> bytes:
    """The bytes a name had; a surrogate that stands for no byte becomes ``?``."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def from_bytes(raw: bytes) -> str:
    """The string of a name's bytes; bytes that are not UTF-8 become lone surrogates."""
    return raw.decode("utf-8", "surrogateescape")


def quote(text: str) -> str:
    """*text* as one word: as it is when plain, else quoted; never a control character."""
    if text and _PLAIN.issuperset(text):
        return text
    out = []
    for char in text:
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif char.isprintable():
            out.append(char)
        else:
            out.extend(f"\\x{byte:02x}" for byte in to_bytes(char))
    return '"' + "".join(out) + '"'


def words(line: str) -> list[str]:
    """Split a line into words, undoing quotes; ``#`` at a word's start ends the line.

    A quoted string may follow a plain start (``comm="a b"``).  Raises
    :class:`ValueError` with what is wrong.
    """
    if '"' not in line and "#" not in line:
        return line.split()
    found: list[str] = []
    at, end = 0, len(line)
    while at < end:
        char = line[at]
        if char.isspace():
            at += 1
        elif char == "#":
            break
        else:
            word, at = _word(line, at, end)
            found.append(word)
    return found


def _word(line: str, at: int, end: int) -> tuple[str, int]:
    """One word that starts at *at*, and where it ends."""
    parts: list[str] = []
    while at < end and not line[at].isspace():
        if line[at] == '"':
            text, at = _quoted(line, at + 1, end)
            parts.append(text)
        else:
            start = at
            while at < end and line[at] != '"' and not line[at].isspace():
                at += 1
            parts.append(line[start:at])
    return "".join(parts), at


def _quoted(line: str, at: int, end: int) -> tuple[str, int]:
    """The string whose opening quote is before *at*, and where its closing quote ends."""
    raw = bytearray()
    while at < end:
        char = line[at]
        at += 1
        if char == '"':
            return from_bytes(bytes(raw)), at
        if char != "\\":
            raw += to_bytes(char)
            continue
        escape = line[at : at + 1]
        if escape in _UNESCAPES:
            raw += _UNESCAPES[escape]
            at += 1
        elif escape == "x" and len(line) >= at + 3 and _HEX.issuperset(line[at + 1 : at + 3]):
            raw.append(int(line[at + 1 : at + 3], 16))
            at += 3
        else:
            raise ValueError(f"unknown escape \\{escape} in a quoted string")
    raise ValueError("a quoted string that does not end")

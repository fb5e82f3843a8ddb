"""Names from a trace are hostile: one escape function per destination.

A task can call itself anything, control characters, terminal sequences and
bytes that are no UTF-8 included.  Text passes through unchanged when it is
harmless, so the common case costs one test.
"""

from __future__ import annotations


def _spell(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def terminal(text: str) -> str:
    """*text* for a terminal or a plain-text log: one line, no control or format characters.

    >>> terminal("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _spell(char) for char in text)


def ascii_only(text: str) -> str:
    """*text* for a mail or a terminal that knows ASCII alone."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if " " <= char <= "~" else _spell(char) for char in text)


def unicode_text(text: str) -> str:
    """*text* as valid Unicode, for JSON values: bytes that were no UTF-8 become ``\\xHH``."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(_spell(char) if "\ud800" <= char <= "\udfff" else char for char in text)
    return text


def json_bytes(encoded: bytes) -> bytes:
    """*encoded* JSON with every non-ASCII control or format character written as ``\\uXXXX``.

    JSON lets DEL, C1 controls and direction overrides stand raw inside strings,
    where a terminal would obey them.  The values stay the same.
    """
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    out = []
    for char in encoded.decode():
        if char == "\n" or char.isprintable():
            out.append(char)
        elif ord(char) <= 0xFFFF:
            out.append(f"\\u{ord(char):04x}")
        else:
            high, low = divmod(ord(char) - 0x10000, 0x400)
            out.append(f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}")
    return "".join(out).encode()

"""Names from a trace are hostile: one escape function per destination.

A task can call itself anything, control characters, terminal sequences and
bytes that are no UTF-8 included.  Text passes through unchanged when it is
harmless, so the common case costs one test.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

_MARKUP: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
_ENTITIES: Final = {char: f"&#{ord(char)};" for char in "\\`*_{}[]<>()#+-.!|~&@:$^=\"'"}
_PROSE: Final = {
    ord(char): None
    for char in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;/()+-='_<>"
}
_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r")
_SARIF: Final = {"{": "{{", "}": "}}", "[": "\\[", "]": "\\]", "\\": "\\\\"}


def _translate(text: str, table: Mapping[str, str]) -> str:
    return "".join(table.get(char, char) for char in text)


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


def xml(text: str) -> str:
    """*text* inside an XML element or a quoted attribute: one line, only characters XML 1.0 allows.

    >>> xml('<a> ]]> & "b"')
    '&lt;a&gt; ]]&gt; &amp; &quot;b&quot;'
    """
    return _translate(terminal(text), _MARKUP)


def html(text: str) -> str:
    """*text* inside an HTML element or a quoted attribute: one line, no markup of its own."""
    return _translate(terminal(text), _MARKUP)


def markdown(text: str) -> str:
    """*text* as Markdown within a line: plain words stay prose, what could mean more becomes code.

    Beside markup that is what GitHub and GitLab make links of (mentions, issue
    numbers, web addresses), which would notify people: in code they leave it alone.

    >>> markdown("GDT.TLS still queued since step 3"), markdown("ping @all")
    ('GDT.TLS still queued since step 3', '`ping @all`')
    """
    shown = terminal(text)
    shares = shown.replace(" %)", ")").replace(" %,", ",").removesuffix(" %")
    odd = shares.translate(_PROSE)
    refers = "  " in shown or "www." in shown or "://" in shown
    if odd or refers or shown.startswith(" ") or not _inside_words(shown, "_"):
        return markdown_code(text)
    return shown.replace("<", "&lt;")


def markdown_line(line: str) -> str:
    """A line of escaped Markdown that shall be a paragraph, whatever it begins with."""
    if line[:1] in ("-", "+", "=", ">"):
        return f"\\{line}"
    digits = len(line) - len(line.lstrip("0123456789"))
    if digits and line[digits : digits + 1] in (".", ")"):
        return f"{line[:digits]}\\{line[digits:]}"
    return line


def _inside_words(text: str, char: str) -> bool:
    """Whether *char* stands between letters or digits wherever it occurs."""
    return all(before[-1:].isalnum() and after[:1].isalnum() for before, after in pairwise(text.split(char)))


def markdown_code(text: str) -> str:
    """*text* as inline code, in a table cell too, whatever it holds."""
    shown = terminal(text)
    if shown and shown.strip() == shown and "`" not in shown and "|" not in shown:
        return f"`{shown}`"
    return f"<code>{_translate(shown, _ENTITIES)}</code>"


def github(text: str) -> str:
    """*text* as the message of a GitHub workflow command: one line."""
    return terminal(text).replace("%", "%25")


def github_property(text: str) -> str:
    """*text* as a property (``file``, ``title``) of a GitHub workflow command."""
    return github(text).replace(":", "%3A").replace(",", "%2C")


def github_log(text: str) -> str:
    """*text* in the log of a GitHub job, where ``::`` at a line's start and ``##[`` anywhere are commands."""
    return terminal(text).replace("##[", "#\\x23[").replace("::", ":\\x3a")


def ktap(text: str) -> str:
    """*text* in a KTAP line: one line without ``#``, which starts a directive."""
    return terminal(text).replace("#", "\\x23")


def csv_cell(text: str) -> str:
    """*text* as a CSV cell that no spreadsheet takes for a formula.

    An apostrophe goes before what begins like one, blanks before it or not.
    """
    shown = terminal(text)
    start = shown.lstrip(" '")
    return f"'{shown}" if len(start) > 1 and start[0] in _FORMULA else shown


def sarif(text: str) -> str:
    """*text* in a plain-text SARIF message: no placeholder and no link of its own.

    SARIF 2.1.0, 3.11.5 (braces are doubled) and 3.11.6 (brackets take a backslash).
    """
    return _translate(terminal(text), _SARIF)


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

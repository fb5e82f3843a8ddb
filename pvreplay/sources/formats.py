"""The kernel's own description of its events: tracefs ``format`` files and ``header_page``.

Every binary source carries these texts (or stands beside them), and every
offset the decoders use comes from here: sched_switch's next_pid is at 56 on
x86-64 and at 52 on i386, its ID differs from build to build.
"""

from __future__ import annotations

from pvreplay.errors import TraceError

MAX_FIELD_END = 1 << 16
"""No event payload is longer (a ring-buffer page and a perf record are bounded by it)."""


class Field:
    """One field of an event: where it is in the payload and how wide.

    *kind* is "" for a number or a fixed array, "data_loc" for a word that holds
    offset and length of a string in the payload, "rel_loc" for the same with the
    offset counted from the field's own end.
    """

    __slots__ = ("array", "kind", "name", "offset", "signed", "size")

    def __init__(self, name: str, offset: int, size: int, signed: bool, array: bool, kind: str = "") -> None:
        self.name = name
        self.offset = offset
        self.size = size
        self.signed = signed
        self.array = array
        self.kind = kind

    def __repr__(self) -> str:
        return f"Field({self.name!r}, {self.offset}, {self.size})"


class Format:
    """One event's format file: *system* (may be ""), *name*, numeric *id*, *fields* by name."""

    __slots__ = ("fields", "id", "name", "print_fmt", "system")

    def __init__(self, system: str, name: str, number: int, fields: dict[str, Field], print_fmt: str) -> None:
        self.system = system
        self.name = name
        self.id = number
        self.fields = fields
        self.print_fmt = print_fmt

    def __repr__(self) -> str:
        return f"Format({self.system}:{self.name}, id={self.id})"


class PageHeader:
    """Layout of one ring-buffer sub-buffer.

    *commit_size* is the kernel's long (8 or 4 bytes); *data_offset* + *data_size*
    is the sub-buffer's size.
    """

    __slots__ = ("commit_offset", "commit_size", "data_offset", "data_size", "time_offset")

    def __init__(
        self, time_offset: int, commit_offset: int, commit_size: int, data_offset: int, data_size: int
    ) -> None:
        self.time_offset = time_offset
        self.commit_offset = commit_offset
        self.commit_size = commit_size
        self.data_offset = data_offset
        self.data_size = data_size

    @property
    def page_size(self) -> int:
        """Bytes of one sub-buffer."""
        return self.data_offset + self.data_size


def _attributes(line: str) -> tuple[str, dict[str, int]] | None:
    """``field:DECL; offset:8; size:4; signed:1;`` as (DECL, numbers), or None."""
    parts = [part.strip() for part in line.split(";")]
    head = parts[0]
    if not head.startswith("field"):
        return None
    _, colon, declaration = head.partition(":")
    if not colon:
        return None
    numbers: dict[str, int] = {}
    for part in parts[1:]:
        key, colon, value = part.partition(":")
        value = value.strip()
        if colon and value.isascii() and value.isdigit() and len(value) < 10:
            numbers[key.strip()] = int(value)
    if "offset" not in numbers or "size" not in numbers:
        return None
    return declaration.strip(), numbers


def parse_format(text: str, system: str = "", where: str = "format file") -> Format:
    """Read one ``events/SYSTEM/NAME/format`` text.

    Raises TraceError when it holds no name or ID, or a field that cannot be in any payload.
    """
    name = ""
    number = -1
    fields: dict[str, Field] = {}
    print_fmt = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("name:"):
            name = stripped[5:].strip()
        elif stripped.startswith("ID:"):
            digits = stripped[3:].strip()
            if digits.isascii() and digits.isdigit() and len(digits) < 10:
                number = int(digits)
        elif stripped.startswith("print fmt:"):
            print_fmt = stripped[10:].strip()
        else:
            found = _attributes(stripped)
            if found is None:
                continue
            declaration, numbers = found
            kind = ""
            if declaration.startswith("__data_loc "):
                kind = "data_loc"
            elif declaration.startswith("__rel_loc "):
                kind = "rel_loc"
            array = declaration.endswith("]")
            bare = declaration[: declaration.rindex("[")] if array and "[" in declaration else declaration
            field_name = bare.replace("*", " ").split()[-1] if bare.replace("*", " ").split() else ""
            offset, size = numbers["offset"], numbers["size"]
            if offset + size > MAX_FIELD_END:
                raise TraceError(
                    f"{where}: field {field_name[:40]!r} of {name[:40]!r} at offset {offset}, size {size}",
                    f"No event payload is longer than {MAX_FIELD_END} bytes; the format text is damaged.",
                )
            fields[field_name] = Field(field_name, offset, size, numbers.get("signed", 0) != 0, array, kind)
    if not name or number < 0:
        raise TraceError(
            f"{where}: no event name and ID in {text[:40]!r}",
            "Expected the text of events/SYSTEM/EVENT/format (name:, ID:, format:).",
        )
    return Format(system, name, number, fields, print_fmt)


def parse_header_page(text: str, where: str = "header_page") -> PageHeader:
    """Read ``events/header_page``.

    Raises TraceError when a field is missing or the layout cannot be a sub-buffer's.
    """
    found: dict[str, dict[str, int]] = {}
    for line in text.splitlines():
        attributes = _attributes(line.strip())
        if attributes is not None:
            found.setdefault(attributes[0].rpartition(" ")[2], attributes[1])
    try:
        header = PageHeader(
            found["timestamp"]["offset"],
            found["commit"]["offset"],
            found["commit"]["size"],
            found["data"]["offset"],
            found["data"]["size"],
        )
    except KeyError as missing:
        raise TraceError(
            f"{where}: no field {missing} in {text[:40]!r}",
            "Expected the text of events/header_page with timestamp, commit and data.",
        ) from None
    ends = (header.time_offset + 8, header.commit_offset + header.commit_size)
    if (
        header.commit_size not in (4, 8)
        or max(ends) > header.data_offset
        or header.data_offset > 64
        or not 64 <= header.page_size <= 1 << 26
    ):
        raise TraceError(
            f"{where}: impossible layout: commit {header.commit_size} bytes at {header.commit_offset},"
            f" data {header.data_size} bytes at {header.data_offset}",
            "Expected 8 bytes of time, 4 or 8 of commit, then the data.",
        )
    return header

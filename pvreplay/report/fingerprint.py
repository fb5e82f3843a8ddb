"""What makes a finding the same one in another run, when its numbers and step positions have moved."""

from __future__ import annotations

import xxhash

from pvreplay.replay.result import Violation


class Fingerprints:
    """Gives fingerprints, no two alike: a repeated finding is numbered."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def of(self, violation: Violation, file: str, kernel: str) -> str:
        """Of a broken rule: the rule, the op, where it holds; not how often, nor at which step."""
        return self.next(file, kernel, violation.rule, violation.op, *violation.backends)

    def next(self, *parts: str) -> str:
        """Of a finding that *parts* identify."""
        value = xxhash.xxh3_64_hexdigest("\0".join(parts).encode("utf-8", "surrogatepass"))
        self._seen[value] = self._seen.get(value, 0) + 1
        number = self._seen[value]
        return value if number == 1 else self.next(value, str(number))

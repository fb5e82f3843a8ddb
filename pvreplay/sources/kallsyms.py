"""Addresses of kernel functions to their names, by the kallsyms that trace-cmd keeps."""

from __future__ import annotations

from bisect import bisect_right


class Names:
    """Addresses to the names of kallsyms ("address type name [module]" a line)."""

    def __init__(self, text: bytes) -> None:
        found = []
        for line in text.split(b"\n"):
            parts = line.split(None, 3)
            if len(parts) >= 3:
                try:
                    found.append((int(parts[0], 16), parts[2]))
                except ValueError:
                    continue
        found.sort(key=lambda pair: pair[0])
        self._starts = [start for start, _ in found]
        self._names = [name for _, name in found]
        self._known: dict[int, bytes] = {}
        first = dict(zip(reversed(self._names), reversed(self._starts), strict=True))
        self.interrupts = range(first.get(b"__irqentry_text_start", 0), first.get(b"__irqentry_text_end", 0))
        """The addresses of what the kernel marks as an interrupt's entry."""

    def __call__(self, address: int) -> bytes:
        """The function an address is in, as the kernel prints it; its number in hex when there is none."""
        name = self._known.get(address)
        if name is None:
            at = bisect_right(self._starts, address) - 1
            # Of several names of one address the kernel prints the first.
            while at > 0 and self._starts[at - 1] == self._starts[at]:
                at -= 1
            name = self._known[address] = self._names[at] if at >= 0 else b"0x%x" % address
        return name

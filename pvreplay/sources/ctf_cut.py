"""CTF traces with a cut stream: what is there of it, handed to babeltrace2 again.

babeltrace2 indexes every stream file before it gives the first event, and gives none of a trace when
a file ends inside a packet.  So each file that it refuses is copied: with the sizes that the cut packet's
context tells (CTF 1.8, 5.2) made those of what is left of it, or else up to where that packet
begins.  The other files are linked to.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Final, Literal

BYTE_ORDERS: Final[dict[bytes, Literal["big", "little"]]] = {
    b"\xc1\xfc\x1f\xc1": "big",
    b"\xc1\x1f\xfc\xc1": "little",
}
"""A packet's first bytes, its magic number (CTF 1.8, 5.2.1)."""
TRIES: Final = 16
"""A packet's magic may stand in an event, too; further back than that many nothing is tried."""
CONTEXT_BYTES: Final = 256
"""A packet's header and context are no longer, as LTTng and perf write them."""
PACKET_MAX: Final = 1 << 34
PAIRS: Final = 2
"""So many places of a context are taken for those of the sizes."""
EVENT_MAX: Final = 512
"""The event that the cut goes through is no longer."""
BLOCK: Final = 1 << 20

Patch = tuple[int, bytes]
"""(position in the file, bytes that stand there instead)."""


class WholePackets:
    """A copy of the traces *directories* that babeltrace2 takes; :meth:`close` removes it.

    *reads* says how many messages it gives of a directory and whether it comes to the end; it is asked
    in a process of its own, because babeltrace2 (2.0.4) aborts over some sizes that cannot be.
    :attr:`directories` are those that hold anything, :attr:`damage` is what was mended or left out.
    """

    def __init__(self, directories: list[str], reads: Callable[[str], tuple[int, bool]]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pvreplay-ctf-")
        self._reads = reads
        self.directories: list[str] = []
        self.damage = ""
        for number, directory in enumerate(directories):
            copy = os.path.join(self._folder.name, str(number))
            os.mkdir(copy)
            os.symlink(os.path.abspath(os.path.join(directory, "metadata")), os.path.join(copy, "metadata"))
            if self._take(directory, copy):
                self.directories.append(copy)

    def close(self) -> None:
        """Remove the copy."""
        self._folder.cleanup()

    def _take(self, directory: str, copy: str) -> int:
        """Let *copy* hold what can be read of *directory*; the number of its streams."""
        taken = 0
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            if name == "metadata" or name.startswith(".") or not os.path.isfile(path):
                continue
            size = os.path.getsize(path)
            if self._alone(copy, path, size):
                os.symlink(os.path.abspath(path), os.path.join(copy, name))
                taken += 1
                continue
            found = next(
                ((end, patch) for end, patch in _ways(path, size) if self._alone(copy, path, end, patch)),
                None,
            )
            end = found[0] if found else 0
            left_out = f", {size - end:,} of its {size:,} bytes are left out" if end < size else ""
            self.damage = self.damage or f"{name} is cut inside a packet{left_out}"
            if found:
                _put(path, os.path.join(copy, name), *found)
                taken += 1
        return taken

    def _alone(self, copy: str, path: str, end: int, patch: Patch | None = None) -> bool:
        """Whether the first *end* bytes of a stream are read with nothing beside it."""
        with tempfile.TemporaryDirectory(dir=self._folder.name) as trial:
            os.symlink(os.path.join(copy, "metadata"), os.path.join(trial, "metadata"))
            _put(path, os.path.join(trial, "stream"), end, patch)
            return _survives(lambda: self._reads(trial), to_the_end=patch is not None)


def _survives(reads: Callable[[], tuple[int, bool]], to_the_end: bool) -> bool:
    """Whether *reads* gives messages, in a process of its own, and comes to the end if it must."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    code = 1
    try:
        faulthandler.disable()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        count, ended = reads()
        code = 0 if count and (ended or not to_the_end) else 1
    finally:
        os._exit(code)


def _ways(path: str, size: int) -> Iterator[tuple[int, Patch | None]]:
    """How the file at *path* may be made whole, (bytes of it, patch), the best first."""
    end = size
    for _ in range(TRIES):
        end = _find_packet(path, end)
        if end < 0:
            return
        yield from ((size, patch) for patch in _patches(path, end, size))
        if end:
            yield end, None


def _patches(path: str, start: int, size: int) -> Iterator[Patch]:
    """What may make the packet at *start* end with the file: content_size and packet_size, in bits.

    The content must end where an event does, and where that is only decoding shows.
    """
    with open(path, "rb") as file:
        file.seek(start)
        head = file.read(CONTEXT_BYTES)
    order = BYTE_ORDERS[head[:4]]
    left = 8 * (size - start)
    pairs = 0
    for at in range(4, len(head) - 15, 4):
        content = int.from_bytes(head[at : at + 8], order)
        packet = int.from_bytes(head[at + 8 : at + 16], order)
        if content <= packet and left < packet <= 8 * PACKET_MAX and packet % 8 == 0 and content > 8 * at:
            pairs += 1
            whole = content <= left
            for less in range(0, 1 if whole else 8 * min(EVENT_MAX, size - start - at - 16), 8):
                end = content if whole else left - less
                yield start + at, end.to_bytes(8, order) + left.to_bytes(8, order)
        if pairs == PAIRS:
            break


def _put(path: str, copy: str, end: int, patch: Patch | None = None) -> None:
    """A link to a whole file, or a copy of its first *end* bytes with *patch* in it."""
    if patch is None and end == os.path.getsize(path):
        os.symlink(os.path.abspath(path), copy)
        return
    with open(path, "rb") as source, open(copy, "w+b") as sink:
        shutil.copyfileobj(source, sink, BLOCK)
        sink.truncate(end)
        if patch is not None:
            sink.seek(patch[0])
            sink.write(patch[1])


def _find_packet(path: str, end: int) -> int:
    """Where the last packet that begins before *end* begins; -1 when there is none."""
    with open(path, "rb") as file:
        magic = file.read(4)
        if magic not in BYTE_ORDERS:
            return -1
        while end > 0:
            start = max(0, end - BLOCK)
            file.seek(start)
            # a magic may begin in this block and end in the next
            at = file.read(end - start + 3).rfind(magic, 0, end - start + 3)
            if at >= 0:
                return start + at
            end = start
    return -1

"""Recorded multicalls against what the machine makes of the recorded pv ops.

    python tests/crosscheck/pvops.py xen_switchfn.function.txt ...

Each xen_mc_flush of a Xen PV guest tells how many entries it carried.  The same
recording, read as pv ops and stepped through the xen backend of 6.1, must flush
batches of the same sizes.  What cannot agree is named below.
"""

from __future__ import annotations

import io
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parents[2]))

from pvreplay.backends.reader import load_backend
from pvreplay.kernels.reader import load_kernel
from pvreplay.replay.price import price
from pvreplay.replay.run import replay
from pvreplay.sources.opstream import OpTrace

FLUSH = re.compile(rb"xen_mc_flush: flushing (\d+) hypercalls")
UNSEEN = (rb"xen_mmu_pgd_pin:", rb"xen_mmu_pgd_unpin:")
"""Tracepoints of batches whose entries no op stands for."""


def since_flushes(path: str) -> bytes:
    """The text from where Xen's tracepoints were switched on."""
    data = Path(path).read_bytes()
    head = data[: data.index(b"\n", data.index(b"TIMESTAMP"))]
    first = data.index(b"xen_mc_flush: ")
    return head + data[data.rindex(b"\n", 0, first) :]


def recorded(path: str) -> Counter[int]:
    """Entries of a flush -> how many, those of 0 left out."""
    sizes = Counter(int(size) for size in FLUSH.findall(since_flushes(path)))
    del sizes[0]
    return sizes


def priced(path: str) -> Counter[int]:
    """The same from the machine."""
    kernel = load_kernel("6.1")
    hist = replay(OpTrace(cast(Any, io.BytesIO(since_flushes(path))), path), kernel)
    (xen,) = price(hist, kernel, [load_backend("xen", kernel)]).backends
    return Counter(xen.batch_sizes)


def main() -> int:
    """Print both for every file; 1 when batches of the switch (1 or 2 entries) differ by more than 3 %."""
    worst = 0.0
    for path in sys.argv[1:]:
        there, here = recorded(path), priced(path)
        data = Path(path).read_bytes()
        print(f"{path}: recorded {sum(there.values())}, priced {sum(here.values())}")
        for size in sorted({*there, *here}):
            print(f"  {size:>3} entries  {there[size]:>6} {here[size]:>6}")
        print(f"  not in the ops: {[(name.decode(), data.count(name)) for name in UNSEEN]}")
        worst = max(worst, abs(there[1] + there[2] - here[1] - here[2]) / max(there[1] + there[2], 1))
    return int(worst > 0.03)


if __name__ == "__main__":
    raise SystemExit(main())

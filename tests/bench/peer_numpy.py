"""The peer of trace.bin: numpy over the same events as plain records of 32 bytes.

    python peer_numpy.py FILE

Counts switches per CPU and prints them as JSON.
"""

import json
import sys

import numpy as np

RECORD = np.dtype([("time_ns", "<u8"), ("cpu", "<u4"), ("kind", "<u4"), ("arg", "<u8"), ("flags", "<u8")])
SWITCH = 1


def main(path: str) -> None:
    """Read *path* whole, as numpy does."""
    records = np.fromfile(path, dtype=RECORD)
    switches = records["cpu"][records["kind"] == SWITCH]
    counts = np.bincount(switches)
    print(json.dumps({str(cpu): int(count) for cpu, count in enumerate(counts)}))


if __name__ == "__main__":
    main(sys.argv[1])

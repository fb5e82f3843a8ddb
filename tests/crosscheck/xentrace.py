"""Our totals of xentrace files beside those of xenalyze --summary.

    python tests/crosscheck/xentrace.py DIRECTORY

Compares NAME.bin with NAME.summary.txt beside it.  xenalyze adds what multicalls hold to its
hypercalls.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from switches import files

from pvreplay.sources.xentrace import BY_CALL, BY_EVENT, HYPERCALLS, IN_MULTICALLS, XentraceFile
from pvreplay.trace.summary import summarise

CALL = re.compile(r"^\s+\w+\s+\[\s*(\d+)\]:\s+(\d+)\s*$", re.MULTILINE)
EVENT = re.compile(
    r"^  (page_fault|emulate privop|ptwr|hypercall \(subcall\)|hypercall)  (\d+)$", re.MULTILINE
)
NAMES = {
    "emulate privop": "emulate_privop",
    "ptwr": "ptwr_emulation",
    "hypercall (subcall)": "hypercall_in_multicall",
}


def one(path: Path) -> bool:
    """Compare one file."""
    theirs: Counter[str] = Counter()
    text = path.with_suffix(".summary.txt").read_text()
    for number, count in CALL.findall(text):
        theirs["call " + HYPERCALLS[int(number)]] += int(count)
    for name, count in EVENT.findall(text):
        theirs[NAMES.get(name, name)] += int(count)
    counts = summarise(XentraceFile(str(path))).counts
    ours = Counter({name: counts[BY_EVENT].get(name, 0) for name in theirs if not name.startswith("call ")})
    ours["hypercall"] += ours["hypercall_in_multicall"]
    for title in (BY_CALL, IN_MULTICALLS):
        ours.update({"call " + name: count for name, count in counts.get(title, {}).items()})
    print(
        f"{path.name:40.40}  {sum(ours.values()):8} {sum(theirs.values()):8}  "
        f"{'same' if ours == theirs else 'DIFFERENT'}"
    )
    for name in sorted(ours | theirs):
        if ours[name] != theirs[name]:
            print(f"    {name}: {ours[name]} here, {theirs[name]} there")
    return ours == theirs


if __name__ == "__main__":
    found = [path for path in files(sys.argv[1], ".bin") if path.with_suffix(".summary.txt").exists()]
    same = [one(path) for path in found]
    sys.exit(0 if same and all(same) else 1)

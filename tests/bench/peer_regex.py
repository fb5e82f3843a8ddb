"""The peer of ftrace text: what a script of an afternoon does, one regular expression a line.

    python peer_regex.py FILE

Counts switches per CPU and per (prev, next), and prints the counts per CPU as JSON.
"""

import json
import re
import sys

SWITCH = re.compile(
    r"^ *(.{1,16})-(\d+) +\[(\d+)\] \S+ +(\d+\.\d+): sched_switch: "
    r"prev_comm=(.*) prev_pid=(\d+) prev_prio=(\d+) prev_state=(\S+) ==> "
    r"next_comm=(.*) next_pid=(\d+) next_prio=(\d+)$"
)


def main(path: str) -> None:
    """Read *path* line by line."""
    match = SWITCH.match
    per_cpu: dict[str, int] = {}
    pairs: dict[tuple[str, str], int] = {}
    with open(path, errors="surrogateescape") as file:
        for line in file:
            found = match(line)
            if found is None:
                continue
            _, _, cpu, _, _, prev, _, _, _, following, _ = found.groups()
            per_cpu[cpu] = per_cpu.get(cpu, 0) + 1
            pairs[prev, following] = pairs.get((prev, following), 0) + 1
    print(json.dumps({str(int(cpu)): count for cpu, count in sorted(per_cpu.items())}))


if __name__ == "__main__":
    main(sys.argv[1])

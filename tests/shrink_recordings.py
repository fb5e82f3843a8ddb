"""How the small binary recordings in tests/data were made (see binary-README.md there).

    python tests/shrink_recordings.py DIRECTORY

DIRECTORY holds the guest recordings under their full names.  perf and trace-cmd write the lists of
switches the tests compare with; nothing of ours has a part in those.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

DATA = Path(__file__).parent / "data"
PERF_LINE = re.compile(
    r"\[(\d+)\] +\S+ +sched:sched_switch: prev_comm=(.*) prev_pid=(\d+) .* next_comm=(.*) next_pid=(\d+) "
)
TRACE_LINE = re.compile(
    r"\[(\d+)\] +\S+ sched_switch: +prev_comm=(.*) prev_pid=(\d+) .* next_comm=(.*) next_pid=(\d+) "
)
KERNEL_LINE = re.compile(
    r"\[(\d+)\] .* sched_switch: prev_comm=(.*) prev_pid=(\d+) .* next_comm=(.*) next_pid=(\d+) "
)


def write_switches(target: str, line: re.Pattern[str], text: str) -> int:
    """One line a switch: CPU, prev pid, next pid, prev comm, next comm, by TAB."""
    rows = []
    for match in filter(None, map(line.search, text.splitlines())):
        cpu, prev_comm, prev, next_comm, following = match.groups()
        rows.append(f"{int(cpu)}\t{prev}\t{following}\t{prev_comm}\t{next_comm}\n")
    (DATA / target).write_text("".join(rows))
    return len(rows)


def shrink_perf(source: Path, name: str, records: int) -> None:
    """The first *records* bytes of records and the features that are read."""
    data = source.read_bytes()
    data_at, data_size = struct.unpack_from("<QQ", data, 40)
    flags = int.from_bytes(data[72:104], "little")
    table = data_at + data_size
    features = {}
    for bit in range(256):
        if flags >> bit & 1:
            at, size = struct.unpack_from("<QQ", data, table)
            features[bit] = data[at : at + size]
            table += 16
    end = data_at
    while end - data_at < records:
        end += int.from_bytes(data[end + 6 : end + 8], "little")
    kept = {bit: body for bit, body in features.items() if bit in (1, 4, 5, 6)}
    small = bytearray(data[:end])
    struct.pack_into("<Q", small, 48, end - data_at)
    small[72:104] = sum(1 << bit for bit in kept).to_bytes(32, "little")
    at = len(small) + 16 * len(kept)
    for body in kept.values():
        small += struct.pack("<QQ", at, len(body))
        at += len(body)
    small += b"".join(kept.values())
    (DATA / f"{name}.perf.data").write_bytes(small)
    printed = subprocess.run(
        ["perf", "script", "-f", "-i", str(DATA / f"{name}.perf.data")], capture_output=True, text=True
    )
    print(name, len(small), write_switches(f"{name}.switches.txt", PERF_LINE, printed.stdout))


def shrink_pages(source: Path, text: Path, name: str, pages: int) -> None:
    """The first pages of each CPU, the formats that are read, and the kernel's lines of the same events."""
    target = DATA / f"{name}.rawpages"
    shutil.rmtree(target, ignore_errors=True)
    (target / "formats").mkdir(parents=True)
    shutil.copyfile(source / "header_page", target / "header_page")
    for event in ("sched_switch", "task_newtask", "task_rename", "tlb_flush"):
        shutil.copyfile(source / "formats" / f"{event}.format", target / "formats" / f"{event}.format")
    for event in ("x86_fpu_regs_activated", "x86_fpu_regs_deactivated"):
        shutil.copyfile(source / "formats" / f"{event}.format", target / "formats" / f"{event}.format")
    last: dict[int, int] = {}
    for file in source.glob("cpu*.raw"):
        data = file.read_bytes()
        (target / file.name).write_bytes(data[: 4096 * pages])
        (stamp,) = struct.unpack_from("<Q", data, 4096 * pages)
        last[int(file.stem[3:])] = stamp
    lines = []
    for line in text.read_text().splitlines():
        match = re.match(r".*?\[(\d+)\] \S+ +(\d+)\.(\d+): ", line)
        if match and int(match[2] + match[3]) < (last[int(match[1])] + 500) // 1000:
            lines.append(line)
    count = write_switches(f"{name}.switches.txt", KERNEL_LINE, "\n".join(lines))
    print(name, sum(file.stat().st_size for file in target.rglob("*")), count)


def shrink_dat(source: Path, name: str) -> None:
    """trace.dat without kallsyms and printk formats, which nobody here reads."""
    with tempfile.TemporaryDirectory() as directory:
        plain = Path(directory) / "plain.dat"
        command = ["trace-cmd", "convert", "-i", str(source), "-o", str(plain), "--compression", "none"]
        subprocess.run([*command, "--file-version", "6"], check=True, capture_output=True)
        data = plain.read_bytes()
        cursor = data.index(b"header_event\0") + 13
        cursor += 8 + int.from_bytes(data[cursor : cursor + 8], "little")
        count = int.from_bytes(data[cursor : cursor + 4], "little")
        cursor += 4
        for _ in range(count):
            cursor += 8 + int.from_bytes(data[cursor : cursor + 8], "little")
        systems = int.from_bytes(data[cursor : cursor + 4], "little")
        cursor += 4
        for _ in range(systems):
            cursor = data.index(b"\0", cursor) + 1
            events = int.from_bytes(data[cursor : cursor + 4], "little")
            cursor += 4
            for _ in range(events):
                cursor += 8 + int.from_bytes(data[cursor : cursor + 8], "little")
        rest = cursor
        for _ in range(2):
            rest += 4 + int.from_bytes(data[rest : rest + 4], "little")
        names = int.from_bytes(data[rest : rest + 8], "little")
        options = rest + 8 + names
        table = data.index(b"flyrecord\0", options) + 10
        small = bytearray(data[:cursor] + struct.pack("<IIQ", 0, 0, 0) + data[options:table])
        cpus = int.from_bytes(data[options : options + 4], "little")
        entries = [struct.unpack_from("<QQ", data, table + 16 * cpu) for cpu in range(cpus)]
        at = -(-(len(small) + 16 * cpus) // 4096) * 4096
        for _, size in entries:
            small += struct.pack("<QQ", at, size)
            at += size
        small += bytes(-len(small) % 4096)
        for start, size in entries:
            small += data[start : start + size]
        whole = Path(directory) / "small.dat"
        whole.write_bytes(small)
        command = ["trace-cmd", "convert", "-i", str(whole), "-o", str(DATA / f"{name}.dat"), "--compression"]
        subprocess.run([*command, "zstd"], check=True, capture_output=True)
    printed = subprocess.run(
        ["trace-cmd", "report", "-R", str(DATA / f"{name}.dat")], capture_output=True, text=True
    )
    count = write_switches(f"{name}.switches.txt", TRACE_LINE, printed.stdout)
    print(name, (DATA / f"{name}.dat").stat().st_size, count)


def main(directory: Path) -> None:
    """Make all of them."""
    shrink_perf(directory / "guest-n32/n32_perfsched.perf.data", "sources-n32-tasklife", 75_000)
    pages = directory / "guest-n64"
    shrink_pages(pages / "n64_nofp.rawpages", pages / "n64_nofp.trace.txt", "sources-n64-nofp", 4)
    shrink_dat(directory / "guest-n64/n64_tasklife.dat", "sources-n64-tasklife")
    shrink_dat(directory / "guest-n32/n32_tasklife.dat", "sources-n32-tasklife-v7")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

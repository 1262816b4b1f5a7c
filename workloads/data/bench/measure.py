"""Runs a preparation and says what it took: wall time, CPU seconds of all processes, and the most memory that they had together.

    python3 workloads/data/bench/measure.py --source FILE.json --tokenizer DIR --output DIR [--workers N]

Memory is the sum of the proportional set sizes of all processes (shared pages count once), looked at five times a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path


def memory_of(pid: int) -> int:
    """Bytes of a process and all below it."""
    total = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                total += int(line.split()[1]) * 1024
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += memory_of(int(child))
    return total


def main() -> None:
    """Command line: the arguments are those of `prepare`."""
    begun = time.monotonic()
    started = subprocess.Popen([sys.executable, "-m", "vicuna_data", "prepare", *sys.argv[1:]], stdout=subprocess.PIPE)
    most = 0
    while started.poll() is None:
        most = max(most, memory_of(started.pid))
        time.sleep(0.2)
    wall = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(started.stdout.read() if started.stdout else b"{}")
    print(
        f"{result['read']} records, {result['kept']} kept, {result['train']['tokens'] / 1e6:.1f} M tokens: {wall:.0f} s, "
        f"{used.ru_utime + used.ru_stime:.0f} CPU seconds, {most / 1e6:.0f} MB (load {os.getloadavg()[0]:.1f})"
    )


if __name__ == "__main__":
    main()

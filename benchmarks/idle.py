"""What an idle worker with five queues costs: processor, requests to Redis, memory."""

import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from benchmarks.rig import ROOT, rig

PLAIN = "import django, time; django.setup(); print('ready', flush=True); time.sleep(600)"


def tree(pid: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def cpu_seconds(pids: list[int]) -> float:
    """Return the processor time that processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def pss(pids: list[int]) -> float:
    """Return the memory of processes in MB, what they share counted once among them."""
    kilobytes = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kilobytes += int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return kilobytes / 1024


def requests(redis: Any) -> int:
    """Return how many requests Redis has got, without the commands inside scripts."""
    found = redis.info("commandstats")
    names = ("evalsha", "blpop", "smembers")
    return sum(found[f"cmdstat_{name}"]["calls"] for name in names if f"cmdstat_{name}" in found)


def main() -> None:
    """Print the three figures."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=30)
    chosen = options.parse_args()
    with rig() as bench:
        plain = subprocess.Popen([sys.executable, "-c", PLAIN], cwd=ROOT, stdout=subprocess.PIPE)
        wait([plain.stdout])  # type: ignore[list-item]
        with bench.workers() as process:
            time.sleep(4)
            pids = tree(process.pid)
            cpu, before = cpu_seconds(pids), requests(bench.redis)
            time.sleep(chosen.seconds)
            used = cpu_seconds(pids) - cpu
            asked = requests(bench.redis) - before
            memory, base = pss(pids), pss([plain.pid])
        plain.kill()
        plain.wait()
    print(f"processor            {used / chosen.seconds * 100:6.2f} % of a core")
    print(f"requests to Redis    {asked / chosen.seconds:6.2f} a second")
    print(f"memory               {memory:6.1f} MB, {memory - base:.1f} MB above django.setup()")


if __name__ == "__main__":
    main()

"""`python -m benchmarks.peers`: the race. With `--race`: what breaks whom."""

import os
import platform
import tempfile
from argparse import ArgumentParser, Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.peers import faults, report, speed
from benchmarks.peers.contestant import Contestant, contestants
from benchmarks.peers.stand import stand

SIDE_BY_SIDE = 4  # contestants in the fault race, whose jobs only sleep


def race_for_speed(field: list[Contestant], chosen: Namespace) -> report.Results:
    """Measure all in turn, so that a slow minute hits all alike."""
    sizes = speed.QUICK if chosen.quick else speed.FULL
    ways = [(contestant, way) for contestant in field for way in contestant.speed]
    rates, rows = {}, {}
    for contestant, way in ways:
        python = contestant.python(chosen.cache)
        rates[way["title"]] = speed.measure(contestant, way, python, speed.TRIAL, {})
        rows[way["title"]] = {name: [] for name in speed.UNITS}
    for turn in range(sizes.runs):
        for contestant, way in ways:
            title = way["title"]
            python = contestant.python(chosen.cache)
            rates[title] = found = speed.measure(contestant, way, python, sizes, rates[title])
            for name, value in found.items():
                rows[title][name].append(round(value, 3))
            print(f"run {turn + 1}: {title:<16} {found['no-op']:>9,.0f} no-op jobs/s", flush=True)
    rows = {title: {k: v for k, v in found.items() if v} for title, found in rows.items()}
    return {"runs": sizes.runs, "seconds": sizes.seconds, "rows": rows}


def race_of_faults(field: list[Contestant], chosen: Namespace) -> report.Results:
    """Let each suffer each fault, a few side by side."""
    patience = 40.0 if chosen.quick else 90.0
    rows: report.Results = {contestant.title: {} for contestant in field}

    def suffer(contestant: Contestant, fault: str) -> None:
        outcome = faults.suffer(contestant, fault, contestant.python(chosen.cache), patience)
        rows[contestant.title][fault] = outcome
        print(f"{contestant.title:<12} {fault:<20} {report.told(outcome)}", flush=True)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        pairs = [(contestant, fault) for fault in faults.FAULTS for contestant in field]
        list(pool.map(suffer, *zip(*pairs, strict=True)))
    return {"patience": patience, "rows": rows}


def main() -> None:
    """Run one of the two races; print its table, keep its results, write the page."""
    options = ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    options.add_argument("--race", action="store_true", help="the fault race")
    options.add_argument("--quick", action="store_true", help="smaller, in less than 6 minutes")
    options.add_argument("--only", metavar="NAME", default="", help="one contestant; keeps nothing")
    cache = Path(tempfile.gettempdir()) / "django-jobs-peers"
    options.add_argument("--cache", type=Path, default=cache, help="folder of the environments")
    chosen = options.parse_args()
    field = list(contestants(chosen.only))
    versions = {contestant.title: contestant.versions(chosen.cache) for contestant in field}
    load = os.getloadavg()[0]
    results = race_of_faults(field, chosen) if chosen.race else race_for_speed(field, chosen)
    table = report.fault_table if chosen.race else report.speed_table
    print(f"\n{report.on_terminal(table(results))}")
    if chosen.only:
        return
    with stand(field[-1], field[-1].python(chosen.cache)) as place:
        redis = place.redis.info("server")["redis_version"]
    results |= {
        "machine": report.machine(),
        "load": [load, os.getloadavg()[0]],
        "redis": redis,
        "python": platform.python_version(),
        "versions": versions,
        "quick": chosen.quick,
    }
    report.save("faults" if chosen.race else "speed", results)
    report.write_page(field)


if __name__ == "__main__":
    main()

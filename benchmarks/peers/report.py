"""Turns results into a table for the terminal and the page `docs/benchmarks.md`."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import plot
from benchmarks.peers.contestant import Contestant
from benchmarks.peers.faults import FAULTS
from benchmarks.peers.speed import UNITS
from benchmarks.rig import ROOT

Results = dict[str, Any]
RESULTS = Path(__file__).parent / "results"
OURS = "django_jobs"
PLOTS = {
    "no-op": "Jobs that do nothing: drained",
    "1 ms": "Jobs that wait 1 ms: drained",
    "push": "Pushed one by one",
    "p50": "From the push to the start of the job, idle worker, median",
    "memory, shared once": "Memory of all processes of an idle worker, what they share counted once",
}
HEAD = """\
# Beside its peers

Written by `python -m benchmarks.peers` and `python -m benchmarks.peers --race`, which anybody can
run: they install each contestant into an environment of its own and take half an hour together.
Nobody's figures are better than their machine: compare the rows, not the numbers of two pages.
"""
SPEED = """\
## Speed

Each row: a private Redis, the contestant's own worker command, the best of the settings that were
tried (below). What is compared ran in turn, {runs} times; a cell is the median, and in brackets
the lowest and the highest. Each contestant got so many jobs that a drain takes {seconds} s; the
rate counts from the first job that ended to the last. `lost` and `twice` compare a ledger outside
Redis with what was pushed: they must be 0 for the row to count. Memory is that of all processes,
after a drain, first summed up, then with what they share counted once.
"""
FAULT = """\
## Faults

Each contestant with its most reliable settings (below), two processes of two threads or four of
one, and a manager that starts the worker again when it ends, as systemd does. Where a setting
says how soon a dead worker is missed, it is 5 to 10 s, so that the recovery can be watched. One
run for a cell: a 0 means *not seen*, a loss is a fact.

**lost**: did not run, and is in no queue and no list of failed jobs (SAQ and streaQ have no such
list). **stuck**: did not run within {patience:.0f} s, but Redis has it. **twice**: ran to its end
more than once. **+ s**: how much later the last job ended than it would have without the fault.
"""
EXPLAINED = """\
- *kill -9, whole*: all processes of the worker, three times in 60 jobs of 0.2 s. *Child*: the one
  that ran a job. *SIGTERM*: to all processes, as systemd does, while jobs of 2 s run; then the
  worker is started again. *Connections closed*: each 300 ms for 4 s. *Redis full*: `maxmemory`
  reached for 3 s. *Poison*: one of 20 jobs ends its process by `os._exit`; it should be given up
  and be listed as failed, or else it counts as lost or stuck. *Garbage*: bytes that are no job at
  both ends of the queue.
- *Around the commit*: five times the process dies after the commit and before the push that was
  to follow it (`transaction.on_commit`; Celery's `delay_on_commit`, django-rq's `on_db_commit` and
  Huey's `on_commit_task` are that hook). The notes say how many jobs ran whose transaction was
  rolled back after a plain push.
"""


def machine() -> str:
    """Return what is to be known of the machine."""
    model = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    memory = Path("/proc/meminfo").read_text().split()[1]
    cores = f"{len(model)} cores ({model[0].partition(': ')[2]})" if model else "unknown cores"
    return f"{cores}, {int(memory) / 2**20:.0f} GB"


def cell(values: Sequence[float]) -> str:
    """Return median and spread."""
    low, middle, high = (plot.shown(f(values)) for f in (min, statistics.median, max))
    return middle if low == high else f"{middle} ({low} to {high})"


def speed_row(found: dict[str, list[float]]) -> list[str]:
    """Return the cells of a row; of what must be 0, no run is forgotten."""
    sums = {name: f"{sum(found[name]):.0f}" for name in ("lost", "twice")}
    return [sums.get(name) or (cell(found[name]) if name in found else "-") for name in UNITS]


def told(outcome: Results) -> str:
    """Return the outcome of a fault in a few words."""
    bad = [f"{outcome[word]} {word}" for word in ("lost", "stuck", "twice") if outcome[word]]
    late = f"+{outcome['late']:.1f} s" if outcome["late"] >= 0.5 else ""
    return ", ".join([*bad, late] if late else bad) or "0"


def speed_table(results: Results) -> list[list[str]]:
    """Return the rows of the speed race."""
    rows = [["", *(f"{name}, {unit}" for name, unit in UNITS.items())]]
    for title, found in results["rows"].items():
        rows.append([title, *speed_row(found)])
    return rows


def fault_table(results: Results) -> list[list[str]]:
    """Return the rows of the fault race."""
    rows = [["", *FAULTS]]
    for title, found in results["rows"].items():
        rows.append([title, *(told(found[fault]) if fault in found else "-" for fault in FAULTS)])
    return rows


def on_terminal(rows: list[list[str]]) -> str:
    """Return a table turned on its side, one column for each contestant."""
    turned = list(zip(*rows, strict=True))
    widths = [max(map(len, row)) for row in rows]
    return "\n".join(
        "  ".join(f"{word:<{width}}" for word, width in zip(row, widths, strict=True)).rstrip()
        for row in turned
    )


def in_markdown(rows: list[list[str]]) -> str:
    """Return a table for the page."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *rest]) + "\n"


def save(name: str, results: Results) -> None:
    """Keep results."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")


def write_page(contestants: Iterable[Contestant]) -> None:
    """Write `docs/benchmarks.md` and its plots from the results that there are."""
    kept = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    parts = [HEAD]
    if speed := kept.get("speed"):
        parts += [
            SPEED.format(**speed),
            _place(speed),
            *_plots(speed),
            in_markdown(speed_table(speed)),
        ]
    if faults := kept.get("faults"):
        parts += [FAULT.format(**faults), _place(faults), _stacks(faults)]
        parts += [in_markdown(fault_table(faults)), EXPLAINED]
    parts.append("## The contestants, their settings, and what speaks for them\n")
    parts += [_section(contestant, kept) for contestant in contestants]
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(parts))


def _place(results: Results) -> str:
    loads = " to ".join(f"{load:.1f}" for load in results["load"])
    return (
        f"{results['machine']}; Redis {results['redis']}, Python {results['python']};"
        f" load average {loads}{'; a quick run' if results['quick'] else ''}.\n"
    )


def _plots(results: Results) -> Iterable[str]:
    for name, title in PLOTS.items():
        file = f"peers-{name.partition(',')[0].replace(' ', '-')}.svg"
        found = {row: figures[name] for row, figures in results["rows"].items()}
        plot.bars(ROOT / "docs" / "images" / file, title, UNITS[name], found, OURS)
        yield f"![{title}](images/{file})\n"


def _stacks(results: Results) -> str:
    found = {
        title: {
            word: sum(outcome[word] for outcome in outcomes.values())
            for word in ("lost", "stuck", "twice")
        }
        for title, outcomes in results["rows"].items()
    }
    title = "Jobs lost, stuck and run twice in all faults"
    plot.stacks(ROOT / "docs" / "images" / "peers-faults.svg", title, "jobs", found)
    return f"![{title}](images/peers-faults.svg)\n"


def _section(contestant: Contestant, kept: Results) -> str:
    versions: dict[str, str] = {}
    for results in kept.values():
        versions |= results["versions"].get(contestant.title, {})
    lines = [f"### {contestant.title}", ""]
    lines += [", ".join(f"{name} {version}" for name, version in versions.items()) + ".", ""]
    lines += [f"- {setting[0].upper()}{setting[1:]}." for setting in contestant.settings]
    commands = {way[load] for way in contestant.speed for load in ("noop", "nap")}
    lines += [f"- `{command}`" for command in sorted(commands)]
    lines += [f"- In the fault race: `{contestant.safe}`", f"- For it: {contestant.better}"]
    ahead = [*_faster(contestant, kept), *_safer(contestant, kept)]
    lines += [f"- Ahead of {OURS} in this race: {', '.join(ahead)}."] if ahead else []
    outcomes = kept.get("faults", {"rows": {}})["rows"].get(contestant.title, {})
    for fault, outcome in outcomes.items():
        if outcome["notes"]:
            lines.append(f"- {fault[0].upper()}{fault[1:]}: {'; '.join(outcome['notes'])}.")
    return "\n".join([*lines, ""])


def _faster(contestant: Contestant, kept: Results) -> Iterable[str]:
    """Yield the figures in which one of its rows is better than ours."""
    rows = kept.get("speed", {"rows": {}})["rows"]
    for title in (way["title"] for way in contestant.speed):
        for name, unit in UNITS.items():
            if title in rows and name in rows[title]:
                theirs, ours = (statistics.median(rows[row][name]) for row in (title, OURS))
                if theirs != ours and (theirs > ours) == (unit == "jobs/s"):
                    pool = title.removeprefix(contestant.title).replace(",", " with")
                    yield f"{name}{pool} {plot.shown(theirs)} {unit} against {plot.shown(ours)}"


def _safer(contestant: Contestant, kept: Results) -> Iterable[str]:
    """Yield the faults that did it less harm than us."""
    rows = kept.get("faults", {"rows": {}})["rows"]
    for fault, theirs in rows.get(contestant.title, {}).items():
        ours = rows[OURS][fault]
        if (_harm(theirs), theirs["late"] + 1) < (_harm(ours), ours["late"]):
            yield f"{fault} ({told(theirs)} against {told(ours)})"


def _harm(outcome: Results) -> int:
    return int(outcome["lost"] + outcome["stuck"] + outcome["twice"])

"""Every word of `manage.py jobs`: its help, what does it, the options it takes."""

from argparse import SUPPRESS, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandParser

from django_jobs.operators import (
    batching,
    health,
    limiting,
    listing,
    moving,
    outbox,
    overview,
    schedules,
    telling,
    whole_job,
)
from django_jobs.operators.terminal import Terminal
from django_jobs.operators.wording import number, period


@dataclass(frozen=True, slots=True)
class Word:
    """One word; `options` are names in OPTIONS, `more` are arguments of its own."""

    help: str
    do: Callable[[Terminal, Namespace], None]
    options: tuple[str, ...] = ()
    more: tuple[tuple[str, dict[str, Any]], ...] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what may follow the word."""
        for name, settings in self.more:
            parser.add_argument(name, **settings)
        for name in (*self.options, "--json"):
            parser.add_argument(name, **OPTIONS[name])


OPTIONS: dict[str, dict[str, Any]] = {
    "--queue": {
        "action": "append",
        "metavar": "NAME",
        "help": "only this queue; may be said several times",
    },
    "--handler": {"metavar": "NAME", "help": "only jobs of this handler"},
    "--error": {
        "metavar": "CLASS",
        "help": "only failures of this exception class: its path, or the last part",
    },
    "--since": {"type": period, "metavar": "TIME", "help": "only failures since 10m, 2h, 3d ago"},
    "--older-than": {
        "type": period,
        "metavar": "TIME",
        "help": "only failures before 10m, 2h, 3d ago",
    },
    "--all": {"action": "store_true", "help": "every one"},
    "--yes": {"action": "store_true", "help": "do not ask"},
    "--dry-run": {"action": "store_true", "help": "only say how many there are"},
    "--json": {"action": "store_true", "help": "for programs"},
}
OF_FAILED = ("--queue", "--handler", "--error", "--since", "--older-than")
MOVING = ("--all", "--yes", "--dry-run")
IDS = ("ids", {"nargs": "*", "metavar": "ID", "help": "id, or queue:id"})
QUEUES = ("names", {"nargs": "*", "metavar": "QUEUE"})
WORKERS = (
    "workers",
    {"nargs": "*", "metavar": "WORKER", "help": "host:pid (also of a supervisor), or its id"},
)
WHAT = {
    "nargs": "?",
    "choices": ["list", "run", "pause", "resume"],
    "default": "list",
    "help": "run one now, pause or resume it (list)",
}
SCHEDULES = ("names", {"nargs": "*", "metavar": "SCHEDULE", "help": "name, or queue:name"})
STATE = {
    "choices": ["failed", "scheduled", "active", "processing", "succeeded"],
    "default": "failed",
    "help": "(failed)",
}
LIMIT = {"type": number, "default": 50, "metavar": "N", "help": "how many at most (50)"}
WATCH = {
    "nargs": "?",
    "type": period,
    "const": 2.0,
    "metavar": "TIME",
    "help": "again and again, every 2s",
}
OUTBOX = {"nargs": "?", "choices": ["show", "relay"], "default": "show", "help": "(show)"}
SPREAD = {"type": period, "metavar": "TIME", "help": "not all at once but over 10m, say"}
WAITING = {"choices": ["scheduled", "active"], "help": "only jobs in this state"}

LIMITS = (
    (
        "--concurrency",
        {
            "type": limiting.concurrency,
            "default": SUPPRESS,
            "metavar": "N",
            "help": "so many at once, over all workers, or none",
        },
    ),
    (
        "--rate",
        {
            "type": limiting.rate,
            "default": SUPPRESS,
            "metavar": "RATE",
            "help": "so many begin in a time: 50/s, 1000/h, 600/m burst 20, or none",
        },
    ),
    ("--none", {"action": "store_true", "help": "no limits, whatever the settings say"}),
    ("--as-set", {"action": "store_true", "help": "as the settings say"}),
)
CLOSE = {"action": "store_true", "help": "it is open: let it have the jobs that it has"}

WORDS = {
    "stats": Word(
        "how many jobs each queue has in each state",
        overview.stats,
        ("--queue",),
        (("--watch", WATCH),),
    ),
    "list": Word(
        "jobs in one state", listing.list_jobs, OF_FAILED, (("--state", STATE), ("--limit", LIMIT))
    ),
    "show": Word(
        "all of a job: payload, attempts, tracebacks",
        whole_job.show,
        ("--queue",),
        (("ids", {**IDS[1], "nargs": "+"}),),
    ),
    "retry": Word(
        "let failed jobs run again", moving.retry, OF_FAILED + MOVING, (IDS, ("--spread", SPREAD))
    ),
    "discard": Word("delete failed jobs", moving.discard, OF_FAILED + MOVING, (IDS,)),
    "cancel": Word(
        "delete jobs that wait",
        moving.cancel,
        ("--queue", "--handler", *MOVING),
        (IDS, ("--state", WAITING)),
    ),
    "interrupt": Word(
        "stop jobs that run",
        moving.interrupt,
        ("--queue", "--dry-run"),
        (("ids", {**IDS[1], "nargs": "+"}),),
    ),
    "pause": Word("let workers claim nothing of a queue", telling.pause, ("--all",), (QUEUES,)),
    "resume": Word("let workers claim again", telling.resume, ("--all",), (QUEUES,)),
    "schedules": Word(
        "the schedules, and when they are due; run, pause or resume some",
        schedules.schedules,
        ("--queue",),
        (("what", WHAT), SCHEDULES),
    ),
    "limit": Word(
        "what may run at once and how often, and who says so", limiting.limit, (), (QUEUES, *LIMITS)
    ),
    "batches": Word("batches that are not done, the oldest first", batching.batches, ("--queue",)),
    "batch": Word(
        "how far a batch is",
        batching.batch,
        ("--queue",),
        (("id", {"metavar": "ID", "help": IDS[1]["help"]}), ("--close", CLOSE)),
    ),
    "workers": Word("the workers of runjobs", overview.workers, ("--queue",)),
    "quiet": Word("let workers claim nothing more", telling.quiet, ("--all",), (WORKERS,)),
    "stop": Word("let workers end, as at SIGTERM", telling.stop, ("--all",), (WORKERS,)),
    "outbox": Word(
        "jobs that wait in databases: show them, or take them to Redis",
        outbox.outbox,
        more=(("action", OUTBOX),),
    ),
    "doctor": Word("look for what breaks the promises", health.doctor),
    "check": Word("look whether every job is where it says", health.check, ("--queue",)),
    "check-deploy": Word(
        "look whether this code has the handlers of what waits", health.check_deploy, ("--queue",)
    ),
}

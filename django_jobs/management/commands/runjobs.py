"""`manage.py runjobs`: pull jobs and run their handlers."""

import math
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.core import checks
from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jobs.checks import NO_ANSWER, look_at
from django_jobs.connection import declared_queues
from django_jobs.reload import Reloader, follow_reloader
from django_jobs.runner import (
    all_queue_names,
    banner,
    check_max_memory,
    log_to_terminal,
    make_supervisor,
    open_queues,
    parse_queues,
    plain_errors,
    quiet_stop,
    read_whole,
    redis_of,
    unknown_queues,
    worker_settings,
)
from django_jobs.supervisor import Supervisor
from django_jobs.worker_options import WorkerOptions

PAUSE = 1.0  # seconds between looks for a Redis that is away


class Command(BaseCommand):
    """Runs workers until it gets SIGTERM or Ctrl-C."""

    help = "Pull jobs from Redis and run their handlers, until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""

        def add(name: str, metavar: str, help: str, **rest: Any) -> None:
            parser.add_argument(name, metavar=metavar, help=help, **rest)

        add("--queues", "NAMES", "high,low (strict order) or email:5,default:1 (weights); else all")
        add("--processes", "N", "worker processes (1)", type=whole(1000), default=1)
        add("--concurrency", "N", "jobs at once per process (8)", type=whole(10_000), default=8)
        add("--max-jobs", "N", "renew a process after so many jobs", type=whole(10**9))
        add("--max-memory", "MB", "renew a process that takes more (Linux)", type=whole(10**9))
        text = "seconds for the jobs under way when it is told to stop (25)"
        add("--shutdown-timeout", "S", text, type=seconds, default=25.0)
        text = "serve /metrics, /healthz and /readyz there, for Prometheus and probes"
        add("--metrics-port", "N", text, type=whole(65535))
        text = "end when nothing is left to do; what is scheduled stays"
        parser.add_argument("--drain", action="store_true", help=text)
        parser.add_argument("--reload", action="store_true", help="start again when code changes")

    def handle(self, **options: Any) -> None:
        """Run the supervisor."""
        log_to_terminal()
        with quiet_stop():
            with plain_errors():
                supervisor = self._prepare(**options)
            sys.exit(supervisor.run())

    def _prepare(self, **options: Any) -> Supervisor:
        names, weights = parse_queues(options["queues"])
        check_max_memory(options["max_memory"])
        if options["reload"] and not follow_reloader():
            sys.exit(Reloader().run())
        warnings = self._meet_redis(redis_of(names or sorted(declared_queues())))
        queues = open_queues(names or all_queue_names())
        work = WorkerOptions(
            concurrency=options["concurrency"],
            weights=weights,
            drain=options["drain"],
            max_jobs=options["max_jobs"],
            max_memory=options["max_memory"],
            **worker_settings(),
        )
        many = {"grow": not names, "processes": options["processes"]}
        self.stdout.write(banner(queues, weights, concurrency=work.concurrency, **many))
        self.stdout.flush()
        for warning in warnings + unknown_queues(names):
            self.stderr.write(f"Warning: {warning}")
        rest = {name: options[name] for name in ("shutdown_timeout", "metrics_port")}
        return make_supervisor(work, queues, **many, **rest)

    def _meet_redis(self, url: str) -> list[str]:
        """Wait until Redis answers; return what to warn of. Raises CommandError."""
        found = look_at(url)
        if found and found[0].id == NO_ANSWER:
            self.stderr.write(f"{found[0].msg} Waiting for it.")
        while found and found[0].id == NO_ANSWER:
            time.sleep(PAUSE)
            found = look_at(url)
        if found and found[0].is_serious():
            raise CommandError(found[0].msg)
        return [
            f"{message.msg} {message.hint} ({message.id})"
            for message in found
            if message.level >= checks.WARNING and not message.is_silenced()
        ]


def whole(most: int) -> Callable[[str], int]:
    """Return what reads a whole number from 1 on."""

    def read(text: str) -> int:
        try:
            return read_whole(text, most)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from error

    return read


def seconds(text: str) -> float:
    """Read a number of seconds from 0 on."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number) and number >= 0:
        return number
    raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0 on")

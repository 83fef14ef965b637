"""`manage.py runjobs`: pull jobs and run their handlers."""

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import autoreload

from django_jobs.runner import banner, make_supervisor, open_queues, parse_queues
from django_jobs.runner import all_queue_names, worker_settings
from django_jobs.worker import WorkerOptions


class Command(BaseCommand):
    """Runs workers until it gets SIGTERM or Ctrl-C."""

    help = "Pull jobs from Redis and run their handlers."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("--queues", help="high,low (strict order) or email:5,default:1 (weights)")
        add("--processes", type=positive, default=1, help="worker processes (1)")
        add("--concurrency", type=positive, default=8, help="jobs at once per process (8)")
        add("--drain", action="store_true", help="end when nothing is left to do")
        add("--max-jobs", type=positive, help="renew a process after so many jobs")
        add("--max-memory", type=positive, metavar="MB", help="renew a process above this")
        add("--shutdown-timeout", type=float, default=25.0, metavar="S", help="seconds (25)")
        add("--reload", action="store_true", help="start again when code changes")

    def handle(self, **options: Any) -> None:
        """Run the supervisor."""
        if options["reload"] and os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) != "true":
            sys.exit(autoreload.restart_with_reloader())
        try:
            names, weights = parse_queues(options["queues"])
            work = WorkerOptions(
                concurrency=options["concurrency"],
                weights=weights,
                drain=options["drain"],
                max_jobs=options["max_jobs"],
                max_memory=options["max_memory"],
                **worker_settings(),
            )
            queues = open_queues(names or all_queue_names())
            supervisor = make_supervisor(
                work,
                names,
                processes=options["processes"],
                shutdown_timeout=options["shutdown_timeout"],
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(banner(names, queues, options["processes"], options["concurrency"]))
        self.stdout.flush()
        sys.exit(supervisor.run())


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number

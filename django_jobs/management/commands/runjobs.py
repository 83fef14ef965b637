"""`manage.py runjobs`: pull jobs and run their handlers."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jobs.checks import check_redis
from django_jobs.reload import run_reloading
from django_jobs.runner import (
    all_queue_names,
    banner,
    make_supervisor,
    open_queues,
    parse_queues,
    worker_settings,
)
from django_jobs.worker_options import WorkerOptions


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
        if options["reload"]:
            sys.exit(run_reloading([word for word in sys.argv if word != "--reload"]))
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
            processes = options["processes"]
            supervisor = make_supervisor(
                work,
                queues,
                grow=not names,
                processes=processes,
                shutdown_timeout=options["shutdown_timeout"],
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        said = banner(queues, grow=not names, processes=processes, concurrency=work.concurrency)
        self.stdout.write(said)
        for message in check_redis():
            self.stderr.write(str(message))
        self.stdout.flush()
        sys.exit(supervisor.run())


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number

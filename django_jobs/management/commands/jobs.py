"""`manage.py jobs ...`: for operators."""

import json
import logging
from argparse import SUPPRESS, ArgumentParser
from typing import Any

from django.core.checks import run_checks
from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jobs.connection import get_queue, queue_names
from django_jobs.management.commands import runjobs
from django_jobs.monitor.counts import all_stats
from django_jobs.runner import plain_errors

COUNTS = ("active", "processing", "scheduled", "failed")


def anywhere() -> ArgumentParser:
    """Return Django's own options, to be said behind the word as well as before it."""
    parser = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    for name in ("--settings", "--pythonpath"):
        parser.add_argument(name, help=SUPPRESS)
    parser.add_argument("-v", "--verbosity", type=int, choices=[0, 1, 2, 3], help=SUPPRESS)
    for name in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
        parser.add_argument(name, action="store_true", help=SUPPRESS)
    return parser


class Command(BaseCommand):
    """Runs workers, shows counts, looks for what is wrong."""

    help = "Work with the jobs in Redis."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the words."""
        words = parser.add_subparsers(dest="word", required=True, metavar="run|stats|doctor")
        both: list[Any] = [anywhere()]
        run = words.add_parser("run", parents=both, help="the same as `manage.py runjobs`")
        runjobs.Command().add_arguments(run)
        text = "how many jobs each queue has in each state"
        stats = words.add_parser("stats", parents=both, help=text)
        doctor = words.add_parser("doctor", parents=both, help="look for what breaks the promises")
        for word in (stats, doctor):
            word.add_argument("--json", action="store_true", help="for programs")

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Leave the checks to doctor, which runs and prints them itself."""
        if options["word"] == "doctor":
            options["skip_checks"] = True
        return super().execute(*args, **options)

    def handle(self, *args: Any, word: str, **options: Any) -> None:
        """Do what the word says."""
        if word == "run":
            command = runjobs.Command()
            command.stdout, command.stderr = self.stdout, self.stderr
            command.handle(**options)
            return
        with plain_errors():
            (self._stats if word == "stats" else self._doctor)(as_json=options["json"])

    def _stats(self, *, as_json: bool) -> None:
        found = all_stats(get_queue(name) for name in queue_names())
        rows = {
            name: {count: getattr(stats, count) for count in COUNTS} | {"paused": stats.paused}
            for name, stats in found.items()
        }
        if as_json:
            self.stdout.write(json.dumps(rows))
            return
        wide = max(len("queue"), *map(len, rows))
        self.stdout.write(f"{'queue':<{wide}}" + "".join(f"{count:>12}" for count in COUNTS))
        for name, row in rows.items():
            paused = "  paused" if row["paused"] else ""
            numbers = "".join(f"{row[count]:>12,}" for count in COUNTS)
            self.stdout.write(f"{name:<{wide}}{numbers}{paused}")

    def _doctor(self, *, as_json: bool) -> None:
        every = run_checks(tags=["jobs"], include_deployment_checks=True)
        messages = [message for message in every if not message.is_silenced()]
        found = [
            {
                "id": message.id,
                "level": logging.getLevelName(message.level).lower(),
                "message": message.msg,
                "hint": message.hint or "",
            }
            for message in messages
        ]
        if as_json:
            self.stdout.write(json.dumps(found))
        for row in [] if as_json else found:
            self.stdout.write(f"{row['level']}: {row['message']} ({row['id']})")
            if row["hint"]:
                self.stdout.write(f"  {row['hint']}")
        if any(message.is_serious() for message in messages):
            raise CommandError("Something is wrong; see above.")
        if not found and not as_json:
            self.stdout.write("All is well.")

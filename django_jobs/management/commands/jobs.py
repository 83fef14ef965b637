"""`manage.py jobs ...`: for operators."""

import json
from typing import Any

from django.core.checks import run_checks
from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from django_jobs.connection import get_queue, queue_names
from django_jobs.management.commands import runjobs


class Command(BaseCommand):
    """Runs workers, shows counts, looks for what is wrong."""

    help = "Work with the jobs in Redis."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the words."""
        words = parser.add_subparsers(dest="word", required=True, metavar="run|stats|doctor")
        run = words.add_parser("run", help="the same as `manage.py runjobs`")
        runjobs.Command().add_arguments(run)
        stats = words.add_parser("stats", help="how many jobs are in each state")
        stats.add_argument("--json", action="store_true")
        words.add_parser("doctor", help="look for what breaks the promises")

    def handle(self, *args: Any, word: str, **options: Any) -> None:
        """Do what the word says."""
        if word == "run":
            command = runjobs.Command()
            command.stdout, command.stderr = self.stdout, self.stderr
            command.handle(**options)
        elif word == "stats":
            self._stats(as_json=options["json"])
        else:
            self._doctor()

    def _stats(self, *, as_json: bool) -> None:
        try:
            found = {name: get_queue(name).stats() for name in queue_names()}
        except (RedisError, OSError) as error:
            raise CommandError(f"Redis does not answer: {error}") from error
        counts = ("active", "processing", "scheduled", "failed")
        rows = {
            name: {count: getattr(stats, count) for count in counts} | {"paused": stats.paused}
            for name, stats in found.items()
        }
        if as_json:
            self.stdout.write(json.dumps(rows))
            return
        self.stdout.write(f"{'queue':<24}" + "".join(f"{count:>12}" for count in counts))
        for name, row in rows.items():
            paused = "  paused" if row["paused"] else ""
            numbers = "".join(f"{row[count]:>12,}" for count in counts)
            self.stdout.write(f"{name:<24}{numbers}{paused}")

    def _doctor(self) -> None:
        found = run_checks(tags=["jobs"], include_deployment_checks=True)
        for message in found:
            self.stdout.write(str(message))
        if any(message.is_serious() for message in found):
            raise CommandError("Something is wrong; see above.")
        self.stdout.write("Done." if found else "All is well.")

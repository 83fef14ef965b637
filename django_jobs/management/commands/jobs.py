"""`manage.py jobs ...`: for operators; what the words do is in `django_jobs.operators`."""

from argparse import SUPPRESS, ArgumentParser, Namespace
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jobs.management.commands import runjobs
from django_jobs.operators.terminal import Terminal
from django_jobs.operators.words import WORDS
from django_jobs.runner import plain_errors


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
    """Runs workers, shows jobs, moves them, looks for what is wrong."""

    help = "Work with the jobs in Redis."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the words."""
        words = parser.add_subparsers(dest="word", required=True, metavar="WORD")
        both: list[Any] = [anywhere()]
        run = words.add_parser("run", parents=both, help="the same as `manage.py runjobs`")
        runjobs.Command().add_arguments(run)
        for name, word in WORDS.items():
            word.add_arguments(words.add_parser(name, parents=both, help=word.help))

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
        terminal = Terminal(self.stdout, self.stderr, as_json=options["json"])
        try:
            with plain_errors():
                WORDS[word].do(terminal, Namespace(**options))
        except KeyboardInterrupt as error:
            raise CommandError("You stopped it.", returncode=130) from error

"""Writes docs/cli.md: `DJANGO_SETTINGS_MODULE=tests.settings python -m tests.cli_page`."""

import os

import django
from django.core.management.base import CommandParser

from tests.commands import ROOT

PAGE = ROOT / "docs" / "cli.md"
HEAD = """\
# Commands

What `manage.py jobs WORD --help` says; what each word is for is in the guide:
[Run](guide.md#run), [Operate](guide.md#operate). `manage.py runjobs` is `jobs run`.
"""


def page() -> str:
    """Return the page for the commands of this code."""
    from django_jobs.management.commands import jobs  # needs the apps

    os.environ |= {"COLUMNS": "88", "NO_COLOR": "1"}
    parser = CommandParser(prog="manage.py jobs")
    jobs.Command().add_arguments(parser)
    words = parser._subparsers._group_actions[0].choices
    helps = {name: word.format_help() for name, word in words.items()}
    return HEAD + "".join(f"\n## {name}\n\n```text\n{text}```\n" for name, text in helps.items())


if __name__ == "__main__":
    django.setup()
    PAGE.write_text(page())

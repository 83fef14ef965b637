"""The documents: every snippet runs, every table is that of the code."""

import ast
import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from pathlib import Path

import django
import pytest
from django.core.management.base import CommandParser
from django.dispatch import Signal
from redis import Redis

from django_jobs import conf, signals
from django_jobs.management.commands import jobs, runjobs
from django_jobs.operators.words import WORDS
from django_jobs.push import PushOptions
from django_jobs.runner import parse_queues
from tests.commands import ROOT, Processes, end_of
from tests.conftest import free_port, start_redis
from tests.test_architecture import ROW

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]
DOCUMENTS += [ROOT / "example_project" / "README.md"]
NOT_RUN = ["tutorial.md"]  # test_tutorial.py makes its project
NOT_RUN += ["tasks.md"] if django.VERSION < (6, 1) else []
RUN = [path for path in DOCUMENTS if path.name not in NOT_RUN]
ELSEWHERE = ("text", "ini", "dockerfile", "yaml")  # test_cli.py, site/test_deployment.py
ONLY_READ = ("js",)
FENCE = re.compile(r"^( *)```(\w*)(?: title=\"(.+?)\")?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
GUIDE = (ROOT / "docs" / "guide.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

SETTINGS = """
import os
SECRET_KEY = "docs"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
INSTALLED_APPS = ["shop"]
"""
SETTINGS_END = """
INSTALLED_APPS += [] if "django_jobs" in INSTALLED_APPS else ["django_jobs"]
JOBS = {**globals().get("JOBS", {}), "URL": os.environ["REDIS_URL"]}
if os.path.exists("shop/urls.py"):
    ROOT_URLCONF = "shop.urls"
"""
MODELS = """
from pathlib import Path
from django.db import models
from django.dispatch import receiver
from django_jobs.signals import job_started

class Order(models.Model):
    paid = models.BooleanField(default=True)
    receipt_sent = models.BooleanField(default=False)
    reminders = models.IntegerField(default=0)
    refunded = models.IntegerField(default=0)

    def send_receipt(self):
        self.receipt_sent = True
        self.save()

@receiver(job_started)
def note(sender, **kwargs):
    with Path("started").open("a") as file:
        print(sender, file=file)
"""


@dataclass
class Block:
    """A fenced block; `file` is the name that its first line gives, if it gives one.

    `title` is the file of this repository that it is a piece of.
    """

    where: str
    language: str
    title: str
    text: str

    @property
    def file(self) -> str:
        found = re.match(r"# ([\w/]+\.(?:py|conf))\n", self.text)
        return found[1] if found else ""


def blocks_of(document: Path) -> list[Block]:
    return blocks_in(document.read_text(), document.name)


def blocks_in(text: str, name: str) -> list[Block]:
    found = []
    for match in FENCE.finditer(text):
        line = text[: match.start()].count("\n") + 1
        text_in = re.sub(f"^{match[1]}", "", match[4], flags=re.MULTILINE)
        found.append(Block(f"{name}:{line}", match[2], match[3] or "", text_in))
    assert text.count("```") == 2 * len(found), f"{name} has a fence that is not closed"
    return found


# Python.


class Site:
    """A project with one app, `shop`, into which a document's files are written."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self.processes = processes
        (folder / "shop").mkdir(parents=True)
        (folder / "shop" / "__init__.py").touch()
        files = {"settings.py": SETTINGS, "shop/models.py": MODELS}
        for name, text in files.items():
            (folder / name).write_text(text)

    def add(self, name: str, text: str) -> None:
        with (self.folder / name).open("a") as file:
            file.write(text)

    def run(self, *words: str, stdin: str = "") -> str:
        """Run Python in the project; it must end well."""
        path = f"{self.folder}:{ROOT}"
        env = {"PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "settings"}
        process = self.processes.start(*words, cwd=self.folder, stdin=stdin, **env)
        status, output = end_of(process)
        assert status == 0, output
        return output

    def manage(self, *words: str) -> str:
        return self.run("-m", "django", *words)


@pytest.mark.parametrize("document", list(filter(blocks_of, RUN)), ids=lambda path: path.name)
def test_every_snippet_runs(
    document: Path, tmp_path: Path, processes: Processes, client: Redis
) -> None:
    site = Site(tmp_path / "site", processes)
    plain = []
    for block in blocks_of(document):
        if block.title:
            assert_is_piece(block)
        elif block.language == "python" and block.file:
            site.add(block.file, block.text)
        elif block.language == "python":
            plain.append((block.where, block.text))
        else:
            known = ("sh", "conf", *ELSEWHERE, *ONLY_READ)
            assert block.language in known, f"{block.where}: who runs {block.language!r}?"
    site.add("settings.py", SETTINGS_END)
    site.manage("migrate", "--run-syncdb")
    site.manage("check")
    site.run("-m", "tests.snippets", stdin=json.dumps(plain))
    for block in blocks_of(document):
        if block.language == "sh":
            for line in block.text.splitlines():
                run_line(line.partition("  #")[0], site)
        if block.language == "conf":
            start_with(block.text, tmp_path)
    assert_handlers_ran(site)


def assert_is_piece(block: Block) -> None:
    """Find a block in its file; how far in it stands there does not count."""
    lines, whole = plain_lines(block.text), plain_lines((ROOT / block.title).read_text())
    starts = range(len(whole))
    assert any(whole[i : i + len(lines)] == lines for i in starts), f"{block.where} is another now"


def plain_lines(text: str) -> list[str]:
    return [line.strip().removesuffix(",") for line in text.splitlines()]


def assert_handlers_ran(site: Site) -> None:
    """Run what the snippets pushed: each handler must have been among it, and none has failed."""
    file = site.folder / "shop" / "jobs.py"
    names = set(re.findall(r'@handler\("(\S+?)"', file.read_text())) if file.exists() else set()
    if not names:
        return
    site.manage("runjobs", "--drain")
    assert set((site.folder / "started").read_text().split()) == names
    counts = json.loads(site.manage("jobs", "stats", "--json"))
    assert sum(queue["failed"] for queue in counts.values()) == 0


def test_settings_of_the_documents_are_right() -> None:
    blocks = [block for path in DOCUMENTS for block in blocks_of(path)]
    found = [block for block in blocks if block.file == "settings.py" and "JOBS" in block.text]
    for block in found:
        scope: dict[str, object] = {"INSTALLED_APPS": []}
        exec(block.text, scope)
        assert conf.problems(scope.get("JOBS", {})) == [], block.where
    assert len(found) >= 3


# Commands.


def run_line(line: str, site: Site) -> None:
    """Run a line of shell as far as it can be run here; fail for one that nobody knows."""
    for command in line.split(" && "):
        words = shlex.split(command)
        known = [check for start, check in COMMANDS.items() if command.startswith(start)]
        assert known, f"nobody runs {command!r}"
        known[0](words, site)


def run_manage(words: list[str], site: Site) -> None:
    """Run it; of `runjobs` read the words only: `assert_handlers_ran` runs it, once."""
    command = words[2:]
    if command[:2] == ["jobs", "run"]:
        jobs.Command().create_parser("manage.py", "jobs").parse_args(command[1:])
    elif command[0] == "runjobs":
        parser = runjobs.Command().create_parser("manage.py", "runjobs")
        parse_queues(parser.parse_args(command[1:]).queues)
    else:
        site.manage(*words[2:])


def run_example(words: list[str], site: Site) -> None:
    help = [] if words[2:] == ["test", "shop"] else ["--help"]  # test_demo.py runs the others
    process = site.processes.start(ROOT / words[1], *words[2:], *help, REDIS_URL="")
    status, output = end_of(process)
    assert status == 0, output


def run_pytest(words: list[str], site: Site) -> None:
    """Run it with the plugin of this tree, be it installed or not."""
    plugins = ("-p", "no:django_jobs", "-p", "django_jobs.pytest_plugin", "-p", "no:cacheprovider")
    assert " passed" in site.run("-m", "pytest", *plugins, "-c", os.devnull, *words[1:])


def run_redis_cli(words: list[str], site: Site) -> None:
    command = ["redis-cli", "-e", "-u", os.environ["REDIS_URL"], *words[1:]]
    subprocess.run(command, check=True, capture_output=True)


def make_venv(words: list[str], site: Site) -> None:
    assert words[0] == "python3"
    subprocess.run([sys.executable, *words[1:3], "--help"], check=True, capture_output=True)


def install(words: list[str], site: Site) -> None:
    """Look whether what pip is told to install is what pyproject.toml offers."""
    what = words[-1]
    if what != "tox":
        name, extra = re.fullmatch(r"(.+)\[(\w+)\]", what).groups()  # type: ignore[union-attr]
        assert name == (PROJECT["name"] if "-e" not in words else ".")
        assert extra in PROJECT["optional-dependencies"]


def collect_tests(words: list[str], site: Site) -> None:
    """Look whether pytest finds such tests."""
    process = site.processes.start(*words[1:], "--collect-only", "-q", cwd=ROOT)
    status, output = end_of(process)
    assert status == 0, output


def read_tox(words: list[str], site: Site) -> None:
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    assert "pytest" in tox["testenv"]["commands"]


COMMANDS: dict[str, Callable[[list[str], Site], None]] = {
    "python manage.py ": run_manage,
    ".venv/bin/python example_project/manage.py ": run_example,
    "pytest ": run_pytest,
    "redis-cli ": run_redis_cli,
    "python3 -m venv .venv": make_venv,
    ".venv/bin/pip install ": install,
    "pip install ": install,
    "python -m pytest ": collect_tests,
    ".venv/bin/tox": read_tox,
}


def start_with(text: str, folder: Path) -> None:
    """Start a server with these lines of redis.conf, and see that it has taken each."""
    lines = [line.split() for line in text.splitlines()[1:]]
    port = free_port()
    process = start_redis(
        port, str(folder), *(w for name, value in lines for w in (f"--{name}", value))
    )
    with Redis(port=port, decode_responses=True) as redis:
        for name, value in lines:
            assert redis.config_get(name) == {name: value}
    process.terminate()
    process.wait(10)


# Tables.


def rows(head: str) -> dict[str, list[str]]:
    """Return the rows of the guide's table that begins with this head, by their first cell."""
    table = GUIDE[GUIDE.index(f"| {head} |") :].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table]
    return {cell[0].strip("`"): cell[1:] for cell in cells}


def test_the_table_of_settings_is_that_of_the_code() -> None:
    table = rows("key")
    assert list(table) == [field.name for field in fields(conf.Settings)]
    for field in fields(conf.Settings):
        default, per_queue, _ = table[field.name]
        assert (per_queue == "yes") == (field.name in (*conf.OF_A_QUEUE, "URL"))
        if field.name not in ("URL", "BACKOFF"):  # their defaults are words
            value = field.default if field.default is not MISSING else field.default_factory()  # type: ignore[misc]
            assert ast.literal_eval(default.strip("`")) == value
    assert all(name in table["URL"][0] for name in (*conf.ENVIRONMENT, conf.LOCAL))
    assert all(scheme in table["URL"][2] for scheme in conf.SCHEMES)


def test_the_table_of_push_options_is_that_of_the_code() -> None:
    assert set(rows("option")) == set(PushOptions.__annotations__)


def test_the_table_of_runjobs_is_that_of_the_command() -> None:
    parser = CommandParser()
    runjobs.Command().add_arguments(parser)
    options = {action.option_strings[-1]: action for action in parser._actions[1:]}
    table = GUIDE[GUIDE.index("| `--queues high,low` |") :].partition("\n\n")[0]
    told = re.findall(r"^\| `(--\S+)(?: (\S+))?` \|", table, re.MULTILINE)
    assert {name for name, _ in told} == set(options)
    for name, value in told:
        if value.isdigit():
            assert options[name].default == int(value)


def test_the_table_of_words_is_that_of_the_command() -> None:
    assert set(rows("word")) == {"run", *WORDS}


def test_the_table_of_checks_names_each_of_them() -> None:
    places = ("checks.py", "outbox/checks.py")
    source = "".join((ROOT / "django_jobs" / place).read_text() for place in places)
    assert set(rows("id")) == set(re.findall(r'"(django_jobs\.[EWI]\d+)"', source))


def test_the_table_of_signals_names_each_of_them() -> None:
    found = {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    assert set(rows("signal")) == found


def test_the_table_of_layers_is_in_their_order() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text[text.index("| modules | |") :].partition("\n\n")[0].splitlines()[2:]
    named = [[ROW[name] for name in re.findall(r"`(\w+)`", row)] for row in table]
    assert len(named) > 5
    for lower, upper in pairwise(named):
        assert max(lower) < min(upper)


def test_links_lead_somewhere() -> None:
    for path in DOCUMENTS:
        text = path.read_text()
        for target in re.findall(r"\]\(([^)]+)\)", text):
            file, _, anchor = target.partition("#")
            if file.startswith("http"):
                continue
            found = (path.parent / file).resolve() if file else path
            assert found.exists(), f"{path.name} links to {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
                anchors = {heading.lower().replace(" ", "-") for heading in headings}
                assert anchor in anchors, f"{path.name} links to {target}"
        for test in re.findall(r"`(test_\w+\.py)`", text):
            assert (ROOT / "tests" / test).exists(), f"{path.name} names {test}"

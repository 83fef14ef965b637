"""The documented way to tell Sentry, with a transport of its SDK that sends nothing before a flush."""

import json
from pathlib import Path

from tests.commands import ROOT, Processes, end_of
from tests.test_docs import blocks_of

SCRIPT = """
import json, sys
import django, sentry_sdk
from functools import partial
from sentry_sdk.transport import Transport

class Kept(Transport):
    kept = []

    def capture_envelope(self, envelope):
        self.kept.append(envelope.get_event())

    def flush(self, timeout, callback=None):
        with open("events", "a") as file:
            while self.kept:
                print(json.dumps(self.kept.pop(), default=str), file=file)

sentry_sdk.init = partial(sentry_sdk.init, dsn="http://key@127.0.0.1/1", transport=Kept)
settings, jobs = json.load(sys.stdin)
exec(settings, {})
django.setup()
exec(jobs, globals())
from django_jobs import push_job
from django.core.management import call_command
push_job("test.hopeless")
push_job("test.broken", max_attempts=2)
push_job("test.quick")
call_command("runjobs", "--drain", "--skip-checks")
"""


def test_sentry_hears_once_of_each_job_that_failed(
    processes: Processes, tmp_path: Path, ledger: Path
) -> None:
    blocks = blocks_of(ROOT / "docs" / "metrics.md")
    texts = [block.text for block in blocks if "sentry_sdk" in block.text]
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings", "LEDGER": str(ledger)}
    started = processes.start("-c", SCRIPT, cwd=tmp_path, stdin=json.dumps(texts), **env)
    assert end_of(started)[0] == 0
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    told = {event["tags"]["handler"]: event for event in events}
    assert len(events) == len(told) == 2
    error = told["test.broken"]["exception"]["values"][-1]
    assert (error["type"], error["value"]) == ("RuntimeError", "out of order")
    assert error["stacktrace"]["frames"][-1]["function"] == "broken"
    assert told["test.broken"]["contexts"]["job"]["attempt"] == 2
    assert told["test.hopeless"]["exception"]["values"][-1]["type"] == "Fail"

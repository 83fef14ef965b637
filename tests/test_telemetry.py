"""Traces, by OpenTelemetry's own SDK."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.test import override_settings
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer, SpanContext, SpanKind, StatusCode
from redis import Redis

from django_jobs import Job, Snooze, handler, middleware, push
from django_jobs.batches import push_batch
from django_jobs.connection import get_queue
from django_jobs.exceptions import PushError
from django_jobs.handlers import Handler
from django_jobs.push import push_job, push_jobs
from django_jobs.telemetry import spans
from tests.commands import Processes, end_of
from tests.conftest import free_port

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("tests")
seen: list[Any] = []


@handler("traced.look")
def look(job: Job) -> None:
    """Note the span and the baggage."""
    seen.append((trace.get_current_span().get_span_context(), baggage.get_all()))


@handler("traced.look_async")
async def look_async(job: Job) -> None:
    """Do the same on the event loop."""
    look(job)


@handler("traced.fail")
def fail(job: Job) -> None:
    """Raise, or put the job off."""
    raise Snooze(after=60) if job.payload == "snooze" else KeyError("no such order")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, client: "Redis[bytes]") -> Iterator[None]:
    """Telemetry, as its app puts it in place."""
    monkeypatch.setattr(push, "around", spans.pushing)
    monkeypatch.setattr(middleware, "installed", [spans.Running])
    yield
    exporter.clear()
    seen.clear()


def work(handler: Handler) -> None:
    """Run the next job."""
    run = middleware.wrapped(handler, [])
    get_queue().pull(async_to_sync(run) if handler.is_async else run)


def finished() -> dict[str, ReadableSpan]:
    """Return the spans by their names."""
    return {span.name: span for span in exporter.get_finished_spans()}


def ids(context: SpanContext | None) -> tuple[int, int]:
    """Return what a context is known by."""
    assert context is not None
    return context.trace_id, context.span_id


def facts(span: ReadableSpan) -> dict[str, Any]:
    assert span.attributes is not None
    return {name.removeprefix("messaging."): value for name, value in span.attributes.items()}


@pytest.mark.parametrize("name", ["traced.look", "traced.look_async"])
def test_a_run_is_a_child_of_its_push_and_linked_to_it(name: str) -> None:
    with tracer.start_as_current_span("request") as request:
        id = push_job(name)
    work({"traced.look": look, "traced.look_async": look_async}[name])
    pushed, run = finished()["push default"], finished()["run default"]
    assert ids(pushed.parent) == ids(request.get_span_context())
    assert (pushed.kind, run.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert ids(run.parent) == ids(pushed.context)
    assert [ids(link.context) for link in run.links] == [ids(pushed.context)]
    assert [ids(context) for context, _ in seen] == [ids(run.context)]
    server = get_queue().client.connection_pool.connection_kwargs
    both = {
        "system": "django_jobs",
        "destination.name": "default",
        "message.id": id,
        "django_jobs.handler": name,
        "server.address": server["host"],
        "server.port": server["port"],
    }
    sent = {"operation.name": "push", "operation.type": "send"}
    processed = {"operation.name": "run", "operation.type": "process", "django_jobs.attempt": 1}
    assert facts(pushed) == both | sent
    assert facts(run) == both | processed
    assert pushed.status.status_code == run.status.status_code == StatusCode.UNSET


def test_each_attempt_is_linked_to_the_push_and_says_its_error() -> None:
    push_job("traced.fail", "error")
    for _ in range(2):
        with pytest.raises(KeyError):
            work(fail)
    (pushed, *runs) = exporter.get_finished_spans()
    assert [facts(run)["django_jobs.attempt"] for run in runs] == [1, 2]
    for run in runs:
        assert ids(run.parent) == ids(run.links[0].context) == ids(pushed.context)
        assert (run.status.status_code, run.status.description) == (
            StatusCode.ERROR,
            "'no such order'",
        )
        assert facts(run)["error.type"] == "builtins.KeyError"
        assert [event.name for event in run.events] == ["exception"]


def test_a_job_put_off_is_no_error() -> None:
    push_job("traced.fail", "snooze")
    with pytest.raises(Snooze):
        work(fail)
    run = finished()["run default"]
    assert (run.status.status_code, run.events) == (StatusCode.UNSET, ())


@pytest.mark.django_db(transaction=True)
def test_the_trace_is_that_of_the_callers_line_not_of_the_commit() -> None:
    with transaction.atomic():
        with tracer.start_as_current_span("line") as line:
            push_job("traced.look")
        assert "push default" in finished()
    work(look)
    pushed, run = finished()["push default"], finished()["run default"]
    assert ids(pushed.parent) == ids(line.get_span_context())
    assert ids(run.parent) == ids(pushed.context)


def test_many_jobs_are_pushed_in_one_span() -> None:
    push_jobs("traced.look", [1, 2, 3])
    push_batch([look, fail], on_complete=look)
    many, batch = exporter.get_finished_spans()
    assert (facts(many)["batch.message_count"], facts(batch)["batch.message_count"]) == (3, 3)
    assert facts(many)["django_jobs.handler"] == "traced.look"
    assert not {"message.id", "django_jobs.handler"} & set(facts(batch))
    for _ in range(3):
        work(look)
    assert {context.trace_id for context, _ in seen} == {many.context.trace_id}


def test_baggage_comes_along_and_stays_with_the_job() -> None:
    push_job("traced.look")
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    push_job("traced.look")
    context.detach(token)
    work(look)
    work(look)
    assert [bag for _, bag in seen] == [{}, {"tenant": "acme"}]
    assert baggage.get_all() == {}


def test_a_run_belongs_to_no_span_of_its_worker() -> None:
    get_queue().push(handler="traced.look")
    with tracer.start_as_current_span("elsewhere"):
        work(look)
    assert finished()["run default"].parent is None
    assert finished()["run default"].links == ()


@pytest.mark.parametrize(
    "headers", [b"\xff", b"[]", b'{"traceparent": 5}', b'{"traceparent": "x"}']
)
def test_headers_of_others_may_be_anything(client: "Redis[bytes]", headers: bytes) -> None:
    id = push_job("traced.look")
    client.hset(f"jobs:default:job:{id}", "trace", headers)
    work(look)
    assert finished()["run default"].parent is None


def test_without_a_trace_nothing_is_stored(
    client: "Redis[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "_tracer", NoOpTracer())
    id = push_job("traced.look")
    assert set(client.hkeys(f"jobs:default:job:{id}")) == {b"handler", b"payload", b"enqueued_at"}
    work(look)
    assert [context.is_valid for context, _ in seen] == [False]


def test_a_push_that_fails_says_so() -> None:
    with (
        override_settings(JOBS={"URL": f"redis://127.0.0.1:{free_port()}/0"}),
        pytest.raises(PushError),
    ):
        push_job("traced.look")
    pushed = finished()["push default"]
    assert pushed.status.status_code == StatusCode.ERROR
    assert facts(pushed)["error.type"] == "django_jobs.exceptions.PushError"


SCRIPT = """
import sys
import django
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
exporter = ConsoleSpanExporter(out=open("spans", "a"), formatter=lambda s: s.to_json(None) + "\\n")
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=600_000))
trace.set_tracer_provider(provider)
django.setup()
from django_jobs import push_job
from django.core.management import call_command
for name in ("test.quick", "test.nap_async"):
    push_job(name, {"seconds": 0})
call_command("runjobs", "--drain", "--skip-checks")
"""


def test_workers_export_what_is_left_when_they_end(
    processes: Processes, tmp_path: Path, ledger: Path
) -> None:
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings_telemetry", "LEDGER": str(ledger)}
    assert end_of(processes.start("-c", SCRIPT, cwd=tmp_path, **env))[0] == 0
    spans = [json.loads(line) for line in (tmp_path / "spans").read_text().splitlines()]
    pushes = {s["context"]["span_id"] for s in spans if s["name"] == "push default"}
    parents = {s["parent_id"] for s in spans if s["name"] == "run default"}
    assert len(pushes) == 2
    assert pushes == parents

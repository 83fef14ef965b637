"""The read side: what it counts, and what it does not read twice."""

import pytest
from redis import Redis

from django_jobs import bulk
from django_jobs.monitor import counts, groups, history, pages, servers
from django_jobs.monitor.shown import Reader, find_job
from django_jobs.queue import Queue
from django_jobs.redact import NAMES, Redactor


def bury(queue: Queue, client: Redis, id: str, score: float, group: str = "h ValueError") -> None:
    """Write a failed job."""
    client.hset(f"{queue.root}:job:{id}", mapping={"state": "failed", "handler": "h"})
    client.zadd(f"{queue.root}:failed", {id: score})
    client.zadd(f"{queue.root}:group:{group}", {id: score})
    client.hincrby(f"{queue.root}:groups", group, 1)


def test_groups_are_counted_from_a_time_on(queue: Queue, client: Redis) -> None:
    for id, score in (("a", 1000), ("b", 2000), ("c", 3000)):
        bury(queue, client, id, score)
    bury(queue, client, "d", 1000, "h KeyError")
    found = groups.failure_groups([queue])
    assert [(group.exception, group.count) for group in found] == [
        ("ValueError", 3),
        ("KeyError", 1),
    ]
    since = groups.counted(found, 2000)
    assert [(group.exception, group.count) for group in since] == [("ValueError", 2)]
    assert counts.failed_since([queue], 2000) == {"email": 2}
    assert groups.latest(found) == [3000, 1000]


def test_a_minute_that_is_just_over_is_read_again(queue: Queue, client: Redis) -> None:
    queue.push()
    timeline, this = history.Timeline(), int(counts.server_time(queue) // 60_000)
    for minute in range(this - 4, this + 1):
        client.hset(f"{queue.root}:minute:{minute}", "runs", 1)
    assert sum(runs for runs, _failures in timeline.minutes(queue)) == 5
    for minute in range(this - 4, this + 2):  # workers write up to a second late
        client.hset(f"{queue.root}:minute:{minute}", "runs", 10)
    last = [runs for runs, _failures in timeline.minutes(queue)][-5:]
    assert last[1] == 1
    assert last[-2:] == [10, 10]


def test_servers_say_what_they_are(queue: Queue, client: Redis) -> None:
    (server,) = servers.all_servers([queue, Queue("other", client)])
    assert server.name in ("Redis", "Valkey")
    assert server.version[0].isdigit()
    assert server.used > 100_000
    assert (server.limit, server.policy) == (0, "noeviction")


def test_a_search_goes_on_behind_the_last_match(queue: Queue, client: Redis) -> None:
    for number in range(30):
        bury(queue, client, f"{number:02}", 1000 + number % 3)
    reader, seen, after = Reader(Redactor(())), list[str](), None
    while True:
        page = pages.search(pages.failed([queue]), "h", reader, after=after, size=7)
        seen += [row.id for row in page.rows]
        if not page.after:
            break
        after = pages.Position.parse(page.after)
    assert sorted(seen) == [f"{number:02}" for number in range(30)]


@pytest.mark.parametrize("wanted", ["hunter2", "Bearer abc"])
def test_what_is_hidden_cannot_be_found(queue: Queue, wanted: str) -> None:
    def fails(job: object) -> None:
        raise ValueError("Authorization: Bearer abc")

    queue.push({"password": "hunter2", "user": "ann"}, "h", max_attempts=1)
    with pytest.raises(ValueError, match="Bearer"):
        queue.pull(fails)
    reader, sources = Reader(Redactor(NAMES)), pages.failed([queue])
    assert pages.search(sources, wanted, reader).rows == []
    assert len(pages.search(sources, "ann", reader).rows) == 1
    assert pages.search(sources, "ann", Reader(Redactor(NAMES), payload=False)).rows == []


def test_who_may_see_no_payloads_gets_none(queue: Queue, client: Redis) -> None:
    id = queue.push({"card": "4711"}, "h")
    fields = {"result": '"secret"', "payload:1": '"old"', "progress": "42 %"}
    client.hset(f"{queue.root}:job:{id}", mapping=fields)
    seen = find_job(queue, id, Reader(Redactor(())))
    assert seen is not None
    assert (seen.result, seen.edited, seen.progress) == (b'"secret"', ((1, b'"old"'),), "42 %")
    hidden = find_job(queue, id, Reader(Redactor(()), payload=False))
    assert hidden is not None
    assert (hidden.payload, hidden.result, hidden.edited, hidden.progress) == (b"", b"", (), "")


def test_a_search_ends_in_time_and_goes_on_there(
    queue: Queue, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        bury(queue, client, f"job{number}", 1000 + number)
    monkeypatch.setattr(pages, "SEARCH_SECONDS", 0)
    reader, after, found = Reader(Redactor(NAMES)), None, []
    for _ in range(4):
        page = pages.search(pages.failed([queue]), "job", reader, after=after)
        assert page.looked_at == 1
        found += [row.id for row in page.rows]
        after = pages.Position.parse(page.after)
    assert found == ["job3", "job2", "job1", "job0"]


def test_many_groups_are_read_in_few_round_trips(queue: Queue, client: Redis) -> None:
    for number in range(300):
        bury(queue, client, str(number), 1000 + number, f"h{number} ValueError")
    before = client.info("stats")["total_reads_processed"]
    sources = pages.failed_of(groups.failure_groups([queue], exception="ValueError"))
    found = pages.page(sources, Reader(Redactor(NAMES)))
    assert [row.id for row in found.rows] == [str(number) for number in range(299, 249, -1)]
    assert bulk.of_failed("retry", sources).total == 300
    assert client.info("stats")["total_reads_processed"] - before < 20


def test_a_group_that_is_no_sorted_set_is_empty(queue: Queue, client: Redis) -> None:
    bury(queue, client, "a", 1000)
    client.set(f"{queue.root}:group:h ValueError", "x")
    sources = pages.failed_of(groups.failure_groups([queue], handler="h"))
    assert pages.page(sources, Reader(Redactor(NAMES))).rows == []


@pytest.mark.parametrize(
    ("field", "value"),
    [(name, value) for name in ("attempts", "token", "timeout") for value in ("--5", "9" * 5000)]
    + [("error:1", value) for value in ("[]", "1", "null", '{"time": "x"}', "[" * 10_000)]
    + [("error:²", "{}"), ("payload:²", "{}"), ("error:" + "9" * 5000, "{}")],
)
def test_a_field_that_holds_nonsense_counts_as_absent(
    queue: Queue, client: Redis, field: str, value: str
) -> None:
    bury(queue, client, "a", 1000)
    client.hset(f"{queue.root}:job:a", field, value)
    job = queue.job("a")
    assert job and (job.handler, job.attempts, job.edited) == ("h", 0, ())


def test_a_worker_whose_id_is_no_text_is_shown(queue: Queue, client: Redis) -> None:
    client.hset(f"{queue.root}:job:a", "handler", "h")
    client.hset(f"{queue.root}:processing", "a", b"\xff")
    job = queue.job("a")
    assert job and job.worker == "\ufffd"

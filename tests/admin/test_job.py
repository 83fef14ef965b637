"""The page of one job: what it shows, and what is done there."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from redis import Redis

from django_jobs.admin import frames
from django_jobs.admin.editing import Draft
from django_jobs.queue import Queue
from django_jobs.redact import HIDDEN, NAMES, Redactor
from tests.admin.pages import JOBS, Web, fail, page_of, state, text
from tests.test_transitions import claim, register

pytestmark = pytest.mark.django_db

EDITOR = ("view_job", "view_job_payload", "edit_job")


def edit(queue: Queue, web: Web, id: str, payload: str, **data: str) -> Any:
    """Send the form, and return the answer."""
    user, url = web(*EDITOR), page_of(queue, id, "edit")
    seen = user.get(url).context["draft"].seen
    return user.post(url, {"payload": payload, "seen": seen, **data})


def test_a_long_payload_is_cut_until_all_is_wanted(queue: Queue, web: Web) -> None:
    id, user = fail(queue, "x" * 100_000), web("view_job", "view_job_payload")
    url = page_of(queue, id)
    assert text(user, url).count("x") < 70_000
    assert "Show all" in text(user, url)
    whole = text(user, f"{url}?all=1")
    assert "x" * 100_000 in whole
    assert "Show all" not in whole


def test_the_page_leads_back_to_the_list_it_came_from(queue: Queue, web: Web) -> None:
    id, user = fail(queue), web("view_job", "retry_job")
    answer = user.get(f"{JOBS}?queue=email&time=day")
    link = f"{page_of(queue, id).replace(':', '_3A')}{answer.context['origin']}"
    assert link in answer.content.decode()
    back = user.post(link, {"action": "retry"})["Location"]
    assert back == f"{JOBS}?queue=email&time=day"


def test_a_failed_job_leads_to_all_like_it(queue: Queue, web: Web) -> None:
    id, user = fail(queue), web("view_job")
    fail(queue, error=KeyError)
    found = user.get(JOBS + user.get(page_of(queue, id)).context["alike"]).context["page"]
    assert [row.id for row in found.rows] == [id]


def test_stop_retrying_keeps_the_job_among_the_failed(queue: Queue, web: Web) -> None:
    user = web("view_job", "cancel_job")
    for id in (queue.push(), queue.push(delay=60)):
        assert 'value="fail"' in text(user, page_of(queue, id))
        user.post(page_of(queue, id), {"action": "fail"})
        assert state(queue, id) == "failed"
        record = queue.job(id)
        assert record is not None
        assert "Stopped by user0" in record.errors[-1].message
    assert LogEntry.objects.filter(action_flag=2).count() == 2
    user.post(page_of(queue, id), {"action": "fail"})
    assert LogEntry.objects.count() == 2


def test_half_a_pair_of_surrogates_breaks_no_page(queue: Queue, client: Redis, web: Web) -> None:
    id, half = fail(queue), '"\\ud800"'
    error = f'{{"exception": {half}, "message": {half}, "worker": {half}, "time": 1}}'
    client.hset(f"{queue.root}:job:{id}", mapping={"error:1": error, "payload": half})
    user = web("view_job", "view_job_payload")
    for url in (JOBS, page_of(queue, id)):
        text(user, url)


def test_cancel(queue: Queue, web: Web) -> None:
    id, user = queue.push(delay=60), web("view_job", "cancel_job")
    user.post(page_of(queue, id), {"action": "cancel"})
    assert state(queue, id) == "gone"
    assert LogEntry.objects.get().get_change_message() == "Cancelled."


def test_a_running_job_can_only_be_stopped(queue: Queue, web: Web) -> None:
    user = web("view_job", "cancel_job", "retry_job", "discard_job")

    def look(job: Any) -> None:
        html = text(user, page_of(queue, job.id))
        assert ">Running<" in html
        assert html.count('name="action"') == html.count('value="stop"') == 1
        for action in ("cancel", "fail", "retry", "discard"):
            user.post(page_of(queue, job.id), {"action": action})
        assert state(queue, job.id) == "processing"

    queue.push()
    queue.pull(look)
    assert not LogEntry.objects.exists()


def test_edit_and_retry_keeps_the_original(queue: Queue, web: Web) -> None:
    id = fail(queue, {"order": 41})
    answer = edit(queue, web, id, '{"order": 42}')
    assert answer["Location"] == JOBS
    record = queue.job(id)
    assert record is not None
    assert (record.state, json.loads(record.payload)) == ("active", {"order": 42})
    assert [json.loads(raw) for _token, raw in record.edited] == [{"order": 41}]
    entry = LogEntry.objects.get()
    assert "Edited the payload" in entry.get_change_message()
    assert "42" not in entry.get_change_message()
    html = text(web("view_job", "view_job_payload"), page_of(queue, id))
    assert "&quot;order&quot;: 41" in html
    assert "&quot;order&quot;" not in text(web("view_job"), page_of(queue, id))


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ('{"order": }', "This is not JSON, line 1, column 11"),
        ("", "This is not JSON"),
        ("NaN", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_at_the_field(
    queue: Queue, web: Web, payload: str, said: str
) -> None:
    id = fail(queue, {"order": 41})
    html = edit(queue, web, id, payload).content.decode()
    assert said in html
    assert 'aria-describedby="payload-error"' in html
    assert payload[:50].replace('"', "&quot;") in html
    assert state(queue, id) == "failed"
    assert not LogEntry.objects.exists()


def test_an_edit_of_what_somebody_else_edited_is_refused(queue: Queue, web: Web) -> None:
    id = fail(queue, {"order": 41})
    html = edit(queue, web, id, "{}", seen="another").content.decode()
    assert "Somebody else edited this payload" in html
    assert state(queue, id) == "failed"


def test_the_largest_payload_can_be_sent_as_the_form_sends_it(queue: Queue, web: Web) -> None:
    id = fail(queue, ['"' * 500_000])
    user, url = web(*EDITOR), page_of(queue, id, "edit")
    page = user.get(url)
    assert 'enctype="multipart/form-data"' in page.content.decode()
    data = {"payload": page.context["text"], "seen": page.context["draft"].seen}
    encoded = user.post(url, urlencode(data), content_type="application/x-www-form-urlencoded")
    assert encoded.status_code == 400
    assert user.post(url, data).status_code == 302
    assert state(queue, id) == "active"


def test_an_edit_says_that_the_unique_key_is_held(queue: Queue, web: Web) -> None:
    id = fail(queue, unique="u")
    queue.push(None, "mail", unique="u")
    answer = edit(queue, web, id, "[1]")
    assert "of the same unique key waits or runs" in answer.context["error"]
    assert answer.context["text"] == "[1]"


@pytest.mark.parametrize("codenames", [("edit_job",), ("view_job_payload",), ("retry_job",)])
def test_edit_needs_both_permissions(queue: Queue, web: Web, codenames: tuple[str, ...]) -> None:
    id, user = fail(queue, {"order": 41}), web("view_job", *codenames)
    assert "/edit/" not in text(user, page_of(queue, id))
    url = page_of(queue, id, "edit")
    assert user.get(url).status_code == 403
    assert user.post(url, {"payload": "{}"}).status_code == 403
    assert state(queue, id) == "failed"


def test_only_a_failed_job_is_edited(queue: Queue, web: Web) -> None:
    id = queue.push({"order": 41})
    assert web(*EDITOR).get(page_of(queue, id, "edit"))["Location"].startswith(JOBS)


ORIGINAL = {"user": "ann", "password": "p1", "url": "redis://u:p2@h", "items": [{"token": "t"}, 2]}
SHOWN = {"user": "ann", "password": HIDDEN, "url": f"redis://u:{HIDDEN}@h"}


def draft(payload: Any = ORIGINAL) -> Draft:
    return Draft(json.dumps(payload).encode(), Redactor(NAMES))


def test_secrets_are_hidden_in_the_form_and_kept() -> None:
    text = draft().text
    for secret in ("p1", "p2"):
        assert secret not in text
    assert draft().read(text) == ORIGINAL
    changed = json.loads(text) | {"user": "bob"}
    assert draft().read(json.dumps(changed)) == ORIGINAL | {"user": "bob"}
    assert draft().read(json.dumps(changed | {"password": "new"}))["password"] == "new"
    assert not draft({"order": 1}).hides


@pytest.mark.parametrize(
    "edited",
    [
        {"renamed": HIDDEN},
        {"user": HIDDEN},
        {"items": [{"token": HIDDEN}]},
        {"items": [2, {"token": HIDDEN}]},
        {"items": [{"token": HIDDEN, "more": 1}, 2]},
        {"url": f"redis://u:{HIDDEN}@other"},
        [HIDDEN],
    ],
)
def test_a_hidden_value_never_moves_and_is_never_saved(edited: Any) -> None:
    with pytest.raises(ValueError, match="hidden"):
        draft().read(json.dumps(edited))


def test_a_value_of_another_type_is_another_value() -> None:
    read = draft({"a": 1, "b": [1, 2]}).read('{"a": true, "b": [1.0, 2]}')
    assert json.dumps(read) == '{"a": true, "b": [1.0, 2]}'


def test_a_payload_that_is_no_json_can_be_mended(queue: Queue, client: Redis, web: Web) -> None:
    id = fail(queue)
    client.hset(f"{queue.root}:job:{id}", "payload", b"\xff{")
    edit(queue, web, id, "[1]")
    record = queue.job(id)
    assert record is not None
    assert record.payload == b"[1]"


def test_a_payload_too_deep_to_be_indented_is_edited_as_it_is() -> None:
    for depth in range(900, 1200, 20):
        deep = Draft(b"[" * depth + b"]" * depth, Redactor(NAMES))
        assert deep.text.count("[") == depth


def test_half_a_pair_of_surrogates_is_not_lost_in_the_form() -> None:
    raw = b'{"name": "\\ud800"}'
    assert Draft(raw, Redactor(())).read(Draft(raw, Redactor(())).text) == {"name": "\ud800"}


TRACEBACK = """Traceback (most recent call last):
  File "/app/shop/jobs.py", line 57, in sync
    product = get(sku)
              ^^^^^^^^
  File "/usr/lib/python3.12/site-packages/django/db/models/query.py", line 633, in get
    raise self.model.DoesNotExist(

ValueError: no
  such thing
"""


def test_a_traceback_is_shown_as_frames() -> None:
    own, library, end = frames.parts(TRACEBACK)
    assert (own.place, own.line, own.function) == ("app/shop/jobs.py", "57", "sync")
    assert own.open
    assert own.text.startswith("product = get(sku)\n ")
    assert (library.place, library.open) == ("db/models/query.py", False)
    assert end.text.strip() == "ValueError: no\n  such thing"


def test_what_is_no_traceback_is_shown_as_it_is() -> None:
    assert frames.parts("") == []
    assert [part.text for part in frames.parts("some\ntext")] == ["some\ntext"]
    cut, *_rest = frames.parts(TRACEBACK[60:])
    assert cut.text.startswith(TRACEBACK[60:80])


def test_without_own_code_the_last_frame_is_open() -> None:
    only = TRACEBACK.replace("/app/", "/usr/lib/python3.12/")
    assert [part.open for part in frames.parts(only) if part.path] == [False, True]


def test_a_job_that_runs_is_told_to_stop(queue: Queue, client: Redis, web: Web) -> None:
    id = queue.push()
    register(queue, "w1")
    claim(queue)
    looking, url = web("view_job"), page_of(queue, id)
    assert 'value="stop"' not in text(looking, url)
    assert looking.post(url, {"action": "stop"}).status_code == 403
    assert not client.exists(f"{queue.root}:stops")
    user = web("view_job", "cancel_job")
    assert 'value="stop"' in text(user, url)
    user.post(url, {"action": "stop"})
    assert client.hgetall(f"{queue.root}:stops") == {id.encode(): b"w1"}
    assert LogEntry.objects.get().get_change_message() == "Told to stop."
    waits = queue.push()
    user.post(page_of(queue, waits), {"action": "stop"})
    assert client.hlen(f"{queue.root}:stops") == 1

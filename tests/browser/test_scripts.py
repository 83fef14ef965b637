"""What the script adds to pages that are complete without it."""

import pytest
from playwright.sync_api import Page, expect

from django_jobs import bulk
from django_jobs.connection import get_queue
from django_jobs.monitor import pages
from django_jobs.queue import Queue
from tests.browser.conftest import OpenTab
from tests.browser.pages import PAGES, path
from tests.browser.shop import fail

TEN_SECONDS = 10_000  # ms


def test_numbers_change_while_one_looks(page: Page) -> None:
    page.goto(PAGES["queues"]())
    waiting = page.locator("[data-jobs-text='email:waiting']")
    before = int(waiting.inner_text())
    get_queue("email").push()
    expect(waiting).to_have_text(str(before + 1), timeout=TEN_SECONDS)
    expect(page.get_by_role("status")).to_have_text("Live")


def test_new_failures_are_offered_and_move_no_row(page: Page) -> None:
    page.goto(PAGES["failed"]())
    rows = page.locator("#result_list tbody tr").count()
    fail("billing", "shop.capture_payment", {}, ValueError("no"))
    news = page.get_by_role("link", name="1 new failure: show")
    expect(news).to_be_visible(timeout=TEN_SECONDS)
    assert page.locator("#result_list tbody tr").count() == rows
    news.click()
    expect(page.locator("#result_list tbody tr")).to_have_count(rows + 1)


def test_updates_can_be_paused_for_good(page: Page) -> None:
    page.goto(PAGES["queues"]())
    page.get_by_role("button", name="Pause updates").click()
    expect(page.get_by_role("status")).to_have_text("Paused")
    page.goto(PAGES["queue"]())
    expect(page.get_by_role("status")).to_have_text("Paused")
    page.get_by_role("button", name="Pause updates").click()
    expect(page.get_by_role("status")).to_have_text("Live")


def test_a_page_of_other_parts_says_that_it_is_old(page: Page) -> None:
    page.goto(PAGES["queues"]())
    get_queue("brand-new").push()
    expect(page.get_by_role("status")).to_contain_text("load it again", timeout=TEN_SECONDS)


def test_who_is_signed_out_is_told(page: Page) -> None:
    page.goto(PAGES["queues"]())
    page.context.clear_cookies()
    expect(page.get_by_role("status")).to_have_text("You are signed out.", timeout=TEN_SECONDS)


def retry_all(queue: Queue) -> tuple[str, str]:
    """Keep work whose step somebody else does for 3 s; return its path and its lock."""
    work = bulk.of_failed("retry", pages.failed([queue]))
    bulk.save(queue, work)
    lock = f"{queue.root}:bulk:{work.id}:step"
    queue.client.set(lock, 1, ex=3)
    return path("jobrecord_bulk", queue.name, work.id), lock


def test_a_tab_waits_while_another_one_does_a_step(page: Page) -> None:
    url, _lock = retry_all(get_queue("billing"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    page.goto(url)
    expect(page.locator("#jobs-said")).to_contain_text("retried.", timeout=TEN_SECONDS)
    assert 1 < asked.count("POST") < 10


def test_who_is_signed_out_gets_a_button_that_says_so(page: Page) -> None:
    url, lock = retry_all(get_queue("billing"))
    get_queue("billing").client.persist(lock)
    page.goto(url)
    page.context.clear_cookies(name="sessionid")
    button = page.get_by_role("button", name="Go on")
    expect(button).to_be_visible(timeout=TEN_SECONDS)
    button.click()
    expect(page.get_by_label("Username:")).to_be_visible()


def test_all_of_a_page_are_selected_at_once(page: Page) -> None:
    page.goto(PAGES["failed"]())
    every = page.get_by_role("checkbox", name="Select all")
    every.check()
    expect(page.locator("[data-jobs-count]")).to_have_text("5 of 5 selected")
    page.locator(".action-select").first.uncheck()
    expect(page.locator("[data-jobs-count]")).to_have_text("4 of 5 selected")
    assert every.evaluate("box => box.indeterminate")


def test_discard_asks_first(page: Page) -> None:
    page.goto(PAGES["failed"]())
    page.locator(".action-select").first.check()
    button = page.get_by_role("button", name="Discard selected", exact=True)
    expect(button).to_be_hidden()
    page.get_by_text("Discard selected…").click()
    button.click()
    expect(page.locator(".messagelist")).to_have_text("1 job was discarded.")


@pytest.mark.parametrize("scripts", [True, False])
def test_retry_all_from_question_to_end(open_tab: OpenTab, scripts: bool) -> None:
    page = open_tab(java_script_enabled=scripts)
    page.goto(PAGES["failed"]())
    page.locator(".jobs-all").get_by_role("button", name="Retry all").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Retry 5 jobs?")
    page.get_by_role("button", name="Retry 5 jobs").click()
    if not scripts:
        page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("status")).to_have_text("5 jobs are retried.")
    expect(page.get_by_role("button", name="Go on")).to_be_hidden()
    assert get_queue("email").stats().failed == 0

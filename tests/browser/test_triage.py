"""What somebody does who was called because jobs fail."""

from playwright.sync_api import Locator, Page, expect

from django_jobs.connection import get_queue
from tests.browser.conftest import OpenTab
from tests.browser.pages import PAGES


def newest_failed() -> str:
    return next(get_queue("email").failed()).id


def state(id: str) -> str:
    record = get_queue("email").job(id)
    return record.state if record else "gone"


def checkbox(page: Page, id: str) -> Locator:
    return page.get_by_role("checkbox", name=id)


def retry_button(page: Page) -> Locator:
    return page.get_by_role("button", name="Retry selected")


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus."""
    for _ in range(100):
        page.keyboard.press("Tab")
        if target.evaluate("node => node === document.activeElement"):
            return
    raise AssertionError(f"Tab never came to {target}")


def test_retry_without_scripts(open_tab: OpenTab) -> None:
    id = newest_failed()
    page = open_tab(java_script_enabled=False)
    page.goto(PAGES["failed"]())
    checkbox(page, id).check()
    retry_button(page).click()
    expect(page.locator(".messagelist")).to_have_text("1 job is retried.")
    expect(checkbox(page, id)).to_have_count(0)
    assert state(id) == "active"


def test_retry_with_the_keyboard_alone(page: Page) -> None:
    id = newest_failed()
    page.goto(PAGES["failed"]())
    tab_to(page, checkbox(page, id))
    page.keyboard.press("Space")
    tab_to(page, retry_button(page))
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_have_text("1 job is retried.")
    assert state(id) == "active"

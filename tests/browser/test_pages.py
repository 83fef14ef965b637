"""Every page in every look. `SHOTS=folder` keeps pictures of them."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import OpenTab, findings
from tests.browser.pages import LOOKS, PAGES
from tests.conftest import wait_until


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_page(open_tab: OpenTab, name: str, look: str) -> None:
    tab = open_tab(**LOOKS[look])
    answer = tab.goto(PAGES[name]())
    assert answer is not None
    assert answer.status == 200
    if folder := os.environ.get("SHOTS"):
        tab.screenshot(path=Path(folder) / f"{name}-{look}.png", full_page=True)
    assert findings(tab) == []
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= tab.viewport_size["width"]


def test_looks_are_what_they_say(open_tab: OpenTab) -> None:
    seen = {}
    for look, options in LOOKS.items():
        tab = open_tab(**options)
        tab.goto(PAGES["queues"]())
        color = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        seen[look] = (tab.locator("html").get_attribute("dir"), color)
    light, dark = "rgb(255, 255, 255)", "rgb(18, 18, 18)"
    assert seen == {
        "light": ("ltr", light),
        "dark": ("ltr", dark),
        "arabic": ("rtl", light),
        "narrow": ("ltr", light),
        "narrow-dark": ("ltr", dark),
        "narrow-arabic": ("rtl", light),
    }


MISTAKES = {
    "an inline script": "document.body.append(Object.assign(document.createElement('script'), {text: '1'}))",
    "an inline style": "document.body.setAttribute('style', 'color: red')",
    "an exception": "setTimeout(() => { throw new Error('out of order') })",
    "a page that is not there": "fetch('/nowhere/')",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_errors_are_noted(page: Page, errors: list[str], mistake: str) -> None:
    page.goto(PAGES["queues"]())
    assert errors == []
    page.evaluate(MISTAKES[mistake])
    wait_until(lambda: page.evaluate("true") and errors)  # errors come in with answers
    errors.clear()


def test_findings_are_noted(page: Page) -> None:
    page.goto(PAGES["queues"]())
    page.evaluate("document.querySelector('#content').append(document.createElement('button'))")
    assert findings(page) == ["button-name: <button></button>"]

"""Chromium, logged in, on a live server; what it complains of fails the test."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from pytest_django.live_server_helper import LiveServer
from redis import Redis

from tests.browser.shop import open_shop

OpenTab = Callable[..., Page]


def findings(page: Page) -> list[str]:
    """Return what axe finds in our part of the page, one element a line."""
    found = Axe().run(page, context="#content").response["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    binary = shutil.which("chromium")
    if not binary:
        raise RuntimeError("The browser tests need Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def live_server(django_db_setup: None, live_server: LiveServer) -> LiveServer:
    """The live server, started after the database in memory is there to be shared."""
    return live_server


@pytest.fixture
def shop(client: Redis) -> None:
    """A Redis with a shop's jobs and nothing else."""
    open_shop()


@pytest.fixture
def errors() -> list[str]:
    """What the browser complained of; a test that expects it clears the list."""
    return []


@pytest.fixture
def open_tab(
    chromium: Browser, live_server: LiveServer, shop: None, errors: list[str]
) -> Iterator[OpenTab]:
    """Return what opens a tab of a superuser, with the options of a Playwright context."""
    login = Client()
    login.force_login(User.objects.create_superuser("admin"))
    session = {"name": "sessionid", "value": login.cookies["sessionid"].value}
    contexts = []

    def note(said: ConsoleMessage) -> None:
        if said.type == "error" and not said.location["url"].endswith("/favicon.ico"):
            errors.append(said.text)

    def open_tab(**options: Any) -> Page:
        context = chromium.new_context(base_url=live_server.url, **options)
        contexts.append(context)
        context.add_cookies([{**session, "url": live_server.url}])
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture
def page(open_tab: OpenTab) -> Page:
    """A tab as most people have it."""
    return open_tab()

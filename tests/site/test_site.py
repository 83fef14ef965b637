"""The built site: `mkdocs build --strict` has made it."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

import django_jobs
from tests.commands import ROOT

SITE = ROOT / "site"
PAGES = sorted(SITE.rglob("*.html"))
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
NOT_FETCHED = ("canonical", "next", "prev")


class Page(HTMLParser):
    """What a page links to, what a browser fetches for it, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, found: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in found}
        self.anchors.add(attributes.get("id", ""))
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        if FETCHED.get(tag) in attributes and attributes.get("rel") not in NOT_FETCHED:
            self.fetched.append(attributes[FETCHED[tag]])


def test_it_is_built() -> None:
    assert SITE / "index.html" in PAGES, "run mkdocs build --strict"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(SITE)))
def test_a_page_fetches_nothing_from_elsewhere(path: Path) -> None:
    fetched = Page(path).fetched
    assert len(fetched) > 3, "its styles and scripts"
    assert [url for url in fetched if urlsplit(url).netloc] == []


def test_styles_fetch_nothing_from_elsewhere() -> None:
    sheets = list(SITE.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        assert (
            re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\s]+", sheet.read_text()) == []
        )


def inner_links(path: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield links to other places of the site: as written, the file, and the anchor."""
    here = f"/{path.relative_to(SITE).as_posix()}"
    for link in Page(path).links:
        parts = urlsplit(urljoin(here, link))
        if not parts.scheme:
            place = SITE / parts.path.lstrip("/")
            yield link, place / "index.html" if place.is_dir() else place, parts.fragment


def test_links_lead_to_pages_and_their_sections() -> None:
    anchors = {path: Page(path).anchors for path in PAGES}
    seen = 0
    for path in PAGES:
        for link, place, anchor in inner_links(path):
            seen += 1
            assert place.exists(), f"{path.relative_to(SITE)} links to {link}"
            if anchor and place in anchors:
                assert anchor in anchors[place], f"{path.relative_to(SITE)} links to {link}"
    assert seen > 100


def test_the_api_page_has_every_public_name() -> None:
    anchors = Page(SITE / "api" / "index.html").anchors
    documented = {name.rpartition(".")[2] for name in anchors if name.startswith("django_jobs.")}
    assert set(django_jobs.__all__) - documented == set()

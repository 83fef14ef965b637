"""The page of the commands says what their `--help` says."""

import pytest

from tests.cli_page import PAGE, page


def test_the_page_is_that_of_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "")  # put back what the page needs
    monkeypatch.setenv("NO_COLOR", "")
    # Versions of Python break lines differently.
    assert PAGE.read_text().split() == page().split(), "run python -m tests.cli_page"

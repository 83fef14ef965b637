"""The layers, the budgets, and a header in every script."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import django_jobs

PACKAGE = Path(django_jobs.__file__).parent
SCRIPTS = sorted((PACKAGE / "lua").glob("*.lua"))
MODULES = sorted(PACKAGE.glob("*.py"))

# Each module imports only from rows above its own.
LAYERS = [
    {"exceptions", "signals", "keys", "backoff", "beats", "failure", "reload"},
    {"job", "handlers", "flight", "embedded"},
    {"conf", "options", "scripts"},
    {"claims"},
    {"queue"},
    {"monitor"},
    {"executor"},
    {"worker_options", "settling"},
    {"holding", "sweeper", "rest"},
    {"worker", "grave"},
    {"supervisor"},
    {"connection"},
    {"push", "runner"},
    {"checks", "testing"},
    {"models"},
    {"admin"},
    {"apps", "__init__"},
]
ROW = {name: number for number, row in enumerate(LAYERS) for name in row}
CORE = {name for row in LAYERS[:11] for name in row} - {"conf"}


def own_imports(tree: ast.AST) -> Iterator[str]:
    """Yield the names of the package's modules that a tree imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "django_jobs":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django_jobs."):
            yield (node.module or "").split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_layers_and_budgets(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert path.stem in ROW, "enter the module into LAYERS"
    for name in own_imports(tree):
        assert ROW[name] < ROW[path.stem], f"{path.stem} imports {name}"
        assert not (path.stem in CORE and name == "conf"), "the core never reads settings"
    assert len(text.splitlines()) <= 300
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 45, f"{node.name} is too long"
            assert not list(own_imports(node)), f"{node.name} imports"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts(path: Path) -> None:
    lines = path.read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.startswith("--")]
    if path.stem.startswith("_"):
        assert lines[0].startswith("-- Prelude")
        assert len(code) <= 50
        return
    assert lines[0].startswith("#!lua")
    assert "-- KEYS: " in path.read_text()
    assert "-- Returns: " in path.read_text()
    assert len(code) <= 31

"""The layers, the budgets, and a header in every script."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

import django_jobs

PACKAGE = Path(django_jobs.__file__).parent
SCRIPTS = sorted((PACKAGE / "lua").glob("*.lua"))
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if "management" not in path.relative_to(PACKAGE).parts
)

# Each module imports only from rows above its own.
LAYERS = [
    {"address", "exceptions", "signals", "keys", "backoff", "caught", "redact", "reload", "rhythm"},
    {
        "away",
        "routes",
        "version",
        "job",
        "handlers",
        "flight",
        "embedded",
        "beats",
        "failure",
        "databases",
        "limits",
    },
    {"conf", "options", "record", "scripts"},
    {"line", "schedule", "spread", "vitals"},
    {"claims", "lines"},
    {"solo", "settle"},
    {"scheduling"},
    {"operating"},
    {"queue"},
    {"scanning"},
    {"monitor", "invariants"},
    {"bulk"},
    {"outcome", "event_loop", "metrics", "middleware"},
    {"executor"},
    {"worker_options", "settling"},
    {"holding", "sweeper", "rest"},
    {"claiming", "grave"},
    {"worker"},
    {"child"},
    {"sidecars"},
    {"supervisor"},
    {"connection"},
    {"push", "schedules"},
    {"ageing", "runner"},
    {"batches", "checks", "results", "testing"},
    {"outbox", "prometheus", "telemetry"},
    {"operators", "pytest_plugin"},
    {"models", "task_backend", "templatetags"},
    {"admin"},
    {"apps", "__init__"},
]
ROW = {name: number for number, row in enumerate(LAYERS) for name in row}
CORE = {name for row in LAYERS[:12] for name in row} - {"conf"}


def own_imports(tree: ast.AST) -> Iterator[str]:
    """Yield the names of the package's modules that a tree imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "django_jobs":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django_jobs."):
            yield (node.module or "").split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield from [node.module.split(".")[0]] if node.module else [a.name for a in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (name[1] for name in names if name[0] == "django_jobs" and len(name) > 1)


def name_in_layers(path: Path) -> str:
    """A package is one name; what is in it may import from the rest of it."""
    first, *rest = path.relative_to(PACKAGE).parts
    return first if rest else path.stem


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_layers_and_budgets(path: Path) -> None:
    text = path.read_text()
    tree, module = ast.parse(text), name_in_layers(path)
    assert module in ROW, "enter the module into LAYERS"
    for name in set(own_imports(tree)) - ({module} if path.parent != PACKAGE else set()):
        assert ROW[name] < ROW[module], f"{path} imports {name}"
        assert not (module in CORE and name == "conf"), "the core never reads settings"
    assert len(text.splitlines()) <= 300
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 40, f"{node.name} is too long"
            assert not list(own_imports(node)), f"{node.name} imports"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts(path: Path) -> None:
    lines = path.read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.strip().startswith(("--", "#!"))]
    if path.stem.startswith("_"):
        assert lines[0].startswith("-- Prelude")
        assert len(code) <= 40
        return
    assert lines[0].startswith("#!lua")
    header = list(takewhile(lambda line: line.startswith("--"), lines[1:]))
    assert header[0].startswith("-- ")
    assert any(line.startswith("-- KEYS: ") for line in header)
    assert any(line.startswith("-- Returns: ") for line in header)
    assert len(code) <= 30


def test_only_the_task_backend_needs_tasks() -> None:
    """Every other module imports where there are none: on Django 5.2 without django-tasks."""
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in PACKAGE.rglob("*.py")
        if "task_backend" not in path.parts
    ]
    code = (
        "import sys, importlib, django; sys.modules.update({'django.tasks': None, 'django_tasks': None});"
        f"django.setup(); [importlib.import_module(name) for name in {names}];"
        "assert 'django_jobs.task_backend.native' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_guards_see_every_way_to_import() -> None:
    text = "import os, django_jobs.job\nfrom . import keys\nfrom .queue import Queue\nfrom django_jobs import push\nfrom django_jobs.conf import x"
    assert sorted(own_imports(ast.parse(text))) == ["conf", "job", "keys", "push", "queue"]

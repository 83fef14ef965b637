"""Run by the packaging environment: the installed wheel holds every file of the source."""

import sys
from importlib.metadata import entry_points
from pathlib import Path

import django_jobs

source, installed = Path(sys.argv[1]), Path(django_jobs.__file__).parent
assert source != installed, "the checkout hides the wheel"
files = {path.relative_to(source) for path in source.rglob("*.*") if path.suffix != ".pyc"}
missing = sorted(str(file) for file in files if not (installed / file).exists())
assert not missing, f"the wheel lacks {missing}"
plugin = entry_points(group="pytest11")["django_jobs"].value
assert plugin == "django_jobs.pytest_plugin", f"pytest would load {plugin}"
sys.stdout.write(f"The wheel holds all {len(files)} files.\n")

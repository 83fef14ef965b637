"""Run by the packaging environment: the installed wheel holds every file of the source."""

import sys
from pathlib import Path

import django_jobs

source, installed = Path(sys.argv[1]), Path(django_jobs.__file__).parent
assert source != installed, "the checkout hides the wheel"
files = {path.relative_to(source) for path in source.rglob("*.*") if path.suffix != ".pyc"}
missing = sorted(str(file) for file in files if not (installed / file).exists())
assert not missing, f"the wheel lacks {missing}"
sys.stdout.write(f"The wheel holds all {len(files)} files.\n")

"""Which version of the package this is."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("django-redis-jobs")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0"

"""The shop's app."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Connect the signals; `jobs.py` is found by django_jobs itself."""

    name = "shop"

    def ready(self) -> None:
        """Import the receivers, which connects them."""
        from shop import signals  # noqa: F401

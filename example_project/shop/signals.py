"""Every order gets a receipt, whoever saves it: the view, the admin, a script."""

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from django_jobs import push_job
from shop.models import Order


@receiver(post_save, sender=Order)
def send_receipt(instance: Order, created: bool, raw: bool, **kwargs: Any) -> None:
    """Push the job; inside a transaction this happens on commit, and never on rollback."""
    if created and not raw:
        push_job("shop.send_receipt", {"order_id": instance.pk})

"""Handlers, of which some may be repeated, and one may not."""

from datetime import timedelta

from django_jobs import Job, handler, push_job
from shop.models import Mail, Order


@handler("shop.pay")
def pay(job: Job) -> None:
    """May be repeated: an order that is paid stays so."""
    Order.objects.filter(pk=job.payload["order"]).update(paid=True)
    push_job("shop.thank", {"order": job.payload["order"]}, unique=f"thank {job.payload['order']}")


@handler("shop.thank")
async def thank(job: Job) -> None:
    """Once for each order, whatever happens."""
    await Mail.objects.aget_or_create(order_id=job.payload["order"], text="Thank you!")


@handler("shop.call", backoff=3600, retry_for=5400)
def call(job: Job) -> None:
    """Nobody answers."""
    raise TimeoutError


@handler("shop.report", queue="nightly")
def report(job: Job) -> None:
    """Whenever a schedule says so."""


@handler("shop.remind", backoff=timedelta(hours=1), max_attempts=3)
def remind(job: Job) -> None:
    """Not to be repeated; and it raises as long as the order is not paid."""
    Mail.objects.create(order_id=job.payload["order"], text="Please pay.")
    if not Order.objects.get(pk=job.payload["order"]).paid:
        raise RuntimeError("It is not paid yet.")

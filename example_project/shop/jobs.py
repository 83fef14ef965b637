"""The shop's jobs: receipt, then supplies, then a message to the customer.

A job may run twice (its worker can be killed at any line), so each of them is harmless
when repeated.
"""

import asyncio
import logging
import time

from django.db import transaction

from django_jobs import Fail, Job, Retry, handler, push_job
from shop.models import Order, Receipt

logger = logging.getLogger(__name__)

STOCK = 100  # more than that no supplier has


class SupplierError(Exception):
    """The supplier did not take the order."""


@handler("shop.send_receipt")
def send_receipt(job: Job) -> None:
    """Send the receipt of an order; a second run finds it and sends none."""
    order_id = job.payload["order_id"]
    time.sleep(0.05)  # stands for a slow mail server
    with transaction.atomic():
        Receipt.objects.get_or_create(order_id=order_id)
        push_job("shop.order_supplies", {"order_id": order_id})


@handler("shop.order_supplies", queue="suppliers", max_attempts=8, backoff=0.2)
def order_supplies(job: Job) -> None:
    """Order from a supplier who refuses some orders at first; any error means a retry."""
    order = Order.objects.get(pk=job.payload["order_id"])
    if order.quantity > STOCK:
        raise Fail(f"Nobody has {order.quantity} x {order.product}.")  # retrying would not help
    call_supplier(order.pk, job.attempt)
    Order.objects.filter(pk=order.pk).update(supply_attempts=job.attempt)
    push_job("shop.notify_customer", {"order_id": order.pk})


def call_supplier(order_id: int, attempt: int) -> None:
    """Stand for a flaky service: every third order fails twice, every fifth once."""
    if order_id % 3 == 0 and attempt <= 2:
        raise SupplierError(f"The supplier is away (order {order_id}).")
    if order_id % 5 == 0 and attempt == 1:
        raise Retry(f"The supplier asks to come back (order {order_id}).", after=0.5)


@handler("shop.notify_customer", queue="email")
async def notify_customer(job: Job) -> None:
    """Tell the customer; an async handler shares one event loop with the others."""
    order = await Order.objects.aget(pk=job.payload["order_id"])
    await asyncio.sleep(0.02)  # stands for a call to a mail service
    logger.info("Told %s that %s is on its way", order.email, order)

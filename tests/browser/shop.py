"""A shop's jobs, for the pages to show."""

import pytest

from django_jobs.connection import get_queue

FAILURES: list[tuple[str, str, object, Exception]] = [
    ("email", "shop.send_receipt", {"order_id": 7310}, TimeoutError("mail.example.com: timed out")),
    ("email", "shop.send_receipt", {"order_id": 7311}, TimeoutError("mail.example.com: timed out")),
    ("email", "shop.remind", {"customer_id": 52, "days": 3}, KeyError("address")),
    (
        "billing",
        "shop.capture_payment",
        {"order_id": 7290, "amount": "49.90", "currency": "EUR"},
        ConnectionError("The payment provider answered 503 Service Unavailable."),
    ),
    ("images", "shop.resize", {"product_id": 4, "sizes": [320, 640]}, MemoryError()),
]
HOSTILE = "<script>alert(1)</script>" + "x" * 300


def fail(queue: str, handler: str, payload: object, error: Exception) -> str:
    """Push a job and let it fail for good."""

    def work(job: object) -> None:
        raise error

    id = get_queue(queue).push(payload, handler, max_attempts=1)
    with pytest.raises(type(error)):
        get_queue(queue).pull(work)
    return id


def open_shop() -> None:
    """Fill an empty Redis."""
    for failure in FAILURES:
        fail(*failure)
    for order_id in range(7312, 7330):
        get_queue("email").push({"order_id": order_id}, "shop.send_receipt")
    get_queue("email").push({"customer_id": 53, "days": 3}, "shop.remind", delay=86400)
    get_queue("images").push({"product_id": 5, "sizes": [320]}, "shop.resize")
    get_queue("images").pause()

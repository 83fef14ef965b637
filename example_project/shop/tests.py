"""How a project tests its jobs: with the real queue, in the test's own transaction."""

from django.db import transaction
from django.test import TestCase
from django.urls import reverse

from django_jobs import Retry, get_queue
from django_jobs.testing import delete_jobs, make_job, pushed_jobs, run_jobs
from shop.jobs import SupplierError, call_supplier, send_receipt
from shop.models import Order, Receipt

ORDER = {"product": "Tea", "quantity": 2, "email": "ann@example.com"}


class OrderTests(TestCase):
    """From the form to the receipt."""

    def tearDown(self) -> None:
        """Redis rolls nothing back: delete what the test has left there."""
        delete_jobs()

    def test_an_order_gets_a_receipt(self) -> None:
        """The view saves, the signal pushes, the job sends."""
        response = self.client.post(reverse("home"), ORDER)
        self.assertRedirects(response, reverse("home"))
        self.assertFalse(Receipt.objects.exists())
        run_jobs()
        self.assertEqual(Receipt.objects.get().order.email, ORDER["email"])
        self.assertContains(self.client.get(reverse("home")), "sent")

    def test_an_order_that_is_rolled_back_pushes_nothing(self) -> None:
        """No order, no job."""
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            Order.objects.create(**ORDER)
            raise ZeroDivisionError
        run_jobs()
        self.assertEqual(list(pushed_jobs()), [])
        self.assertFalse(Receipt.objects.exists())

    def test_a_receipt_is_sent_once_even_if_the_job_runs_twice(self) -> None:
        """A handler is called like any function."""
        order = Order.objects.create(**ORDER)
        job = make_job(send_receipt, {"order_id": order.pk})
        send_receipt(job)
        send_receipt(job)
        self.assertEqual(Receipt.objects.filter(order=order).count(), 1)

    def test_an_order_that_nobody_can_supply_fails_at_once(self) -> None:
        """`Fail` stops the retries, and the job waits in the admin."""
        order = Order.objects.create(**{**ORDER, "quantity": 1000})
        run_jobs()
        (job,) = get_queue("suppliers").failed()
        self.assertEqual(job.errors[-1].message, "Nobody has 1000 x Tea.")
        self.assertEqual(job.attempts, 1)
        self.assertTrue(Receipt.objects.filter(order=order).exists())

    def test_the_supplier_refuses_at_first(self) -> None:
        """Which attempts fail follows from the order's id."""
        with self.assertRaises(SupplierError):
            call_supplier(order_id=3, attempt=2)
        with self.assertRaises(Retry):
            call_supplier(order_id=5, attempt=1)
        call_supplier(order_id=15, attempt=3)

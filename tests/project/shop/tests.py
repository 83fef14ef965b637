"""Tests of the project, for Django's runner; pytest runs them as well."""

import json
from datetime import timedelta

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import transaction
from django.test import TestCase, TransactionTestCase
from django.utils import timezone

from django_jobs import Empty, JobsError, apush_job, get_queue, push_job
from django_jobs.testing import (
    assert_pushed,
    crash_worker,
    delete_jobs,
    pushed_jobs,
    run_jobs,
    travel,
)
from shop.models import Mail, Order


class InTestCase(TestCase):
    """No commit comes."""

    def setUp(self) -> None:
        """Begin with one order and no job."""
        delete_jobs()
        self.order = Order.objects.create()
        self.payload = {"order": self.order.pk}

    def mails(self) -> list[str]:
        """Return what went out."""
        return list(Mail.objects.order_by("pk").values_list("text", flat=True))

    def test_assert_pushed_finds_by_handler_and_payload(self) -> None:
        """And says what it found instead."""
        push_job("shop.pay", {"order": 1})
        push_job("shop.pay", {"order": 1}, delay=60)
        push_job("shop.pay", {"order": 2}, queue="email")
        self.assertEqual(len(assert_pushed("shop.pay")), 3)
        self.assertEqual(len(assert_pushed("shop.pay", {"order": 1}, times=2)), 2)
        (job,) = assert_pushed("shop.pay", {"order": 2})
        self.assertEqual(job.queue, "email")
        self.assertEqual(assert_pushed("shop.thank", times=0), [])
        with self.assertRaisesMessage(AssertionError, 'shop.pay {"order":2}'):
            assert_pushed("shop.thank")
        for payload, times in (({"order": 3}, None), ({"order": 1}, 1), (None, None)):
            with self.assertRaises(AssertionError):
                assert_pushed("shop.pay", payload, times=times)
        with self.assertRaises(AssertionError):
            assert_pushed("shop.pay", times=0)

    def test_travel_lets_delays_pass(self) -> None:
        """As much as is said, and no more."""
        push_job("shop.pay", self.payload, delay=3600)
        travel(3500)
        self.assertEqual(run_jobs(), 0)
        travel(101)
        self.assertEqual(run_jobs(), 2)
        self.assertEqual(self.mails(), ["Thank you!"])

    def test_travel_lets_backoff_pass(self) -> None:
        """Attempt after attempt."""
        push_job("shop.remind", self.payload)
        for attempt in (1, 2, 3):
            self.assertEqual(run_jobs(), 1)
            self.assertEqual(len(self.mails()), attempt)
            self.assertEqual(run_jobs(), 0)
            travel(3601)
        self.assertEqual(run_jobs(), 0)
        self.assertEqual(get_queue().stats().failed, 1)

    def test_travel_lets_jobs_expire_and_keys_go_free(self) -> None:
        """What has begun in time has not expired."""
        push_job("shop.pay", self.payload, expires=600, unique="pay", unique_until=300)
        travel(200)
        push_job("shop.pay", self.payload, unique="pay")
        self.assertEqual(len(pushed_jobs()), 1)
        travel(200)
        push_job("shop.pay", self.payload, unique="pay")
        self.assertEqual(len(pushed_jobs()), 2)
        travel(201)
        run_jobs()
        (expired,) = get_queue().failed()
        self.assertEqual(expired.exception, "django_jobs.exceptions.Expired")

    def test_travel_lets_the_time_for_retries_pass(self) -> None:
        """From when the job was due, or pushed."""
        for delay in (3600, 0):
            id = push_job("shop.call", delay=delay)
            travel(delay + 1)
            self.assertEqual(run_jobs(), 1)
            self.assertEqual(get_queue().job(id).state, "scheduled")
            travel(3601)
            self.assertEqual(run_jobs(), 1)
            self.assertEqual(get_queue().job(id).state, "failed")

    def test_travel_lets_schedules_push(self) -> None:
        """As workers that were away for so long: one job for all it missed, none if it skips."""
        schedules = {
            "report": {"handler": "shop.report", "cron": "0 3 * * *"},
            "poll": {"handler": "shop.report", "every": 600, "missed": "skip", "payload": 1},
        }
        with self.settings(JOBS={**settings.JOBS, "SCHEDULES": schedules}):
            travel(timedelta(days=3))
            (job,) = pushed_jobs()
            (missed,) = get_queue("nightly").schedule("report").recent
            self.assertLess(timezone.now() - missed.at, timedelta(days=3))
            self.assertEqual((job.queue, job.payload), ("nightly", b"null"))
            get_queue("nightly").pause_schedule("report")
            travel(timedelta(days=3))
            self.assertEqual(run_jobs(), 1)

    def test_travel_lets_results_go(self) -> None:
        """When they were kept as long as was asked for."""
        id = push_job("shop.pay", self.payload, result_ttl=60)
        run_jobs()
        self.assertEqual(get_queue().stats().succeeded, 1)
        travel(61)
        self.assertEqual(get_queue().stats().succeeded, 0)
        self.assertIsNone(get_queue().job(id))

    def test_travel_changes_no_other_number(self) -> None:
        """Of the job, nor of the others."""
        id = push_job("shop.pay", self.payload, priority=5, delay=90, timeout=7, expires=100)
        before = pushed_jobs()[0]
        travel(60)
        after = pushed_jobs()[0]
        self.assertEqual((after.id, after.state, after.priority), (id, "scheduled", 5))
        for name in ("enqueued_at", "due_at", "expires_at"):
            passed = getattr(before, name) - getattr(after, name)
            self.assertEqual(passed.total_seconds(), 60)
        self.assertEqual((after.timeout, after.max_attempts), (7.0, 5))

    def test_a_crash_lets_the_job_come_again(self) -> None:
        """What may be repeated harms nobody."""
        push_job("shop.pay", self.payload)
        job = crash_worker()
        self.assertEqual((job.state, job.attempts, job.crashes), ("active", 1, 1))
        self.order.refresh_from_db()
        self.assertTrue(self.order.paid)
        self.assertIn("WorkerLost", job.errors[0].exception)
        self.assertEqual(get_queue().stats().active, 2)
        self.assertEqual(run_jobs(), 2)
        self.assertEqual(self.mails(), ["Thank you!"])

    def test_a_crash_shows_what_may_not_be_repeated(self) -> None:
        """That is what it is for."""
        Order.objects.update(paid=True)
        push_job("shop.remind", self.payload)
        crash_worker()
        run_jobs()
        self.assertEqual(self.mails(), ["Please pay."] * 2)

    def test_crashes_end_with_the_attempts(self) -> None:
        """From the second on the job comes later; a run that raises is cut short as well."""
        push_job("shop.remind", self.payload, queue="email")
        self.assertEqual(crash_worker("email").state, "active")
        self.assertEqual(crash_worker("email").state, "scheduled")
        with self.assertRaises(Empty):
            crash_worker("email")
        travel(600)
        self.assertEqual(crash_worker().state, "failed")
        self.assertEqual(len(self.mails()), 3)

    def test_what_another_program_pushes_is_adopted(self) -> None:
        """By the handler that the settings name."""
        queue = get_queue("go")
        for id in ("a-1", "a-2"):
            envelope = json.dumps({"ID": id, "Data": "bnVsbA=="})
            queue.client.lpush(f"{queue.root}:active", envelope)
        self.assertEqual(crash_worker("go").handler, "shop.pay")
        self.assertEqual(run_jobs("go"), 2)
        self.assertEqual([job.handler for job in pushed_jobs("shop.pay")], ["shop.pay"] * 2)


class Async(TestCase):
    """The test's thread is that of the database, not that of the event loop."""

    def setUp(self) -> None:
        """Begin without jobs."""
        delete_jobs()

    async def test_jobs_are_pushed_run_and_cut_short(self) -> None:
        """Sync handlers and async ones."""
        order = await Order.objects.acreate()
        await apush_job("shop.pay", {"order": order.pk}, delay=60)
        await sync_to_async(assert_pushed)("shop.pay", {"order": order.pk})
        await sync_to_async(travel)(61)
        await sync_to_async(crash_worker)()
        self.assertEqual(await sync_to_async(run_jobs)(), 2)
        self.assertEqual(await Mail.objects.acount(), 1)

    async def test_the_event_loop_is_told_apart(self) -> None:
        """There it would see no transaction."""
        for function in (run_jobs, pushed_jobs, crash_worker):
            with self.assertRaisesMessage(JobsError, "sync_to_async(run_jobs)"):
                function()
        with self.assertRaisesMessage(JobsError, "sync_to_async(run_jobs)"):
            travel(1)


class InTransactionTestCase(TransactionTestCase):
    """Commits are commits."""

    def setUp(self) -> None:
        """Begin with one order and no job."""
        delete_jobs()
        self.order = Order.objects.create()

    def test_after_a_commit_all_is_as_in_a_test_case(self) -> None:
        """A crash, a delay, an end."""
        with transaction.atomic():
            push_job("shop.pay", {"order": self.order.pk}, delay=60)
        assert_pushed("shop.pay", times=1)
        travel(61)
        crash_worker()
        run_jobs()
        self.assertEqual(Mail.objects.count(), 1)

    async def test_async_too(self) -> None:
        """With a handler that pushes another."""
        await apush_job("shop.pay", {"order": self.order.pk})
        await sync_to_async(crash_worker)()
        await sync_to_async(run_jobs)()
        self.assertEqual(await Mail.objects.acount(), 1)

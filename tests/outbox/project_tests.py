"""Tests as projects with the outbox write them; run by Django's own runner."""

from django.db import transaction
from django.test import TestCase

from django_jobs import get_queue, push_job
from django_jobs.outbox.models import OutboxJob
from django_jobs.testing import delete_jobs, pushed_jobs, run_jobs


class InTestCase(TestCase):
    """Every test is rolled back, rows too."""

    def setUp(self) -> None:
        """Start with no jobs: Redis is not rolled back."""
        delete_jobs()

    def test_run_jobs_relays(self) -> None:
        """And leaves no row."""
        push_job("test.note", {"text": "one"})
        with transaction.atomic():
            push_job("test.note", {"text": "two"})
        self.assertEqual(OutboxJob.objects.count(), 2)
        self.assertEqual(len(pushed_jobs()), 2)
        self.assertEqual(OutboxJob.objects.count(), 0)
        self.assertEqual(run_jobs(), 2)
        self.assertEqual(run_jobs(), 0)

    def test_captured_hooks_relay_what_was_captured(self) -> None:
        """What was pushed before is not theirs."""
        push_job("test.quick")
        with self.captureOnCommitCallbacks(execute=True):
            push_job("test.quick")
            push_job("test.quick")
        self.assertEqual(get_queue().stats().active, 2)
        self.assertEqual(OutboxJob.objects.count(), 1)
        self.assertEqual(run_jobs(), 3)

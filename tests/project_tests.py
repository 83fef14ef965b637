"""Tests as projects write them; test_testing.py runs them with Django's own runner."""

from django.db import transaction
from django.test import TestCase, TransactionTestCase

from django_jobs import get_queue, push_job
from django_jobs.testing import delete_jobs, pushed_jobs, run_jobs
from tests.testapp.models import Note


class Undo(Exception):
    """Makes a block roll back."""


def push_note(text: str) -> str:
    """Push a job that writes a note."""
    return push_job("test.note", {"text": text})


def notes() -> list[str]:
    """Return what was written."""
    return list(Note.objects.order_by("pk").values_list("text", flat=True))


def noting(run):  # type: ignore[no-untyped-def]
    """Go around each run, and write a note."""

    def around(job):  # type: ignore[no-untyped-def]
        Note.objects.create(text=f"before {job.handler}")
        return run(job)

    return around


class InTestCase(TestCase):
    """Every test is rolled back: no commit comes."""

    databases = {"default", "other"}

    def setUp(self) -> None:
        """Start with no jobs: Redis is not rolled back."""
        delete_jobs()

    def test_a_push_waits_for_the_commit(self) -> None:
        """As on_commit does."""
        push_note("waits")
        self.assertEqual(get_queue().stats().active, 0)

    def test_middleware_goes_around_runs(self) -> None:
        """As in a worker, in this thread."""
        with self.settings(JOBS={"MIDDLEWARE": ["tests.project_tests.noting"]}):
            push_note("inside")
            run_jobs()
        self.assertEqual(notes(), ["before test.note", "inside"])

    def test_captured_hooks_push(self) -> None:
        """As for any hook."""
        with self.captureOnCommitCallbacks(execute=True) as hooks:
            push_note("captured")
        self.assertEqual(len(hooks), 1)
        self.assertEqual(get_queue().stats().active, 1)

    def test_captured_hooks_push_once(self) -> None:
        """They stay where Django keeps them, though they were run."""
        with self.captureOnCommitCallbacks(execute=True):
            push_note("once")
        self.assertEqual(run_jobs(), 1)
        self.assertEqual(pushed_jobs(), [])
        self.assertEqual(run_jobs(), 0)
        self.assertEqual(notes(), ["once"])

    def test_run_jobs_commits_pushes_and_no_other_hook(self) -> None:
        """Other hooks are the test's to capture, before and behind."""
        ran: list[str] = []
        push_note("before")
        with self.captureOnCommitCallbacks(execute=True):
            push_note("inside")
            self.assertEqual(run_jobs(), 2)
            transaction.on_commit(lambda: ran.append("hook"))
            self.assertEqual(run_jobs(), 0)
            self.assertEqual(ran, [])
        self.assertEqual(ran, ["hook"])
        self.assertEqual(notes(), ["before", "inside"])

    def test_a_block_that_rolls_back_pushes_nothing(self) -> None:
        """Also in a block of another database, where the default is in the test's own."""
        for alias in ("default", "other"):
            with self.assertRaises(Undo), transaction.atomic(using=alias):
                push_note("never")
                raise Undo
        self.assertEqual(pushed_jobs(), [])
        self.assertEqual(run_jobs(), 0)

    def test_the_database_of_the_block_decides(self) -> None:
        """As it would outside the test."""
        with (
            self.captureOnCommitCallbacks(using="other", execute=True),
            transaction.atomic(using="other"),
        ):
            push_note("other")
        self.assertEqual(get_queue().stats().active, 1)


class OfOtherDatabases(TestCase):
    """The test's own blocks are not the project's: nothing is ambiguous."""

    databases = {"other", "third"}

    def test_a_push_outside_of_blocks_is_no_error(self) -> None:
        """Though two databases are in a transaction, and none is the default."""
        id = push_job("test.quick")
        self.assertIn(id, [record.id for record in pushed_jobs()])


class AfterSetUp(TestCase):
    """Whichever test runs first finds the same."""

    @classmethod
    def setUpTestData(cls) -> None:
        """Run one job, and leave one that waits for a commit that never comes."""
        delete_jobs()
        push_note("ran")
        run_jobs()
        push_note("waits")

    def test_one(self) -> None:
        """See what the class ran, and what this test pushed."""
        self.assertEqual(notes(), ["ran"])
        self.assertEqual(pushed_jobs(), [])
        push_note("of the test")
        self.assertEqual(run_jobs(), 1)
        self.assertEqual(notes(), ["ran", "of the test"])

    test_two = test_one


class InTransactionTestCase(TransactionTestCase):
    """Commits are commits."""

    def setUp(self) -> None:
        """Start with no jobs."""
        delete_jobs()

    def test_a_commit_pushes(self) -> None:
        """And a rollback does not."""
        with transaction.atomic():
            push_note("kept")
            self.assertEqual(get_queue().stats().active, 0)
        with self.assertRaises(Undo), transaction.atomic():
            push_note("never")
            raise Undo
        self.assertEqual(get_queue().stats().active, 1)
        self.assertEqual(run_jobs(), 1)
        self.assertEqual(notes(), ["kept"])

    def test_what_run_jobs_pushed_is_not_pushed_again_at_the_commit(self) -> None:
        """It ran ahead of the commit, because the test said so."""
        with transaction.atomic():
            push_note("once")
            self.assertEqual(run_jobs(), 1)
        self.assertEqual(run_jobs(), 0)
        self.assertEqual(notes(), ["once"])

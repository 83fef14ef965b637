"""Tests of the project, for pytest: the fixture `jobs` is all it takes."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from django_jobs import get_queue, push_job
from shop.models import Mail, Order


@pytest.mark.django_db
@pytest.mark.parametrize("times", range(4))
def test_an_order_is_thanked_for_once(jobs: ModuleType, times: int) -> None:
    order = Order.objects.create()
    push_job("shop.pay", {"order": order.pk})
    jobs.assert_pushed("shop.pay", {"order": order.pk}, times=1)
    jobs.crash_worker()
    jobs.run_jobs()
    assert Mail.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_commits_are_commits(jobs: ModuleType) -> None:
    order = Order.objects.create()
    push_job("shop.remind", {"order": order.pk}, delay=60)
    assert get_queue().stats().scheduled == 1
    jobs.travel(61)
    assert jobs.run_jobs() == 1


@pytest.fixture
def around() -> Iterator[None]:
    """Push a job before `jobs` begins, and see what it has left."""
    push_job("shop.pay", {"order": 1})
    yield
    assert get_queue().stats().active == 0


def test_a_test_begins_and_leaves_without_jobs(around: None, jobs: ModuleType) -> None:
    assert jobs.pushed_jobs() == []
    push_job("shop.pay", {"order": 1})
    assert len(jobs.pushed_jobs()) == 1


def test_who_does_not_ask_for_jobs_pushes_under_a_prefix_of_the_tests_all_the_same() -> None:
    push_job("shop.pay", {"order": 1})
    assert get_queue().root.startswith("jobs-test-")

"""Views that write and push, as views do."""

from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from django_jobs import apush_job, get_queue, push_job
from tests.testapp.models import Note


def place(request: HttpRequest) -> HttpResponse:
    """Write and push, then fail if asked to; say how many jobs wait before the end."""
    Note.objects.create(text="placed")
    push_job("test.quick", using=request.GET.get("using"))
    if "fail" in request.GET:
        raise RuntimeError("behind the push")
    return HttpResponse(get_queue().stats().active)


async def place_async(request: HttpRequest) -> HttpResponse:
    """Do the same in a transaction of a thread, which pushes by way of the event loop."""
    return await sync_to_async(_place_in_a_transaction)(request)


async def push_async(request: HttpRequest) -> HttpResponse:
    """Push from the event loop, which is in no transaction."""
    await apush_job("test.quick")
    return HttpResponse(get_queue().stats().active)


@transaction.atomic
def _place_in_a_transaction(request: HttpRequest) -> HttpResponse:
    Note.objects.create(text="placed")
    async_to_sync(apush_job)("test.quick")
    if "fail" in request.GET:
        raise RuntimeError("behind the push")
    return HttpResponse(get_queue().stats().active)

"""The metrics as a page of the project."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from django_jobs.prometheus.collector import JobsCollector


def scrape(accept: str) -> tuple[bytes, str]:
    """Return the metrics in the format that a scraper accepts, and its name."""
    registry = CollectorRegistry()
    registry.register(JobsCollector())
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape. Whoever may see this page sees the names of queues and handlers."""
    body, kind = scrape(request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=kind)

"""What Prometheus is told: a collector and a view for the web process, a server beside workers."""

from django_jobs.prometheus.collector import JobsCollector
from django_jobs.prometheus.views import metrics

__all__ = ["JobsCollector", "metrics"]

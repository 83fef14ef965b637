"""Metrics and probes of one `runjobs`, by HTTP."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django_jobs.prometheus.views import scrape
from django_jobs.vitals import Vitals

AWAY = "60"  # seconds for which Redis may be away, unless the probe says otherwise
TEXT = "text/plain; charset=utf-8"

Answer = tuple[HTTPStatus, bytes, str]


def serve(port: int, vitals: Vitals) -> None:
    """Answer on all addresses of the machine, as long as the process lives."""
    make_server("", port, Site(vitals), Server, Request).serve_forever()


class Server(ThreadingMixIn, WSGIServer):
    """A slow scrape holds up no probe."""

    daemon_threads = True


class Request(WSGIRequestHandler):
    """Whoever connects and says nothing is hung up on, and no request is a line of the log."""

    timeout = 10

    def log_message(self, *args: Any) -> None:
        """Be silent."""


class Site:
    """The pages, as a WSGI application."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals
        self._pages: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
        }

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer by the path."""
        page = self._pages.get(environ["PATH_INFO"], self._not_found)
        status, body, kind = page(environ)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [body]

    def _metrics(self, environ: dict[str, Any]) -> Answer:
        return HTTPStatus.OK, *scrape(environ.get("HTTP_ACCEPT", ""))

    def _healthz(self, environ: dict[str, Any]) -> Answer:
        """Say whether a start anew could help: `?away=600` bears a Redis away for ten minutes."""
        (away,) = parse_qs(environ["QUERY_STRING"]).get("away", [AWAY])[-1:]
        try:
            illness = self._vitals.illness(float(away))
        except ValueError:
            return _said(HTTPStatus.BAD_REQUEST, f"away={away} is no number of seconds.")
        return _said(HTTPStatus.SERVICE_UNAVAILABLE if illness else HTTPStatus.OK, illness or "ok")

    def _readyz(self, environ: dict[str, Any]) -> Answer:
        if self._vitals.working:
            return _said(HTTPStatus.OK, "ok")
        return _said(HTTPStatus.SERVICE_UNAVAILABLE, "No worker claims, or Redis is away.")

    def _not_found(self, environ: dict[str, Any]) -> Answer:
        return _said(HTTPStatus.NOT_FOUND, f"Here are {', '.join(self._pages)}.")


def _said(status: HTTPStatus, text: str) -> Answer:
    return status, f"{text}\n".encode(), TEXT

"""What surrounds every request: its id, its headers, its line in the log and its place in the metrics."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final

import structlog
from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import CLIENT_CLOSED_REQUEST
from shared.request_id import HTTP_HEADER, bind_request_id

log = structlog.get_logger()
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked many times a minute by machines; they would drown the log.
_PLUMBING: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Replies are made for one caller at one moment.
_CACHE_CONTROL: Final = "no-store"

HTTP_SECONDS = Histogram(
    "lectern_http_seconds",
    "Time from a request's arrival to the end of its response",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
HTTP_ENDED = Counter("lectern_http_ended_total", "Requests that ended", ["method", "route", "status"])
HTTP_IN_WORK = Gauge("lectern_http_in_work", "Requests that have not ended yet")


class RequestContextMiddleware:
    """Binds the request id, adds headers to the response, and records how it ended.

    The id is the caller's `X-Request-Id`, else the trace id of a W3C `traceparent`, else new. It is also the trace id: every service logs
    the request under it.
    """

    def __init__(self, app: ASGIApp, process_context: Mapping[str, Any]) -> None:
        """Bind ``process_context`` to the log lines of every request: its task begins with an empty context."""
        self._app = app
        self._process_context = process_context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        structlog.contextvars.bind_contextvars(**self._process_context)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = bind_request_id(_offered_id(Headers(scope=scope)))
        started = time.perf_counter()
        status = CLIENT_CLOSED_REQUEST

        async def completed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HTTP_HEADER] = request_id
                headers.setdefault("Cache-Control", _CACHE_CONTROL)
                headers.update(_SECURITY_HEADERS)
            await send(message)

        HTTP_IN_WORK.inc()
        try:
            await self._app(scope, receive, completed)
        finally:
            HTTP_IN_WORK.dec()
            _record(scope, status, time.perf_counter() - started)


def _offered_id(headers: Headers) -> str | None:
    if offered := headers.get(HTTP_HEADER):
        return offered
    trace = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return trace.group(1) if trace else None


def _record(scope: Scope, status: int, seconds: float) -> None:
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    route = getattr(scope.get("route"), "path", "unmatched")
    HTTP_SECONDS.labels(method, route).observe(seconds)
    HTTP_ENDED.labels(method, route, str(status)).inc()
    level = log.debug if scope["path"] in _PLUMBING else log.info
    level("request_ended", method=method, route=route, status=status, milliseconds=round(seconds * 1000, 1))

"""Sends calls over HTTP, blocking, and sends them again where that is safe and may help."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import httpx

from lectern_client.calls import Call, RetryPolicy, api_error, headers, translate
from lectern_client.errors import ApiError
from lectern_client.sse import Event, EventParser

Result = TypeVar("Result")


class Transport:
    """A connection pool to one server. Threads may share it."""

    def __init__(self, url: str, api_key: str | None, retries: RetryPolicy) -> None:
        self.url = url.rstrip("/")
        self._retries = retries
        self._client = httpx.Client(base_url=self.url, headers=headers(api_key))

    def close(self) -> None:
        self._client.close()

    def send(self, call: Call[Result]) -> Result:
        """Send ``call`` and return its result.

        Raises:
            ApiError: the server refused or failed, also after every attempt.
            UnreachableError: no connection, or it broke.
            TimedOutError: no answer in time.
            ProtocolError: not a Lectern server's answer.

        Blocking: yes, including the pauses between attempts.
        """
        with self._accepted(call, stream=False) as response:
            return call.result(response)

    def events(self, call: Call[Any]) -> Iterator[Event]:
        """Send ``call`` and yield the events of its answer until the server ends it. Raises what `send` raises."""
        parser = EventParser()
        with self._accepted(call, stream=True) as response:
            try:
                for chunk in response.iter_bytes():
                    yield from parser.feed(chunk)
            except httpx.HTTPError as error:
                raise translate(error, self.url) from error

    @contextmanager
    def _accepted(self, call: Call[Any], *, stream: bool) -> Iterator[httpx.Response]:
        """The successful answer to ``call``, with all the attempts that it takes."""
        began = time.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self._send_once(call, stream=stream)
                break
            except (httpx.HTTPError, ApiError) as error:
                pause = self._retries.pause_before_next(call, attempt, time.monotonic() - began, error)
                if pause is None:
                    raise translate(error, self.url) from error
            time.sleep(pause)
        try:
            yield response
        finally:
            response.close()

    def _send_once(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        with call.open_body() if call.open_body else nullcontext({}) as body:
            response = self._client.send(self._client.build_request(**{**call.arguments(stream=stream), **body}), stream=stream)
        if not response.is_success:
            try:
                response.read()
            finally:
                response.close()
            raise api_error(response)
        return response

"""Sends calls over HTTP without blocking; otherwise as `transport`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any, TypeVar

import httpx

from lectern_client.calls import Call, RetryPolicy, api_error, headers, translate
from lectern_client.errors import ApiError
from lectern_client.sse import Event, EventParser

Result = TypeVar("Result")


class AsyncTransport:
    """A connection pool to one server, for one event loop."""

    def __init__(self, url: str, api_key: str | None, retries: RetryPolicy) -> None:
        self.url = url.rstrip("/")
        self._retries = retries
        self._client = httpx.AsyncClient(base_url=self.url, headers=headers(api_key))

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, call: Call[Result]) -> Result:
        """Send ``call`` and return its result. Raises what the blocking `send` raises; cancelling it ends the request."""
        async with self._accepted(call, stream=False) as response:
            return call.result(response)

    async def events(self, call: Call[Any]) -> AsyncGenerator[Event, None]:
        """Send ``call`` and yield the events of its answer until the server ends it."""
        parser = EventParser()
        async with self._accepted(call, stream=True) as response:
            try:
                async for chunk in response.aiter_bytes():
                    for event in parser.feed(chunk):
                        yield event
            except httpx.HTTPError as error:
                raise translate(error, self.url) from error

    @asynccontextmanager
    async def _accepted(self, call: Call[Any], *, stream: bool) -> AsyncIterator[httpx.Response]:
        began = time.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._send_once(call, stream=stream)
                break
            except (httpx.HTTPError, ApiError) as error:
                pause = self._retries.pause_before_next(call, attempt, time.monotonic() - began, error)
                if pause is None:
                    raise translate(error, self.url) from error
            await asyncio.sleep(pause)
        try:
            yield response
        finally:
            await response.aclose()

    async def _send_once(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        with call.open_body() if call.open_body else nullcontext({}) as body:
            content = {"content": _parts(body["content"])} if "content" in body else {}
            request = self._client.build_request(**{**call.arguments(stream=stream), **body, **content})
            response = await self._client.send(request, stream=stream)
        if not response.is_success:
            try:
                await response.aread()
            finally:
                await response.aclose()
            raise api_error(response)
        return response


async def _parts(content: Any) -> AsyncIterator[bytes]:
    """Httpx refuses a blocking body here; ours come from memory or a local file."""
    for chunk in content:
        yield chunk

"""An OpenAI-compatible model that writes at a fixed pace, in a process of its own.

    python bench/scripted_model.py PORT TOKENS TOKENS_PER_SECOND

The answer to a prompt with `Stream 17:` in it is `s17t0u…`, `s17t1u…` and so on, where `u` stands before the time at which a token left, in
microseconds of the machine's monotonic clock. So whoever reads the answer knows what should stand where, and how long it was on its way.
`/open` tells how many answers are being written.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import uvicorn

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_STREAM = re.compile(r"Stream (\d+):")
_EVENT_STREAM = [(b"content-type", b"text/event-stream")]


class ScriptedModel:
    """The ASGI application."""

    def __init__(self, tokens: int, tokens_per_second: float) -> None:
        self._tokens = tokens
        self._pause = 1 / tokens_per_second
        self._open = 0

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] == "/open":
            await _respond(send, str(self._open).encode())
            return
        body = await _body(receive)
        numbers = _STREAM.findall(body.decode())
        self._open += 1
        writing = asyncio.create_task(self._write(int(numbers[-1]), send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open -= 1
            for task in (writing, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError, OSError):
                    await task

    async def _write(self, stream: int, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _EVENT_STREAM})
        async for text in self._texts(stream):
            await send({"type": "http.response.body", "body": _chunk({"content": text}, None), "more_body": True})
        await send({"type": "http.response.body", "body": _chunk({}, "stop") + b"data: [DONE]\n\n", "more_body": False})

    async def _texts(self, stream: int) -> AsyncIterator[str]:
        started = time.monotonic()
        for number in range(self._tokens):
            await asyncio.sleep(max(0.0, started + (number + 1) * self._pause - time.monotonic()))
            yield f"s{stream}t{number}u{time.monotonic_ns() // 1000} "
        yield "[1]."


def _chunk(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    whole = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "scripted", "choices": [choice]}
    return f"data: {json.dumps(whole)}\n\n".encode()


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if not message.get("more_body"):
            return body


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _respond(send: Send, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


if __name__ == "__main__":
    app = ScriptedModel(int(sys.argv[2]), float(sys.argv[3]))
    uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", lifespan="off", ws="none")

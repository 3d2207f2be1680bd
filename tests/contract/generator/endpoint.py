"""An endpoint that speaks the OpenAI streaming protocol on loopback and says what a test wrote down for it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Reply:
    """One response: its parts, each sent as a network write of its own, and what happens after the last."""

    parts: Sequence[bytes] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    then: Literal["end", "hang", "cut"] = "end"


@dataclass
class Endpoint:
    """What the endpoint will say, in order, and what it was asked."""

    base_url: str
    replies: deque[Reply] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    trace_ids: list[str] = field(default_factory=list)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.authorizations.append(headers.get("authorization", ""))
        self.trace_ids.append(headers.get("x-request-id", ""))
        self.requests.append(json.loads(await body_of(receive)))
        if scope["path"] != "/v1/chat/completions":
            await respond(send, Reply([b"{}"], 404, {"content-type": "application/json"}))
            return
        reply = self.replies.popleft()
        if reply.then == "hang" and not reply.parts:
            self.hanging.set()
            await receive()
            self.abandoned.set()
            return
        await respond(send, reply, end=reply.then == "end")
        if reply.then == "cut":
            raise ConnectionAbortedError
        if reply.then == "hang":
            self.hanging.set()
            await receive()
            self.abandoned.set()

    def says(self, *texts: str, finish: str | None = "stop", usage: tuple[int, int] | None = (210, 14)) -> None:
        """Answer the next request with ``texts`` as one delta each."""
        self.replies.append(Reply([*(delta(text) for text in texts), *ending(finish, usage)]))

    def refuses(self, status: int, error: dict[str, Any] | None = None, **headers: str) -> None:
        """Answer the next request with an error in OpenAI's shape."""
        body = json.dumps({"error": error or {"message": "secret prompt", "type": "server_error"}}).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies.append(Reply([body], status, {"content-type": "application/json", **named}))


def delta(text: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


def ending(finish: str | None, usage: tuple[int, int] | None) -> list[bytes]:
    parts = [event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})] if finish else []
    if usage:
        counted = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
        parts.append(event({"choices": [], "usage": counted}))
    return [*parts, DONE] if finish else parts


def event(chunk: dict[str, Any]) -> bytes:
    whole = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "tiny", **chunk}
    return f"data: {json.dumps(whole)}\n\n".encode()


async def body_of(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if not message.get("more_body"):
            return body


async def respond(send: Send, reply: Reply, *, end: bool = True) -> None:
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    for part in reply.parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    if end:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def running_endpoint() -> AsyncIterator[Endpoint]:
    listener = socket.create_server(("127.0.0.1", 0))
    endpoint = Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
    config = uvicorn.Config(endpoint, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield endpoint
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, timeout=10)
        listener.close()

"""The header Idempotency-Key: which requests may carry it, and when two of them are the same request."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from gateway.domain.accounts import Principal
from gateway.domain.idempotency import Idempotency, Reply, RequestKey
from gateway.errors import idempotency_key_invalid

HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"
MAX_KEY_CHARS: Final = 255
_CREATED: Final = frozenset({201, 202})


def creates(methods: set[str] | None, status: int | None) -> bool:
    """Whether a route makes something each time that it is called, so that its requests may carry the header."""
    return "POST" in (methods or ()) and status in _CREATED


async def once(request: Request, handle: Callable[[Request], Awaitable[Response]]) -> Response:
    """The response of ``handle``, or the kept one to an earlier request with the same Idempotency-Key.

    Raises:
        AppError: IDEMPOTENCY_KEY_INVALID, REQUEST_IN_WORK, IDEMPOTENCY_KEY_REUSED, and whatever ``handle`` raises.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return await handle(request)
    if not (0 < len(key) <= MAX_KEY_CHARS and key.isascii() and key.isprintable()):
        raise idempotency_key_invalid(MAX_KEY_CHARS)
    principal: Principal = request.state.principal
    idempotency: Idempotency = request.app.state.services.idempotency
    named = RequestKey(principal.organisation_id, principal.api_key_id, f"{request.method} {request.scope['route'].path}", key)
    seen = _SeenRequest(request)
    made: list[Response] = []

    async def work() -> Reply:
        made.append(response := await handle(seen))
        return Reply(response.status_code, response.headers.get("content-type", ""), bytes(response.body))

    reply, is_repeated = await idempotency.once(named, seen.fingerprint, work)
    if is_repeated:
        return Response(reply.body, reply.status, {"Content-Type": reply.media_type, REPLAYED_HEADER: "true"})
    return made[0]


class _SeenRequest(Request):
    """A request whose body is hashed while it passes."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.scope, self._watch)
        self._source = request.receive
        self._digest = BodyDigest(request.headers)
        self._complete = False

    async def _watch(self) -> Message:
        message = await self._source()
        if message["type"] == "http.request":
            self._digest.update(message.get("body", b""))
            self._complete = not message.get("more_body", False)
        else:
            self._complete = True
        return message

    async def fingerprint(self) -> bytes:
        """SHA-256 of the address and the body, of which the rest is read."""
        while not self._complete:
            await self._watch()
        return hashlib.sha256(self.scope["raw_path"] + b"?" + self.scope["query_string"] + b"\n" + self._digest.digest()).digest()


class BodyDigest:
    """Hashes a body as it streams, without the boundary of its parts: clients make up a new one whenever they send a form."""

    def __init__(self, headers: Headers) -> None:
        kind, _, parameters = headers.get("content-type", "").partition(";")
        self._boundary = _boundary(parameters) if kind.strip().lower() == "multipart/form-data" else b""
        self._hash = hashlib.sha256(kind.strip().lower().encode() + b"\n")
        self._tail = b""

    def update(self, part: bytes) -> None:
        if not self._boundary:
            self._hash.update(part)
            return
        *whole, last = (self._tail + part).split(self._boundary)
        for piece in whole:
            self._hash.update(piece)
        # The beginning of a boundary may be at the end of this part.
        kept = min(len(last), len(self._boundary) - 1)
        self._hash.update(last[: len(last) - kept])
        self._tail = last[len(last) - kept :]

    def digest(self) -> bytes:
        self._hash.update(self._tail)
        self._tail = b""
        return self._hash.digest()


def _boundary(parameters: str) -> bytes:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "boundary":
            return value.strip('"').encode("latin-1")
    return b""

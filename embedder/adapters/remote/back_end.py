"""Speaks to a server of embeddings over HTTP."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from embedder import errors
from embedder.adapters.remote.messages import InvalidReplyError, read_vectors, request_body, retry_after_seconds
from embedder.domain.back_end import BackEndBusy, BackEndRefused, BackEndUnreachable, CountedText, TextsRefused
from embedder.domain.encoding import Vectors

_CONNECT_SECONDS = 5.0
# A reply may be as large as this for each text: 8,192 numbers in decimal, and what stands around them.
_REPLY_BYTES_PER_TEXT = 256 * 1024
_FIXES: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "Set the model's `api_key` to one that the server knows.",
    HTTPStatus.FORBIDDEN: "Use an `api_key` that may use the model, or allow this one to.",
    HTTPStatus.NOT_FOUND: "Its `url` must be the address of the embeddings themselves (`…/v1/embeddings`), its `remote_model` one it has.",
    HTTPStatus.METHOD_NOT_ALLOWED: "Its `url` must be the address of the embeddings themselves (`…/v1/embeddings`).",
    HTTPStatus.PAYMENT_REQUIRED: "Its quota is used up or unpaid.",
}
_MOVED = "It sends us elsewhere, which is not followed, so that texts and key go nowhere else: set `url` to the final address."
_ABOUT_TEXTS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY})


@dataclass(frozen=True, slots=True)
class Address:
    """Where a model is asked for.

    Attributes:
        name: what requests to us call the model.
        url: of the embeddings; may be of a private network, for the operator names it.
        api_key: sent as a bearer token; empty for none.
        remote_model: what the server calls the model.
        request_seconds: how long one request may take.
    """

    name: str
    url: str
    api_key: str
    remote_model: str
    request_seconds: float

    def __repr__(self) -> str:
        return f"Address({self.name!r})"


class HttpBackEnd:
    """`embedder.domain.back_end.BackEnd` over one pool of connections."""

    def __init__(self, address: Address, *, as_base64: bool, requests: int = 1) -> None:
        """Open nothing yet.

        Args:
            address: the server's.
            as_base64: ask for vectors as base64.
            requests: connections at most.
        """
        self.name = address.name
        self._address = address
        self._as_base64 = as_base64
        # Neither proxies nor keys out of the environment: what is reached is what the settings name.
        self._client = httpx.AsyncClient(
            headers={"authorization": f"Bearer {address.api_key}"} if address.api_key else {},
            timeout=httpx.Timeout(address.request_seconds, connect=min(_CONNECT_SECONDS, address.request_seconds)),
            limits=httpx.Limits(max_connections=requests, max_keepalive_connections=requests),
            verify=ssl.create_default_context(),
            follow_redirects=False,
            trust_env=False,
        )

    async def embed(self, texts: Sequence[CountedText]) -> Vectors:
        content = await asyncio.to_thread(
            request_body, self._address.remote_model, [each.text for each in texts], as_base64=self._as_base64
        )
        try:
            async with asyncio.timeout(self._address.request_seconds):
                status, headers, reply = await self._post(content, _REPLY_BYTES_PER_TEXT * len(texts))
        except (TimeoutError, httpx.TimeoutException):
            raise BackEndUnreachable("it did not answer in time") from None
        except httpx.HTTPError as error:
            raise BackEndUnreachable(_problem(error)) from None
        if status != HTTPStatus.OK:
            raise self._failure(status, headers)
        try:
            return await asyncio.to_thread(read_vectors, reply, len(texts))
        except InvalidReplyError as error:
            raise TextsRefused(errors.remote_reply_invalid(self.name, str(error))) from None

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, content: bytes, most_bytes: int) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and, of a success alone, the body."""
        async with self._client.stream(
            "POST", self._address.url, content=content, headers={"content-type": "application/json"}
        ) as response:
            if response.status_code != HTTPStatus.OK:
                return response.status_code, response.headers, b""
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > most_bytes:
                    raise TextsRefused(errors.remote_reply_invalid(self.name, f"it is larger than {most_bytes} bytes"))
            return response.status_code, response.headers, bytes(body)

    def _failure(self, status: int, headers: Mapping[str, str]) -> Exception:
        asked = retry_after_seconds(headers)
        if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.SERVICE_UNAVAILABLE and asked is not None):
            return BackEndBusy(asked)
        if status in _ABOUT_TEXTS:
            return TextsRefused(errors.remote_text_refused(self.name, status))
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            return BackEndRefused(errors.remote_refused(self.name, status, _MOVED))
        if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PASSING:
            return BackEndRefused(errors.remote_refused(self.name, status, _FIXES.get(status, "The server's log says why.")))
        return BackEndUnreachable(f"it answers {status}")


def _problem(error: httpx.HTTPError) -> str:
    """What happened, in words of ours: the library's may hold the address."""
    return "there is no connection to it" if isinstance(error, httpx.ConnectError) else "it cut the connection"

"""Whatever is wrong with a request, the answer is a problem that says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.server import RunningGateway, serve
from gateway.settings import GatewaySettings
from lectern.generator.v1 import generation_pb2
from shared.errors import AppError, FieldViolation, Status
from tests.contract.gateway.back_services import World
from tests.contract.gateway.conftest import OPERATOR_KEY
from tests.unit.gateway.test_errors import STATUSES

SEARCH = "/api/v1/search"
MEMBERS = {"type", "title", "status", "detail", "reason", "request_id", "errors", "metadata"}


def problem_of(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert set(body) == MEMBERS
    assert body["status"] == response.status_code
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert body["detail"]
    return response.status_code, body["reason"]


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/nowhere", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/api/v1/nowhere", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/api/v1/search/", 404, "ROUTE_NOT_FOUND"),
        ("GET", SEARCH, 405, "METHOD_NOT_ALLOWED"),
        ("PUT", "/healthz", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/v1/collections/a%00b", 400, "NUL_CHARACTER"),
        ("GET", "/api/v1/collections/a%ff", 400, "INVALID_ENCODING"),
        ("GET", "/api/v1/collections?page_token=%00", 400, "NUL_CHARACTER"),
        ("GET", "/api/v1/collections?page_token=%c3%28", 400, "INVALID_ENCODING"),
        ("GET", "/api/v1/collections?page_size=0", 400, "INVALID_REQUEST"),
        ("GET", "/api/v1/collections?page_size=-1", 400, "INVALID_REQUEST"),
        ("GET", "/api/v1/collections?page_size=1001", 400, "INVALID_REQUEST"),
        ("GET", "/api/v1/collections?page_size=many", 400, "INVALID_REQUEST"),
        ("GET", "/api/v1/collections?page_sise=3", 400, "INVALID_REQUEST"),
        ("GET", "/api/v1/passages/p?before=21", 400, "INVALID_REQUEST"),
        ("GET", "/api/v1/documents/d?expand=everything", 400, "INVALID_REQUEST"),
        ("GET", "/api/v1/collections/c/documents?state=DONE", 400, "INVALID_REQUEST"),
    ],
)
async def test_a_wrong_address_is_a_problem(client: httpx.AsyncClient, method: str, path: str, status: int, reason: str) -> None:
    assert problem_of(await client.request(method, path)) == (status, reason)


async def test_405_names_the_methods_that_there_are(client: httpx.AsyncClient) -> None:
    assert (await client.get(SEARCH)).headers["Allow"] == "POST"


async def test_an_unknown_query_parameter_is_told_the_nearest(client: httpx.AsyncClient) -> None:
    body = (await client.get("/api/v1/collections?page_sise=3")).json()
    assert body["errors"] == [
        {"field": "query.page_sise", "message": "There is no query parameter 'page_sise'; the nearest is 'page_size'."}
    ]
    assert "takes none" in (await client.get("/api/v1/embedding-models?x=1")).json()["detail"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "reason"),
    [
        (b'{"query": "x"', "application/json", 400, "INVALID_JSON"),
        (b"", "application/json", 400, "INVALID_REQUEST"),
        (b"null", "application/json", 400, "INVALID_REQUEST"),
        (b"[]", "application/json", 400, "INVALID_REQUEST"),
        (b"[" * 50_000, "application/json", 400, "INVALID_JSON"),
        (b'{"query": NaN}', "application/json", 400, "INVALID_JSON"),
        (b'{"query": "\\ud800"}', "application/json", 400, "INVALID_JSON"),
        (b'{"query": "a\\u0000b"}', "application/json", 400, "NUL_CHARACTER"),
        (b'{"query": "caf\xe9"}', "application/json", 400, "INVALID_ENCODING"),
        (b'{"query": "x"}', "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"query=x", "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b'{"query": "x"}', "", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b'{"query": "' + b"x" * 1_000_000 + b'"}', "application/json", 413, "BODY_TOO_LARGE"),
    ],
)
async def test_a_wrong_body_is_a_problem(client: httpx.AsyncClient, body: bytes, content_type: str, status: int, reason: str) -> None:
    response = await client.post(SEARCH, content=body, headers={"Content-Type": content_type} if content_type else {})
    assert problem_of(response) == (status, reason)


async def test_a_body_that_does_not_say_its_length_is_cut_at_the_limit(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" " * 10_000

    response = await client.post(SEARCH, content=endless(), headers={"Content-Type": "application/json"})
    assert problem_of(response) == (413, "BODY_TOO_LARGE")
    upload = await client.post("/api/v1/collections/c/documents", files={"file": ("a", b"x" * 8_000_001)})
    assert problem_of(upload) == (413, "BODY_TOO_LARGE")


async def test_a_body_that_stands_still_is_given_up(settings: GatewaySettings) -> None:
    hasty = settings.model_copy(update={"timeouts": settings.timeouts.model_copy(update={"body_seconds": 0.2})})
    headers = {"Authorization": f"Bearer {OPERATOR_KEY}", "Content-Type": "application/json"}
    async with serve(hasty) as gateway:
        address = urlsplit(gateway.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        lines = [f"POST {SEARCH} HTTP/1.1", "Host: x", "Content-Length: 20", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", '{"query": ']).encode())
        answer = await asyncio.wait_for(reader.readuntil(b"}"), 10)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"BODY_TIMEOUT" in answer


async def test_json_of_another_name_is_taken(client: httpx.AsyncClient) -> None:
    response = await client.post(
        SEARCH, content=b'\xef\xbb\xbf{"query": "x"}', headers={"Content-Type": "application/vnd.x+json; charset=utf-8"}
    )
    assert response.status_code == 200


@pytest.mark.parametrize("status", Status)
async def test_every_status_of_a_peer_has_its_http_status(client: httpx.AsyncClient, world: World, status: Status) -> None:
    world.failures["Search"] = AppError(
        "SOME_REASON", status, "In its own words.", {"fact": "7"}, (FieldViolation("query", "is wrong"),), retry_after_seconds=12
    )
    response = await client.post(SEARCH, json={"query": "x"})
    if status is Status.UNAUTHENTICATED:  # a peer that doubts the gateway is no concern of the user's
        assert problem_of(response) == (500, "INTERNAL")
        return
    assert problem_of(response) == (STATUSES[status], "SOME_REASON")
    body = response.json()
    assert (body["detail"], body["metadata"]) == ("In its own words.", {"fact": "7"})
    assert body["errors"] == [{"field": "query", "message": "is wrong"}]
    assert response.headers["Retry-After"] == "12"


async def test_a_back_service_that_is_down_is_503_and_says_which(settings: GatewaySettings) -> None:
    lonely = settings.model_copy(update={"embedder_target": "127.0.0.1:1"})
    async with serve(lonely) as gateway, httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        response = await client.post(SEARCH, json={"query": "x"}, headers={"Authorization": f"Bearer {OPERATOR_KEY}"})
    assert problem_of(response) == (503, "EMBEDDER_UNAVAILABLE")
    assert response.headers["Retry-After"] == "1"


async def test_a_back_service_that_is_slow_is_504(world: World, settings: GatewaySettings) -> None:
    world.hold["Search"] = asyncio.Event()
    hasty = settings.model_copy(update={"timeouts": settings.timeouts.model_copy(update={"rpc_seconds": 0.3})})
    async with serve(hasty) as gateway, httpx.AsyncClient(base_url=gateway.url) as client:
        response = await client.post(SEARCH, json={"query": "x"}, headers={"Authorization": f"Bearer {OPERATOR_KEY}"})
    assert problem_of(response) == (504, "EMBEDDER_TIMEOUT")


async def test_what_a_transport_says_is_not_for_the_public(client: httpx.AsyncClient, world: World) -> None:
    world.answer = [generation_pb2.AnswerResponse(delta=generation_pb2.AnswerDelta(text="x" * 17_000_000))]
    response = await client.post("/api/v1/ask", json={"question": "x"})
    assert problem_of(response) == (500, "INTERNAL")
    assert "larger than max" not in response.text


async def test_an_unexpected_failure_is_a_500_with_a_fixed_text(
    gateway: RunningGateway, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a secret in a message")

    monkeypatch.setattr(type(gateway.app.state.services.search), "run", broken)
    response = await client.post(SEARCH, json={"query": "x"})
    assert problem_of(response) == (500, "INTERNAL")
    assert "secret" not in response.text
    logged = capsys.readouterr()
    assert "a secret in a message" in logged.out + logged.err


async def test_too_much_work_is_refused_at_once(world: World, settings: GatewaySettings) -> None:
    world.hold["Search"] = asyncio.Event()
    narrow = settings.model_copy(update={"limits": settings.limits.model_copy(update={"max_concurrent_requests": 1})})
    headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
    async with serve(narrow) as gateway, httpx.AsyncClient(base_url=gateway.url, headers=headers) as client:
        first = asyncio.create_task(client.post(SEARCH, json={"query": "x"}))
        await asyncio.wait_for(world.held.wait(), 10)
        refused = await client.post(SEARCH, json={"query": "x"})
        assert problem_of(refused) == (503, "GATEWAY_BUSY")
        assert refused.headers["Retry-After"] == "1"
        assert (await client.get("/healthz")).status_code == 200
        world.hold["Search"].set()
        assert (await first).status_code == 200
        assert (await client.post(SEARCH, json={"query": "x"})).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /api/v1/collections\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",
        b"BREW /api/v1/collections HTTP/1.1\r\nHost: x\r\n\r\n",
        b"NOT HTTP AT ALL\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_400(gateway: RunningGateway, raw: bytes) -> None:
    address = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(raw)
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 400 ")
    writer.close()
    await writer.wait_closed()


async def test_every_reply_carries_its_headers(client: httpx.AsyncClient) -> None:
    traced = await client.get("/healthz", headers={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    assert traced.headers["X-Request-Id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    forged = await client.get("/healthz", headers={"X-Request-Id": "a b" * 100})
    assert len(forged.headers["X-Request-Id"]) == 32
    assert forged.headers["X-Content-Type-Options"] == "nosniff"
    assert forged.headers["Cache-Control"] == "no-store"
    assert "server" not in forged.headers
    assert json.loads(forged.text) == {"status": "alive"}

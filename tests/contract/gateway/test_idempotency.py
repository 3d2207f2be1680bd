"""A creating request that is sent twice is done once."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from gateway.server import RunningGateway, serve
from gateway.settings import GatewaySettings
from lectern.ingestor.v1 import jobs_pb2
from shared.errors import AppError, Status
from tests.contract.gateway.back_services import World, job
from tests.contract.gateway.conftest import OPERATOR_KEY

COLLECTIONS = "/api/v1/collections"
DOCUMENTS = "/api/v1/collections/handbook/documents"
KEY = {"Idempotency-Key": "6f1e0c52-6a7c-4f7e-9a53-0d7f6b1f3a0e"}
REPLAYED = "Idempotency-Replayed"


async def execute(url: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


def file_form(boundary: str, content: bytes) -> tuple[bytes, dict[str, str]]:
    lines = [
        f"--{boundary}".encode(),
        b'Content-Disposition: form-data; name="file"; filename="a.txt"',
        b"Content-Type: text/plain",
        b"",
        content,
        f"--{boundary}--".encode(),
        b"",
    ]
    return b"\r\n".join(lines), {"Content-Type": f"multipart/form-data; boundary={boundary}", **KEY}


async def test_the_same_request_again_gets_the_first_reply(client: httpx.AsyncClient, world: World) -> None:
    first = await client.post(COLLECTIONS, json={"name": "handbook"}, headers=KEY)
    again = await client.post(COLLECTIONS, json={"name": "handbook"}, headers=KEY)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert first.headers["Content-Type"] == again.headers["Content-Type"]
    assert (first.headers.get(REPLAYED), again.headers.get(REPLAYED)) == (None, "true")
    assert len(world.requests["CreateCollection"]) == 1


async def test_of_twenty_that_come_at_once_one_is_done_and_the_others_get_its_reply_or_are_told_to_wait(
    client: httpx.AsyncClient, world: World
) -> None:
    async def post() -> httpx.Response:
        while True:
            response = await client.post(DOCUMENTS, json={"text": "Leave is asked for."}, headers=KEY)
            if response.status_code != 409:
                return response
            assert response.json()["reason"] == "REQUEST_IN_WORK"
            assert int(response.headers["Retry-After"]) >= 1

    async with asyncio.timeout(20):
        responses = await asyncio.gather(*(post() for _ in range(20)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.content for response in responses}) == 1
    assert len(world.requests["UploadDocument"]) == len(world.documents) == 1


async def test_a_request_in_work_is_told_when_to_come_again(client: httpx.AsyncClient, world: World) -> None:
    world.hold["UploadDocument"] = asyncio.Event()
    first = asyncio.create_task(client.post(DOCUMENTS, json={"text": "Leave."}, headers=KEY))
    await asyncio.wait_for(world.held.wait(), 10)
    second = await client.post(DOCUMENTS, json={"text": "Leave."}, headers=KEY)
    assert (second.status_code, second.json()["reason"], second.headers["Retry-After"]) == (409, "REQUEST_IN_WORK", "1")
    world.hold["UploadDocument"].set()
    assert (await first).status_code == 202


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (DOCUMENTS, {"text": "Another text."}),
        (f"{DOCUMENTS}?wait=true", {"text": "Leave."}),
        (DOCUMENTS.replace("handbook", "b"), {"text": "Leave."}),
    ],
    ids=["another body", "another query", "another collection"],
)
async def test_another_request_under_the_same_key_is_refused(
    client: httpx.AsyncClient, world: World, path: str, body: dict[str, Any]
) -> None:
    assert (await client.post(DOCUMENTS, json={"text": "Leave."}, headers=KEY)).status_code == 202
    other = await client.post(path, json=body, headers=KEY)
    assert (other.status_code, other.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(world.documents) == 1


async def test_a_form_is_the_same_whatever_boundary_it_is_sent_with(client: httpx.AsyncClient, world: World) -> None:
    content = b"Leave is asked for three weeks ahead.\r\n--x" * 60_000
    replies = []
    for boundary in ("x" * 40, "another-boundary-of-another-length"):
        body, headers = file_form(boundary, content)
        replies.append(await client.post(DOCUMENTS, content=body, headers=headers))
    assert [reply.status_code for reply in replies] == [202, 202]
    assert replies[0].content == replies[1].content
    assert list(world.contents.values()) == [content]
    body, headers = file_form("third", content + b".")
    assert (await client.post(DOCUMENTS, content=body, headers=headers)).json()["reason"] == "IDEMPOTENCY_KEY_REUSED"


async def test_a_batch_is_taken_in_once(client: httpx.AsyncClient, world: World) -> None:
    lines = b'{"id": "a", "text": "One."}\n{"id": "b", "text": "Two."}\n'
    headers = {"Content-Type": "application/x-ndjson", **KEY}
    replies = [await client.post(f"{DOCUMENTS}:batch", content=lines, headers=headers) for _ in range(2)]
    assert replies[0].json() == replies[1].json()
    assert len(world.requests["BatchCreateDocuments"]) == 1


async def test_what_failed_is_tried_again(client: httpx.AsyncClient, world: World) -> None:
    world.failures["CreateCollection"] = AppError("LIBRARY_UNAVAILABLE", Status.UNAVAILABLE, "No database.", retry_after_seconds=1)
    assert (await client.post(COLLECTIONS, json={"name": "handbook"}, headers=KEY)).status_code == 503
    assert (await client.post(COLLECTIONS, json={}, headers=KEY)).status_code == 400
    del world.failures["CreateCollection"]
    assert (await client.post(COLLECTIONS, json={"name": "handbook"}, headers=KEY)).status_code == 201


async def test_a_request_whose_client_left_can_be_sent_again_at_once(client: httpx.AsyncClient, world: World) -> None:
    world.job_states = [job("job_1", jobs_pb2.JOB_STATE_RUNNING)]
    world.hold["WatchJob"] = asyncio.Event()
    left = asyncio.create_task(client.post(f"{DOCUMENTS}?wait=true", json={"text": "Leave."}, headers=KEY))
    await asyncio.wait_for(world.held.wait(), 10)
    left.cancel()
    await asyncio.wait_for(world.cancelled.wait(), 10)
    world.hold["WatchJob"].set()
    async with asyncio.timeout(10):
        while (await client.post(f"{DOCUMENTS}?wait=true", json={"text": "Leave."}, headers=KEY)).status_code == 409:
            pass
    assert len(world.contents) == 2  # which the library knows to be the same bytes


async def test_a_key_means_nothing_to_another_api_key_or_another_route(client: httpx.AsyncClient, gateway: RunningGateway) -> None:
    made = await client.post("/api/v1/api-keys", json={"name": "other", "role": "admin"}, headers=KEY)
    assert made.status_code == 201
    assert (await client.post(COLLECTIONS, json={"name": "handbook"}, headers=KEY)).status_code == 201
    authorization = {"Authorization": f"Bearer {made.json()['key']}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=authorization, timeout=20) as other:
        response = await other.post(COLLECTIONS, json={"name": "papers"}, headers=KEY)
    assert (response.status_code, response.json()["name"]) == (201, "papers")


async def test_a_new_api_key_is_made_once_and_its_text_is_nowhere_in_the_database(client: httpx.AsyncClient, accounts_url: str) -> None:
    replies = [await client.post("/api/v1/api-keys", json={"name": "robot"}, headers=KEY) for _ in range(2)]
    assert replies[0].json() == replies[1].json()
    assert len(await execute(accounts_url, "SELECT FROM accounts.api_key WHERE name = 'robot'")) == 1
    (row,) = await execute(accounts_url, "SELECT * FROM accounts.idempotent_request")
    secret, key = replies[0].json()["key"].encode(), KEY["Idempotency-Key"].encode()
    for value in row.values():
        stored = value if isinstance(value, bytes) else str(value).encode()
        assert secret not in stored
        assert key not in stored


@pytest.mark.parametrize("key", ["", "k" * 256, "café".encode().decode("latin-1")])
async def test_a_key_that_is_none_is_refused(client: httpx.AsyncClient, world: World, key: str) -> None:
    headers = {b"idempotency-key": key.encode("latin-1")}
    response = await client.post(COLLECTIONS, json={"name": "handbook"}, headers=headers)
    assert (response.status_code, response.json()["reason"]) == (400, "IDEMPOTENCY_KEY_INVALID")
    assert not world.requests["CreateCollection"]


async def test_the_lease_of_a_gateway_that_died_ends(client: httpx.AsyncClient, world: World, accounts_url: str) -> None:
    await client.post(COLLECTIONS, json={"name": "handbook"}, headers=KEY)
    in_work = "UPDATE accounts.idempotent_request SET status = NULL, lease_until = now() + interval '1 minute'"
    await execute(accounts_url, in_work)
    assert (await client.post(COLLECTIONS, json={"name": "handbook"}, headers=KEY)).status_code == 409
    await execute(accounts_url, "UPDATE accounts.idempotent_request SET lease_until = now() - interval '1 second'")
    assert (await client.post(COLLECTIONS, json={"name": "handbook"}, headers=KEY)).status_code == 201
    assert len(world.requests["CreateCollection"]) == 2


async def test_a_reply_is_forgotten_after_a_day(client: httpx.AsyncClient, settings: GatewaySettings, accounts_url: str) -> None:
    await client.post(COLLECTIONS, json={"name": "handbook"}, headers=KEY)
    await client.post(COLLECTIONS, json={"name": "papers"}, headers={"Idempotency-Key": "another"})
    aged = "UPDATE accounts.idempotent_request SET create_time = now() - interval '{}', lease_until = now() - interval '1 hour'"
    await execute(accounts_url, aged.format("23 hours"))
    assert REPLAYED in (await client.post(COLLECTIONS, json={"name": "handbook"}, headers=KEY)).headers
    await execute(accounts_url, aged.format("25 hours"))
    assert REPLAYED not in (await client.post(COLLECTIONS, json={"name": "handbook"}, headers=KEY)).headers
    async with asyncio.timeout(10), serve(settings):
        while len(await execute(accounts_url, "SELECT FROM accounts.idempotent_request")) > 1:  # noqa: ASYNC110  # rows can only be looked at
            await asyncio.sleep(0.02)


async def test_every_post_that_makes_something_takes_a_key_and_says_so(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    creating = 0
    for path, methods in document["paths"].items():
        operation = methods.get("post", {"responses": {}})
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        if {"201", "202"} & operation["responses"].keys():
            creating += 1
            assert "Idempotency-Key" in names, path
            assert {"409", "422"} <= operation["responses"].keys(), path
        else:
            assert "Idempotency-Key" not in names, path
    assert creating >= 5


async def test_without_the_header_every_request_is_done(client: httpx.AsyncClient, world: World) -> None:
    for _ in range(2):
        await client.post(DOCUMENTS, json={"text": "Leave."}, headers={"Authorization": f"Bearer {OPERATOR_KEY}"})
    assert len(world.documents) == 2

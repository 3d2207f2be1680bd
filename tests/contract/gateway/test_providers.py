"""Providers of language models over HTTP, on a real database."""

from __future__ import annotations

from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from gateway.server import serve
from gateway.settings import GatewaySettings
from tests.contract.gateway.back_services import World
from tests.contract.gateway.conftest import OPERATOR_KEY, Clients
from tests.contract.gateway.test_accounts import new_key, new_organisation
from tests.contract.gateway.test_ask import ASK, script

PROVIDERS, MODELS = "/api/v1/providers", "/api/v1/llm-models"
SECRET = "sk-canary-0123456789-WXYZ"
ADDRESS = "https://models.example.org/v1"
HEADERS = {"Authorization": f"Bearer {OPERATOR_KEY}"}


async def make(client: httpx.AsyncClient, name: str = "acme", **fields: Any) -> dict[str, Any]:
    body = {"name": name, "base_url": ADDRESS, "key": SECRET, "models": [{"name": "meta/large", "context_tokens": 32000}]} | fields
    response = await client.post(PROVIDERS, json=body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def names(client: httpx.AsyncClient) -> list[str]:
    return [item["name"] for item in (await client.get(MODELS)).json()["items"]]


async def execute(settings: GatewaySettings, statement: str, *values: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        return await connection.fetch(statement, *values)
    finally:
        await connection.close()


async def test_a_question_that_names_a_providers_model_is_answered_at_its_endpoint(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    await make(client)
    assert (await client.post(ASK, json={"question": "How much?", "model": "acme/meta/large"})).status_code == 200
    asked = world.requests["Answer"][0]
    assert asked.model == "acme/meta/large"
    endpoint = asked.endpoint
    assert (endpoint.base_url, endpoint.api_key, endpoint.model, endpoint.context_tokens) == (ADDRESS, SECRET, "meta/large", 32000)
    await client.post(ASK, json={"question": "How much?", "model": "extractive"})
    assert not world.requests["Answer"][1].HasField("endpoint")


async def test_a_key_is_never_shown_or_kept_as_it_is(client: httpx.AsyncClient, settings: GatewaySettings) -> None:
    made = await make(client)
    assert (made["has_key"], made["key_hint"]) == (True, "WXYZ")
    replies = [
        await client.get(PROVIDERS),
        await client.get(f"{PROVIDERS}/acme"),
        await client.patch(f"{PROVIDERS}/acme", json={"models": [{"name": "small"}]}),
        await client.get(MODELS),
    ]
    assert all(SECRET not in reply.text and reply.status_code == 200 for reply in replies)
    stored = str([dict(row) for row in await execute(settings, "SELECT * FROM accounts.provider")])
    assert "WXYZ" in stored
    assert SECRET not in stored


async def test_a_short_key_gives_no_hint_and_no_key_none(client: httpx.AsyncClient) -> None:
    assert (await make(client, "short", key="secret"))["key_hint"] == ""
    bare = await make(client, "bare", key="")
    assert (bare["has_key"], bare["key_hint"]) == (False, "")


async def test_the_log_tells_of_every_change_and_of_no_key(client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]) -> None:
    await make(client)
    await client.patch(f"{PROVIDERS}/acme", json={"key": SECRET + "2"})
    await client.delete(f"{PROVIDERS}/acme")
    logged = capsys.readouterr().out
    for event in ("provider_created", "provider_updated", "provider_deleted"):
        assert f'"event": "{event}"' in logged
    assert '"fields": ["key"]' in logged
    assert "sk-canary" not in logged


async def test_only_admins_see_and_change_providers_and_everybody_sees_their_models(client: httpx.AsyncClient, clients: Clients) -> None:
    await make(client)
    member = await clients.with_key((await new_key(client, role="member"))["key"])
    refused = [
        await member.get(PROVIDERS),
        await member.get(f"{PROVIDERS}/acme"),
        await member.post(PROVIDERS, json={"name": "x", "base_url": ADDRESS, "models": [{"name": "m"}]}),
        await member.patch(f"{PROVIDERS}/acme", json={"key": ""}),
        await member.delete(f"{PROVIDERS}/acme"),
        await member.patch(MODELS, json={"default_model": "acme/meta/large"}),
    ]
    assert [(reply.status_code, reply.json()["reason"]) for reply in refused] == [(403, "ROLE_REQUIRED")] * 6
    assert await names(member) == ["extractive", "acme/meta/large"]


async def test_no_organisation_sees_or_uses_anothers_providers(client: httpx.AsyncClient, clients: Clients, world: World) -> None:
    script(world)
    made = await make(client)
    umbra = await clients.with_key((await new_organisation(client, "umbra"))["api_key"]["key"])
    assert (await umbra.get(PROVIDERS)).json()["items"] == []
    for named in ("acme", made["id"]):
        for reply in (
            await umbra.get(f"{PROVIDERS}/{named}"),
            await umbra.patch(f"{PROVIDERS}/{named}", json={"key": ""}),
            await umbra.delete(f"{PROVIDERS}/{named}"),
        ):
            assert (reply.status_code, reply.json()["reason"]) == (404, "PROVIDER_NOT_FOUND")
    await umbra.post(ASK, json={"question": "x", "model": "acme/meta/large"})
    assert not world.requests["Answer"][-1].HasField("endpoint")
    assert await names(umbra) == ["extractive"]


async def test_a_kept_key_is_not_sent_to_another_address(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    await make(client)
    refused = (await client.patch(f"{PROVIDERS}/acme", json={"base_url": "https://thief.example/v1"})).json()
    assert (refused["status"], refused["reason"], refused["errors"][0]["field"]) == (400, "PROVIDER_KEY_NEEDED", "body.key")
    moved = await client.patch(f"{PROVIDERS}/acme", json={"base_url": "https://new.example/v1", "key": "sk-another-key-5678"})
    assert (moved.json()["base_url"], moved.json()["key_hint"]) == ("https://new.example/v1", "5678")
    await client.post(ASK, json={"question": "x", "model": "acme/meta/large"})
    endpoint = world.requests["Answer"][-1].endpoint
    assert (endpoint.base_url, endpoint.api_key) == ("https://new.example/v1", "sk-another-key-5678")


async def test_an_address_changed_in_the_database_gets_no_key(client: httpx.AsyncClient, settings: GatewaySettings, world: World) -> None:
    script(world)
    await make(client)
    await execute(settings, "UPDATE accounts.provider SET base_url = 'https://thief.example/v1'")
    problem = (await client.post(ASK, json={"question": "x", "model": "acme/meta/large"})).json()
    assert (problem["status"], problem["reason"]) == (409, "PROVIDER_KEY_UNREADABLE")
    assert world.requests["Answer"] == []
    mended = await client.patch(f"{PROVIDERS}/acme", json={"base_url": ADDRESS, "key": SECRET})
    assert mended.status_code == 200
    assert (await client.post(ASK, json={"question": "x", "model": "acme/meta/large"})).status_code == 200


async def test_the_default_model_answers_where_nothing_else_is_asked_for(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    await make(client)
    assert (await client.get(MODELS)).json()["default_model"] == "extractive"
    unknown = (await client.patch(MODELS, json={"default_model": "acme/small"})).json()
    assert (unknown["status"], unknown["reason"]) == (404, "MODEL_NOT_FOUND")
    assert (await client.patch(MODELS, json={"default_model": "acme/meta/large"})).json()["default_model"] == "acme/meta/large"
    await client.post(ASK, json={"question": "x"})
    assert world.requests["Answer"][-1].endpoint.model == "meta/large"
    await client.post(ASK, json={"question": "x", "model": "extractive"})
    assert not world.requests["Answer"][-1].HasField("endpoint")
    await client.delete(f"{PROVIDERS}/acme")
    assert (await client.get(MODELS)).json()["default_model"] == "extractive"


async def test_an_assistants_model_may_be_a_providers_and_must_be_there(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    await make(client)
    refused = await client.post("/api/v1/assistants", json={"name": "tutor", "model": "acme/nothing"})
    assert (refused.status_code, refused.json()["reason"]) == (404, "MODEL_NOT_FOUND")
    assert (await client.post("/api/v1/assistants", json={"name": "tutor", "model": "acme/meta/large"})).status_code == 201
    await client.post(ASK, json={"question": "x", "assistant": "tutor"})
    assert world.requests["Answer"][-1].endpoint.model == "meta/large"
    await client.patch(f"{PROVIDERS}/acme", json={"models": [{"name": "small"}]})
    gone = (await client.post(ASK, json={"question": "x", "assistant": "tutor"})).json()
    assert (gone["status"], gone["reason"]) == (404, "MODEL_NOT_FOUND")


async def test_openais_list_of_models_has_everything_that_can_be_asked(client: httpx.AsyncClient) -> None:
    await make(client)
    await client.post("/api/v1/assistants", json={"name": "tutor"})
    kinds = {item["id"]: item["kind"] for item in (await client.get("/v1/models")).json()["data"]}
    assert kinds.items() >= {"minilm": "embedding", "extractive": "language", "acme/meta/large": "language", "tutor": "assistant"}.items()
    assert (await client.get("/v1/models/acme/meta/large")).json()["kind"] == "language"
    assert (await client.get("/v1/models/nothing")).json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", "ftp://models.example.org"),
        ("base_url", "https://user:password@models.example.org/v1"),
        ("kind", "telepathy"),
        ("models", []),
        ("models", [{"name": "m"}, {"name": "m"}]),
        ("name", "a/b"),
    ],
)
async def test_what_a_provider_cannot_be_is_refused_with_its_field(client: httpx.AsyncClient, field: str, value: object) -> None:
    body = {"name": "acme", "base_url": ADDRESS, "key": SECRET, "models": [{"name": "m"}], field: value}
    refused = await client.post(PROVIDERS, json=body)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"].startswith(f"body.{field}")
    assert SECRET not in refused.text


async def test_a_providers_name_is_its_organisations_only_one(client: httpx.AsyncClient) -> None:
    await make(client)
    refused = await client.post(PROVIDERS, json={"name": "acme", "base_url": ADDRESS, "models": [{"name": "m"}]})
    assert (refused.status_code, refused.json()["reason"]) == (409, "PROVIDER_EXISTS")


async def test_a_new_encryption_key_takes_over_at_the_next_start(settings: GatewaySettings, world: World) -> None:
    script(world)
    old, new = f"old:{'0' * 64}", f"new:{'f' * 64}"
    reads: list[tuple[str, int]] = []
    for keys in (old, f"{new},{old}", new, f"other:{'a' * 64}"):
        chosen = settings.model_copy(update={"encryption_keys": SecretStr(keys)})
        async with serve(chosen) as gateway, httpx.AsyncClient(base_url=gateway.url, headers=HEADERS, timeout=20) as client:
            if keys == old:
                await make(client)
            status = (await client.post(ASK, json={"question": "x", "model": "acme/meta/large"})).status_code
        row = await execute(settings, "SELECT encryption_key_id FROM accounts.provider")
        reads.append((row[0]["encryption_key_id"], status))
    assert reads == [("old", 200), ("new", 200), ("new", 200), ("new", 409)]
    assert {request.endpoint.api_key for request in world.requests["Answer"]} == {SECRET}

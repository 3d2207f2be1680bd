"""Organisations and API keys over HTTP, on a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from gateway.server import serve
from gateway.settings import GatewaySettings
from tests.contract.gateway.conftest import OPERATOR_KEY, Clients

ORGANISATIONS, KEYS = "/api/v1/organisations", "/api/v1/api-keys"


async def new_organisation(operator: httpx.AsyncClient, name: str) -> dict[str, Any]:
    response = await operator.post(ORGANISATIONS, json={"name": name})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def new_key(admin: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await admin.post(KEYS, json={"name": "a key", **body})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def test_an_organisation_comes_with_an_admin_key_that_is_shown_once(client: httpx.AsyncClient, clients: Clients) -> None:
    made = await new_organisation(client, "acme")
    key = made["api_key"]
    assert key["key"].startswith(f"lk_{key['prefix']}_")
    assert (key["role"], key["organisation_id"]) == ("admin", made["id"])
    admin = await clients.with_key(key["key"])
    listed = (await admin.get(KEYS)).json()["items"]
    assert [item["prefix"] for item in listed] == [key["prefix"]]
    assert "key" not in listed[0]
    assert listed[0]["last_used_time"] is not None


async def test_a_name_is_taken_once(client: httpx.AsyncClient) -> None:
    await new_organisation(client, "acme")
    response = await client.post(ORGANISATIONS, json={"name": "acme"})
    assert (response.status_code, response.json()["reason"]) == (409, "ORGANISATION_EXISTS")


@pytest.mark.parametrize("name", ["", " acme", "acme ", "a/b", "a\nb", "x" * 201])
async def test_a_name_that_could_not_stand_in_an_address_is_refused(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.post(ORGANISATIONS, json={"name": name})).json()["reason"] == "INVALID_REQUEST"


async def test_each_role_may_do_what_those_below_it_may_and_no_more(client: httpx.AsyncClient, clients: Clients) -> None:
    admin = await clients.with_key((await new_organisation(client, "acme"))["api_key"]["key"])
    member = await clients.with_key((await new_key(admin, role="member"))["key"])
    for caller, expected in ((client, (201, 201, 200)), (admin, (403, 201, 200)), (member, (403, 403, 403))):
        statuses = (
            (await caller.post(ORGANISATIONS, json={"name": "another"})).status_code,
            (await caller.post(KEYS, json={"name": "k"})).status_code,
            (await caller.get(KEYS)).status_code,
        )
        assert statuses == expected
    refused = (await admin.post(KEYS, json={"name": "k", "role": "operator"})).json()
    assert (refused["status"], refused["reason"], refused["metadata"]) == (403, "ROLE_REQUIRED", {"role": "operator"})
    assert (await member.get("/api/v1/collections")).status_code == 200


async def test_no_organisation_sees_or_touches_another(client: httpx.AsyncClient, clients: Clients) -> None:
    acme, umbra = await new_organisation(client, "acme"), await new_organisation(client, "umbra")
    ann, bo = await clients.with_key(acme["api_key"]["key"]), await clients.with_key(umbra["api_key"]["key"])
    assert [item["name"] for item in (await ann.get(ORGANISATIONS)).json()["items"]] == ["acme"]
    assert (await ann.get(f"{ORGANISATIONS}/{umbra['id']}")).status_code == 404
    assert (await client.get(f"{ORGANISATIONS}/{umbra['id']}")).json()["name"] == "umbra"
    theirs = umbra["api_key"]["id"]
    assert theirs not in (await ann.get(KEYS)).text
    missing = await ann.delete(f"{KEYS}/{theirs}")
    unknown = await ann.delete(f"{KEYS}/key_nobody")
    assert (missing.status_code, missing.json()["reason"]) == (unknown.status_code, unknown.json()["reason"]) == (404, "API_KEY_NOT_FOUND")
    assert (await bo.get("/api/v1/collections")).status_code == 200


async def test_an_operator_sees_every_organisation_page_by_page(client: httpx.AsyncClient) -> None:
    names = ["default", *(f"org {number}" for number in range(4))]
    for name in names[1:]:
        await new_organisation(client, name)
    got: list[str] = []
    token = ""
    while token is not None:
        page = (await client.get(ORGANISATIONS, params={"page_size": 2} | ({"page_token": token} if token else {}))).json()
        assert len(page["items"]) <= 2
        got += [item["name"] for item in page["items"]]
        token = page["next_page_token"]
    assert got == names


async def test_a_page_token_is_good_for_its_own_list_only(client: httpx.AsyncClient, clients: Clients) -> None:
    await new_organisation(client, "acme")
    await new_key(client)
    organisations = (await client.get(f"{ORGANISATIONS}?page_size=1")).json()["next_page_token"]
    keys = (await client.get(f"{KEYS}?page_size=1")).json()["next_page_token"]
    umbra = await clients.with_key((await new_organisation(client, "umbra"))["api_key"]["key"])
    wrong = [(client, KEYS, organisations), (umbra, KEYS, keys), (client, ORGANISATIONS, "made-up"), (client, KEYS, "é")]
    for caller, path, token in wrong:
        response = await caller.get(path, params={"page_token": token})
        assert (response.status_code, response.json()["reason"]) == (400, "PAGE_TOKEN_INVALID"), (path, token)


async def test_a_revoked_key_is_refused_at_once(client: httpx.AsyncClient, clients: Clients) -> None:
    made = await new_key(client, role="admin")
    victim = await clients.with_key(made["key"])
    assert (await victim.get(KEYS)).status_code == 200
    assert (await client.delete(f"{KEYS}/{made['id']}")).status_code == 204
    refused = await victim.get(KEYS)
    assert (refused.status_code, refused.json()["reason"]) == (401, "API_KEY_INVALID")
    assert (await client.delete(f"{KEYS}/{made['id']}")).status_code == 204
    shown = {item["id"]: item["revoke_time"] for item in (await client.get(KEYS)).json()["items"]}
    assert shown[made["id"]] is not None


async def test_an_admin_cannot_revoke_an_operator(client: httpx.AsyncClient, clients: Clients) -> None:
    operator_id = (await client.get(KEYS)).json()["items"][0]["id"]
    admin = await clients.with_key((await new_key(client, role="admin"))["key"])
    assert (await admin.delete(f"{KEYS}/{operator_id}")).status_code == 403
    assert (await client.get(KEYS)).status_code == 200


async def test_the_last_key_that_can_manage_an_organisation_stays(client: httpx.AsyncClient, clients: Clients) -> None:
    made = (await new_organisation(client, "acme"))["api_key"]
    admin = await clients.with_key(made["key"])
    await new_key(admin, role="member")
    refused = await admin.delete(f"{KEYS}/{made['id']}")
    assert (refused.status_code, refused.json()["reason"]) == (409, "LAST_ADMIN_KEY")
    await new_key(admin, role="admin")
    assert (await admin.delete(f"{KEYS}/{made['id']}")).status_code == 204


async def test_two_admins_who_revoke_each_other_do_not_lock_everybody_out(client: httpx.AsyncClient, clients: Clients) -> None:
    first = (await new_organisation(client, "acme"))["api_key"]
    ann = await clients.with_key(first["key"])
    second = await new_key(ann, role="admin")
    bo = await clients.with_key(second["key"])
    replies = await asyncio.gather(ann.delete(f"{KEYS}/{second['id']}"), bo.delete(f"{KEYS}/{first['id']}"))
    alive = [(await one.get(KEYS)).status_code for one in (ann, bo)]
    assert sorted(alive) == [200, 401]
    assert min(reply.status_code for reply in replies) == 204


async def test_a_key_ends_when_it_expires(client: httpx.AsyncClient, clients: Clients, settings: GatewaySettings) -> None:
    past = await client.post(KEYS, json={"name": "k", "expire_time": "2020-01-01T00:00:00Z"})
    assert (past.status_code, past.json()["errors"][0]["field"]) == (400, "body.expire_time")
    assert (await client.post(KEYS, json={"name": "k", "expire_time": "2099-01-01T00:00:00"})).status_code == 400
    made = await new_key(client, expire_time=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert made["expire_time"] is not None
    database = await asyncpg.connect(settings.database_url.get_secret_value())
    await database.execute("UPDATE accounts.api_key SET expire_time = now() WHERE api_key_id = $1", made["id"])
    await database.close()
    assert (await (await clients.with_key(made["key"])).get("/api/v1/collections")).status_code == 401


async def test_what_is_stored_does_not_let_anybody_in(client: httpx.AsyncClient, settings: GatewaySettings) -> None:
    made = await new_key(client)
    database = await asyncpg.connect(settings.database_url.get_secret_value())
    rows = await database.fetch("SELECT * FROM accounts.api_key")
    await database.close()
    stored = str([dict(row) for row in rows])
    assert made["key"] not in stored
    assert made["key"].rpartition("_")[2] not in stored


async def test_a_key_revoked_elsewhere_is_refused_within_the_cache_time(settings: GatewaySettings) -> None:
    forgetful = settings.model_copy(update={"key_cache_seconds": 0.0})
    headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
    async with (
        serve(settings) as one,
        serve(forgetful) as other,
        httpx.AsyncClient(base_url=one.url, headers=headers) as here,
        httpx.AsyncClient(base_url=other.url) as there,
    ):
        made = await new_key(here)
        bearer = {"Authorization": f"Bearer {made['key']}"}
        assert (await there.get("/api/v1/collections", headers=bearer)).status_code == 200
        await here.delete(f"{KEYS}/{made['id']}")
        assert (await there.get("/api/v1/collections", headers=bearer)).status_code == 401


async def test_the_bootstrap_key_counts_only_while_there_is_no_organisation(settings: GatewaySettings) -> None:
    async with serve(settings) as first, serve(settings) as second:
        for gateway in (first, second):
            async with httpx.AsyncClient(base_url=gateway.url, headers={"Authorization": f"Bearer {OPERATOR_KEY}"}) as client:
                assert [item["name"] for item in (await client.get(ORGANISATIONS)).json()["items"]] == ["default"]
    other = settings.model_copy(update={"bootstrap_api_key": SecretStr("lk_latecomer_" + "t" * 40)})
    async with serve(other) as third, httpx.AsyncClient(base_url=third.url) as client:
        assert (await client.get(KEYS, headers={"Authorization": "Bearer lk_latecomer_" + "t" * 40})).status_code == 401

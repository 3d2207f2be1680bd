from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from gateway.adapters.database import open_pool
from gateway.adapters.search_history import PostgresSearchHistory
from gateway.domain.accounts import Principal, Role
from gateway.domain.listing import PageRequest
from gateway.domain.search_history import Entry, MadeSearch, SearchHistory
from gateway.server import serve
from gateway.settings import GatewaySettings
from shared.errors import AppError, Status
from shared.paging import PageTokens
from tests.contract.gateway.back_services import World
from tests.contract.gateway.conftest import OPERATOR_KEY
from tests.contract.gateway.test_search import fill

HISTORY = "/api/v1/search-history"
TOKENS = PageTokens(b"tests")


async def search(client: httpx.AsyncClient, query: str, **body: Any) -> httpx.Response:
    return await client.post("/api/v1/search", json={"query": query, **body})


async def listed(client: httpx.AsyncClient, **parameters: Any) -> dict[str, Any]:
    response = await client.get(HISTORY, params=parameters)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def queries(client: httpx.AsyncClient) -> list[str]:
    return [item["query"] for item in (await listed(client))["items"]]


async def test_a_search_is_kept_with_what_was_asked_and_what_came_of_it(client: httpx.AsyncClient, world: World) -> None:
    fill(world, 3)
    response = await search(client, "leave type:pdf", filter={"author": "ann"}, limit=2, group=True, history=True)
    (item,) = (await listed(client))["items"]
    assert item["query"] == "leave type:pdf"
    assert item["request"] == {"filter": {"author": "ann"}, "limit": 2, "group": True}
    assert (item["hit_count"], item["trace_id"]) == (2, response.json()["trace_id"])
    assert item["total_ms"] > 0


async def test_searches_are_listed_newest_first_over_pages(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await search(client, f"query {number}")
    seen: list[str] = []
    token = ""
    while True:
        page = await listed(client, page_size=2, **({"page_token": token} if token else {}))
        seen += [item["query"] for item in page["items"]]
        if (token := page["next_page_token"] or "") == "":
            break
    assert seen == [f"query {number}" for number in reversed(range(5))]


async def test_what_fails_or_asks_not_to_be_kept_is_not_kept(client: httpx.AsyncClient) -> None:
    await search(client, "secret plans", history=False)
    assert (await search(client, "autor:ann leave")).status_code == 400
    await search(client, "x", filter={"type": {"$in": ["y" * 900] * 30}})
    await search(client, "kept")
    assert await queries(client) == ["kept"]


async def test_nobody_sees_or_forgets_anothers_searches(client: httpx.AsyncClient) -> None:
    await search(client, "mine")
    other_key = (await client.post("/api/v1/api-keys", json={"name": "other", "role": "member"})).json()["key"]
    (mine,) = (await listed(client))["items"]
    other = {"Authorization": f"Bearer {other_key}"}
    assert (await client.get(HISTORY, headers=other)).json()["items"] == []
    refused = await client.delete(f"{HISTORY}/{mine['id']}", headers=other)
    assert (refused.status_code, refused.json()["reason"]) == (404, "SEARCH_NOT_FOUND")
    assert (await client.delete(HISTORY, headers=other)).status_code == 204
    assert await queries(client) == ["mine"]


async def test_a_search_is_forgotten_by_its_id(client: httpx.AsyncClient) -> None:
    await search(client, "one")
    await search(client, "two")
    newest = (await listed(client))["items"][0]
    assert (await client.delete(f"{HISTORY}/{newest['id']}")).status_code == 204
    assert (await client.delete(f"{HISTORY}/{newest['id']}")).status_code == 404
    assert await queries(client) == ["one"]


async def test_a_cleared_history_is_gone_from_the_database(client: httpx.AsyncClient, accounts_url: str) -> None:
    for number in range(20):
        await search(client, f"query {number}")
    assert (await client.delete(HISTORY)).status_code == 204
    assert await queries(client) == []
    connection = await asyncpg.connect(accounts_url)
    assert await connection.fetchval("SELECT count(*) FROM accounts.past_search") == 0
    await connection.close()
    await search(client, "later")
    assert await queries(client) == ["later"]


async def test_what_waits_is_written_before_the_gateway_ends(settings: GatewaySettings, accounts_url: str) -> None:
    async with serve(settings) as gateway:
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=20) as client:
            await asyncio.gather(*(search(client, f"query {number}") for number in range(30)))
    connection = await asyncpg.connect(accounts_url)
    assert await connection.fetchval("SELECT count(*) FROM accounts.past_search") == 30
    await connection.close()


def made(query: str) -> MadeSearch:
    return MadeSearch(query=query, request_json="{}", hit_count=1, total_ms=1.0, trace_id="t")


@pytest.fixture
async def principal(accounts_url: str) -> Principal:
    connection = await asyncpg.connect(accounts_url)
    await connection.execute("INSERT INTO accounts.organisation (organisation_id, name) VALUES ('org', 'org')")
    await connection.close()
    return Principal("org", "key", Role.MEMBER)


async def test_a_search_that_another_process_writes_after_the_clearing_is_not_kept(accounts_url: str, principal: Principal) -> None:
    async with open_pool(accounts_url, 4) as pool:
        store = PostgresSearchHistory(pool)
        loop = asyncio.get_running_loop()
        before = Entry(principal, made("before"), loop.time())
        await store.clear(principal)
        await store.add([before, Entry(principal, made("after"), loop.time() + 1)])
        assert [kept.query for kept in await store.list(principal, None, 10)] == ["after"]


async def test_old_searches_and_more_than_the_number_are_pruned(accounts_url: str, principal: Principal) -> None:
    other = Principal("org", "other", Role.MEMBER)
    async with open_pool(accounts_url, 4) as pool:
        store = PostgresSearchHistory(pool)
        now = asyncio.get_running_loop().time()
        day = 86_400
        await store.add([Entry(principal, made(f"{age}"), now - age * day) for age in (1, 2, 3, 40)] + [Entry(other, made("x"), now)])
        await store.prune(days=30, entries=2)
        assert [kept.query for kept in await store.list(principal, None, 10)] == ["1", "2"]
        assert [kept.query for kept in await store.list(other, None, 10)] == ["x"]


class AwayStore(PostgresSearchHistory):
    """A store whose database does not answer for as long as a test wants."""

    away = True

    async def add(self, entries: Any) -> None:
        if self.away:
            raise AppError("ACCOUNT_STORE_UNAVAILABLE", Status.UNAVAILABLE, "The account store does not answer.")
        await super().add(entries)


async def test_a_database_that_is_away_costs_searches_of_that_time_and_no_more(accounts_url: str, principal: Principal) -> None:
    async with open_pool(accounts_url, 4) as pool:
        store = AwayStore(pool)
        history = SearchHistory(store, TOKENS, days=30, entries=100)
        async with history.open():
            history.record(principal, made("lost"))
            assert (await history.list(principal, PageRequest())).items == []
            store.away = False
            history.record(principal, made("kept"))
            assert [kept.query for kept in (await history.list(principal, PageRequest())).items] == ["kept"]


async def test_nothing_is_kept_where_the_retention_is_zero(accounts_url: str, principal: Principal) -> None:
    async with open_pool(accounts_url, 4) as pool:
        for days, entries in ((0, 100), (30, 0)):
            history = SearchHistory(PostgresSearchHistory(pool), TOKENS, days=days, entries=entries)
            async with history.open():
                history.record(principal, made("x"))
                assert (await history.list(principal, PageRequest())).items == []

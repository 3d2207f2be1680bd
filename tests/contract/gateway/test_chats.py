"""Chats, folders and settings: whose they are, and how they are listed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from gateway.server import RunningGateway

CHATS = "/api/v1/chats"


async def made(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post(CHATS, json=body)
    assert response.status_code == 201, response.text
    return dict(response.json())


@pytest.fixture
async def colleague(gateway: RunningGateway, client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """Another user of the same organisation."""
    key = (await client.post("/api/v1/api-keys", json={"name": "colleague"})).json()["key"]
    async with httpx.AsyncClient(base_url=gateway.url, headers={"Authorization": f"Bearer {key}"}, timeout=20) as other:
        yield other


@pytest.fixture
async def stranger(gateway: RunningGateway, client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A user of another organisation."""
    key = (await client.post("/api/v1/organisations", json={"name": "umbra"})).json()["api_key"]["key"]
    async with httpx.AsyncClient(base_url=gateway.url, headers={"Authorization": f"Bearer {key}"}, timeout=20) as other:
        yield other


async def test_a_chat_is_made_read_changed_and_deleted(client: httpx.AsyncClient) -> None:
    folder = (await client.post("/api/v1/folders", json={"name": "Papers"})).json()
    chat = await made(client, title="Leave", folder=folder["id"], model="extractive")
    assert (chat["title"], chat["folder_id"], chat["model"], chat["visibility"], chat["is_own"]) == (
        "Leave",
        folder["id"],
        "extractive",
        "private",
        True,
    )
    changed = (await client.patch(f"{CHATS}/{chat['id']}", json={"title": "Holidays", "folder": ""})).json()
    assert (changed["title"], changed["folder_id"], changed["model"]) == ("Holidays", None, "extractive")
    assert (await client.get(f"{CHATS}/{chat['id']}")).json() == changed
    assert (await client.delete(f"{CHATS}/{chat['id']}")).status_code == 204
    gone = await client.get(f"{CHATS}/{chat['id']}")
    assert (gone.status_code, gone.json()["reason"]) == (404, "CHAT_NOT_FOUND")


async def test_chats_are_listed_newest_first_page_by_page(client: httpx.AsyncClient) -> None:
    ids = [(await made(client, title=f"chat {number}"))["id"] for number in range(5)]
    await client.patch(f"{CHATS}/{ids[0]}", json={"title": "said again"})
    listed: list[str] = []
    token = ""
    while True:
        page = (await client.get(CHATS, params={"page_size": 2, "page_token": token})).json()
        listed += [chat["id"] for chat in page["items"]]
        token = page["next_page_token"]
        if not token:
            break
    assert listed == [ids[0], *reversed(ids[1:])]
    first = (await client.get(CHATS, params={"page_size": 2})).json()["next_page_token"]
    refused = await client.get(CHATS, params={"page_size": 2, "page_token": first, "text": "chat"})
    assert refused.json()["reason"] == "PAGE_TOKEN_INVALID"


async def test_chats_are_found_by_folder_and_by_words_of_their_titles(client: httpx.AsyncClient) -> None:
    folder = (await client.post("/api/v1/folders", json={"name": "Papers"})).json()["id"]
    inside = await made(client, title="Élan 100%_sure", folder=folder)
    await made(client, title="Leave")
    assert [chat["id"] for chat in (await client.get(CHATS, params={"folder": folder})).json()["items"]] == [inside["id"]]
    for text, found in {"élan": 1, "100%_S": 1, "%": 1, "x%": 0, "e": 2}.items():
        assert len((await client.get(CHATS, params={"text": text})).json()["items"]) == found, text


async def test_a_chat_is_nobody_else_s_until_it_is_shared_and_then_only_to_read(
    client: httpx.AsyncClient, colleague: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    chat = await made(client, title="Mine")
    path = f"{CHATS}/{chat['id']}"
    for other in (colleague, stranger):
        assert (await other.get(path)).status_code == 404
        assert (await other.get(f"{path}/messages")).status_code == 404
        assert (await other.patch(path, json={"title": "yours"})).json()["reason"] == "CHAT_NOT_FOUND"
    await client.patch(path, json={"visibility": "organisation"})
    assert (await colleague.get(path)).json()["is_own"] is False
    assert (await colleague.get(f"{path}/messages")).status_code == 200
    assert [each["id"] for each in (await colleague.get(CHATS, params={"shared": True})).json()["items"]] == [chat["id"]]
    assert (await colleague.get(CHATS)).json()["items"] == []
    for written in (
        colleague.patch(path, json={"title": "yours"}),
        colleague.delete(path),
        colleague.post(f"{path}/messages", json={"text": "?"}),
    ):
        refused = await written
        assert (refused.status_code, refused.json()["reason"]) == (403, "CHAT_READ_ONLY")
    assert (await stranger.get(path)).status_code == 404
    assert (await stranger.get(CHATS, params={"shared": True})).json()["items"] == []


async def test_a_chat_lies_in_folders_of_its_user_alone(client: httpx.AsyncClient, colleague: httpx.AsyncClient) -> None:
    theirs = (await colleague.post("/api/v1/folders", json={"name": "Papers"})).json()["id"]
    for folder in (theirs, "folder_none"):
        refused = await client.post(CHATS, json={"folder": folder})
        assert (refused.status_code, refused.json()["reason"]) == (404, "FOLDER_NOT_FOUND")
    chat = await made(client)
    assert (await client.patch(f"{CHATS}/{chat['id']}", json={"folder": theirs})).json()["reason"] == "FOLDER_NOT_FOUND"
    assert (await client.get(f"/api/v1/folders/{theirs}")).status_code == 404
    assert (await client.delete(f"/api/v1/folders/{theirs}")).status_code == 404


async def test_a_folder_is_renamed_and_leaves_its_chats_when_it_goes(client: httpx.AsyncClient) -> None:
    papers = (await client.post("/api/v1/folders", json={"name": "Papers"})).json()
    await client.post("/api/v1/folders", json={"name": "Books"})
    assert [each["name"] for each in (await client.get("/api/v1/folders")).json()["items"]] == ["Books", "Papers"]
    for taken in (
        client.post("/api/v1/folders", json={"name": "Books"}),
        client.patch(f"/api/v1/folders/{papers['id']}", json={"name": "Books"}),
    ):
        assert (await taken).json()["reason"] == "FOLDER_EXISTS"
    assert (await client.patch(f"/api/v1/folders/{papers['id']}", json={"name": "Articles"})).json()["name"] == "Articles"
    chat = await made(client, folder=papers["id"])
    assert (await client.delete(f"/api/v1/folders/{papers['id']}")).status_code == 204
    assert (await client.get(f"{CHATS}/{chat['id']}")).json()["folder_id"] is None


async def test_settings_are_each_user_s_own_and_the_organisation_s_are_for_admins(
    client: httpx.AsyncClient, colleague: httpx.AsyncClient
) -> None:
    assert (await client.get("/api/v1/settings")).json() == {
        "default_model": "",
        "recent_assistants": [],
        "retention_days": 0,
        "organisation_retention_days": 0,
    }
    changed = (await client.patch("/api/v1/settings", json={"default_model": "extractive", "organisation_retention_days": 30})).json()
    assert (changed["default_model"], changed["organisation_retention_days"]) == ("extractive", 30)
    refused = await colleague.patch("/api/v1/settings", json={"organisation_retention_days": 0})
    assert (refused.status_code, refused.json()["reason"]) == (403, "ROLE_REQUIRED")
    theirs = (await colleague.patch("/api/v1/settings", json={"retention_days": 7})).json()
    assert (theirs["default_model"], theirs["retention_days"], theirs["organisation_retention_days"]) == ("", 7, 30)
    assert (await client.get("/api/v1/settings")).json() == changed


async def test_the_last_five_assistants_are_remembered_newest_first_while_they_exist(client: httpx.AsyncClient) -> None:
    ids = [(await client.post("/api/v1/assistants", json={"name": f"helper {number}"})).json()["id"] for number in range(6)]
    for assistant in (*ids, ids[2]):
        await made(client, assistant=assistant)
    assert (await client.get("/api/v1/settings")).json()["recent_assistants"] == [ids[2], ids[5], ids[4], ids[3], ids[1]]
    await client.delete(f"/api/v1/assistants/{ids[5]}")
    assert (await client.get("/api/v1/settings")).json()["recent_assistants"] == [ids[2], ids[4], ids[3], ids[1]]
    assert (await client.post(CHATS, json={"assistant": ids[5]})).json()["reason"] == "ASSISTANT_NOT_FOUND"
    assert (await made(client, assistant="helper 0"))["assistant_id"] == ids[0]


async def test_chats_are_really_deleted_after_the_shorter_of_both_retentions(
    gateway: RunningGateway, client: httpx.AsyncClient, accounts_url: str
) -> None:
    old, young = await made(client), await made(client)
    await client.post(f"{CHATS}/{old['id']}/messages", json={"text": "?"})
    connection = await asyncpg.connect(accounts_url)
    aged = "UPDATE accounts.chat SET update_time = now() - make_interval(days => $2) WHERE chat_id = $1"
    await connection.execute(aged, old["id"], 8)
    await connection.execute(aged, young["id"], 6)
    for own, organisation, kept in ((0, 0, 2), (30, 0, 2), (30, 9, 2), (30, 7, 1), (5, 7, 0)):
        await client.patch("/api/v1/settings", json={"retention_days": own, "organisation_retention_days": organisation})
        await gateway.app.state.services.conversations.chats.prune()
        assert await connection.fetchval("SELECT count(*) FROM accounts.chat") == kept, (own, organisation)
        assert await connection.fetchval("SELECT count(*) FROM accounts.message") == (2 if kept == 2 else 0)
    await connection.close()

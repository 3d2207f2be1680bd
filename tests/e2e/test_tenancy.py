"""Two organisations with the same names never see each other, on any route that the OpenAPI document lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Organisation, Stack

CANARY = "zanzibarcanary"
# Placeholders of routes, and how to find the owner's value for each. A route with another placeholder fails the test below.
PLACEHOLDERS = frozenset(
    {
        "collection", "document", "passage", "job", "organisation", "api_key", "model",
        "assistant", "provider", "chat", "message", "folder", "search",
    }
)  # fmt: skip
# What the deployment has and every organisation may see.
SHARED = frozenset({"/v1/models/{model}"})
PROTECTED = ("/api/", "/v1/")
METHODS = frozenset({"get", "post", "put", "patch", "delete"})
# A body that each operation accepts, so that refusal is for the owner's sake and not for the body's.
BODIES: dict[str, dict[str, Any]] = {
    "PATCH /api/v1/collections/{collection}": {"json": {"description": "taken"}},
    "PATCH /api/v1/documents/{document}": {"json": {"name": "taken"}},
    "POST /api/v1/collections/{collection}/documents": {"json": {"text": "taken", "name": "taken"}},
    "POST /api/v1/collections/{collection}/documents:batch": {
        "content": b'{"text": "taken"}',
        "headers": {"Content-Type": "application/x-ndjson"},
    },
    "PATCH /api/v1/assistants/{assistant}": {"json": {"prompt": "taken"}},
    "PATCH /api/v1/providers/{provider}": {"json": {"models": [{"name": "taken"}]}},
    "PATCH /api/v1/chats/{chat}": {"json": {"title": "taken"}},
    "PATCH /api/v1/folders/{folder}": {"json": {"name": "taken"}},
    "POST /api/v1/chats/{chat}/messages": {"json": {"text": "taken"}},
    "POST /api/v1/chats/{chat}/messages/{message}:regenerate": {"json": {}},
    "PUT /api/v1/chats/{chat}/messages/{message}/feedback": {"json": {"rating": "up"}},
}


@dataclass(frozen=True)
class Owned:
    """What one organisation has, by placeholder."""

    organisation: Organisation
    values: dict[str, str]


def fill_library(organisation: Organisation, word: str) -> Owned:
    collection = organisation.create_collection("shared-name")
    text = f"The {word} report says that the harbour crane was repaired in spring."
    document = organisation.upload("shared-name", f"{word}.txt", text.encode(), wait="true").json()
    job = organisation.client.get("/api/v1/jobs").json()["items"][0]
    hit = organisation.search(word).json()["hits"][0]
    mine = organisation.client.get("/api/v1/organisations").json()["items"][0]
    key = organisation.client.get("/api/v1/api-keys").json()["items"][0]
    values = {
        "collection": collection["id"],
        "document": document["id"],
        "passage": hit["passage_id"],
        "job": job["id"],
        "organisation": mine["id"],
        "api_key": key["id"],
        "model": organisation.client.get("/v1/models").json()["data"][0]["id"],
    }
    return Owned(organisation, values | fill_account(organisation.client, word))


def fill_account(client: httpx.Client, word: str) -> dict[str, str]:
    def made(path: str, body: dict[str, Any]) -> str:
        response = client.post(f"/api/v1/{path}", json=body)
        assert response.status_code == 201, f"{path}: {response.text}"
        return str(response.json()["id"])

    provider = {"name": "models", "base_url": f"https://{word}.example.org/v1", "key": word, "models": [{"name": "large"}]}
    chat = made("chats", {"title": word})
    asked = client.post(f"/api/v1/chats/{chat}/messages", json={"text": f"What does the {word} report say?"})
    assert asked.status_code == 201, asked.text
    return {
        "assistant": made("assistants", {"name": "helper", "prompt": f"Speak of {word}."}),
        "provider": made("providers", provider),
        "chat": chat,
        "message": client.get(f"/api/v1/chats/{chat}/messages").json()["items"][-1]["id"],
        "folder": made("folders", {"name": word}),
        "search": client.get("/api/v1/search-history").json()["items"][0]["id"],
    }


@pytest.fixture(scope="module")
def owner(stack: Stack) -> Owned:
    return fill_library(stack.new_organisation("owner"), CANARY)


@pytest.fixture(scope="module")
def stranger(stack: Stack) -> Owned:
    return fill_library(stack.new_organisation("stranger"), "ordinary")


def operations(stack: Stack) -> list[tuple[str, str]]:
    document = httpx.get(f"{stack.url}/openapi.json").json()
    return [(method.upper(), path) for path, item in document["paths"].items() for method in item if method in METHODS]


def test_every_placeholder_of_every_route_is_known_here(stack: Stack) -> None:
    named = {name for _, path in operations(stack) for name in re.findall(r"{(\w+)}", path)}
    assert named <= PLACEHOLDERS, "teach this test how to fill the new placeholder"


def test_no_route_with_anothers_id_shows_or_changes_anything(stack: Stack, owner: Owned, stranger: Owned) -> None:
    addressed = [(method, path) for method, path in operations(stack) if "{" in path and path not in SHARED]
    assert addressed
    for method, path in addressed:
        sent = BODIES.get(f"{method} {path}", {})
        response = stranger.organisation.client.request(method, path.format(**owner.values), **sent)
        assert response.status_code in {403, 404}, f"{method} {path}: {response.status_code} {response.text}"
        assert CANARY not in response.text, f"{method} {path}"
    fresh = owner.organisation.search(CANARY).json()["hits"]
    assert [hit["passage_id"] for hit in fresh] == [owner.values["passage"]]
    assert owner.organisation.client.get("/api/v1/collections/shared-name").json()["document_count"] == 1


def test_no_listing_or_query_shows_anothers_canary(stack: Stack, owner: Owned, stranger: Owned) -> None:
    client = stranger.organisation.client
    for method, path in operations(stack):
        if method == "GET" and "{" not in path and path.startswith(PROTECTED):
            response = client.get(path)
            assert response.status_code in {200, 403}, f"{path}: {response.status_code}"
            assert CANARY not in response.text, path
            assert owner.values["collection"] not in response.text, path
            assert owner.values["organisation"] not in response.text, path
    for body in ({"query": CANARY}, {"query": CANARY, "collections": ["shared-name"]}):
        response = client.post("/api/v1/search", json=body)
        assert CANARY not in response.text
        assert {hit["document_id"] for hit in response.json()["hits"]} <= {stranger.values["document"]}
    answer = client.post("/api/v1/ask", json={"question": f"What does the {CANARY} report say?"}).json()
    assert owner.values["document"] not in str(answer)
    foreign = client.post("/api/v1/search", json={"query": CANARY, "collections": [owner.values["collection"]]})
    assert foreign.status_code == 404


def test_the_same_collection_name_counts_only_ones_own(owner: Owned, stranger: Owned) -> None:
    for side in (owner, stranger):
        collection = side.organisation.client.get("/api/v1/collections/shared-name").json()
        assert (collection["id"], collection["document_count"], collection["passage_count"]) == (side.values["collection"], 1, 1)


def test_no_operation_answers_without_a_key(stack: Stack, owner: Owned) -> None:
    for method, path in operations(stack):
        if path.startswith(PROTECTED):
            response = httpx.request(method, stack.url + path.format(**owner.values))
            assert response.status_code == 401, f"{method} {path}: {response.status_code}"
            assert CANARY not in response.text

"""Assistants over HTTP, and what they make of a question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.server import serve
from gateway.settings import GatewaySettings
from shared.errors import AppError
from tests.contract.gateway.back_services import World
from tests.contract.gateway.conftest import OPERATOR_KEY, Clients
from tests.contract.gateway.test_accounts import new_key, new_organisation
from tests.contract.gateway.test_ask import ASK, script

ASSISTANTS = "/api/v1/assistants"
BUILT_IN = {"comparison", "short-answers", "step-by-step"}


async def make(client: httpx.AsyncClient, name: str, **fields: Any) -> dict[str, Any]:
    response = await client.post(ASSISTANTS, json={"name": name, **fields})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def names(client: httpx.AsyncClient) -> list[str]:
    return [item["name"] for item in (await client.get(ASSISTANTS)).json()["items"]]


async def test_an_assistant_gives_its_prompt_collections_model_and_language_to_a_question(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    collection = (await client.post("/api/v1/collections", json={"name": "handbook"})).json()
    made = await make(client, "onboarding", prompt="Be kind.", collections=["handbook"], model="extractive", language="fr")
    for named in ("onboarding", made["id"]):
        response = await client.post(ASK, json={"question": "How much leave?", "assistant": named})
        assert response.status_code == 200, response.text
        asked, searched = world.requests["Answer"][-1], world.requests["Search"][-1]
        assert (asked.instructions, asked.model, asked.language) == ("Be kind.", "extractive", "fr")
        assert list(searched.collection_ids) == [collection["id"]]


async def test_what_a_question_says_itself_counts_before_what_its_assistant_says(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    for name in ("handbook", "letters"):
        await client.post("/api/v1/collections", json={"name": name})
    await make(client, "onboarding", prompt="Be kind.", collections=["handbook"], language="fr")
    body = {"question": "How much leave?", "assistant": "onboarding", "collections": ["letters"], "language": "en"}
    assert (await client.post(ASK, json=body)).status_code == 200
    assert list(world.requests["Search"][-1].collection_ids) == ["col_1"]
    assert (world.requests["Answer"][-1].language, world.requests["Answer"][-1].instructions) == ("en", "Be kind.")


async def test_an_assistant_that_is_not_there_is_named(client: httpx.AsyncClient, world: World) -> None:
    problem = (await client.post(ASK, json={"question": "x", "assistant": "nobody"})).json()
    assert (problem["status"], problem["reason"]) == (404, "ASSISTANT_NOT_FOUND")
    assert "nobody" in problem["detail"]
    assert world.requests["Search"] == []


async def test_an_assistant_is_made_changed_and_deleted(client: httpx.AsyncClient) -> None:
    made = await make(client, "tutor", starter_messages=["What first?"], avatar="🎓", description="Teaches.")
    assert (made["visibility"], made["built_in"], made["starter_messages"]) == ("organisation", False, ["What first?"])
    changed = (await client.patch(f"{ASSISTANTS}/tutor", json={"name": "coach", "starter_messages": []})).json()
    assert changed == made | {"name": "coach", "starter_messages": [], "update_time": changed["update_time"]}
    assert changed["update_time"] > made["update_time"]
    assert (await client.get(f"{ASSISTANTS}/{made['id']}")).json() == changed
    assert (await client.delete(f"{ASSISTANTS}/coach")).status_code == 204
    assert (await client.get(f"{ASSISTANTS}/coach")).json()["reason"] == "ASSISTANT_NOT_FOUND"


async def test_a_name_is_an_organisations_only_one(client: httpx.AsyncClient) -> None:
    await make(client, "tutor")
    await make(client, "coach")
    for refused in (
        await client.post(ASSISTANTS, json={"name": "tutor"}),
        await client.patch(f"{ASSISTANTS}/coach", json={"name": "tutor"}),
    ):
        assert (refused.status_code, refused.json()["reason"]) == (409, "ASSISTANT_EXISTS")


async def test_a_collection_that_is_not_there_is_named_when_the_assistant_is_made_or_changed(client: httpx.AsyncClient) -> None:
    await make(client, "tutor")
    for refused in (
        await client.post(ASSISTANTS, json={"name": "coach", "collections": ["nothing"]}),
        await client.patch(f"{ASSISTANTS}/tutor", json={"collections": ["nothing"]}),
    ):
        assert (refused.status_code, refused.json()["reason"]) == (404, "COLLECTION_NOT_FOUND")
    assert "coach" not in await names(client)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("avatar", "https://tracker.example/pixel.png"),
        ("avatar", "data:text/html;base64,PHNjcmlwdD4="),
        ("name", "a/b"),
        ("prompt", "x" * 20_001),
        ("starter_messages", [""]),
        ("visibility", "everybody"),
        ("language", "english"),
    ],
)
async def test_what_an_assistant_cannot_be_is_refused_with_its_field(client: httpx.AsyncClient, field: str, value: object) -> None:
    refused = (await client.post(ASSISTANTS, json={"name": "tutor", field: value})).json()
    assert refused["status"] == 400
    assert refused["errors"][0]["field"].startswith(f"body.{field}")


async def test_a_private_assistant_is_its_owners_and_the_admins(client: httpx.AsyncClient, clients: Clients, world: World) -> None:
    script(world)
    ann = await clients.with_key((await new_key(client, role="member"))["key"])
    bo = await clients.with_key((await new_key(client, role="member"))["key"])
    made = await make(ann, "diary", visibility="private", prompt="CANARY")
    assert "diary" in await names(ann)
    assert "diary" in await names(client)
    assert "CANARY" not in (await bo.get(ASSISTANTS)).text
    for reply in (
        await bo.get(f"{ASSISTANTS}/{made['id']}"),
        await bo.patch(f"{ASSISTANTS}/diary", json={"prompt": "mine"}),
        await bo.delete(f"{ASSISTANTS}/diary"),
        await bo.post(ASK, json={"question": "x", "assistant": made["id"]}),
    ):
        assert (reply.status_code, reply.json()["reason"]) == (404, "ASSISTANT_NOT_FOUND")
    assert (await client.patch(f"{ASSISTANTS}/diary", json={"visibility": "organisation"})).status_code == 200
    assert "diary" in await names(bo)


async def test_only_its_owner_and_admins_change_an_assistant(client: httpx.AsyncClient, clients: Clients) -> None:
    ann = await clients.with_key((await new_key(client, role="member"))["key"])
    bo = await clients.with_key((await new_key(client, role="member"))["key"])
    await make(ann, "tutor")
    for reply in (await bo.patch(f"{ASSISTANTS}/tutor", json={"prompt": "mine"}), await bo.delete(f"{ASSISTANTS}/tutor")):
        assert (reply.status_code, reply.json()["reason"]) == (403, "ROLE_REQUIRED")
    assert (await ann.patch(f"{ASSISTANTS}/tutor", json={"prompt": "mine"})).status_code == 200
    assert (await client.delete(f"{ASSISTANTS}/tutor")).status_code == 204


async def test_no_organisation_sees_or_uses_anothers_assistants(client: httpx.AsyncClient, clients: Clients) -> None:
    umbra = await clients.with_key((await new_organisation(client, "umbra"))["api_key"]["key"])
    made = await make(client, "tutor", prompt="CANARY")
    assert "CANARY" not in (await umbra.get(ASSISTANTS)).text
    for named in ("tutor", made["id"]):
        assert (await umbra.get(f"{ASSISTANTS}/{named}")).status_code == 404
        assert (await umbra.delete(f"{ASSISTANTS}/{named}")).status_code == 404
        assert (await umbra.post(ASK, json={"question": "x", "assistant": named})).status_code == 404
    await make(umbra, "tutor", prompt="ours")


async def test_assistants_are_listed_by_name_page_by_page(client: httpx.AsyncClient) -> None:
    for name in ("zebra", "apple"):
        await make(client, name)
    got: list[str] = []
    token: str | None = ""
    while token is not None:
        page = (await client.get(ASSISTANTS, params={"page_size": 2} | ({"page_token": token} if token else {}))).json()
        got += [item["name"] for item in page["items"]]
        token = page["next_page_token"]
    assert got == ["apple", "comparison", "short-answers", "step-by-step", "zebra"]


async def test_every_organisation_has_the_built_in_assistants_and_none_can_change_them(
    client: httpx.AsyncClient, clients: Clients, world: World
) -> None:
    script(world)
    umbra = await clients.with_key((await new_organisation(client, "umbra"))["api_key"]["key"])
    assert set(await names(client)) == set(await names(umbra)) == BUILT_IN
    for reply in (await client.patch(f"{ASSISTANTS}/comparison", json={"prompt": "x"}), await client.delete(f"{ASSISTANTS}/comparison")):
        assert (reply.status_code, reply.json()["reason"]) == (409, "ASSISTANT_BUILT_IN")
    await make(umbra, "comparison", prompt="ours")
    await umbra.post(ASK, json={"question": "x", "assistant": "comparison"})
    assert world.requests["Answer"][-1].instructions == "ours"
    await client.post(ASK, json={"question": "x", "assistant": "comparison"})
    assert world.requests["Answer"][-1].instructions.startswith("Compare what the passages say.")


async def test_the_built_in_assistants_are_those_of_the_file_at_the_last_start(settings: GatewaySettings, tmp_path: Path) -> None:
    file = tmp_path / "assistants.yaml"
    headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
    seen: list[dict[str, dict[str, Any]]] = []
    for text in ("[{name: tutor, prompt: one}, {name: coach}]", "[{name: tutor, prompt: two}, {name: judge}]", ""):
        file.write_text(text, encoding="utf-8")
        async with (
            serve(settings.model_copy(update={"assistants_file": file})) as gateway,
            httpx.AsyncClient(base_url=gateway.url, headers=headers) as client,
        ):
            seen.append({item["name"]: item for item in (await client.get(ASSISTANTS)).json()["items"]})
    assert [set(each) for each in seen] == [{"tutor", "coach"}, {"tutor", "judge"}, set()]
    assert [each["tutor"]["prompt"] for each in seen[:2]] == ["one", "two"]
    assert seen[0]["tutor"]["id"] == seen[1]["tutor"]["id"]


@pytest.mark.parametrize(
    ("text", "named"),
    [("[{name: tutor, promt: x}]", "promt"), ("[{name: tutor}, {name: tutor}]", "twice"), ("{", "YAML"), ("[{prompt: x}]", "name")],
)
async def test_a_file_that_describes_no_assistants_stops_the_start(
    settings: GatewaySettings, tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "assistants.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(AppError) as raised:
        async with serve(settings.model_copy(update={"assistants_file": file})):
            raise AssertionError("it serves")
    assert raised.value.reason == "ASSISTANTS_FILE_INVALID"
    assert str(file) in raised.value.message
    if named != "YAML":
        assert named in raised.value.message

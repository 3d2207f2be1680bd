"""A conversation over the whole stack: the second question leans on the first, and what is kept stays true."""

from __future__ import annotations

import json
from typing import Any

from lectern_client import Lectern
from lectern_client.models import AskDelta, Message
from tests.e2e.conftest import Organisation, Stack, eventually

HANDBOOK = b"""# Leave

Every employee of Quokkabay has 26 days of annual leave a year.

Up to five unused days of annual leave carry over and lapse on 31 March.

# Bicycles

Bicycles are kept in the shed behind the kitchen.
"""


def test_two_turns_are_kept_and_cite_nothing_that_was_deleted_since(stack: Stack, organisation: Organisation) -> None:
    client = organisation.client
    organisation.create_collection("handbook")
    document = organisation.upload("handbook", "handbook.md", HANDBOOK, wait="true").json()
    chat = "/api/v1/chats/" + client.post("/api/v1/chats", json={}).json()["id"]

    first = client.post(f"{chat}/messages", json={"text": "How many days of annual leave does an employee have?"}).json()
    assert "26 days" in first["answer"]["text"]
    second = client.post(f"{chat}/messages", json={"text": "And how many of them carry over?"}).json()
    assert second["question"]["parent_id"] == first["answer"]["id"]
    assert "five" in second["answer"]["text"]
    assert "condense" in second["answer"]["timings_ms"]

    def reloaded() -> list[dict[str, Any]]:
        return list(client.get(f"{chat}/messages", params={"leaf": second["answer"]["id"]}).json()["items"])

    told = [first["question"], first["answer"], second["question"], second["answer"]]
    assert reloaded() == told
    cited = [citation for message in told for citation in message["citations"]]
    assert cited
    assert {citation["document_id"] for citation in cited} == {document["id"]}
    eventually(lambda: bool(client.get(chat).json()["title"]), seconds=60, what="the chat has a title")

    assert client.delete(f"/api/v1/documents/{document['id']}").status_code == 200
    after = reloaded()
    assert [message["text"] for message in after] == [message["text"] for message in told]
    for citation in (citation for message in after for citation in message["citations"]):
        assert (citation["available"], citation["quote"], citation["document_name"]) == (False, "", "")
    assert all(message["hits"] == [] for message in after)

    key = client.headers["Authorization"].removeprefix("Bearer ")
    with Lectern(stack.url, key) as lectern:
        events = list(lectern.chats.stream(chat.rpartition("/")[2], "Where are they kept?", parent=second["answer"]["id"]))
        last = events[-1]
        assert isinstance(last, Message)
        assert last == lectern.chats.message(last.chat_id, last.id)
        assert last.text == "".join(event.text for event in events if isinstance(event, AskDelta))
        assert list(lectern.chats.watch(last.chat_id, last.id))[-1] == last
    ran = stack.lectern("chat", "--url", stack.url, "--key", key, "--chat", chat.rpartition("/")[2], "-m", "And bicycles?", "--json")
    assert json.loads(ran.stdout)["question"]["parent_id"] == last.id

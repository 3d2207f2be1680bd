from __future__ import annotations

import httpx

from lectern.ingestor.v1 import passages_pb2
from tests.contract.gateway.back_services import World


async def test_a_passage_is_read_with_what_stands_around_it(client: httpx.AsyncClient, world: World) -> None:
    passage = passages_pb2.Passage(
        passage_id="p1", document_id="d1", text="Text.", page=2, start=10, end=15, headings=["A", "B"], anchor="b"
    )
    world.passages["p1"] = passage
    alone = (await client.get("/api/v1/passages/p1")).json()
    assert (alone["text"], alone["page"], alone["headings"], alone["anchor"]) == ("Text.", 2, ["A", "B"], "b")
    assert (alone["before"], alone["after"]) == ([], [])
    around = (await client.get("/api/v1/passages/p1?before=2&after=1")).json()
    assert (len(around["before"]), len(around["after"])) == (2, 1)
    assert around["before"][0]["text"] == "Text."


async def test_as_many_passages_are_read_on_each_side_as_are_asked_for(client: httpx.AsyncClient, world: World) -> None:
    world.passages["p1"] = passages_pb2.Passage(passage_id="p1", text="Text.")
    for parameters, counts in (("around=3", (3, 3)), ("around=3&after=0", (3, 0)), ("around=3&before=1&after=2", (1, 2))):
        got = (await client.get(f"/api/v1/passages/p1?{parameters}")).json()
        assert (len(got["before"]), len(got["after"])) == counts
    for parameters in ("around=21", "around=-1", "around=some"):
        assert (await client.get(f"/api/v1/passages/p1?{parameters}")).status_code == 400

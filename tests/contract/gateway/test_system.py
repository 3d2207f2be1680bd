from __future__ import annotations

import httpx
import pytest

from gateway.server import serve
from gateway.settings import GatewaySettings
from tests.contract.gateway.conftest import OPERATOR_KEY, Back


async def test_a_gateway_with_everything_there_is_ready(client: httpx.AsyncClient) -> None:
    response = await client.get("/readyz", headers={"Authorization": ""})
    dependencies = {name: {"state": "ready"} for name in ("accounts", "ingestor", "embedder", "generator")}
    assert (response.status_code, response.json()) == (200, {"status": "ready", "dependencies": dependencies})


async def test_a_gateway_without_one_part_is_alive_but_not_ready(settings: GatewaySettings, back: Back) -> None:
    lonely = settings.model_copy(update={"generator_target": "127.0.0.1:1"})
    async with serve(lonely) as gateway, httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/healthz")).status_code == 200
        response = await client.get("/readyz")
    states = {name: part["state"] for name, part in response.json()["dependencies"].items()}
    assert response.status_code == 503
    assert states == {"accounts": "ready", "ingestor": "ready", "embedder": "ready", "generator": "unavailable"}


async def test_a_part_that_says_it_cannot_serve_is_not_ready(client: httpx.AsyncClient, back: Back) -> None:
    ready = False
    await back.server.health.set_serving(ready, "lectern.embedder.v1.IndexService")
    assert (await client.get("/readyz")).status_code == 503


async def test_measurements_name_routes_and_no_ids(client: httpx.AsyncClient) -> None:
    await client.get("/api/v1/collections/a-very-private-name")
    await client.get("/api/v1/nowhere/a-very-private-name")
    page = (await client.get("/metrics")).text
    assert 'lectern_http_ended_total{method="GET",route="/api/v1/collections/{collection}",status="404"}' in page
    assert 'route="unmatched"' in page
    assert "a-very-private-name" not in page


async def test_models_are_listed(client: httpx.AsyncClient) -> None:
    embedding = (await client.get("/api/v1/embedding-models")).json()
    assert (embedding["current_model"], embedding["items"][0]["state"]) == ("minilm", "READY")
    language = (await client.get("/api/v1/llm-models")).json()
    assert language == {"items": [{"name": "extractive", "engine": "extractive"}], "default_model": "extractive"}


async def test_the_front_page_says_where_the_documentation_is(client: httpx.AsyncClient) -> None:
    welcome = (await client.get("/", headers={"Authorization": ""})).json()
    page = await client.get(welcome["documentation"], headers={"Authorization": ""})
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "://" not in page.text
    assert (await client.get(welcome["openapi"])).json()["info"]["title"] == "Lectern"


async def test_no_key_and_no_query_is_in_the_log(client: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]) -> None:
    await client.post("/api/v1/search", json={"query": "a very private question"})
    await client.get("/api/v1/collections?page_token=a-very-private-token")
    out, err = capfd.readouterr()
    assert "request_ended" in out + err
    for secret in (OPERATOR_KEY, "private"):
        assert secret not in out + err

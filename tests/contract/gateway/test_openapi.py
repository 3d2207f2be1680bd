"""Every operation of the OpenAPI document, so that a route that is yet to come is covered by itself."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

PUBLIC = {("GET", "/"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}
BAD_TOKENS = [
    "",
    "Bearer",
    "Bearer nonsense",
    "Basic b3BlcmF0b3I6eA==",
    "Bearer lk_operator1_" + "x" * 40,
    "Bearer lk_nobody77_" + "s" * 40,
]


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    made: dict[str, Any] = (await client.get("/openapi.json")).json()
    return made


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method.upper(), path, operation) for path, methods in document["paths"].items() for method, operation in methods.items()]


def filled(path: str) -> str:
    return re.sub(r"{\w+}", "some-id", path)


def reason(response: httpx.Response) -> str:
    """Why a request was refused, whose shape depends on whose clients call the route."""
    if response.request.url.path.startswith("/v1/"):
        assert response.headers["Content-Type"] == "application/json"
        return str(response.json()["error"]["code"]).upper()
    assert response.headers["Content-Type"] == "application/problem+json"
    return str(response.json()["reason"])


async def test_every_operation_but_the_public_ones_needs_a_key(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    found = operations(document)
    assert len(found) > 30
    assert {(method, path) for method, path, operation in found if operation["security"] == []} == PUBLIC
    for method, path, _ in found:
        if (method, path) in PUBLIC:
            assert (await client.request(method, path, headers={"Authorization": ""})).status_code == 200, path
            continue
        for token in BAD_TOKENS:
            response = await client.request(method, filled(path), headers={"Authorization": token}, content=b"{")
            assert response.status_code == 401, (method, path, token)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert reason(response) in {"API_KEY_MISSING", "API_KEY_INVALID"}


async def test_no_operation_answers_nonsense_with_a_500(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        content = b'{"nonsense": [1]}' if "requestBody" in operation else None
        headers = {"Content-Type": "application/json"} if content else {}
        response = await client.request(method, filled(path), content=content, headers=headers)
        assert response.status_code < 500, (method, path, response.text)
        documented = set(operation["responses"])
        assert str(response.status_code) in documented, (method, path, response.status_code)


async def test_every_operation_reads_well(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert set(operation["tags"]) <= tags
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (method, path, parameter["name"])


async def test_every_error_is_documented_as_a_problem_or_in_openais_shape(document: dict[str, Any]) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    openai = {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}}
    for method, path, operation in operations(document):
        errors = {status: response for status, response in operation["responses"].items() if int(status) >= 400}
        keyed = any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ()))
        assert ("422" in errors) == keyed, (method, path)  # what is wrong with a request itself is a 400
        assert "500" in errors
        if (method, path) not in PUBLIC:
            assert {"400", "401", "403", "429", "503", "504"} <= set(errors), (method, path)
        for status, response in errors.items():
            if (path, status) != ("/readyz", "503"):
                assert response["content"] == (openai if path.startswith("/v1/") else problem), (method, path, status)


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            return {value for key, value in part.items() if key == "$ref"} | {one for value in part.values() for one in references(value)}
        return {one for value in part for one in references(value)} if isinstance(part, list) else set()

    found = references(document)
    assert found
    for reference in found:
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in document["components"][kind]


async def test_the_bodies_that_are_no_json_are_documented(document: dict[str, Any]) -> None:
    upload = document["paths"]["/api/v1/collections/{collection}/documents"]["post"]["requestBody"]["content"]
    assert set(upload) == {"multipart/form-data", "application/json"}
    batch = document["paths"]["/api/v1/collections/{collection}/documents:batch"]["post"]["requestBody"]["content"]
    assert set(batch) == {"application/x-ndjson"}

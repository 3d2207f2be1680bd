"""The OpenAPI document: what FastAPI writes, made true and complete where it cannot know."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.http import idempotency
from gateway.http.authentication import PROTECTED
from gateway.http.openai_errors import OPENAI_PREFIX, OpenAIError
from gateway.http.problems import MEDIA_TYPE, Problem
from gateway.schemas.documents import DocumentInput
from gateway.schemas.messages import AnswerMetadata

DESCRIPTION: Final = """
Takes in documents and answers questions over them with evidence.

* **Authentication**: `Authorization: Bearer lk_…`. `POST /api/v1/api-keys` makes keys.
* **Errors** are `application/problem+json` (RFC 9457): switch on `reason`, show `detail`, quote `request_id`.
  `Retry-After` says when to try again. Under `/v1/`, which OpenAI's clients call, they have OpenAI's shape instead.
* **Retries**: a POST that makes something takes the header `Idempotency-Key`. For 24 hours the same key with the same request gets the
  first reply again, so that a request whose reply was lost can be sent again without doing its work twice.
* **Lists** take `page_size` and `page_token` and return `items` and `next_page_token`.
* **Streams** are server-sent events with names, and comments in between that keep the connection awake.
* Every response has the header `X-Request-Id`, under which every service logs the request; send your own to follow it.
"""
TAGS: Final = [
    {"name": "search", "description": "Find passages."},
    {"name": "ask", "description": "Answers that cite passages."},
    {"name": "assistants", "description": "A prompt, collections and a model, under a name that questions can be put to."},
    {"name": "chats", "description": "Conversations, the trees of their messages, folders, and what their users have chosen."},
    {"name": "collections", "description": "Named sets of documents."},
    {"name": "documents", "description": "What was taken in, and what became of it."},
    {"name": "jobs", "description": "Work that outlives the request that asked for it."},
    {"name": "passages", "description": "The pieces of documents that searches find and answers cite."},
    {"name": "models", "description": "What can embed and what can answer."},
    {"name": "openai", "description": "What OpenAI's own clients can call: give them this address with `/v1` and an API key."},
    {"name": "index", "description": "The vector index, a projection of the documents."},
    {"name": "accounts", "description": "Organisations and their API keys."},
    {"name": "system", "description": "Health and measurements; without authentication."},
]
_COMMON: Final = {500: "Something went wrong on our side."}
_PROTECTED: Final = {
    400: "The request is wrong.",
    401: "The API key is missing or not accepted.",
    403: "The API key may not do this.",
    429: "A queue is full.",
    503: "A part does not answer.",
    504: "A part did not answer in time.",
}
_WITH_BODY: Final = {408: "The body stopped coming.", 413: "The body is too large.", 415: "The body has a type that is not taken here."}
_WITH_NAME: Final = {404: "There is no such resource, or none that the key may know of."}
_WITH_KEY: Final = {
    409: "The request with this Idempotency-Key is still in work.",
    422: "The Idempotency-Key came with another request before.",
}
_IDEMPOTENCY_KEY: Final = {
    "name": idempotency.HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": idempotency.MAX_KEY_CHARS},
    "description": "A new one for each request, a UUID for example; the same one when the request is sent again.",
    "example": "6f1e0c52-6a7c-4f7e-9a53-0d7f6b1f3a0e",
}
_SUCCESS: Final = {"200": "As asked.", "201": "Made.", "202": "Safely taken in; the work goes on.", "204": "Done."}
_CREATED: Final = frozenset({"201", "202"})
_PROBLEM: Final = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_OPENAI_ERROR: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of ``app``; made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, tags=TAGS, routes=app.routes)
        _complete_components(made["components"])
        for path, operation in operations(made):
            _complete(path, operation)
        for methods in made["paths"].values():
            if "post" in methods and _CREATED & methods["post"]["responses"].keys():
                _take_idempotency_key(methods["post"])
        app.openapi_schema = made
    return app.openapi_schema


def _take_idempotency_key(operation: dict[str, Any]) -> None:
    operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
    for status, description in _WITH_KEY.items():
        response = operation["responses"].setdefault(str(status), {"description": description, "content": _PROBLEM})
        if description not in response["description"]:
            response["description"] += f" Or: {description}"
    operation["responses"] = dict(sorted(operation["responses"].items()))


def operations(made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation of an OpenAPI document, with its path."""
    for path, methods in made["paths"].items():
        for operation in methods.values():
            yield path, operation


def _complete_components(components: dict[str, Any]) -> None:
    schemas = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)  # we answer with Problem instead
    for model in (Problem, OpenAIError, DocumentInput, AnswerMetadata):
        mode: Literal["validation", "serialization"] = "validation" if model is DocumentInput else "serialization"
        schema = model.model_json_schema(mode=mode, ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    components["securitySchemes"] = {"apiKey": {"type": "http", "scheme": "bearer", "description": "An API key: `lk_<prefix>_<secret>`."}}


def _complete(path: str, operation: dict[str, Any]) -> None:
    protected = path.startswith(PROTECTED)
    operation["security"] = [{"apiKey": []}] if protected else []
    responses = operation["responses"]
    responses.pop("422", None)
    for code, meaning in _SUCCESS.items():
        if responses.get(code, {}).get("description") == "Successful Response":
            responses[code]["description"] = meaning
    expected = dict(_COMMON)
    if protected:
        expected |= _PROTECTED
    if "requestBody" in operation:
        expected |= _WITH_BODY
    if "{" in path:
        expected |= _WITH_NAME
    for status, description in expected.items():
        responses.setdefault(str(status), {"description": description})
    for status, response in responses.items():
        if int(status) >= HTTPStatus.BAD_REQUEST and "content" not in response:
            response["content"] = _OPENAI_ERROR if path.startswith(OPENAI_PREFIX) else _PROBLEM
    operation["responses"] = dict(sorted(responses.items()))

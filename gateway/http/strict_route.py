"""Routes that take JSON strictly and no query parameter that they do not know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from gateway.domain import strict_json
from gateway.errors import nearest, unsupported_media_type
from gateway.http import idempotency
from gateway.http.problems import validation_error
from shared.errors import AppError, FieldViolation, Status

JSON: Final = "application/json"
# Parsing this much takes a few milliseconds; more goes to a thread.
_INLINE_BYTES: Final = 256 * 1024
Body = TypeVar("Body", bound=BaseModel)
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """FastAPI's route, with the body parsed by `strict_json` and unknown query parameters refused.

    A route that creates something heeds the header Idempotency-Key.
    """

    def get_route_handler(self) -> _Handler:
        handle = super().get_route_handler()
        known = list(_query_names(self.dependant))
        takes_json = self.body_field is not None
        creates = idempotency.creates(self.methods, self.status_code)

        async def parsed(request: Request) -> Response:
            return await handle(await _parsed(request) if takes_json else request)

        async def strict(request: Request) -> Response:
            _refuse_unknown_parameters(request, known)
            return await (idempotency.once(request, parsed) if creates else parsed(request))

        return strict


async def read_json(request: Request, model: type[Body]) -> Body:
    """The body as ``model``, for routes that take more than JSON.

    Raises:
        AppError: what `strict_json.parse` raises, or INVALID_REQUEST.
    """
    try:
        return model.model_validate(await _parse(await request.body()))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise validation_error([{**fault, "loc": ("body", *fault["loc"])} for fault in faults]) from None


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


class _ParsedRequest(Request):
    """A request whose body has been read and parsed."""

    def __init__(self, request: Request, raw: bytes, value: strict_json.JsonValue) -> None:
        super().__init__(request.scope, request.receive)
        self._raw = raw
        self._value = value

    async def body(self) -> bytes:
        return self._raw

    async def json(self) -> Any:
        return self._value


async def _parsed(request: Request) -> Request:
    body = await request.body()
    if not body:
        return _ParsedRequest(request, b"", None)
    given = media_type(request)
    if given != JSON and not given.endswith("+json"):
        raise unsupported_media_type(given, wanted=JSON)
    return _ParsedRequest(request, body, await _parse(body))


async def _parse(body: bytes) -> strict_json.JsonValue:
    if len(body) <= _INLINE_BYTES:
        return strict_json.parse(body)
    return await asyncio.to_thread(strict_json.parse, body)


def _query_names(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for needed in dependant.dependencies:
        yield from _query_names(needed)


def _refuse_unknown_parameters(request: Request, known: list[str]) -> None:
    for name in request.query_params:
        if name not in known:
            hint = f"the nearest is {nearest(name, known)!r}" if known else "this route takes none"
            message = f"There is no query parameter {name!r}; {hint}."
            violation = FieldViolation(f"query.{name}", message)
            raise AppError("INVALID_REQUEST", Status.INVALID_ARGUMENT, message, violations=(violation,))

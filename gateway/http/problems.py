"""Errors as RFC 9457 problem+json, and to OpenAI's clients in OpenAI's shape."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import CLIENT_CLOSED_REQUEST, http_status
from gateway.http.openai_errors import OPENAI_PREFIX, OpenAIError, openai_error
from shared.errors import AppError, FieldViolation, Status
from shared.request_id import current_request_id
from shared.rpc.status import INTERNAL_MESSAGE

log = structlog.get_logger()
MEDIA_TYPE: Final = "application/problem+json"
_ROUTING: Final = {
    HTTPStatus.NOT_FOUND: ("ROUTE_NOT_FOUND", "There is no such route. /docs lists those that there are."),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "METHOD_NOT_ALLOWED",
        "This route does not take that method; the header Allow names those it takes.",
    ),
}


class FieldProblem(BaseModel):
    """One part of the request that is wrong."""

    field: str = Field(description="Where it stands: `body.filter.type`, `query.page_size`, `line 17`.")
    message: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """An error, as RFC 9457 has it. Programmes switch on `reason`, people read `detail`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "There is no collection 'handbook'.",
                    "reason": "COLLECTION_NOT_FOUND",
                    "request_id": "5f0c6d7d3f0b4bb0a6a5cf5f3f9d6a11",
                    "errors": [],
                    "metadata": {"collection": "handbook"},
                },
            ],
        },
    )

    type: str = Field(default="about:blank", description="Always `about:blank`: `reason` says more than a URI would.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong and how to mend it, for people.")
    reason: str = Field(description="Stable code, in UPPER_SNAKE.")
    request_id: str = Field(description="The request's id; every log line about it carries it.")
    errors: list[FieldProblem] = Field(default_factory=list, description="The parts of the request that are wrong.")
    metadata: dict[str, str] = Field(default_factory=dict, description="Further facts by name.")


def problem_of(error: AppError) -> Problem:
    status = http_status(error)
    return Problem(
        title=_title(status),
        status=status,
        detail=error.message,
        reason=error.reason,
        request_id=current_request_id(),
        errors=[FieldProblem(field=violation.field, message=violation.description) for violation in error.violations],
        metadata=dict(error.metadata),
    )


def error_response(scope: Scope, error: AppError) -> Response:
    """The response that tells ``error`` to whoever sent the request of ``scope``."""
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    if error.status is Status.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = 'Bearer realm="lectern"'
    return _response(scope, problem_of(error), headers)


def _response(scope: Scope, problem: Problem, headers: Mapping[str, str] | None) -> Response:
    if scope["path"].startswith(OPENAI_PREFIX):
        return Response(_openai(problem).model_dump_json(), status_code=problem.status, headers=headers, media_type="application/json")
    return Response(problem.model_dump_json(), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


def _openai(problem: Problem) -> OpenAIError:
    field = problem.errors[0].field if problem.errors else None
    return openai_error(problem.status, problem.detail, problem.reason, field)


async def handle(request: Request, error: Exception) -> Response:
    """The response to whatever a route raised."""
    if isinstance(error, HTTPException):
        return _response(request.scope, _routing_problem(error), error.headers)
    return error_response(request.scope, to_app_error(error))


def to_app_error(error: Exception) -> AppError:
    """What a caller may know of ``error``; what they may not is logged here."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, RequestValidationError):
        return validation_error(error.errors())
    log.error("request_failed", exc_info=error)
    return AppError("INTERNAL", Status.INTERNAL, INTERNAL_MESSAGE)


def validation_error(faults: Any) -> AppError:
    """INVALID_REQUEST with every fault that pydantic found."""
    violations = tuple(_violation(fault) for fault in faults)
    detail = "; ".join(f"{violation.field}: {violation.description}" for violation in violations[:3])
    return AppError("INVALID_REQUEST", Status.INVALID_ARGUMENT, f"The request is not as it should be. {detail}", violations=violations)


def _violation(fault: Mapping[str, Any]) -> FieldViolation:
    place = ".".join(str(part) for part in fault["loc"])
    unknown = fault.get("ctx", {}).get("unknown_field")
    return FieldViolation(f"{place}.{unknown}" if unknown else place, str(fault["msg"]).removeprefix("Value error, "))


def _routing_problem(error: HTTPException) -> Problem:
    status = HTTPStatus(error.status_code)
    reason, detail = _ROUTING.get(status, (status.name, error.detail))
    return Problem(title=status.phrase, status=status, detail=detail, reason=reason, request_id=current_request_id())


def _title(status: int) -> str:
    return "Client Closed Request" if status == CLIENT_CLOSED_REQUEST else HTTPStatus(status).phrase


class ProblemMiddleware:
    """Answers what the middlewares inside of it raise, and what no handler expected."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            log.info("client_left")
        except Exception as error:  # noqa: BLE001  # the last wall: whatever it is, the caller gets a problem and we a traceback
            response = error_response(scope, to_app_error(error))
            if not started:  # otherwise the server cuts the connection, which tells the client that the body is not whole
                await response(scope, receive, send)


def event_data(error: Exception) -> str:
    """The problem as the data of an `error` event."""
    return json.dumps(problem_of(to_app_error(error)).model_dump(mode="json"), ensure_ascii=False)


def openai_event_data(error: Exception) -> str:
    """The error in OpenAI's shape, as the data of an event."""
    return _openai(problem_of(to_app_error(error))).model_dump_json()

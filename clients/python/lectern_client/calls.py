"""Calls as values: what to send and how to read the answer. The blocking and the asynchronous client share everything here."""

from __future__ import annotations

import importlib.metadata
import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from lectern_client.errors import ApiError, FieldError, ProtocolError, TimedOutError, UnreachableError

Result = TypeVar("Result")
Model = TypeVar("Model", bound=BaseModel)
API = "/api/v1"
# The server says that it did nothing: the same request may be sent again whatever it was.
REFUSED_FOR_NOW = frozenset({429, 503})
# A later request may succeed, though this one may have had an effect.
TEMPORARY = REFUSED_FOR_NOW | {502, 504}
# The server is still at work on an earlier attempt, and will have its reply.
_IN_WORK = "REQUEST_IN_WORK"
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One request.

    Attributes:
        path: below the server's address, already quoted.
        parse: turns the JSON of a successful answer into the result.
        open_body: gives httpx's arguments for a body that is streamed; opened anew for each attempt.
        repeatable: whether sending it twice has the effect of sending it once, so that it may be sent again after a broken connection.
        replayable: whether the body can be made a second time.
        headers: beside those that every request carries.
        read_seconds: how long to wait for more of the answer.
    """

    method: str
    path: str
    parse: Callable[[Any], Result]
    query: Mapping[str, str | int | bool | None] = field(default_factory=dict)
    json: Any = None
    open_body: Callable[[], AbstractContextManager[dict[str, Any]]] | None = None
    repeatable: bool = True
    replayable: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    read_seconds: float = 60.0

    def arguments(self, *, stream: bool) -> dict[str, Any]:
        """What httpx takes, apart from a streamed body; ``stream`` asks for events."""
        query = {name: _text(value) for name, value in self.query.items() if value is not None}
        timeout = httpx.Timeout(connect=5.0, read=self.read_seconds, write=60.0, pool=None)
        arguments: dict[str, Any] = {"method": self.method, "url": self.path, "params": query, "timeout": timeout}
        if self.json is not None:
            arguments["json"] = self.json
        accept = {"accept": "text/event-stream"} if stream else {}
        arguments["headers"] = {**self.headers, **accept}
        return arguments

    def result(self, response: httpx.Response) -> Result:
        """Read a complete, successful answer.

        Raises:
            ProtocolError: it is no answer of a Lectern server.
        """
        if not response.content:
            return self.parse(None)
        try:
            return self.parse(response.json())
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            raise ProtocolError(f"{response.request.url} answered something unexpected: {error}") from error


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """For how long a call is sent again, and how long to wait in between.

    Attributes:
        patience_seconds: no call is sent again when this much time has gone by since it was first; 0 never sends twice.
        connect_patience_seconds: the same where nobody listens at the address; None: as long as for anything else.
    """

    patience_seconds: float = 20.0
    connect_patience_seconds: float | None = None

    def pause_before_next(self, call: Call[Any], attempt: int, elapsed_seconds: float, error: Exception) -> float | None:
        """Seconds to wait before ``call`` is sent again; None when it must not be.

        Args:
            call: what was sent.
            attempt: how often it was sent, from 1.
            elapsed_seconds: time since it was first sent.
            error: how the last attempt ended.
        """
        if not call.replayable or not _may_repeat(call, error):
            return None
        longest: float = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 1, 10), _LONGEST_PAUSE_SECONDS)
        pause = random.uniform(longest / 2, longest)  # noqa: S311  # spreads callers, keeps no secret
        asked = error.retry_after_seconds if isinstance(error, ApiError) else None
        pause = max(pause, asked or 0.0)
        return pause if elapsed_seconds + pause <= self._patience_after(error) else None

    def _patience_after(self, error: Exception) -> float:
        nobody_there = isinstance(error, httpx.ConnectError) and self.connect_patience_seconds is not None
        return self.connect_patience_seconds or 0.0 if nobody_there else self.patience_seconds


def _may_repeat(call: Call[Any], error: Exception) -> bool:
    if isinstance(error, ApiError):
        return error.status in REFUSED_FOR_NOW or error.reason == _IN_WORK
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return True  # nothing was sent
    return isinstance(error, httpx.TransportError) and call.repeatable and not isinstance(error, httpx.ReadTimeout)


ListCall = Call[tuple[list[Model], str]]


def headers(api_key: str | None) -> dict[str, str]:
    """What every request carries."""
    authorization = {"authorization": f"Bearer {api_key}"} if api_key else {}
    return {"user-agent": f"lectern-python/{version()}", "accept": "application/json", **authorization}


def version() -> str:
    """The installed version of this library."""
    return importlib.metadata.version("lectern")


def translate(error: Exception, url: str) -> Exception:
    """Our error for one of httpx's; any other as it is."""
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return TimedOutError(f"{url} did not answer in time.")
    if isinstance(error, httpx.HTTPError):
        return UnreachableError(url, str(error) or type(error).__name__)
    return error


def part(value: str) -> str:
    """``value`` as one segment of a path."""
    return quote(value, safe="")


def model(kind: type[Model], key: str | None = None) -> Callable[[Any], Model]:
    """A parser for one ``kind``, at ``key`` of the answer or the whole of it."""
    return lambda value: kind.model_validate(value if key is None else value[key])


def api_error(response: httpx.Response) -> ApiError:
    """The error that a refused request means. The response must have been read."""
    try:
        problem = response.json()
        if not isinstance(problem, dict):
            problem = {}
    except ValueError:
        problem = {}
    return problem_error(problem, response.status_code, headers=response.headers)


def problem_error(problem: Mapping[str, Any], status: int, *, headers: Mapping[str, str] | None = None) -> ApiError:
    """The error that a problem document (RFC 9457) describes."""
    headers = headers or {}
    fields = [
        FieldError(str(entry.get("field", "")), str(entry.get("message", entry.get("description", ""))))
        for entry in problem.get("errors") or ()
        if isinstance(entry, dict)
    ]
    return ApiError(
        int(problem.get("status", status)),
        str(problem.get("reason") or f"HTTP_{status}"),
        str(problem.get("detail") or problem.get("title") or f"The server answered {status} without a reason."),
        request_id=str(problem.get("request_id") or headers.get("x-request-id", "")),
        errors=fields,
        retry_after_seconds=_seconds(headers.get("retry-after")),
    )


def event_json(data: str) -> dict[str, Any]:
    """The JSON object of an event.

    Raises:
        ProtocolError: it is none.
    """
    try:
        value = json.loads(data)
    except ValueError as error:
        raise ProtocolError(f"An event is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ProtocolError("An event is not a JSON object.")
    return value


def pages(answer: Any) -> tuple[list[Any], str]:
    """The items of one page of a list, and the token of the next; empty on the last."""
    return answer["items"], answer.get("next_page_token") or ""


def list_of(kind: type[Model], path: str, /, **query: str | int | None) -> Callable[[str], ListCall[Model]]:
    """Makes the call for the page that a token names."""
    return lambda token: Call("GET", path, _page_of(kind), query={**query, "page_token": token or None})


def found_of(kind: type[Model], path: str, body: Mapping[str, Any]) -> Callable[[str], ListCall[Model]]:
    """Makes the call for the page that a token names, of a list that is asked for by a body."""
    return lambda token: Call("POST", path, _page_of(kind), json={**body, **given(page_token=token or None)})


def _page_of(kind: type[Model]) -> Callable[[Any], tuple[list[Model], str]]:
    def parse(answer: Any) -> tuple[list[Model], str]:
        items, token = pages(answer)
        return [kind.model_validate(item) for item in items], token

    return parse


def given(**values: Any) -> dict[str, Any]:
    """Those of ``values`` that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def once() -> dict[str, str]:
    """The header under which the server does a request once, however often it is sent."""
    return {"idempotency-key": str(uuid4())}


def ndjson(entries: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
    for entry in entries:
        yield json.dumps(entry, ensure_ascii=False).encode() + b"\n"


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None  # a date, which our server never sends


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

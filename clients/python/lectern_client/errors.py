"""What calls raise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class LecternError(Exception):
    """Any error of this library."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field of a request that is wrong, and how to mend it."""

    field: str
    message: str


class ApiError(LecternError):
    """The server refused a request or failed at it.

    Attributes:
        status: HTTP status; 200 when a stream that had begun well failed.
        reason: stable UPPER_SNAKE code that programmes may switch on.
        message: what is wrong and how to mend it, for people.
        request_id: finds the request in the server's logs; empty when the server gave none.
        errors: the fields that are wrong, when the request is.
        retry_after_seconds: when the server asks to be tried again; None when it doesn't say.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        request_id: str = "",
        errors: Sequence[FieldError] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.request_id = request_id
        self.errors = tuple(errors)
        self.retry_after_seconds = retry_after_seconds


class UnreachableError(LecternError):
    """No connection to the server could be made, or it broke.

    Attributes:
        url: the server's address.
    """

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"{url} does not answer: {cause}")
        self.url = url


class TimedOutError(LecternError):
    """The server did not answer within the time that the call had."""


class ProtocolError(LecternError):
    """What came back is not what a Lectern server sends; the address may belong to another programme."""

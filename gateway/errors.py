"""The gateway's own errors, and the HTTP status of every error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from shared.errors import AppError, Status, invalid_argument

# nginx's status for a client that left; nobody reads it, but the log does.
CLIENT_CLOSED_REQUEST: Final = 499

_HTTP: Final[dict[Status, int]] = {
    Status.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    Status.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    Status.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Status.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    Status.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Status.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    Status.FAILED_PRECONDITION: HTTPStatus.CONFLICT,
    Status.ABORTED: HTTPStatus.CONFLICT,
    Status.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    Status.CANCELLED: CLIENT_CLOSED_REQUEST,
    Status.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    Status.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Status.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    Status.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Status.DATA_LOSS: HTTPStatus.INTERNAL_SERVER_ERROR,
    Status.UNKNOWN: HTTPStatus.INTERNAL_SERVER_ERROR,
}
# HTTP tells these apart where gRPC has only INVALID_ARGUMENT.
_HTTP_BY_REASON: Final[dict[str, int]] = {
    "BODY_TOO_LARGE": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "BODY_TIMEOUT": HTTPStatus.REQUEST_TIMEOUT,
    "UNSUPPORTED_MEDIA_TYPE": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "IDEMPOTENCY_KEY_REUSED": HTTPStatus.UNPROCESSABLE_ENTITY,
}


def http_status(error: AppError) -> int:
    return _HTTP_BY_REASON.get(error.reason, _HTTP[error.status])


def unauthenticated(reason: str, message: str) -> AppError:
    return AppError(reason, Status.UNAUTHENTICATED, message)


def role_required(role: str) -> AppError:
    return AppError("ROLE_REQUIRED", Status.PERMISSION_DENIED, f"This needs an API key with the role {role}.", metadata={"role": role})


def chat_read_only(chat_id: str) -> AppError:
    message = "Somebody else shares this chat: it can be read, and nothing can be written to it. Ask in a chat of your own."
    return AppError("CHAT_READ_ONLY", Status.PERMISSION_DENIED, message, metadata={"chat": chat_id})


def not_an_answer(message_id: str) -> AppError:
    message = "This message is no answer. Name the answer that you mean; a question follows one, and only answers are rated or made again."
    return AppError("NOT_AN_ANSWER", Status.FAILED_PRECONDITION, message, metadata={"message": message_id})


def socket_unauthenticated() -> AppError:
    return unauthenticated("API_KEY_MISSING", 'Send {"type": "AUTH", "key": "lk_…"} as the first frame, as soon as the socket is open.')


def socket_authenticated() -> AppError:
    message = "This socket has its key. Open another one for another key."
    return AppError("SOCKET_AUTHENTICATED", Status.FAILED_PRECONDITION, message)


def socket_busy() -> AppError:
    message = "The answer before is still being written. Wait for its end, or stop it with ANSWER_STOP."
    return AppError("ANSWER_IN_WORK", Status.FAILED_PRECONDITION, message)


def socket_idle() -> AppError:
    return AppError("SOCKET_IDLE", Status.DEADLINE_EXCEEDED, "Nothing was asked for a long time. Open the socket again to ask.")


def answer_in_work() -> AppError:
    message = "The answer before is still being written. Wait for its end, or stop it with `:stop`."
    return AppError("ANSWER_IN_WORK", Status.FAILED_PRECONDITION, message)


def answer_failed(message_id: str, reason: str) -> AppError:
    message = "This answer could not be completed. Make it again with `:regenerate`."
    return AppError(reason, Status.UNAVAILABLE, message, metadata={"message_id": message_id})


def internal() -> AppError:
    return AppError("INTERNAL", Status.INTERNAL, "Something went wrong on our side. Ask again; the log has it under the request's id.")


def gateway_stopping() -> AppError:
    return AppError("GATEWAY_STOPPING", Status.UNAVAILABLE, "The gateway is stopping. Ask again.", retry_after_seconds=1.0)


def body_too_large(limit_bytes: int) -> AppError:
    message = f"The body is larger than {limit_bytes:,} bytes. Send less, or send it in parts."
    return AppError("BODY_TOO_LARGE", Status.INVALID_ARGUMENT, message, metadata={"limit_bytes": str(limit_bytes)})


def body_timeout(seconds: float) -> AppError:
    message = f"Nothing of the body came for {seconds:g} s. Send it again."
    return AppError("BODY_TIMEOUT", Status.INVALID_ARGUMENT, message)


def unsupported_media_type(given: str, *, wanted: str) -> AppError:
    named = f"{given!r} is not taken here" if given else "The request has no Content-Type"
    return AppError("UNSUPPORTED_MEDIA_TYPE", Status.INVALID_ARGUMENT, f"{named}. Send Content-Type: {wanted}.")


def invalid_json(what: str) -> AppError:
    return invalid_argument("INVALID_JSON", f"The body is not JSON as RFC 8259 has it: {what}.")


def invalid_encoding(where: str) -> AppError:
    return invalid_argument("INVALID_ENCODING", f"The {where} is not valid UTF-8.")


def nul_character(where: str) -> AppError:
    return invalid_argument("NUL_CHARACTER", f"The {where} has a NUL character (U+0000), which no store can keep.", field=where)


def idempotency_key_invalid(max_chars: int) -> AppError:
    message = f"An Idempotency-Key has 1 to {max_chars} printable ASCII characters; a UUID does well."
    return invalid_argument("IDEMPOTENCY_KEY_INVALID", message, field="header.Idempotency-Key")


def idempotency_key_reused() -> AppError:
    return invalid_argument(
        "IDEMPOTENCY_KEY_REUSED",
        "This Idempotency-Key came with another request before. Send a new key with a new request, and the old request unchanged.",
        field="header.Idempotency-Key",
    )


def idempotency_key_on_stream() -> AppError:
    message = "A stream is not kept under an Idempotency-Key. Leave the header out, and when the stream breaks read its events again."
    return invalid_argument("IDEMPOTENCY_KEY_ON_STREAM", message, field="header.Idempotency-Key")


def request_in_work() -> AppError:
    message = "The request with this Idempotency-Key is still in work. Send it again in a second to get its reply."
    return AppError("REQUEST_IN_WORK", Status.ABORTED, message, retry_after_seconds=1.0)


def gateway_busy() -> AppError:
    return AppError(
        "GATEWAY_BUSY",
        Status.UNAVAILABLE,
        "The gateway has as many requests in work as it can hold. Try again in a second.",
        retry_after_seconds=1.0,
    )


def schema_outdated(found: str | None, wanted: str, command: str) -> AppError:
    return AppError(
        "DATABASE_SCHEMA_OUTDATED",
        Status.FAILED_PRECONDITION,
        f"The database has version {found or 'none'} of the schema `accounts`, and this program needs {wanted}. Run `{command}`.",
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of ``known`` that ``name`` was most likely meant to be."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]

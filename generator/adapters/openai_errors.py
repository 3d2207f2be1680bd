"""What an OpenAI-compatible endpoint's failures mean for callers. Nothing of its error texts is passed on: they may repeat the prompt."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Callable, Mapping

import openai

from generator import errors
from generator.domain.model_source import ModelSource
from shared.errors import AppError

_NAME = re.compile(r"[\w.-]{1,60}")
_BAD_REQUEST, _TIMEOUT, _TOO_MANY, _SERVER_ERROR = 400, 408, 429, 500
_MEANINGS: Mapping[int, Callable[[ModelSource], AppError]] = {
    401: errors.model_credentials_refused,
    403: errors.model_credentials_refused,
    404: errors.model_not_served,
}
_UNSAID_RETRY_SECONDS = 2.0
_MAX_RETRY_SECONDS = 3600.0


def to_app_error(source: ModelSource, error: openai.APIError) -> AppError:
    """The error to raise for one that ended the request before an answer began."""
    if isinstance(error, openai.APIStatusError):
        return _from_status(source, error)
    if isinstance(error, openai.APIConnectionError):
        return errors.model_unavailable(source, "cannot be reached")
    if isinstance(error, openai.APIResponseValidationError):
        return errors.model_reply_invalid(source)
    return errors.model_failed(source, _cause(error))


def _from_status(source: ModelSource, error: openai.APIStatusError) -> AppError:
    status = error.status_code
    if error.code == "insufficient_quota":
        return errors.model_quota_spent(source)
    if status in _MEANINGS:
        return _MEANINGS[status](source)
    if status == _TOO_MANY:
        return errors.model_rate_limited(source, retry_after_seconds(error.response.headers) or _UNSAID_RETRY_SECONDS)
    if status >= _SERVER_ERROR or status == _TIMEOUT:
        retry_after = retry_after_seconds(error.response.headers) or _UNSAID_RETRY_SECONDS
        return errors.model_unavailable(source, f"answers {status}", retry_after_seconds=retry_after)
    return errors.model_refused_request(source, _cause(error)) if status >= _BAD_REQUEST else errors.model_reply_invalid(source)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """What ``Retry-After`` asks for, given as seconds or as a date; None when it is absent or cannot be read."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return min(float(value), _MAX_RETRY_SECONDS)
    try:
        return min(max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time()), _MAX_RETRY_SECONDS)
    except ValueError:
        return None


def _cause(error: openai.APIError) -> str:
    """The endpoint's own short names for what is wrong, never its text."""
    names = [name for name in (error.type, error.code, error.param) if name and _NAME.fullmatch(name)]
    status = [str(error.status_code)] if isinstance(error, openai.APIStatusError) else []
    return " ".join([*status, *dict.fromkeys(names)]) or "no reason given"

"""The errors of this service: reason, status and what to do."""

from __future__ import annotations

from collections.abc import Iterable

from shared.errors import AppError, Status, invalid_argument

MAX_PASSAGES = 200
MAX_PASSAGE_CHARACTERS = 1_000_000
MAX_QUESTION_CHARACTERS = 4_000


def empty_question() -> AppError:
    return invalid_argument("EMPTY_QUESTION", "The question is empty. Send the words to answer in `question`.", field="question")


def question_too_long() -> AppError:
    message = f"A question has at most {MAX_QUESTION_CHARACTERS:,} characters. What the answer may rest on belongs into passages."
    return invalid_argument("QUESTION_TOO_LONG", message, field="question")


def too_many_passages() -> AppError:
    return invalid_argument("TOO_MANY_PASSAGES", f"At most {MAX_PASSAGES} passages are taken. Send the best ones.", field="passages")


def passages_too_long() -> AppError:
    message = f"Passages have at most {MAX_PASSAGE_CHARACTERS:,} characters together. Send fewer or shorter ones."
    return invalid_argument("PASSAGES_TOO_LONG", message, field="passages")


def empty_passage_id(index: int) -> AppError:
    return invalid_argument("EMPTY_PASSAGE_ID", "A passage needs an id, or it cannot be cited.", field=f"passages[{index}].passage_id")


def duplicate_passage_id(index: int, passage_id: str) -> AppError:
    message = f"The passage {passage_id[:200]!r} is given twice. Send every passage once."
    return invalid_argument("DUPLICATE_PASSAGE_ID", message, field=f"passages[{index}].passage_id")


def language_invalid() -> AppError:
    message = "The language must be an ISO 639-1 code of two letters, such as en or fr; empty: the question's own."
    return invalid_argument("LANGUAGE_INVALID", message, field="language")


def unknown_model(name: str, known: Iterable[str]) -> AppError:
    names = ", ".join(sorted(known))
    return AppError(
        "MODEL_NOT_FOUND", Status.NOT_FOUND, f"There is no model {name[:200]!r}. There are: {names}.", metadata={"models": names}
    )


def model_unavailable(model: str, cause: str, *, retry_after_seconds: float = 2.0) -> AppError:
    message = f"The endpoint of the model {model!r} {cause}. Check that it runs and that LECTERN_GENERATOR_OPENAI__BASE_URL names it."
    return AppError("MODEL_UNAVAILABLE", Status.UNAVAILABLE, message, {"model": model}, retry_after_seconds=retry_after_seconds)


def model_rate_limited(model: str, retry_after_seconds: float) -> AppError:
    message = f"The endpoint of the model {model!r} takes no more requests now. Try again in {retry_after_seconds:g} s, or raise its quota."
    return AppError("MODEL_RATE_LIMITED", Status.RESOURCE_EXHAUSTED, message, {"model": model}, retry_after_seconds=retry_after_seconds)


def model_timeout(model: str, waited_for: str, seconds: float, setting: str) -> AppError:
    message = f"The model {model!r} did not send {waited_for} within {seconds:.3g} s. If it is only slow, raise {setting}."
    return AppError("MODEL_TIMEOUT", Status.DEADLINE_EXCEEDED, message, {"model": model})


def model_stream_cut(model: str) -> AppError:
    message = f"The answer of the model {model!r} broke off: its endpoint closed the connection. What came is a fragment; ask again."
    return AppError("MODEL_STREAM_CUT", Status.UNAVAILABLE, message, {"model": model})


def model_reply_invalid(model: str) -> AppError:
    message = (
        f"What the endpoint of the model {model!r} sent is not the OpenAI chat protocol. "
        "Check that LECTERN_GENERATOR_OPENAI__BASE_URL ends where /chat/completions begins, often in /v1."
    )
    return AppError("MODEL_REPLY_INVALID", Status.FAILED_PRECONDITION, message, {"model": model})


def model_credentials_refused(model: str) -> AppError:
    message = f"The endpoint of the model {model!r} refused the key. Set a valid LECTERN_GENERATOR_OPENAI__API_KEY and restart."
    return AppError("MODEL_CREDENTIALS_REFUSED", Status.FAILED_PRECONDITION, message, {"model": model})


def model_not_served(model: str) -> AppError:
    message = (
        f"The endpoint does not know the model {model!r}, or the path is wrong. "
        "Check LECTERN_GENERATOR_OPENAI__MODEL against its /models and LECTERN_GENERATOR_OPENAI__BASE_URL."
    )
    return AppError("MODEL_NOT_SERVED", Status.FAILED_PRECONDITION, message, {"model": model})


def model_refused_request(model: str, cause: str) -> AppError:
    message = (
        f"The endpoint of the model {model!r} refused the request ({cause}). "
        "If it was too long, lower LECTERN_GENERATOR_OPENAI__CONTEXT_TOKENS."
    )
    return AppError("MODEL_REFUSED_REQUEST", Status.FAILED_PRECONDITION, message, {"model": model})


def model_quota_spent(model: str) -> AppError:
    message = f"The quota of the key for the model {model!r} is spent. Raise it at the endpoint's provider, or set another key."
    return AppError("MODEL_QUOTA_SPENT", Status.FAILED_PRECONDITION, message, {"model": model})


def model_failed(model: str, cause: str) -> AppError:
    message = f"The endpoint of the model {model!r} reported a failure of its own ({cause}). Its log tells more; ask again."
    return AppError("MODEL_FAILED", Status.UNAVAILABLE, message, {"model": model})


def model_withheld(model: str) -> AppError:
    message = f"The endpoint's content filter stopped the answer of the model {model!r}. Ask differently, or use another model."
    return AppError("MODEL_WITHHELD_ANSWER", Status.FAILED_PRECONDITION, message, {"model": model})


def model_answer_empty(model: str, *, length_reached: bool) -> AppError:
    advice = "It reached its length limit first: raise LECTERN_GENERATOR_OPENAI__ANSWER_TOKENS." if length_reached else "Ask differently."
    message = f"The model {model!r} ended without writing anything. {advice}"
    return AppError("MODEL_ANSWER_EMPTY", Status.FAILED_PRECONDITION, message, {"model": model})


def question_exceeds_context(model: str) -> AppError:
    message = (
        f"The question leaves no room for passages in the prompt of {model!r}. "
        "Shorten it, or raise LECTERN_GENERATOR_OPENAI__CONTEXT_TOKENS."
    )
    return invalid_argument("QUESTION_TOO_LONG", message, field="question")

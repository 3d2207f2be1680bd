"""The errors of this service: reason, status and what to do."""

from __future__ import annotations

from collections.abc import Iterable

from generator.domain.model_source import ModelSource
from shared.errors import AppError, Status, invalid_argument

MAX_PASSAGES = 200
MAX_PASSAGE_CHARACTERS = 1_000_000
MAX_QUESTION_CHARACTERS = 4_000
MAX_INSTRUCTIONS_CHARACTERS = 20_000
MAX_MESSAGE_CHARACTERS = 1_000_000
MAX_COUNTED_TEXTS = 1_000
_LOADING_SECONDS = 10.0


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


def model_unavailable(source: ModelSource, cause: str, *, retry_after_seconds: float = 2.0) -> AppError:
    message = f"The endpoint of the model {source.name!r} {cause}. Check that it runs and that {source.setting('base_url')} names it."
    return AppError("MODEL_UNAVAILABLE", Status.UNAVAILABLE, message, _of(source), retry_after_seconds=retry_after_seconds)


def model_rate_limited(source: ModelSource, retry_after_seconds: float) -> AppError:
    message = (
        f"The endpoint of the model {source.name!r} takes no more requests now. Try again in {retry_after_seconds:g} s, or raise its quota."
    )
    return AppError("MODEL_RATE_LIMITED", Status.RESOURCE_EXHAUSTED, message, _of(source), retry_after_seconds=retry_after_seconds)


def model_busy(source: ModelSource, *, retry_after_seconds: float) -> AppError:
    message = (
        f"The model {source.name!r} writes as many texts at once as it may. Try again in {retry_after_seconds:g} s, "
        f"or raise {source.service_setting('max_concurrent')}."
    )
    return AppError("MODEL_BUSY", Status.RESOURCE_EXHAUSTED, message, _of(source), retry_after_seconds=retry_after_seconds)


def model_timeout(source: ModelSource, waited_for: str, seconds: float, setting: str) -> AppError:
    message = f"The model {source.name!r} did not send {waited_for} within {seconds:.3g} s. If it is only slow, raise {setting}."
    return AppError("MODEL_TIMEOUT", Status.DEADLINE_EXCEEDED, message, _of(source))


def model_stream_cut(source: ModelSource) -> AppError:
    message = f"The answer of the model {source.name!r} broke off: its endpoint closed the connection. What came is a fragment; ask again."
    return AppError("MODEL_STREAM_CUT", Status.UNAVAILABLE, message, _of(source))


def model_reply_invalid(source: ModelSource) -> AppError:
    message = (
        f"What the endpoint of the model {source.name!r} sent is not the OpenAI chat protocol. "
        f"Check that {source.setting('base_url')} ends where /chat/completions begins, often in /v1, and is not redirected."
    )
    return AppError("MODEL_REPLY_INVALID", Status.FAILED_PRECONDITION, message, _of(source))


def model_credentials_refused(source: ModelSource) -> AppError:
    message = f"The endpoint of the model {source.name!r} refused the key. Set a valid {source.setting('api_key')}."
    return AppError("MODEL_CREDENTIALS_REFUSED", Status.FAILED_PRECONDITION, message, _of(source))


def model_not_served(source: ModelSource) -> AppError:
    message = (
        f"The endpoint does not know the model {source.name!r}, or the path is wrong. "
        f"Check {source.setting('model')} against its /models and {source.setting('base_url')}."
    )
    return AppError("MODEL_NOT_SERVED", Status.FAILED_PRECONDITION, message, _of(source))


def model_refused_request(source: ModelSource, cause: str) -> AppError:
    message = (
        f"The endpoint of the model {source.name!r} refused the request ({cause}). "
        f"If it was too long, lower {source.setting('context_tokens')}."
    )
    return AppError("MODEL_REFUSED_REQUEST", Status.FAILED_PRECONDITION, message, _of(source))


def model_quota_spent(source: ModelSource) -> AppError:
    message = f"The quota of the key for the model {source.name!r} is spent. Raise it at the endpoint's provider, or set another key."
    return AppError("MODEL_QUOTA_SPENT", Status.FAILED_PRECONDITION, message, _of(source))


def model_failed(source: ModelSource, cause: str) -> AppError:
    message = f"The model {source.name!r} reported a failure of its own ({cause}). Its log tells more; ask again."
    return AppError("MODEL_FAILED", Status.UNAVAILABLE, message, _of(source))


def model_withheld(source: ModelSource) -> AppError:
    message = f"The endpoint's content filter stopped the answer of the model {source.name!r}. Ask differently, or use another model."
    return AppError("MODEL_WITHHELD_ANSWER", Status.FAILED_PRECONDITION, message, _of(source))


def model_loading(source: ModelSource) -> AppError:
    message = f"The model {source.name!r} is still being loaded. Try again in {_LOADING_SECONDS:g} s; large models take minutes."
    return AppError("MODEL_LOADING", Status.UNAVAILABLE, message, _of(source), retry_after_seconds=_LOADING_SECONDS)


def model_died(source: ModelSource) -> AppError:
    message = f"The engine of the model {source.name!r} died, and the generator starts anew. What came is a fragment; ask again."
    return AppError("MODEL_DIED", Status.UNAVAILABLE, message, _of(source), retry_after_seconds=_LOADING_SECONDS)


def messages_refused(model: str) -> AppError:
    message = (
        f"The chat template of the model {model!r} does not take these messages: "
        "some take no system message, or want user and assistant in turns."
    )
    return invalid_argument("MESSAGES_REFUSED", message, field="messages")


def _of(source: ModelSource) -> dict[str, str]:
    return {"model": source.name[:200]}


def endpoint_invalid(field: str, message: str) -> AppError:
    return invalid_argument("ENDPOINT_INVALID", message, field=f"endpoint.{field}")


def endpoint_refused() -> AppError:
    message = (
        "The endpoint's address leads into a private network, to which nothing is sent. "
        "An operator can allow that network in LECTERN_GENERATOR_ENDPOINTS__ALLOWED_NETWORKS."
    )
    return invalid_argument("ENDPOINT_ADDRESS_REFUSED", message, field="endpoint.base_url")


def too_many_endpoints(retry_after_seconds: float) -> AppError:
    message = (
        f"All connections to organisations' own endpoints are in use. Try again in {retry_after_seconds:g} s, "
        "or raise LECTERN_GENERATOR_ENDPOINTS__MAX_CLIENTS."
    )
    return AppError("GENERATOR_BUSY", Status.RESOURCE_EXHAUSTED, message, retry_after_seconds=retry_after_seconds)


def model_answer_empty(model: str, *, length_reached: bool) -> AppError:
    advice = "It reached its length limit first: raise its `answer_tokens`." if length_reached else "Ask differently."
    message = f"The model {model!r} ended without writing anything. {advice}"
    return AppError("MODEL_ANSWER_EMPTY", Status.FAILED_PRECONDITION, message, {"model": model})


def question_exceeds_context(model: str) -> AppError:
    message = f"The question leaves no room for passages in the prompt of {model!r}. Shorten it, or raise the model's `context_tokens`."
    return invalid_argument("QUESTION_TOO_LONG", message, field="question")


def instructions_too_long() -> AppError:
    message = f"Instructions have at most {MAX_INSTRUCTIONS_CHARACTERS:,} characters. What answers may rest on belongs into documents."
    return invalid_argument("INSTRUCTIONS_TOO_LONG", message, field="instructions")


def instructions_exceed_context(model: str, tokens: int) -> AppError:
    message = (
        f"The instructions have more than {tokens:,} tokens, a quarter of what the prompt of {model!r} takes. "
        "Shorten them, or raise the model's `context_tokens`."
    )
    return invalid_argument("INSTRUCTIONS_TOO_LONG", message, field="instructions")


def history_of_system(index: int) -> AppError:
    message = "A conversation is between the user and the assistant. What the system says belongs into `instructions`."
    return invalid_argument("HISTORY_ROLE_INVALID", message, field=f"history[{index}].role")


def model_cannot_complete(model: str) -> AppError:
    message = f"The model {model!r} only quotes passages. Name a model that writes: `ListModels` marks them with `completes`."
    return AppError("MODEL_CANNOT_COMPLETE", Status.FAILED_PRECONDITION, message, {"model": model})


def turn_role_missing(field: str) -> AppError:
    return invalid_argument("TURN_ROLE_MISSING", "Say who wrote the turn: the system, the user or the assistant.", field=f"{field}.role")


def last_message_not_users() -> AppError:
    message = "The last message must be the user's: a model continues what a user says."
    return invalid_argument("LAST_MESSAGE_NOT_USERS", message, field="messages")


def empty_messages() -> AppError:
    return invalid_argument("EMPTY_MESSAGES", "The messages have no text. Send what the model is to continue.", field="messages")


def messages_too_long() -> AppError:
    message = f"Messages have at most {MAX_MESSAGE_CHARACTERS:,} characters together. Send fewer or shorter ones."
    return invalid_argument("MESSAGES_TOO_LONG", message, field="messages")


def messages_exceed_context(model: str, tokens: int, limit: int) -> AppError:
    message = f"The messages have about {tokens:,} tokens, and the model {model!r} takes {limit:,}. Shorten them, or name another model."
    return invalid_argument("MESSAGES_TOO_LONG", message, field="messages")


def json_schema_invalid(fault: str) -> AppError:
    return invalid_argument("JSON_SCHEMA_INVALID", f"The JSON schema cannot be used: {fault}.", field="json_schema")


def output_invalid(model: str, attempts: int) -> AppError:
    message = f"The model {model!r} missed the JSON schema {attempts} times. Simplify the schema, or use another model."
    return AppError("MODEL_OUTPUT_INVALID", Status.FAILED_PRECONDITION, message, {"model": model})


def output_cut(model: str, max_tokens: int) -> AppError:
    message = f"The model {model!r} reached {max_tokens:,} tokens before its JSON was whole. Raise max_tokens, or ask for less."
    return AppError("MODEL_OUTPUT_CUT", Status.FAILED_PRECONDITION, message, {"model": model})


def too_many_texts() -> AppError:
    message = f"At most {MAX_COUNTED_TEXTS:,} texts are counted in one call. Send the others in another."
    return invalid_argument("TOO_MANY_TEXTS", message, field="texts")

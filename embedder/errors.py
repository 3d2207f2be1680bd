"""Every error of the embedder that a caller may see."""

from __future__ import annotations

import math
from collections.abc import Iterable

from shared.errors import AppError, Status, invalid_argument, too_busy, unavailable

# What only an operator mends may be mended at any time; until then callers come back this often.
_MENDING_SECONDS = 15.0


def empty_text(position: int) -> AppError:
    return invalid_argument("EMPTY_TEXT", f"Text {position} has no characters. Leave empty texts out.", field=f"texts[{position}]")


def text_count_out_of_range(count: int, maximum: int) -> AppError:
    return invalid_argument("TEXT_COUNT_OUT_OF_RANGE", f"A call takes between 1 and {maximum} texts, not {count}. Split it.", field="texts")


def texts_or_token_sequences() -> AppError:
    message = "Give either texts or token_sequences, not both."
    return invalid_argument("TEXTS_AND_TOKEN_SEQUENCES", message, field="token_sequences")


def empty_token_sequence(position: int) -> AppError:
    message = f"Token sequence {position} has no token ids. Leave empty sequences out."
    return invalid_argument("EMPTY_TOKEN_SEQUENCE", message, field=f"token_sequences[{position}]")


def token_sequence_too_long(position: int, count: int, maximum: int) -> AppError:
    message = f"Token sequence {position} has {count} token ids; the model's window holds {maximum}. Cut it."
    return invalid_argument("TOKEN_SEQUENCE_TOO_LONG", message, field=f"token_sequences[{position}]")


def unknown_token_id(position: int, token_id: int, vocabulary_size: int) -> AppError:
    message = (
        f"Token sequence {position} holds the id {token_id}, but the model's ids are below {vocabulary_size}. "
        "Tokenise with the model's own tokenizer, or send texts."
    )
    return invalid_argument("UNKNOWN_TOKEN_ID", message, field=f"token_sequences[{position}]")


def token_sequences_not_taken() -> AppError:
    message = "Another server runs this model, and it takes texts alone. Send texts."
    return invalid_argument("TOKEN_SEQUENCES_NOT_TAKEN", message, field="token_sequences")


def dimensions_out_of_range(dimensions: int, maximum: int) -> AppError:
    message = f"dimensions is {dimensions}, but the model's vectors have {maximum} elements. Ask for fewer, or leave it out for all."
    return invalid_argument("DIMENSIONS_OUT_OF_RANGE", message, field="dimensions")


def texts_too_large(size: int, maximum: int) -> AppError:
    message = f"The texts are {size} bytes together; at most {maximum} fit in one call. Split them."
    return invalid_argument("TEXTS_TOO_LARGE", message, field="texts")


def unknown_model(name: str, known: Iterable[str]) -> AppError:
    message = f"There is no model {name!r}; this embedder has {', '.join(map(repr, known))}. Leave the field empty for the default."
    return AppError("MODEL_NOT_FOUND", Status.NOT_FOUND, message, metadata={"model": name})


def wrong_model_kind(name: str, wanted: str) -> AppError:
    message = f"The model {name!r} is no {wanted} model. ListModels tells each model's kind."
    error = invalid_argument("WRONG_MODEL_KIND", message, field="model")
    error.metadata = {"model": name}
    return error


def no_reranker() -> AppError:
    message = "No reranker is configured. Add one to LECTERN_EMBEDDER_MODELS."
    return AppError("NO_RERANKER", Status.FAILED_PRECONDITION, message)


def model_failed(name: str, retry_after_seconds: float) -> AppError:
    message = f"The model {name!r} could not be loaded; ListModels and the embedder's log say why. It is tried again after a pause."
    retry = round(max(1.0, retry_after_seconds), 1)
    return AppError("MODEL_FAILED", Status.UNAVAILABLE, message, metadata={"model": name}, retry_after_seconds=retry)


def model_too_large(name: str, needed_bytes: int, free_bytes: int) -> AppError:
    message = (
        f"The model {name!r} needs {_mebibytes(needed_bytes)} of memory, and {_mebibytes(free_bytes)} are left beside the current one. "
        "Raise LECTERN_EMBEDDER_MODELS_MEMORY_MIB, or choose a smaller model or precision."
    )
    return AppError("MODEL_TOO_LARGE", Status.FAILED_PRECONDITION, message, metadata={"model": name})


def models_busy(name: str) -> AppError:
    message = f"There is no memory for the model {name!r} while the models that are loaded are all in use. Try again in a moment."
    return AppError("MODELS_BUSY", Status.RESOURCE_EXHAUSTED, message, metadata={"model": name}, retry_after_seconds=5.0)


def deadline_passed_in_loading(name: str) -> AppError:
    message = f"The call's deadline passed while the model {name!r} was being loaded, which goes on. Try again in a moment."
    return AppError("DEADLINE_PASSED_IN_LOADING", Status.DEADLINE_EXCEEDED, message, metadata={"model": name})


def text_too_long(tokens: int, window: int) -> AppError:
    message = f"The text has {tokens} tokens; the model reads {window}. Send it with `truncate`, or in pieces."
    return invalid_argument("TEXT_TOO_LONG", message, field="inputs")


def unknown_prompt(name: str, *, known: Iterable[str]) -> AppError:
    return invalid_argument("UNKNOWN_PROMPT", f"There is no prompt {name!r}; there are {', '.join(known)}.", field="prompt_name")


def no_sparse_vectors() -> AppError:
    return AppError("NO_SPARSE_VECTORS", Status.UNIMPLEMENTED, "This embedder runs no sparse model. Call `Embed` for a dense vector.")


def no_token_vectors() -> AppError:
    return AppError(
        "NO_TOKEN_VECTORS", Status.UNIMPLEMENTED, "This embedder pools its vectors. Call `Embed` for one vector of the whole text."
    )


def token_invalid() -> AppError:
    message = "The call needs the metadata `authorization: Bearer <token>`, with the token that LECTERN_EMBEDDER_TEI_TOKEN has."
    return AppError("TOKEN_INVALID", Status.UNAUTHENTICATED, message)


def unknown_element_type() -> AppError:
    return invalid_argument("UNKNOWN_ELEMENT_TYPE", "element_type must be FLOAT32 or FLOAT16.", field="element_type")


def empty_query() -> AppError:
    return invalid_argument("EMPTY_QUERY", "The query has no characters to search for.", field="query")


def query_too_long(length: int, maximum: int) -> AppError:
    return invalid_argument("QUERY_TOO_LONG", f"The query has {length} characters; at most {maximum} are searched for.", field="query")


def limit_out_of_range(limit: int, maximum: int) -> AppError:
    return invalid_argument("LIMIT_OUT_OF_RANGE", f"limit must be between 1 and {maximum}, not {limit}.", field="limit")


def search_too_deep(depth: int, maximum: int) -> AppError:
    message = f"offset + limit is {depth}; a search reaches {maximum} hits deep. Narrow the search by a filter instead."
    return invalid_argument("SEARCH_TOO_DEEP", message, field="offset")


def passage_count_out_of_range(count: int, maximum: int) -> AppError:
    message = f"A request carries between 1 and {maximum} passages, not {count}."
    return invalid_argument("PASSAGE_COUNT_OUT_OF_RANGE", message, field="passages")


def invalid_passage(position: int, field: str, problem: str) -> AppError:
    return invalid_argument("INVALID_PASSAGE", f"Passage {position}: {problem}", field=f"passages[{position}].{field}")


def too_many_ids(count: int, maximum: int) -> AppError:
    return invalid_argument("TOO_MANY_IDS", f"A call checks at most {maximum} passage ids, not {count}. Split it.", field="passage_ids")


def page_too_large(size: int, maximum: int) -> AppError:
    return invalid_argument("PAGE_SIZE_OUT_OF_RANGE", f"page_size must be at most {maximum}, not {size}.", field="page_size")


def services_only() -> AppError:
    return AppError("SERVICES_ONLY", Status.PERMISSION_DENIED, "Only a service may ask for what concerns every organisation.")


def document_count_out_of_range(count: int, maximum: int) -> AppError:
    message = f"A call deletes between 1 and {maximum} documents, not {count}. Split it."
    return invalid_argument("DOCUMENT_COUNT_OUT_OF_RANGE", message, field="documents")


def missing_field(field: str) -> AppError:
    return invalid_argument("MISSING_FIELD", f"{field} must be given.", field=field)


def unknown_filter_field(name: str, nearest: str) -> AppError:
    message = f"There is no filter field {name!r}; the nearest is {nearest!r}. Free metadata is 'metadata.<key>'."
    error = invalid_argument("UNKNOWN_FILTER_FIELD", message, field="filter")
    error.metadata = {"field": name, "nearest": nearest}
    return error


def wrong_filter_value(name: str, expected: str) -> AppError:
    error = invalid_argument("WRONG_FILTER_VALUE", f"The filter field {name!r} is compared with {expected}.", field="filter")
    error.metadata = {"field": name}
    return error


def malformed_filter(problem: str) -> AppError:
    return invalid_argument("MALFORMED_FILTER", problem, field="filter")


def queue_full(retry_after_seconds: float) -> AppError:
    return too_busy("embedder", retry_after_seconds=retry_after_seconds)


def model_not_ready() -> AppError:
    message = "The embedding model is being loaded. Try again in a moment."
    return AppError("MODEL_NOT_READY", Status.UNAVAILABLE, message, retry_after_seconds=2.0)


def model_stopped() -> AppError:
    message = "The embedding model is being stopped or has failed; nothing of this call was done. Try again in a moment."
    return AppError("MODEL_STOPPED", Status.UNAVAILABLE, message, retry_after_seconds=2.0)


def deadline_passed_in_queue() -> AppError:
    message = "The call's deadline passed while its texts waited for the model. Give it more time, or send less at once."
    return AppError("DEADLINE_PASSED_IN_QUEUE", Status.DEADLINE_EXCEEDED, message)


def encoding_failed() -> AppError:
    return AppError("ENCODING_FAILED", Status.INTERNAL, "The model could not encode this text. The log has the details.")


def remote_unreachable(model: str, problem: str, retry_after_seconds: float) -> AppError:
    message = f"The server of the model {model!r} cannot be used: {problem}. It is tried until it answers; its `url` is in the settings."
    retry = round(max(1.0, retry_after_seconds), 1)
    return AppError("REMOTE_MODEL_UNREACHABLE", Status.UNAVAILABLE, message, {"model": model}, retry_after_seconds=retry)


def remote_busy(model: str, retry_after_seconds: float) -> AppError:
    message = f"The server of the model {model!r} takes no requests for now. Try again later, or raise its quota."
    return AppError("REMOTE_MODEL_BUSY", Status.RESOURCE_EXHAUSTED, message, {"model": model}, retry_after_seconds=retry_after_seconds)


def remote_refused(model: str, status: int, fix: str) -> AppError:
    message = f"The server of the model {model!r} answers {status}. {fix}"
    return AppError("REMOTE_MODEL_REFUSED", Status.UNAVAILABLE, message, {"model": model}, retry_after_seconds=_MENDING_SECONDS)


def remote_dimension_changed(model: str, dimension: int, expected: int) -> AppError:
    message = (
        f"The server of the model {model!r} answers with {dimension} elements, not {expected}: it runs another model now. Set "
        "`remote_model` to the one that it ran, or start the embedder anew and index the library again."
    )
    return AppError("REMOTE_MODEL_CHANGED", Status.UNAVAILABLE, message, {"model": model}, retry_after_seconds=_MENDING_SECONDS)


def remote_text_refused(model: str, status: int) -> AppError:
    message = f"The server of the model {model!r} refuses this text with {status}. It may be too long there: lower `max_length_tokens`."
    return AppError("ENCODING_FAILED", Status.FAILED_PRECONDITION, message, {"model": model})


def remote_reply_invalid(model: str, problem: str) -> AppError:
    message = f"The server of the model {model!r} made no usable reply: {problem}."
    return AppError("ENCODING_FAILED", Status.FAILED_PRECONDITION, message, {"model": model})


def vector_refused(reason: str) -> AppError:
    message = "The model made no usable vector of this text: it is not finite, has no length or the wrong dimension."
    return AppError(reason, Status.FAILED_PRECONDITION, message)


def index_unavailable() -> AppError:
    return unavailable("index", retry_after_seconds=2.0)


def index_of_other_model(physical: str, expected: str) -> AppError:
    message = (
        f"The index holds vectors of another model ({physical}, not {expected}). Start the embedder with the model that made them, "
        "or point LECTERN_EMBEDDER_INDEX_ALIAS at a new alias and index the library again."
    )
    return AppError("INDEX_OF_OTHER_MODEL", Status.FAILED_PRECONDITION, message)


def _mebibytes(size: int) -> str:
    return f"{math.ceil(size / 2**20):,} MiB"


def collection_not_found(name: str) -> AppError:
    message = f"There is no collection {name} in Milvus. Prepare one first."
    return AppError("INDEX_COLLECTION_NOT_FOUND", Status.NOT_FOUND, message, metadata={"collection": name})


def collection_not_ours(name: str) -> AppError:
    message = f"{name} is not a collection of this index and model."
    return AppError("INDEX_COLLECTION_NOT_OURS", Status.FAILED_PRECONDITION, message, metadata={"collection": name})


def collection_answers(name: str) -> AppError:
    message = f"{name} answers searches, so it cannot be dropped. Switch to another collection first."
    return AppError("INDEX_COLLECTION_ANSWERS", Status.FAILED_PRECONDITION, message, metadata={"collection": name})


def collection_moved(answering: str) -> AppError:
    message = f"Another collection answers by now: {answering}. Rebuild from there."
    return AppError("INDEX_COLLECTION_MOVED", Status.FAILED_PRECONDITION, message, metadata={"collection": answering})

"""OpenAI's shapes of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from gateway.domain.embeddings import MAX_INPUTS, MAX_TEXT_CHARACTERS, MAX_TOKENS, EmbeddingRequest, Task
from gateway.schemas.shapes import RequestBody

_MAX_TOKEN_ID: Final = 2**32 - 1
_INPUT_HELP: Final = (
    f"A text, up to {MAX_INPUTS:,} texts, or the same as token ids of the model's own vocabulary, special tokens included. What lies "
    "beyond the model's window is cut off a text; token ids that exceed it are refused."
)
_MODEL_HELP: Final = (
    "One of `GET /v1/models`; empty or left out: the current one. No other name is taken for it, because vectors of two models are not "
    "comparable."
)
InputShape = str | list[str] | list[int] | list[list[int]]


def _inputs(given: object) -> list[str] | list[list[int]]:
    """What was given, as a list of texts or of token sequences."""
    items = _listed(given)
    if not 1 <= len(items) <= MAX_INPUTS:
        raise ValueError(f"there must be between 1 and {MAX_INPUTS:,} inputs, not {len(items):,}; send more in several requests")
    return _texts(items) if isinstance(items[0], str) else _token_sequences(items)


def _listed(given: object) -> Sequence[Any]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        raise ValueError("input is a text, an array of texts, or token ids")  # noqa: TRY004  # pydantic turns only a ValueError into a fault
    return [given] if given and isinstance(given[0], int) else given


def _texts(items: Sequence[Any]) -> list[str]:
    for position, text in enumerate(items):
        if not isinstance(text, str):
            raise ValueError(f"input {position} is no text as the first one is; an array holds one kind")  # noqa: TRY004
        if not text or text.isspace():
            raise ValueError(f"input {position} has no characters; leave empty texts out")
        if len(text) > MAX_TEXT_CHARACTERS:
            raise ValueError(f"input {position} has {len(text):,} characters; at most {MAX_TEXT_CHARACTERS:,} are taken, so cut it")
    return list(items)


def _token_sequences(items: Sequence[Any]) -> list[list[int]]:
    for position, tokens in enumerate(items):
        if not isinstance(tokens, list) or not tokens:
            raise ValueError(f"input {position} is neither a text nor an array of token ids, or it is empty")
    total = sum(map(len, items))
    if total > MAX_TOKENS:
        raise ValueError(f"the inputs have {total:,} tokens together; at most {MAX_TOKENS:,} are taken, so send them in several requests")
    for position, tokens in enumerate(items):
        if set(map(type, tokens)) != {int} or min(tokens) < 0 or max(tokens) > _MAX_TOKEN_ID:
            raise ValueError(f"input {position} holds something else than token ids, which are whole numbers from 0 on")
    return list(items)


class EmbeddingsInput(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "minilm", "input": ["How much leave do I have?"], "task": "query"}]}
    )

    input: Annotated[Any, PlainValidator(_inputs, json_schema_input_type=InputShape), Field(description=_INPUT_HELP)]
    model: Annotated[str | None, Field(max_length=200, description=_MODEL_HELP)] = None
    encoding_format: Annotated[
        Literal["float", "base64"], Field(description="`base64`: the vector's elements as little-endian 32-bit floats. Smaller and faster.")
    ] = "float"
    dimensions: Annotated[
        int | None, Field(ge=1, le=65_536, description="Return only the first elements of each vector, brought back to length 1.")
    ] = None
    user: Annotated[str | None, Field(max_length=1_000, description="Accepted, and not used or kept.")] = None
    task: Annotated[
        Literal["passage", "query"],
        Field(description="Not OpenAI's: whether the inputs are passages to be found, or queries. Some models tell them apart."),
    ] = "passage"

    def to_request(self) -> EmbeddingRequest:
        texts = isinstance(self.input[0], str)
        return EmbeddingRequest(
            texts=self.input if texts else (),
            token_sequences=() if texts else self.input,
            model=self.model or "",
            task=Task(self.task),
            dimensions=self.dimensions,
        )


class Embedding(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int = Field(description="The input's place in the request, from 0 on.")
    embedding: list[float] | str = Field(description="Numbers, or base64 when that was asked for.")


class EmbeddingUsage(BaseModel):
    prompt_tokens: int = Field(description="Tokens run through the model, special tokens included.")
    total_tokens: int = Field(description="The same.")


class EmbeddingList(BaseModel):
    """The inputs' vectors, in their order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage

"""What OpenAI's clients send to have a conversation continued."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field

from gateway.domain.ask import Question, Role, Turn
from gateway.domain.query.reading import read
from gateway.domain.search import Query
from gateway.schemas.assistants import AnswerLanguage
from gateway.schemas.search import CollectionNames, FilterInput
from gateway.schemas.shapes import RequestBody
from shared.errors import AppError, invalid_argument

_MAX_MESSAGES: Final = 1000
_MAX_MODEL_CHARS: Final = 500
_NOTHING: Final[tuple[object, ...]] = (None, False, 0, [], {})


def _only(*neutral: object) -> Callable[[Any], Any]:
    """Refuses a parameter that would change the answer in a way that we cannot; ``neutral`` values ask for nothing."""

    def check(value: Any) -> Any:
        if value not in (*_NOTHING, *neutral):
            raise ValueError("Lectern does not support this parameter. Leave it out.")
        return value

    return check


Ignored = Annotated[Any, Field(description="Taken and without effect.")]
Unsupported = Annotated[Any, Field(description="Refused unless it asks for nothing."), AfterValidator(_only())]


class TextPart(RequestBody):
    type: Literal["text"] = Field(description="Images, sounds and files are not taken.")
    text: str


class ChatMessage(RequestBody):
    """One message. What an earlier reply carried beside its text may be sent back with it and is not read."""

    role: Literal["system", "developer", "user", "assistant"] = Field(
        description="`system` and `developer` add to the rules of answering; tools are not supported."
    )
    content: str | list[TextPart] | None = None
    name: Ignored = None
    refusal: Ignored = None
    annotations: Ignored = None
    audio: Unsupported = None
    tool_calls: Unsupported = None
    function_call: Unsupported = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(RequestBody):
    include_usage: bool = Field(default=False, description="Send a last chunk with the tokens.")
    include_obfuscation: Ignored = None


class ChatCompletionInput(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "extractive", "messages": [{"role": "user", "content": "How much leave do I have?"}]}]}
    )

    messages: list[ChatMessage] = Field(min_length=1, max_length=_MAX_MESSAGES, description="The last one is the question.")
    model: str = Field(
        default="",
        max_length=_MAX_MODEL_CHARS,
        description="An assistant's or a language model's name (`/v1/models`); empty: the default model.",
    )
    stream: bool | None = Field(default=False, description="Send chunks as server-sent events, and `[DONE]` last.")
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description="The same as `max_completion_tokens`.")
    max_completion_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description="Upper bound of the answer's length.")
    collections: CollectionNames = Field(default_factory=list, description="Not OpenAI's: as in /api/v1/ask.")
    filter: FilterInput = None
    language: AnswerLanguage = ""

    n: Annotated[Any, Field(description="One answer is made."), AfterValidator(_only(1))] = None
    response_format: Annotated[Any, Field(description="Text."), AfterValidator(_only({"type": "text"}))] = None
    modalities: Annotated[Any, Field(description="Text."), AfterValidator(_only(["text"]))] = None
    tool_choice: Annotated[Any, Field(description="There are no tools."), AfterValidator(_only("none", "auto"))] = None
    function_call: Annotated[Any, Field(description="There are no functions."), AfterValidator(_only("none", "auto"))] = None
    tools: Unsupported = None
    functions: Unsupported = None
    stop: Unsupported = None
    logprobs: Unsupported = None
    top_logprobs: Unsupported = None
    logit_bias: Unsupported = None
    audio: Unsupported = None
    prediction: Unsupported = None
    web_search_options: Unsupported = None

    temperature: Ignored = None
    top_p: Ignored = None
    frequency_penalty: Ignored = None
    presence_penalty: Ignored = None
    seed: Ignored = None
    user: Ignored = None
    metadata: Ignored = None
    moderation: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    reasoning_effort: Ignored = None
    verbosity: Ignored = None
    parallel_tool_calls: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_options: Ignored = None
    prompt_cache_retention: Ignored = None
    safety_identifier: Ignored = None

    def to_question(self, passages: int) -> Question:
        """The last message as the question, in the conversation before it; ``model`` as it was given.

        Raises:
            AppError: LAST_MESSAGE_NOT_A_QUESTION, or what a filter is refused with.
        """
        *before, last = self.messages
        if last.role != "user" or not last.text.strip():
            raise _no_question(len(before))
        # Whoever chats does not know our query language: nothing in the text is a condition.
        text, condition = read(last.text, f"body.messages[{len(before)}]", self.filter, literal=True)
        return Question(
            Query(text, self.collections, condition, passages),
            model=self.model,
            language=self.language,
            instructions="\n\n".join(message.text for message in before if message.role in {"system", "developer"} and message.text),
            history=[
                Turn(Role(message.role), message.text) for message in before if message.role in {"user", "assistant"} and message.text
            ],
            max_answer_tokens=self.max_completion_tokens or self.max_tokens or 0,
        )


def _no_question(index: int) -> AppError:
    message = "The last message must be the user's and have text: it is the question that is answered."
    return invalid_argument("LAST_MESSAGE_NOT_A_QUESTION", message, field=f"body.messages[{index}]")

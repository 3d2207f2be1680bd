"""The frames of the WebSocket that answers questions: JSON objects, told apart by `type`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, TypeAdapter, ValidationError

from gateway.domain import strict_json
from gateway.http.problems import validation_error
from gateway.schemas.ask import QuestionInput
from gateway.schemas.shapes import RequestBody


class AuthFrame(RequestBody):
    """The first frame."""

    type: Literal["AUTH"]
    key: SecretStr


class QueryFrame(QuestionInput):
    """A question, in the conversation that the socket has had so far."""

    type: Literal["QUERY"]
    id: Annotated[str, Field(max_length=100, description="Returned in every frame of the answer.")] = ""


class StopFrame(RequestBody):
    """Stop the answer that is being written."""

    type: Literal["ANSWER_STOP"]


class ClearFrame(RequestBody):
    """Forget the conversation, and stop the answer that is being written."""

    type: Literal["CLEAR"]


Frame = AuthFrame | QueryFrame | StopFrame | ClearFrame
_FRAME: Final[TypeAdapter[Frame]] = TypeAdapter(Annotated[Frame, Field(discriminator="type")])


def read_frame(text: str) -> Frame:
    """Raises AppError INVALID_JSON or INVALID_REQUEST, which names the field."""
    try:
        return _FRAME.validate_python(strict_json.parse(text.encode()))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        # Pydantic puts the frame's type in front of the field.
        raise validation_error([{**fault, "loc": ("frame", *fault["loc"][1:])} for fault in faults]) from None

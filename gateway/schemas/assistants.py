from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from gateway.domain.assistants import AssistantChange, AssistantDraft, Visibility
from gateway.schemas.search import CollectionNames
from gateway.schemas.shapes import Change, Page, RequestBody, ResourceName, Shape, own_id

_MAX_SIGN_CHARS = 16
_MAX_IMAGE_CHARS = 100_000
_IMAGE = re.compile(r"data:image/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+={0,2}")


def _avatar(avatar: str) -> str:
    # An address elsewhere would tell that place who looks at it.
    if len(avatar) > _MAX_SIGN_CHARS and not _IMAGE.fullmatch(avatar):
        raise ValueError("an avatar is an emoji or a few letters, or an image as data:image/png;base64,… (png, jpeg, webp or gif)")
    return avatar


Description = Annotated[str, Field(max_length=4000, description="For people.")]
Prompt = Annotated[
    str, Field(max_length=20_000, description="What it adds to the rules of answering: its task, its tone, what to leave out.")
]
Avatar = Annotated[
    str,
    Field(max_length=_MAX_IMAGE_CHARS, description="An emoji or a few letters, or an image as a `data:` address."),
    AfterValidator(_avatar),
]
StarterMessages = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(max_length=20, description="Questions to begin with.")
]
AnswerModel = Annotated[str, Field(max_length=500, description="One of /api/v1/llm-models; empty: the default one.")]
AnswerLanguage = Annotated[
    str, Field(pattern="^([a-z]{2})?$", description="ISO 639-1 code of the answer's language; empty: the question's.")
]
VisibilityInput = Annotated[Visibility, Field(description="`private`: for its owner and admins; `organisation`: for everybody in it.")]


class AssistantInput(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "onboarding",
                    "prompt": "You help new colleagues. Answer in plain words, and name the person to ask where the passages do.",
                    "collections": ["handbook"],
                    "starter_messages": ["How much leave do I have?"],
                    "avatar": "🧭",
                }
            ]
        }
    )

    name: ResourceName = Field(description="Unique within the organisation.")
    description: Description = ""
    prompt: Prompt = ""
    visibility: VisibilityInput = Visibility.ORGANISATION
    avatar: Avatar = ""
    starter_messages: StarterMessages = Field(default_factory=list)
    collections: CollectionNames = Field(default_factory=list)
    model: AnswerModel = ""
    language: AnswerLanguage = ""

    def to_draft(self) -> AssistantDraft:
        return AssistantDraft(**dict(self))


class AssistantPatch(Change):
    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "Answer in one sentence.", "collections": []}]})

    name: ResourceName | None = None
    description: Description | None = None
    prompt: Prompt | None = None
    visibility: VisibilityInput | None = None
    avatar: Avatar | None = None
    starter_messages: StarterMessages | None = None
    collections: CollectionNames | None = None
    model: AnswerModel | None = None
    language: AnswerLanguage | None = None

    def to_change(self) -> AssistantChange:
        return AssistantChange(**dict(self))


class Assistant(Shape):
    """A prompt, collections and a model under a name that questions can be put to."""

    id: str = own_id("assistant_id")
    name: str
    description: str
    prompt: str
    visibility: Visibility
    avatar: str
    starter_messages: list[str]
    collections: list[str] = Field(description="Ids or names, as they were given; empty: every collection.")
    model: str
    language: str
    owner_id: str | None = Field(description="The API key that made it; null: it is built in.")
    built_in: bool = Field(description="Every organisation has it, and nobody can change it.")
    create_time: datetime
    update_time: datetime


class AssistantList(Page[Assistant]):
    pass

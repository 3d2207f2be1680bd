from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from gateway.domain.assistants import Visibility
from gateway.domain.chats.chats import ChatChange, ChatDraft
from gateway.domain.user_settings import UserSettingsChange
from gateway.schemas.shapes import Change, OptionalText, Page, RequestBody, ResourceName, Shape, own_id


def _one_line(title: str) -> str:
    if not title.isprintable():
        raise ValueError("a title is one line, without control characters")
    return title.strip()


Title = Annotated[str, Field(max_length=200, description="Empty: made from the first exchange that follows."), AfterValidator(_one_line)]
FolderId = Annotated[str, Field(max_length=100, description="A folder's id; empty: in no folder.")]
AssistantName = Annotated[str, Field(max_length=200, description="Who answers in it, by id or name; empty: no assistant.")]
AnswerModel = Annotated[
    str, Field(max_length=500, description="Answers where a message names none; empty: the assistant's model, then your default.")
]
VisibilityInput = Annotated[
    Visibility, Field(description="`private`: for you; `organisation`: everybody in it may read, and only you may write.")
]
RetentionDays = Annotated[
    int, Field(ge=0, le=36_500, description="Chats in which nothing was said for so many days are deleted; 0: never.")
]


class ChatInput(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"assistant": "onboarding", "title": "My first week"}]})

    title: Title = ""
    folder: FolderId = ""
    assistant: AssistantName = ""
    model: AnswerModel = ""
    visibility: VisibilityInput = Visibility.PRIVATE

    def to_draft(self) -> ChatDraft:
        return ChatDraft(
            title=self.title,
            folder_id=self.folder or None,
            assistant_id=self.assistant,
            model=self.model,
            visibility=self.visibility,
        )


class ChatPatch(Change):
    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Leave", "visibility": "organisation"}]})

    title: Title | None = None
    folder: FolderId | None = None
    assistant: AssistantName | None = None
    model: AnswerModel | None = None
    visibility: VisibilityInput | None = None

    def to_change(self) -> ChatChange:
        return ChatChange(
            title=self.title, folder_id=self.folder, assistant_id=self.assistant, model=self.model, visibility=self.visibility
        )


class Chat(Shape):
    """A tree of questions and answers."""

    id: str = own_id("chat_id")
    title: str
    folder_id: str | None
    assistant_id: OptionalText
    model: str
    visibility: Visibility
    is_own: bool = Field(description="Whether you may write to it; otherwise somebody in the organisation shares it.")
    create_time: datetime
    update_time: datetime = Field(description="When something was last said or changed in it.")


class ChatList(Page[Chat]):
    pass


class FolderInput(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Onboarding"}]})

    name: ResourceName = Field(description="Unique among your folders.")


class Folder(Shape):
    """What chats can be put in."""

    id: str = own_id("folder_id")
    name: str
    create_time: datetime
    update_time: datetime


class FolderList(Page[Folder]):
    pass


class UserSettings(Shape):
    """What counts for the caller."""

    default_model: str = Field(description="Answers where message, chat and assistant name none; empty: the server's default.")
    recent_assistants: list[str] = Field(description="Ids of the last five that chats were begun with, newest first.")
    retention_days: RetentionDays
    organisation_retention_days: RetentionDays = Field(description="The same for everybody in the organisation; the shorter counts.")


class UserSettingsPatch(Change):
    model_config = ConfigDict(json_schema_extra={"examples": [{"retention_days": 90}]})

    default_model: Annotated[str, Field(max_length=500, description="One of /api/v1/llm-models; empty: the server's default.")] | None = (
        None
    )
    retention_days: RetentionDays | None = None
    organisation_retention_days: RetentionDays | None = Field(default=None, description="For admins.")

    def to_change(self) -> UserSettingsChange:
        return UserSettingsChange(**dict(self))

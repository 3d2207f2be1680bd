"""The routes of chats as functions that make their calls, and how the events of an answer are followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from lectern_client.calls import API, Call, ListCall, list_of, model, once, part
from lectern_client.errors import LecternError, ProtocolError
from lectern_client.models import (
    AnswerMetadata,
    AskDelta,
    Chat,
    ChatEvent,
    ChatTitle,
    Folder,
    Message,
    MessageCitation,
    MessageExchange,
    UserSettings,
)
from lectern_client.sse import Event
from lectern_client.streams import may_heal, model_event

# The parent of a message that follows the newest answer.
NEWEST: Final = ""
_ANSWER_SECONDS: Final = 400.0
# The server keeps an answer without readers for about so long.
_RESUME_SECONDS: Final = 30.0
_EVENTS: Final[dict[str, type[ChatEvent]]] = {
    "metadata": AnswerMetadata,
    "delta": AskDelta,
    "citation": MessageCitation,
    "title": ChatTitle,
    "complete": Message,
}


def _chat(chat_id: str) -> str:
    return f"{API}/chats/{part(chat_id)}"


def _message(chat_id: str, message_id: str) -> str:
    return f"{_chat(chat_id)}/messages/{part(message_id)}"


def create_chat(fields: Mapping[str, Any]) -> Call[Chat]:
    return Call("POST", f"{API}/chats", model(Chat), json=_given(fields), headers=once())


def get_chat(chat_id: str) -> Call[Chat]:
    return Call("GET", _chat(chat_id), model(Chat))


def list_chats(folder: str | None, text: str | None, *, shared: bool, page_size: int | None) -> Callable[[str], ListCall[Chat]]:
    return list_of(Chat, f"{API}/chats", folder=folder, text=text, shared=shared or None, page_size=page_size)


def update_chat(chat_id: str, changes: Mapping[str, Any]) -> Call[Chat]:
    return Call("PATCH", _chat(chat_id), model(Chat), json=dict(changes))


def delete_chat(chat_id: str) -> Call[None]:
    return Call("DELETE", _chat(chat_id), lambda _: None, repeatable=False)


def list_messages(chat_id: str, leaf: str | None, page_size: int | None) -> Callable[[str], ListCall[Message]]:
    return list_of(Message, f"{_chat(chat_id)}/messages", leaf=leaf, page_size=page_size)


def get_message(chat_id: str, message_id: str) -> Call[Message]:
    return Call("GET", _message(chat_id, message_id), model(Message))


def message_fields(
    text: str,
    parent: str | None,
    *,
    collections: Sequence[str],
    filter_: Mapping[str, Any] | None,
    answer_model: str | None,
    language: str | None,
) -> dict[str, Any]:
    """The body of a message that `send` or `stream` takes."""
    asked = _given({"collections": list(collections) or None, "filter": filter_, "model": answer_model, "language": language})
    return {"text": text, **asked, **({} if parent == NEWEST else {"parent": parent})}


def send_message(chat_id: str, fields: Mapping[str, Any], *, stream: bool) -> Call[MessageExchange]:
    return _answering(f"{_chat(chat_id)}/messages", fields, stream=stream)


def regenerate(chat_id: str, message_id: str, answer_model: str | None, *, stream: bool) -> Call[MessageExchange]:
    return _answering(f"{_message(chat_id, message_id)}:regenerate", _given({"model": answer_model}), stream=stream)


def watch_message(chat_id: str, message_id: str, last_event_id: str) -> Call[Message]:
    headers = {"last-event-id": last_event_id} if last_event_id else {}
    return Call("GET", f"{_message(chat_id, message_id)}/events", model(Message), headers=headers, read_seconds=_ANSWER_SECONDS)


def stop_message(chat_id: str, message_id: str) -> Call[Message]:
    return Call("POST", f"{_message(chat_id, message_id)}:stop", model(Message))


def rate_message(chat_id: str, message_id: str, rating: str, comment: str | None) -> Call[Message]:
    body = _given({"rating": rating, "comment": comment})
    return Call("PUT", f"{_message(chat_id, message_id)}/feedback", model(Message), json=body)


def create_folder(name: str) -> Call[Folder]:
    return Call("POST", f"{API}/folders", model(Folder), json={"name": name}, headers=once())


def get_folder(folder_id: str) -> Call[Folder]:
    return Call("GET", f"{API}/folders/{part(folder_id)}", model(Folder))


def list_folders(page_size: int | None) -> Callable[[str], ListCall[Folder]]:
    return list_of(Folder, f"{API}/folders", page_size=page_size)


def rename_folder(folder_id: str, name: str) -> Call[Folder]:
    return Call("PATCH", f"{API}/folders/{part(folder_id)}", model(Folder), json={"name": name})


def delete_folder(folder_id: str) -> Call[None]:
    return Call("DELETE", f"{API}/folders/{part(folder_id)}", lambda _: None, repeatable=False)


def get_settings() -> Call[UserSettings]:
    return Call("GET", f"{API}/settings", model(UserSettings))


def update_settings(changes: Mapping[str, Any]) -> Call[UserSettings]:
    return Call("PATCH", f"{API}/settings", model(UserSettings), json=dict(changes))


class Following:
    """The events of one answer, over as many streams as it takes."""

    def __init__(self, chat_id: str, message_id: str = "") -> None:
        self.is_over = False
        self._chat_id = chat_id
        self._message_id = message_id
        self._last_event_id = ""
        self._broken_since: float | None = None

    def take(self, event: Event) -> ChatEvent | None:
        """What ``event`` says; None for one that only newer clients know.

        Raises:
            ApiError: the answer failed; nothing follows.
            ProtocolError: the event is not as it should be.
        """
        self._broken_since = None
        self._last_event_id = event.id or self._last_event_id
        self.is_over = event.name in {"complete", "error"}
        kind = _EVENTS.get(event.name)
        if kind is None and not self.is_over:
            return None
        known = model_event(event, kind or Message)
        if isinstance(known, AnswerMetadata):
            self._message_id = known.answer.id
        return known

    def resumed(self, error: LecternError | None) -> Call[Message]:
        """The call that goes on after a stream that ``error`` broke, or that ended too early.

        Raises:
            LecternError: ``error``, where going on is of no use.
            ProtocolError: the stream ended before its answer could be known.
        """
        now = time.monotonic()
        self._broken_since = self._broken_since or now
        hopeless = self.is_over or not self._message_id or now - self._broken_since > _RESUME_SECONDS
        if error is not None and (hopeless or not may_heal(error)):
            raise error
        if hopeless:
            raise ProtocolError("The answer ended before it was complete. Ask again.")
        return watch_message(self._chat_id, self._message_id, self._last_event_id)


def _answering(path: str, fields: Mapping[str, Any], *, stream: bool) -> Call[MessageExchange]:
    body = {**fields, "stream": True} if stream else dict(fields)
    # A stream cannot be kept for a second request; an answer as a whole can.
    return Call(
        "POST",
        path,
        model(MessageExchange),
        json=body,
        headers={} if stream else once(),
        repeatable=not stream,
        read_seconds=_ANSWER_SECONDS,
    )


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}

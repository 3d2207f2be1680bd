"""Chats of the blocking client."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lectern_client import chat_calls
from lectern_client.calls import Call
from lectern_client.chat_calls import NEWEST, Following
from lectern_client.errors import LecternError
from lectern_client.models import Chat, ChatEvent, Folder, Message, MessageExchange, UserSettings
from lectern_client.resource import Resource
from lectern_client.streams import WATCH_RECONNECT_SECONDS


class Chats(Resource):
    """Conversations. Each is a tree: a question follows an answer or begins the chat, and an answer follows a question."""

    def create(self, **fields: Any) -> Chat:
        """Begin one, with ``title``, ``folder``, ``assistant``, ``model`` and ``visibility`` as needed."""
        return self._transport.send(chat_calls.create_chat(fields))

    def get(self, chat_id: str) -> Chat:
        return self._transport.send(chat_calls.get_chat(chat_id))

    def list(
        self, *, folder: str | None = None, text: str | None = None, shared: bool = False, page_size: int | None = None
    ) -> Iterator[Chat]:
        """Newest first; in one ``folder``, with ``text`` in the title where they are given, or those that others share."""
        return self._all(chat_calls.list_chats(folder, text, shared=shared, page_size=page_size))

    def update(self, chat_id: str, **changes: Any) -> Chat:
        """Change what is named; the rest stays."""
        return self._transport.send(chat_calls.update_chat(chat_id, changes))

    def delete(self, chat_id: str) -> None:
        """Delete it with its messages."""
        self._transport.send(chat_calls.delete_chat(chat_id))

    def messages(self, chat_id: str, *, leaf: str | None = None, page_size: int | None = None) -> Iterator[Message]:
        """The whole tree as it grew, or the branch that ends with ``leaf``; parents come before children."""
        return self._all(chat_calls.list_messages(chat_id, leaf, page_size))

    def message(self, chat_id: str, message_id: str) -> Message:
        return self._transport.send(chat_calls.get_message(chat_id, message_id))

    def send(
        self,
        chat_id: str,
        text: str,
        *,
        parent: str | None = NEWEST,
        collections: Sequence[str] = (),
        filter: Mapping[str, Any] | None = None,  # noqa: A002  # the field's name in the API
        model: str | None = None,
        language: str | None = None,
    ) -> MessageExchange:
        """Ask, and wait for the answer. It is asked once, however often the request has to be sent.

        Args:
            chat_id: the chat.
            text: a question in any language, which may lean on what was said before.
            parent: the answer that it follows; None: it begins the chat. To edit a question, send the new one with the old one's parent.
            collections: ids or names; empty: the assistant's, or all.
            filter: which passages the answer may rest on.
            model: one of the server's; None: the chat's.
            language: ISO 639-1 code of the answer's language; None: the question's.
        """
        asked = chat_calls.message_fields(text, parent, collections=collections, filter_=filter, answer_model=model, language=language)
        return self._transport.send(chat_calls.send_message(chat_id, asked, stream=False))

    def stream(
        self,
        chat_id: str,
        text: str,
        *,
        parent: str | None = NEWEST,
        collections: Sequence[str] = (),
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        model: str | None = None,
        language: str | None = None,
    ) -> Iterator[ChatEvent]:
        """Like `send`; the events as they come, of which the last is the answer. A stream that breaks is taken up again where it broke.

        Closing the iterator stops the answer, after some seconds in which `watch` can take it up.
        """
        asked = chat_calls.message_fields(text, parent, collections=collections, filter_=filter, answer_model=model, language=language)
        return self._follow(Following(chat_id), chat_calls.send_message(chat_id, asked, stream=True))

    def regenerate(self, chat_id: str, message_id: str, *, model: str | None = None) -> MessageExchange:
        """Another answer to the question of the answer ``message_id``, beside it."""
        return self._transport.send(chat_calls.regenerate(chat_id, message_id, model, stream=False))

    def regenerate_stream(self, chat_id: str, message_id: str, *, model: str | None = None) -> Iterator[ChatEvent]:
        """Like `regenerate`, as `stream`."""
        return self._follow(Following(chat_id), chat_calls.regenerate(chat_id, message_id, model, stream=True))

    def watch(self, chat_id: str, message_id: str) -> Iterator[ChatEvent]:
        """The events of an answer that is being written, from the first; of one that ended some time ago only the last."""
        return self._follow(Following(chat_id, message_id), chat_calls.watch_message(chat_id, message_id, ""))

    def stop(self, chat_id: str, message_id: str) -> Message:
        """Stop an answer; it is kept as far as it has come."""
        return self._transport.send(chat_calls.stop_message(chat_id, message_id))

    def rate(self, chat_id: str, message_id: str, rating: str, *, comment: str | None = None) -> Message:
        """Say how good an answer is, ``up`` or ``down``; said again, it replaces what was said."""
        return self._transport.send(chat_calls.rate_message(chat_id, message_id, rating, comment))

    def _follow(self, following: Following, call: Call[Any]) -> Iterator[ChatEvent]:
        while True:
            broken: LecternError | None = None
            try:
                for event in self._transport.events(call):
                    known = following.take(event)
                    if known is not None:
                        yield known
                    if following.is_over:
                        return
            except LecternError as error:
                broken = error
            call = following.resumed(broken)
            time.sleep(WATCH_RECONNECT_SECONDS)


class Folders(Resource):
    """What chats can be put in."""

    def create(self, name: str) -> Folder:
        return self._transport.send(chat_calls.create_folder(name))

    def get(self, folder_id: str) -> Folder:
        return self._transport.send(chat_calls.get_folder(folder_id))

    def list(self, *, page_size: int | None = None) -> Iterator[Folder]:
        return self._all(chat_calls.list_folders(page_size))

    def rename(self, folder_id: str, name: str) -> Folder:
        return self._transport.send(chat_calls.rename_folder(folder_id, name))

    def delete(self, folder_id: str) -> None:
        """Delete it; its chats stay, in no folder."""
        self._transport.send(chat_calls.delete_folder(folder_id))


class Settings(Resource):
    """What the caller has chosen."""

    def get(self) -> UserSettings:
        return self._transport.send(chat_calls.get_settings())

    def update(self, **changes: Any) -> UserSettings:
        """Change ``default_model``, ``retention_days`` or, for admins, ``organisation_retention_days``; what is not named stays."""
        return self._transport.send(chat_calls.update_settings(changes))

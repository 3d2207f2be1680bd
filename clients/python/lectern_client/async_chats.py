"""Chats of the asynchronous client; the methods are described at the blocking one's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from lectern_client import chat_calls
from lectern_client.calls import Call
from lectern_client.chat_calls import NEWEST, Following
from lectern_client.errors import LecternError
from lectern_client.models import Chat, ChatEvent, Folder, Message, MessageExchange, UserSettings
from lectern_client.resource import AsyncResource
from lectern_client.streams import WATCH_RECONNECT_SECONDS


class AsyncChats(AsyncResource):
    """Conversations. Each is a tree: a question follows an answer or begins the chat, and an answer follows a question."""

    async def create(self, **fields: Any) -> Chat:
        return await self._transport.send(chat_calls.create_chat(fields))

    async def get(self, chat_id: str) -> Chat:
        return await self._transport.send(chat_calls.get_chat(chat_id))

    def list(
        self, *, folder: str | None = None, text: str | None = None, shared: bool = False, page_size: int | None = None
    ) -> AsyncGenerator[Chat, None]:
        return self._all(chat_calls.list_chats(folder, text, shared=shared, page_size=page_size))

    async def update(self, chat_id: str, **changes: Any) -> Chat:
        return await self._transport.send(chat_calls.update_chat(chat_id, changes))

    async def delete(self, chat_id: str) -> None:
        await self._transport.send(chat_calls.delete_chat(chat_id))

    def messages(self, chat_id: str, *, leaf: str | None = None, page_size: int | None = None) -> AsyncGenerator[Message, None]:
        return self._all(chat_calls.list_messages(chat_id, leaf, page_size))

    async def message(self, chat_id: str, message_id: str) -> Message:
        return await self._transport.send(chat_calls.get_message(chat_id, message_id))

    async def send(
        self,
        chat_id: str,
        text: str,
        *,
        parent: str | None = NEWEST,
        collections: Sequence[str] = (),
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        model: str | None = None,
        language: str | None = None,
    ) -> MessageExchange:
        asked = chat_calls.message_fields(text, parent, collections=collections, filter_=filter, answer_model=model, language=language)
        return await self._transport.send(chat_calls.send_message(chat_id, asked, stream=False))

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
    ) -> AsyncGenerator[ChatEvent, None]:
        asked = chat_calls.message_fields(text, parent, collections=collections, filter_=filter, answer_model=model, language=language)
        return self._follow(Following(chat_id), chat_calls.send_message(chat_id, asked, stream=True))

    async def regenerate(self, chat_id: str, message_id: str, *, model: str | None = None) -> MessageExchange:
        return await self._transport.send(chat_calls.regenerate(chat_id, message_id, model, stream=False))

    def regenerate_stream(self, chat_id: str, message_id: str, *, model: str | None = None) -> AsyncGenerator[ChatEvent, None]:
        return self._follow(Following(chat_id), chat_calls.regenerate(chat_id, message_id, model, stream=True))

    def watch(self, chat_id: str, message_id: str) -> AsyncGenerator[ChatEvent, None]:
        return self._follow(Following(chat_id, message_id), chat_calls.watch_message(chat_id, message_id, ""))

    async def stop(self, chat_id: str, message_id: str) -> Message:
        return await self._transport.send(chat_calls.stop_message(chat_id, message_id))

    async def rate(self, chat_id: str, message_id: str, rating: str, *, comment: str | None = None) -> Message:
        return await self._transport.send(chat_calls.rate_message(chat_id, message_id, rating, comment))

    async def _follow(self, following: Following, call: Call[Any]) -> AsyncGenerator[ChatEvent, None]:
        while True:
            broken: LecternError | None = None
            try:
                async with aclosing(self._transport.events(call)) as events:
                    async for event in events:
                        known = following.take(event)
                        if known is not None:
                            yield known
                        if following.is_over:
                            return
            except LecternError as error:
                broken = error
            call = following.resumed(broken)
            await asyncio.sleep(WATCH_RECONNECT_SECONDS)


class AsyncFolders(AsyncResource):
    """What chats can be put in."""

    async def create(self, name: str) -> Folder:
        return await self._transport.send(chat_calls.create_folder(name))

    async def get(self, folder_id: str) -> Folder:
        return await self._transport.send(chat_calls.get_folder(folder_id))

    def list(self, *, page_size: int | None = None) -> AsyncGenerator[Folder, None]:
        return self._all(chat_calls.list_folders(page_size))

    async def rename(self, folder_id: str, name: str) -> Folder:
        return await self._transport.send(chat_calls.rename_folder(folder_id, name))

    async def delete(self, folder_id: str) -> None:
        await self._transport.send(chat_calls.delete_folder(folder_id))


class AsyncSettings(AsyncResource):
    """What the caller has chosen."""

    async def get(self) -> UserSettings:
        return await self._transport.send(chat_calls.get_settings())

    async def update(self, **changes: Any) -> UserSettings:
        return await self._transport.send(chat_calls.update_settings(changes))

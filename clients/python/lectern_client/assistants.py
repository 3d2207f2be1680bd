"""Assistants: a prompt, collections and a model under a name that questions can be put to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any, Final

from lectern_client.calls import API, Call, ListCall, list_of, model, once, part
from lectern_client.models import Assistant
from lectern_client.resource import AsyncResource, Resource

_PATH: Final = f"{API}/assistants"


def _create(name: str, fields: Mapping[str, Any]) -> Call[Assistant]:
    return Call("POST", _PATH, model(Assistant), json={"name": name, **fields}, headers=once())


def _get(assistant: str) -> Call[Assistant]:
    return Call("GET", f"{_PATH}/{part(assistant)}", model(Assistant))


def _list(page_size: int | None) -> Callable[[str], ListCall[Assistant]]:
    return list_of(Assistant, _PATH, page_size=page_size)


def _update(assistant: str, changes: Mapping[str, Any]) -> Call[Assistant]:
    return Call("PATCH", f"{_PATH}/{part(assistant)}", model(Assistant), json=dict(changes))


def _delete(assistant: str) -> Call[None]:
    return Call("DELETE", f"{_PATH}/{part(assistant)}", lambda _: None, repeatable=False)


class Assistants(Resource):
    """Assistants; ``assistant`` is an id or a name."""

    def create(self, name: str, **fields: Any) -> Assistant:
        """Make one, with ``prompt``, ``collections``, ``model``, ``visibility`` and the other fields of `Assistant` as needed."""
        return self._transport.send(_create(name, fields))

    def get(self, assistant: str) -> Assistant:
        return self._transport.send(_get(assistant))

    def list(self, *, page_size: int | None = None) -> Iterator[Assistant]:
        """Those that the key may use, by name, built-in ones too."""
        return self._all(_list(page_size))

    def update(self, assistant: str, **changes: Any) -> Assistant:
        """Change what is named; the rest stays."""
        return self._transport.send(_update(assistant, changes))

    def delete(self, assistant: str) -> None:
        self._transport.send(_delete(assistant))


class AsyncAssistants(AsyncResource):
    """Assistants; ``assistant`` is an id or a name."""

    async def create(self, name: str, **fields: Any) -> Assistant:
        return await self._transport.send(_create(name, fields))

    async def get(self, assistant: str) -> Assistant:
        return await self._transport.send(_get(assistant))

    def list(self, *, page_size: int | None = None) -> AsyncGenerator[Assistant, None]:
        return self._all(_list(page_size))

    async def update(self, assistant: str, **changes: Any) -> Assistant:
        return await self._transport.send(_update(assistant, changes))

    async def delete(self, assistant: str) -> None:
        await self._transport.send(_delete(assistant))

"""What the key's holder has searched for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final

from lectern_client.calls import API, Call, ListCall, list_of, part
from lectern_client.models import PastSearch
from lectern_client.resource import AsyncResource, Resource

_PATH: Final = f"{API}/search-history"


def _list(page_size: int | None) -> Callable[[str], ListCall[PastSearch]]:
    return list_of(PastSearch, _PATH, page_size=page_size)


def _delete(search_id: str) -> Call[None]:
    return Call("DELETE", f"{_PATH}/{part(search_id)}", lambda _: None, repeatable=False)


def _clear() -> Call[None]:
    return Call("DELETE", _PATH, lambda _: None)


class SearchHistory(Resource):
    """The searches that were made with this key; those made with ``history=False`` are not among them."""

    def list(self, *, page_size: int | None = None) -> Iterator[PastSearch]:
        """Newest first."""
        return self._all(_list(page_size))

    def delete(self, search_id: str) -> None:
        self._transport.send(_delete(search_id))

    def clear(self) -> None:
        """Forget all of them."""
        self._transport.send(_clear())


class AsyncSearchHistory(AsyncResource):
    """The searches that were made with this key; those made with ``history=False`` are not among them."""

    def list(self, *, page_size: int | None = None) -> AsyncGenerator[PastSearch, None]:
        return self._all(_list(page_size))

    async def delete(self, search_id: str) -> None:
        await self._transport.send(_delete(search_id))

    async def clear(self) -> None:
        await self._transport.send(_clear())

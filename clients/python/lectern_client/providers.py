"""Providers: endpoints of language models that an organisation brings. For admins."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from lectern_client.calls import API, Call, ListCall, list_of, model, once, part
from lectern_client.models import Provider
from lectern_client.resource import AsyncResource, Resource

_PATH: Final = f"{API}/providers"


def _create(name: str, base_url: str, models: Sequence[str | Mapping[str, Any]], key: str) -> Call[Provider]:
    body = {"name": name, "base_url": base_url, "models": _models(models), "key": key}
    return Call("POST", _PATH, model(Provider), json=body, headers=once())


def _models(models: Sequence[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": each} if isinstance(each, str) else dict(each) for each in models]


def _get(provider: str) -> Call[Provider]:
    return Call("GET", f"{_PATH}/{part(provider)}", model(Provider))


def _list(page_size: int | None) -> Callable[[str], ListCall[Provider]]:
    return list_of(Provider, _PATH, page_size=page_size)


def _update(provider: str, changes: Mapping[str, Any]) -> Call[Provider]:
    body = {**changes, "models": _models(changes["models"])} if "models" in changes else dict(changes)
    return Call("PATCH", f"{_PATH}/{part(provider)}", model(Provider), json=body)


def _delete(provider: str) -> Call[None]:
    return Call("DELETE", f"{_PATH}/{part(provider)}", lambda _: None, repeatable=False)


class Providers(Resource):
    """Providers; ``provider`` is an id or a name."""

    def create(self, name: str, base_url: str, models: Sequence[str | Mapping[str, Any]], *, key: str = "") -> Provider:
        """Bring an endpoint that speaks OpenAI's chat protocol.

        Args:
            name: its models are called ``name/model`` from now on.
            base_url: where /chat/completions begins.
            models: names at the endpoint, or mappings of ``name``, ``context_tokens`` and ``answer_tokens``.
            key: kept sealed and never shown again; empty for an endpoint that wants none.
        """
        return self._transport.send(_create(name, base_url, models, key))

    def get(self, provider: str) -> Provider:
        return self._transport.send(_get(provider))

    def list(self, *, page_size: int | None = None) -> Iterator[Provider]:
        return self._all(_list(page_size))

    def update(self, provider: str, **changes: Any) -> Provider:
        """Change ``base_url``, ``models`` or ``key``; a new address needs the key again."""
        return self._transport.send(_update(provider, changes))

    def delete(self, provider: str) -> None:
        self._transport.send(_delete(provider))


class AsyncProviders(AsyncResource):
    """Providers; ``provider`` is an id or a name."""

    async def create(self, name: str, base_url: str, models: Sequence[str | Mapping[str, Any]], *, key: str = "") -> Provider:
        return await self._transport.send(_create(name, base_url, models, key))

    async def get(self, provider: str) -> Provider:
        return await self._transport.send(_get(provider))

    def list(self, *, page_size: int | None = None) -> AsyncGenerator[Provider, None]:
        return self._all(_list(page_size))

    async def update(self, provider: str, **changes: Any) -> Provider:
        return await self._transport.send(_update(provider, changes))

    async def delete(self, provider: str) -> None:
        await self._transport.send(_delete(provider))

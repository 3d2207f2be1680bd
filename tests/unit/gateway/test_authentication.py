from __future__ import annotations

import asyncio

import pytest

from gateway.domain.accounts import Principal, Role
from gateway.domain.api_keys import KeyText, new_key, parse_key
from gateway.domain.authentication import Authenticator, Credential
from shared.errors import AppError, Status


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Store:
    def __init__(self, *keys: KeyText) -> None:
        self.keys = {key.prefix: Credential(Principal("org", f"key_{key.prefix}", Role.MEMBER), key.digest) for key in keys}
        self.asked = 0
        self.gate: asyncio.Event | None = None
        self.reading = asyncio.Event()

    async def use_key(self, prefix: str) -> Credential | None:
        self.asked += 1
        credential = self.keys.get(prefix)
        self.reading.set()
        if self.gate:
            await self.gate.wait()
        return credential


async def refused(authenticator: Authenticator, text: str) -> AppError:
    with pytest.raises(AppError) as raised:
        await authenticator.authenticate(text)
    assert raised.value.status is Status.UNAUTHENTICATED
    return raised.value


async def test_a_key_is_accepted_and_remembered_for_a_few_seconds() -> None:
    key, clock = new_key(), Clock()
    store = Store(key)
    authenticator = Authenticator(store, 5, clock)
    for seconds, asked in ((0, 1), (4.9, 1), (5, 2)):
        clock.seconds = seconds
        assert (await authenticator.authenticate(key.text)).organisation_id == "org"
        assert store.asked == asked


async def test_a_wrong_secret_is_refused_even_while_the_right_one_is_remembered() -> None:
    key = new_key()
    authenticator = Authenticator(Store(key), 5)
    await authenticator.authenticate(key.text)
    forged = f"lk_{key.prefix}_{'0' * 48}"
    assert (await refused(authenticator, forged)).reason == "API_KEY_INVALID"
    await authenticator.authenticate(key.text)


@pytest.mark.parametrize(
    "text",
    ["", "lk_", "secret", "lk_abc_def", "lk_abcdef_" + "s" * 31, "lk_abcdef_" + "s" * 40 + "é", "Bearer lk_abcdef_" + "s" * 40],
)
async def test_what_cannot_be_a_key_never_reaches_the_store(text: str) -> None:
    store = Store()
    await refused(Authenticator(store, 5), text)
    assert store.asked == 0


async def test_a_forgotten_key_is_asked_for_again() -> None:
    key = new_key()
    store = Store(key)
    authenticator = Authenticator(store, 60)
    await authenticator.authenticate(key.text)
    del store.keys[key.prefix]
    authenticator.forget(key.prefix)
    await refused(authenticator, key.text)


async def test_a_key_revoked_while_it_is_being_read_is_not_remembered() -> None:
    key = new_key()
    store = Store(key)
    store.gate = asyncio.Event()
    authenticator = Authenticator(store, 60)
    reading = asyncio.create_task(authenticator.authenticate(key.text))
    await store.reading.wait()
    del store.keys[key.prefix]
    authenticator.forget(key.prefix)
    store.gate.set()
    await reading
    await refused(authenticator, key.text)


def test_a_key_is_shown_by_its_prefix_and_kept_as_a_digest() -> None:
    key = new_key()
    assert parse_key(key.text) == key
    assert key.text.startswith(f"lk_{key.prefix}_")
    assert len(key.digest) == 32
    assert key.text not in repr(key)
    assert len({new_key().text for _ in range(100)}) == 100

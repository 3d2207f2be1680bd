from __future__ import annotations

import pytest

from gateway.adapters.envelopes import Envelopes, Sealed, UnreadableSecretError

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
SECRET, PLACE = "sk-a-secret-of-somebody", b"provider\0org\0p1\0https://a.example/v1"


def test_a_secret_opens_where_it_was_sealed_for_and_its_text_is_nowhere_in_it() -> None:
    envelopes = Envelopes({"new": NEW})
    sealed = envelopes.seal(SECRET, PLACE)
    assert envelopes.open(sealed, PLACE) == SECRET
    assert SECRET.encode() not in sealed.data
    assert envelopes.seal(SECRET, PLACE).data != sealed.data


def test_a_secret_opens_nowhere_else() -> None:
    envelopes = Envelopes({"new": NEW})
    sealed = envelopes.seal(SECRET, PLACE)
    flipped = bytearray(sealed.data)
    flipped[-1] ^= 1
    for wrong, place in (
        (sealed, PLACE.replace(b"a.example", b"b.example")),
        (Sealed("new", bytes(flipped)), PLACE),
        (Sealed("unknown", sealed.data), PLACE),
        (Sealed("new", b""), PLACE),
    ):
        with pytest.raises(UnreadableSecretError):
            envelopes.open(wrong, place)


def test_a_key_under_another_id_opens_nothing() -> None:
    sealed = Envelopes({"old": OLD}).seal(SECRET, PLACE)
    with pytest.raises(UnreadableSecretError):
        Envelopes({"other": OLD}).open(Sealed("other", sealed.data), PLACE)


def test_a_new_key_takes_over_what_an_old_one_sealed() -> None:
    sealed = Envelopes({"old": OLD}).seal(SECRET, PLACE)
    both = Envelopes({"new": NEW, "old": OLD})
    assert both.open(sealed, PLACE) == SECRET
    rewrapped = both.rewrap(sealed, PLACE)
    assert rewrapped.key_id == "new"
    assert Envelopes({"new": NEW}).open(rewrapped, PLACE) == SECRET
    with pytest.raises(UnreadableSecretError):
        both.rewrap(sealed, b"elsewhere")

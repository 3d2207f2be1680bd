from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.caller import Caller
from shared.errors import AppError, Status
from shared.rpc.caller_signing import LIFETIME_SECONDS, CallerSigner

CALLER = Caller("org-1", "key:k1", ("group:staff",))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_signed_caller_is_accepted_by_a_service_with_the_same_key() -> None:
    assert CallerSigner(b"k" * 32).verify(CallerSigner(b"k" * 32).sign(CALLER)) == CALLER


def test_another_key_is_refused() -> None:
    with pytest.raises(AppError) as raised:
        CallerSigner(b"k" * 32).verify(CallerSigner(b"x" * 32).sign(CALLER))
    assert (raised.value.reason, raised.value.status) == ("CALLER_INVALID", Status.UNAUTHENTICATED)


def test_an_old_signature_is_refused() -> None:
    clock = Clock()
    signer = CallerSigner(b"k" * 32, now=clock)
    signed = signer.sign(CALLER)
    clock.now += LIFETIME_SECONDS + 1
    with pytest.raises(AppError) as raised:
        signer.verify(signed)
    assert raised.value.reason == "CALLER_EXPIRED"


@given(st.integers(min_value=0), st.integers(1, 255))
def test_a_changed_byte_is_refused(position: int, change: int) -> None:
    signer = CallerSigner(b"k" * 32)
    signed = bytearray(signer.sign(CALLER))
    signed[position % len(signed)] ^= change
    try:
        verified = signer.verify(bytes(signed))
    except AppError:
        return
    assert verified == CALLER  # the byte was of an encoding detail that carries nothing


@given(st.binary(max_size=80))
def test_made_up_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(AppError):
        CallerSigner(b"k" * 32).verify(value)

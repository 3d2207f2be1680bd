"""Secrets at rest: envelope encryption with AES-256-GCM."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_WRAPPED_BYTES: Final = _NONCE_BYTES + KEY_BYTES + _TAG_BYTES


class UnreadableSecretError(Exception):
    """No key that we have opens it, or it is not where it was sealed for."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as it may be stored; ``key_id`` names the key that opens it."""

    key_id: str
    data: bytes


class Envelopes:
    """Seals each secret under a key of its own, and that key under one of ours.

    ``associated`` says where a secret belongs (its row, and what else must not be exchanged beside it); it opens nowhere else.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """The first of ``keys``, by their ids and each of 32 bytes, seals; all of them open."""
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.key_id = next(iter(keys))

    def seal(self, secret: str, associated: bytes) -> Sealed:
        data_key = AESGCM.generate_key(bit_length=8 * KEY_BYTES)
        return Sealed(self.key_id, self._wrap(data_key, associated) + _encrypt(AESGCM(data_key), secret.encode(), associated))

    def open(self, sealed: Sealed, associated: bytes) -> str:
        """Raises UnreadableSecretError."""
        try:
            data_key = self._unwrap(sealed, associated)
            return _decrypt(AESGCM(data_key), sealed.data[_WRAPPED_BYTES:], associated).decode()
        except (InvalidTag, ValueError):  # cut, changed, or of another place
            raise UnreadableSecretError from None

    def rewrap(self, sealed: Sealed, associated: bytes) -> Sealed:
        """The same secret under the key that seals now; its text is not opened.

        Raises:
            UnreadableSecretError: as for `open`.
        """
        try:
            wrapped = self._wrap(self._unwrap(sealed, associated), associated)
        except (InvalidTag, ValueError):  # cut, changed, or of another place
            raise UnreadableSecretError from None
        return Sealed(self.key_id, wrapped + sealed.data[_WRAPPED_BYTES:])

    def _wrap(self, data_key: bytes, associated: bytes) -> bytes:
        return _encrypt(self._keys[self.key_id], data_key, self.key_id.encode() + b"\0" + associated)

    def _unwrap(self, sealed: Sealed, associated: bytes) -> bytes:
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise UnreadableSecretError
        return _decrypt(key, sealed.data[:_WRAPPED_BYTES], sealed.key_id.encode() + b"\0" + associated)


def _encrypt(key: AESGCM, plain: bytes, associated: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + key.encrypt(nonce, plain, associated)


def _decrypt(key: AESGCM, data: bytes, associated: bytes) -> bytes:
    return key.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], associated)

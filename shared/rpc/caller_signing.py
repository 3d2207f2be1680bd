"""The caller of an internal RPC: signed by the service that knows, verified by the one that acts."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any

from lectern.caller.v1 import caller_pb2
from shared.caller import Caller
from shared.errors import AppError, Status

METADATA_KEY = "lectern-caller-bin"
# Long enough for the slowest call plus clocks that differ; a stolen header is of little use after.
LIFETIME_SECONDS = 900


class CallerSigner:
    """Signs and verifies callers with the deployment's internal key."""

    def __init__(self, key: bytes, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._now = now

    def sign(self, caller: Caller) -> bytes:
        """The value of the ``lectern-caller-bin`` metadata entry."""
        message = caller_pb2.Caller(organisation_id=caller.organisation_id, subject=caller.subject, principals=caller.principals)
        message.expire_time.FromSeconds(int(self._now()) + LIFETIME_SECONDS)
        body = message.SerializeToString()
        return caller_pb2.SignedCaller(caller=body, signature=self._signature(body)).SerializeToString()

    def identify(self, metadata: Mapping[str, Any]) -> Caller:
        """The caller that a call's metadata is signed for.

        Raises:
            AppError: as `verify`.
        """
        return self.verify(metadata.get(METADATA_KEY, b""))

    def verify(self, value: bytes) -> Caller:
        """The caller that ``value`` was signed for.

        Raises:
            AppError: CALLER_INVALID when the signature is not ours, CALLER_EXPIRED when it is too old.
        """
        try:
            signed = caller_pb2.SignedCaller.FromString(value)
            message = caller_pb2.Caller.FromString(signed.caller)
        except Exception:  # noqa: BLE001  # protobuf raises different types in its different implementations
            raise _refused("CALLER_INVALID", "The caller's signature cannot be read.") from None
        if not hmac.compare_digest(signed.signature, self._signature(signed.caller)) or not message.organisation_id:
            raise _refused("CALLER_INVALID", "The caller's signature is wrong: every service needs the same LECTERN_INTERNAL_KEY.")
        if message.expire_time.ToSeconds() < self._now():
            raise _refused("CALLER_EXPIRED", "The caller's signature is too old: check the clocks of the services.")
        return Caller(message.organisation_id, message.subject, tuple(message.principals))

    def _signature(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()


def _refused(reason: str, message: str) -> AppError:
    return AppError(reason, Status.UNAUTHENTICATED, message)

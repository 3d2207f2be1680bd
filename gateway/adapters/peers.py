"""Calls to the back services: their errors, in words that an outsider may read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from shared.errors import AppError, Status
from shared.rpc.channel import peer_errors
from shared.rpc.status import INTERNAL_MESSAGE

log = structlog.get_logger()
# Statuses that a transport gives too, with words of its own; only those of a servicer, which name a reason, are for callers.
_EXPLAINED = frozenset({Status.CANCELLED, Status.UNIMPLEMENTED})


@contextmanager
def calling(peer: str) -> Iterator[None]:
    """Turn what a call to ``peer`` raises into an AppError that may be shown.

    Raises:
        AppError: the peer's own; ``<PEER>_UNAVAILABLE`` or ``<PEER>_TIMEOUT`` when it could not be reached in time; INTERNAL for what
            concerns the deployment and not the caller, which is logged.
    """
    try:
        with peer_errors(peer):
            yield
    except AppError as error:
        if error.status is Status.UNAUTHENTICATED:
            # The peer doubts the gateway, not the user: the services' keys or clocks differ.
            log.exception("peer_refused_gateway", peer=peer, reason=error.reason)
            raise _internal() from error
        if error.reason == error.status.value and error.status not in _EXPLAINED:
            log.exception("peer_failed", peer=peer, status=error.status.value)
            raise _internal() from error
        raise


def _internal() -> AppError:
    return AppError("INTERNAL", Status.INTERNAL, INTERNAL_MESSAGE)

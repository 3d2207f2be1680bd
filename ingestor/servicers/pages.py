"""How much of a list one message holds."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from google.protobuf.message import Message

from shared.rpc.limits import MAX_MESSAGE_BYTES

MAX_PAGE_BYTES = MAX_MESSAGE_BYTES // 2


def fitting(messages: Iterable[Message], size: int) -> int:
    """How many of ``messages`` make a page of at most ``size``: fewer where they are large, but one where there is one."""
    count = total = 0
    for message in islice(messages, size):
        total += message.ByteSize()
        if count and total > MAX_PAGE_BYTES:
            break
        count += 1
    return count

"""A rebuild of the whole index."""

from __future__ import annotations

from datetime import datetime

from lectern_client.models.reply import Reply


class IndexRebuild(Reply):
    """How far a rebuild of the index is, or what came of it.

    Attributes:
        state: ``BUILDING``, ``SWITCHING``, ``SUCCEEDED`` or ``FAILED``.
        walk: how often the documents were walked through, this time included.
        done: passages compared in this walk, of about ``total``.
        embedded: passages written whose text went through the model.
        reused: passages written whose vector was taken over.
        reason: why it failed, or what it waits for; ``message`` says the same for people.
    """

    rebuild_id: str
    state: str
    walk: int
    done: int
    total: int
    embedded: int
    reused: int
    reason: str
    message: str
    create_time: datetime

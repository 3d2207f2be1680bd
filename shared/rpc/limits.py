"""Sizes and times that both ends of every channel agree on."""

from __future__ import annotations

# Senders split well below this; it is a guard, not a budget.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
# What one streamed message should carry: large enough to amortise the call, small enough to interleave.
STREAM_PART_BYTES = 1024 * 1024
# Some routers drop idle TCP connections after four minutes; a ping a minute keeps them and notices dead peers.
KEEPALIVE_SECONDS = 60
KEEPALIVE_TIMEOUT_SECONDS = 20
# A caller that sets no deadline gets this one.
DEFAULT_DEADLINE_SECONDS = 60.0
# Left for a service to answer in its own words before the caller's deadline cuts it off.
DEADLINE_MARGIN_SECONDS = 0.05

COMMON_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_SECONDS * 1000),
)

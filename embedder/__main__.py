"""Starts the embedder: ``python -m embedder``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from embedder.adapters.openvino import OpenVINOError
from embedder.adapters.remote.model import RemoteModelError
from embedder.adapters.transformers.checkpoint import CheckpointError
from embedder.adapters.transformers.self_test import SelfTestError
from embedder.server import serve
from embedder.settings import EmbedderSettings
from shared.rpc.run import run_service
from shared.settings import load_or_exit


class ModelLost(Exception):  # noqa: N818  # named for what happened
    """The device that ran the model is gone, or hangs."""


@asynccontextmanager
async def serve_while_model_lives(settings: EmbedderSettings) -> AsyncIterator[None]:
    """`serve`, until the process is asked to end or the model is lost.

    Raises:
        ModelLost: the process should end with an error, so that its supervisor starts a new one.
    """
    async with serve(settings) as service:
        service.failure.add_done_callback(_stop_this_process)
        yield
        failed = service.failure.done() and service.failure.exception() is not None
    if failed:
        raise ModelLost


def _stop_this_process(_: asyncio.Task[None]) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    settings = load_or_exit(EmbedderSettings)
    try:
        run_service("embedder", settings, serve_while_model_lives)
    except (CheckpointError, OpenVINOError, RemoteModelError, SelfTestError, OSError) as error:
        sys.stderr.write(f"The embedder cannot start: {error}\n")
        raise SystemExit(2) from None
    except ModelLost:
        sys.stdout.flush()
        sys.stderr.flush()
        # An ordinary exit would wait for the device's threads, and one that hangs never ends.
        os._exit(1)


if __name__ == "__main__":
    main()

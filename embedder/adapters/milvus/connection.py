"""A connection to Milvus that is made again when it breaks, and prepared before it is used."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import grpc
import structlog
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from embedder import errors
from embedder.adapters.milvus.schema import FINGERPRINT, create_collection, number_of, physical_name
from embedder.domain.encoding import EncoderSpec

log = structlog.get_logger()
Answer = TypeVar("Answer")
# Calls that one process has open at a time; more would queue inside of Milvus instead.
_THREADS = 8
CONNECT_SECONDS = 5.0
# The client's own code for not reaching the server, which an idle connection that was cut gives too.
_NOT_REACHED = 2
# What a new client may mend. Milvus's own codes: the collection is not there, or (in Lite, after each restart) not loaded.
_MENDABLE = (_NOT_REACHED, 100, 101)
ADMINISTRATION_SECONDS = 60.0


class MilvusConnection:
    """Runs blocking client calls in threads, with a deadline each, on a client that is known to work.

    pymilvus has an asynchronous client, but packing a batch of rows takes tens of milliseconds of CPU, which in a thread does not stop the
    event loop.
    """

    def __init__(self, uri: str, token: str, alias: str, spec: EncoderSpec, *, collection: str = "") -> None:
        """Lead to what is behind ``alias``, or to ``collection``, which must be one that `create_next` made."""
        self.alias = alias
        self.name = collection or alias
        self.physical_collection = collection or physical_name(alias, spec)
        self.lite = False
        # Collections that were made before there were fingerprints have no column for them.
        self.has_fingerprints = False
        self._uri = uri
        self._token = token
        self._spec = spec
        self._client: MilvusClient | None = None
        self._connecting = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="milvus")
        # It logs each failed call with a traceback of its own; we log what we make of it.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

    async def call(self, operation: Callable[[MilvusClient], Answer]) -> Answer:
        """Run ``operation`` with a working client; once more with a new one when the first turns out to be none, so it must be idempotent.

        Raises:
            AppError: INDEX_UNAVAILABLE when the store does not answer in time, INDEX_OF_OTHER_MODEL.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._call, operation)

    async def follow_alias(self) -> None:
        """Take note that the alias was moved. Calls that are under way go on."""
        await self.call(self._prepare)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._disconnect)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _call(self, operation: Callable[[MilvusClient], Answer]) -> Answer:
        try:
            try:
                return operation(self._connected())
            except MilvusException as error:
                if error.code not in _MENDABLE:
                    raise
                self._disconnect()
                return operation(self._connected())
        except (MilvusException, grpc.RpcError, ValueError) as error:
            log.warning("milvus_call_failed", error=type(error).__name__, reason=str(error)[:200])
            if not _was_answered(error):
                self._disconnect()
            raise errors.index_unavailable() from error

    def _connected(self) -> MilvusClient:
        with self._connecting:
            if self._client is None:
                client = MilvusClient(self._uri, token=self._token, timeout=CONNECT_SECONDS)
                try:
                    self._prepare(client)
                except BaseException:
                    client.close()
                    raise
                self._client = client
            return self._client

    def _disconnect(self) -> None:
        with self._connecting:
            client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(MilvusException, grpc.RpcError, ValueError):
                client.close()

    def _prepare(self, client: MilvusClient) -> None:
        """See to it that the alias leads to a loaded collection of our model."""
        self.lite = "lite" in client.get_server_version(timeout=CONNECT_SECONDS)
        if self.name == self.alias:
            self._prepare_alias(client)
        elif not client.has_collection(self.name, timeout=CONNECT_SECONDS):
            raise errors.collection_not_found(self.name)
        client.load_collection(self.physical_collection, timeout=ADMINISTRATION_SECONDS)
        described = client.describe_collection(self.physical_collection, timeout=CONNECT_SECONDS)
        self.has_fingerprints = any(field["name"] == FINGERPRINT for field in described["fields"])

    def _prepare_alias(self, client: MilvusClient) -> None:
        behind_alias = collection_behind(client, self.alias)
        if behind_alias is None:
            if not client.has_collection(self.physical_collection, timeout=CONNECT_SECONDS):
                create_collection(client, self.physical_collection, self._spec, lite=self.lite, timeout=ADMINISTRATION_SECONDS)
                log.info("collection_created", collection=self.physical_collection)
            client.create_alias(self.physical_collection, self.alias, timeout=ADMINISTRATION_SECONDS)
        elif number_of(behind_alias, self.alias, self._spec) is None:
            raise errors.index_of_other_model(behind_alias, physical_name(self.alias, self._spec))
        else:
            self.physical_collection = behind_alias


def _was_answered(error: Exception) -> bool:
    """Whether the server spoke, or is slow: then the connection is good, and other calls on it go on."""
    if isinstance(error, MilvusException):
        return isinstance(error.code, int) and error.code != _NOT_REACHED
    return isinstance(error, grpc.RpcError) and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def collection_behind(client: MilvusClient, alias: str) -> str | None:
    """The collection that an alias leads to; None when there is no such alias."""
    try:
        return str(client.describe_alias(alias, timeout=CONNECT_SECONDS)["collection_name"])
    except MilvusException as error:
        if "alias" in str(error).lower() and "not" in str(error).lower():
            return None
        raise

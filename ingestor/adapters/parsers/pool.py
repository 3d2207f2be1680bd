"""Parses files in warm child processes, so that a hostile one costs its own process and nothing else."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from tempfile import TemporaryDirectory

import structlog

from ingestor.adapters.parsers.language import sample
from ingestor.adapters.parsers.process import KilledFromOutside, ParserProcess, ProcessLimits, rejected
from ingestor.adapters.parsers.wire import Reply, Request, bundled
from ingestor.adapters.parsers.zip_archive import members
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, ParsedDocument, ParserUnavailable, RejectionReason, SourceFile

_log = structlog.get_logger(__name__)

_ATTEMPTS = 2
_SHUTTING_DOWN = "The parsers are shutting down."


class ParserPool:
    """A :class:`ingestor.domain.parsing.Parser` whose work runs in child processes.

    Checks have a child of their own: whoever uploads a file does not wait behind the parsing of others. So have conversions, started with
    the first: LibreOffice takes seconds, in which others' files are parsed. So have pictures of text, started with the first: recognising
    takes minutes. So have texts that are no files, started with the first: they never wait behind files.
    Start it on the thread that lives as long as the service, for on Linux the children die with the thread that started them.
    """

    def __init__(self, documents: DocumentLimits, processes: ProcessLimits, concurrency: int = 2) -> None:
        self._documents = documents
        self._processes = processes
        self._folder = TemporaryDirectory(prefix="lectern-parsers-", ignore_cleanup_errors=True)
        self._parsing = _Lane("parse", concurrency, processes, self._folder.name)
        self._checking = _Lane("check", 1, processes, self._folder.name)
        self._recognising = _Lane("recognise", concurrency, processes, self._folder.name)
        self._converting = _Lane("convert", 1, processes, self._folder.name)
        self._detecting = _Lane("detect", 1, processes, self._folder.name)

    async def start(self) -> None:
        """Start the children.

        Raises:
            ParserUnavailable: one of them did not start.
        """
        await asyncio.gather(self._parsing.start(), self._checking.start())

    async def close(self, grace_seconds: float = 5.0) -> None:
        """End the children; files that are not done after the grace end in :class:`ParserUnavailable`."""
        lanes = (self._parsing, self._checking, self._recognising, self._converting, self._detecting)
        await asyncio.gather(*(lane.close(grace_seconds) for lane in lanes))
        await asyncio.to_thread(self._folder.cleanup)

    async def check(self, source: SourceFile) -> str:
        """See :meth:`ingestor.domain.parsing.Parser.check`. Cancelling ends the work in the child."""
        request = Request(source, self._documents, self._processes.cpu_seconds)
        reply = await self._checking.ask(request, self._processes.check_seconds)
        assert reply.type is not None
        return reply.type

    async def parse(self, source: SourceFile) -> ParsedDocument:
        """See :meth:`ingestor.domain.parsing.Parser.parse`. Cancelling ends the work in the child."""
        request = Request(source, self._documents, self._processes.cpu_seconds)
        reply = await self._parsing.ask(request, self._processes.wall_seconds)
        if reply.needs == "convert":
            converted = (await self._converting.ask(request, self._processes.wall_seconds)).converted
            assert converted is not None
            assert reply.type is not None
            return replace(await self.parse(converted), type=reply.type)
        if reply.needs == "recognise":
            seconds = self._processes.recognition_seconds
            reply = await self._recognising.ask(replace(request, cpu_seconds=math.ceil(seconds)), seconds)
        assert reply.document is not None
        return reply.document

    async def languages(self, texts: Sequence[str]) -> Sequence[str]:
        """See :meth:`ingestor.domain.parsing.Parser.languages`. Cancelling ends the work in the child."""
        request = Request(bundled(map(sample, texts)), self._documents, self._processes.cpu_seconds)
        try:
            reply = await self._detecting.ask(request, self._processes.wall_seconds)
        except DocumentRejected:
            return [""] * len(texts)  # logged by the worker; the texts are as good without
        assert reply.languages is not None
        return reply.languages

    async def unpack(self, archive: SourceFile) -> AsyncIterator[SourceFile]:
        """See :meth:`ingestor.domain.parsing.Parser.unpack`. In a thread, for the check has bounded what comes out."""
        files = members(archive)
        while (file := await asyncio.to_thread(next, files, None)) is not None:
            yield file


class _Lane:
    """Hands requests to whichever of its workers is free; the one used last goes first, so that few stay warm under little load."""

    def __init__(self, operation: str, size: int, limits: ProcessLimits, folder: str) -> None:
        self._workers = [_Worker(operation, limits, folder) for _ in range(size)]
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        for worker in self._workers:
            self._idle.put_nowait(worker)

    async def start(self) -> None:
        await asyncio.gather(*(worker.process() for worker in self._workers))

    async def close(self, grace_seconds: float) -> None:
        for worker in self._workers:
            worker.closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await asyncio.gather(*(worker.idle.wait() for worker in self._workers))
        await asyncio.gather(*(worker.close() for worker in self._workers))

    async def ask(self, request: Request, seconds: float) -> Reply:
        worker = await self._idle.get()
        try:
            return await worker.ask(request, seconds)
        finally:
            self._idle.put_nowait(worker)


class _Worker:
    """Keeps one child process, and replaces it when it died, overran, grew too large or has served its number of files."""

    def __init__(self, operation: str, limits: ProcessLimits, folder: str) -> None:
        self._operation = operation
        self._limits = limits
        self._folder = folder
        self._process: ParserProcess | None = None
        self._retired = False
        self.closed = False
        self.idle = asyncio.Event()
        self.idle.set()

    async def ask(self, request: Request, seconds: float) -> Reply:
        self.idle.clear()
        try:
            reply = await self._ask(request, seconds)
        finally:
            self.idle.set()
        if reply.rejection is not None:
            reason, message = reply.rejection
            _log.info("document_rejected", reason=reason.value, cause=reply.cause)
            raise DocumentRejected(reason, message) if message else rejected(reason)
        return reply

    async def process(self) -> ParserProcess:
        """Return a child that is ready, a new one where the last is dead or has done its share."""
        if self.closed:
            raise ParserUnavailable(_SHUTTING_DOWN)
        if self._process is not None and (self._retired or not self._process.alive):
            await self._process.close()
            self._process = None
        if self._process is None:
            self._process = await ParserProcess.start(self._operation, self._limits, self._folder)
            self._retired = False
            if self.closed:  # meanwhile
                raise ParserUnavailable(_SHUTTING_DOWN)
        return self._process

    async def close(self) -> None:
        if not self.idle.is_set() and self._process is not None:
            await self._process.kill()
        await self.idle.wait()
        if self._process is not None:
            await self._process.close()

    async def _ask(self, request: Request, seconds: float) -> Reply:
        for _ in range(_ATTEMPTS):
            process = await self.process()
            try:
                reply = await process.ask(request, seconds)
            except KilledFromOutside:
                _log.warning("parser_process_killed", pid=process.pid)
                continue
            except DocumentRejected as rejection:
                _log.warning("parser_process_lost", pid=process.pid, reason=rejection.reason.value)
                raise
            self._retired = process.files >= self._limits.files_per_process or reply.peak_bytes > self._limits.memory_bytes // 2
            self._retired = self._retired or (reply.rejection is not None and reply.rejection[0] is RejectionReason.PARSER_OUT_OF_MEMORY)
            return reply
        raise rejected(RejectionReason.PARSER_CRASHED)

"""One warm child process that parses files, and what its death means for the file it was at."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ingestor.adapters.parsers.wire import LENGTHS, MAX_HEADER_BYTES, Reply, Request
from ingestor.domain.parsing import MEBIBYTE, DocumentRejected, ParserUnavailable, RejectionReason

_CHILD_MODULE = "ingestor.adapters.parsers.child"
_SOURCE_ROOT = Path(__file__).parents[3]
_START_SECONDS = 30.0
_END_SECONDS = 3.0
_WRITE_BYTES = MEBIBYTE
_MAX_BYTES_PER_CHARACTER = 4
_MESSAGES = {
    RejectionReason.PARSER_TIMEOUT: "Reading the file took too long. Split it, or save it anew from the program that made it.",
    RejectionReason.PARSER_OUT_OF_MEMORY: "Reading the file took too much memory. Split it, or save it anew from the program that made it.",
    RejectionReason.PARSER_CRASHED: "The parser failed on the file. Save it anew from the program that made it, or in another format.",
}


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What a child process may use.

    Attributes:
        memory_bytes: address space; a warm child with every library loaded takes about 300 MiB of it.
        cpu_seconds: processor time for one file, and for each program that is run for it.
        wall_seconds: time in which one file has to be parsed.
        recognition_seconds: time in which the text on all pictures of one file has to be recognised; processor time as well.
        check_seconds: time in which one file has to be checked.
        files_per_process: after so many files a child is replaced, and before that if it grew beyond half its memory.
        programs_path: the folders in which it looks for tesseract and LibreOffice, set apart by colons.
    """

    memory_bytes: int = 1024 * MEBIBYTE
    cpu_seconds: int = 20
    wall_seconds: float = 120.0
    recognition_seconds: float = 600.0
    check_seconds: float = 15.0
    files_per_process: int = 200
    programs_path: str = ""


class KilledFromOutside(Exception):  # noqa: N818 - says nothing of the file
    """Somebody else ended the child: an operator, or the kernel when the machine ran out of memory."""


def rejected(reason: RejectionReason) -> DocumentRejected:
    """Return the rejection of a file whose parser did not survive it."""
    return DocumentRejected(reason, _MESSAGES[reason])


class ParserProcess:
    """A child process and the pipes to it. Answers one request at a time; after any failure it is dead."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ended_by_us = False
        self._reading = False
        self.files = 0

    @classmethod
    async def start(cls, operation: str, limits: ProcessLimits, folder: str) -> Self:
        """Start a child for one operation (see `child`) in a session of its own, and wait until it is ready.

        It gets no variable of our environment, for those hold secrets. ``folder``: where it may keep temporary files.

        Raises:
            ParserUnavailable: it did not start.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-W", "ignore", "-m", _CHILD_MODULE, operation, str(limits.memory_bytes), str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={
                "PYTHONPATH": str(_SOURCE_ROOT), "PATH": limits.programs_path, "TMPDIR": folder, "LC_ALL": "C.UTF-8",
                "OPENBLAS_NUM_THREADS": "1",
            },
        )  # fmt: skip
        child = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await child._receive(max_text_chars=0)
        except (TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            await child.kill()
            raise ParserUnavailable("A parser's child process did not start; its standard error says why.") from error
        except asyncio.CancelledError:
            await child.kill()
            raise
        return child

    @property
    def alive(self) -> bool:
        """Whether the child was still running when last heard of."""
        return self._process.returncode is None and not self._ended_by_us

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def ask(self, request: Request, seconds: float) -> Reply:
        """Send one request and wait for its answer; being cancelled kills the child and with it the work.

        Raises:
            DocumentRejected: the file was too much for the child: time, memory or a crash.
            KilledFromOutside: see there.
            ParserUnavailable: :meth:`kill` or :meth:`close` was called meanwhile.
        """
        self.files += 1
        try:
            async with asyncio.timeout(seconds):
                await self._send(request)
                return await self._receive(request.limits.max_text_chars)
        except TimeoutError as error:
            await self.kill()
            raise rejected(RejectionReason.PARSER_TIMEOUT) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise await self._explain_death() from error
        except (ValueError, KeyError, TypeError) as error:
            await self.kill()
            raise rejected(RejectionReason.PARSER_CRASHED) from error
        except asyncio.CancelledError:
            await self.kill()
            raise

    async def kill(self) -> None:
        """End the child and the programs that it runs at once, and wait until it is gone."""
        self._ended_by_us = True
        self._kill_group()
        await self._discard()
        await self._process.wait()

    async def close(self) -> None:
        """Let an idle child end by itself; kill it if it does not."""
        self._ended_by_us = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def _send(self, request: Request) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        prefix, body = request.frame()
        stdin.write(prefix)
        # In pieces: the whole at once would be copied into the transport's buffer.
        view = memoryview(body)
        for start in range(0, len(view), _WRITE_BYTES):
            await stdin.drain()
            stdin.write(view[start : start + _WRITE_BYTES])
        await stdin.drain()

    async def _receive(self, max_text_chars: int) -> Reply:
        stdout = self._process.stdout
        assert stdout is not None
        self._reading = True
        try:
            header_length, body_length = LENGTHS.unpack(await stdout.readexactly(LENGTHS.size))
            if header_length > MAX_HEADER_BYTES or body_length > max_text_chars * _MAX_BYTES_PER_CHARACTER:
                raise ValueError("the child announced more than it may send")
            header, body = await stdout.readexactly(header_length), await stdout.readexactly(body_length)
        finally:
            self._reading = False
        return await asyncio.to_thread(Reply.from_frame, header, body)

    async def _discard(self) -> None:
        """Read what the child had still to say: asyncio waits for the end of its pipes, which a full buffer would hide.

        Only one may read at once; whoever reads already comes to the end too.
        """
        stdout = self._process.stdout
        assert stdout is not None
        if self._reading:
            return
        self._reading = True
        try:
            while await stdout.read(_WRITE_BYTES):
                pass
        finally:
            self._reading = False

    async def _explain_death(self) -> Exception:
        """Tell from the exit status of a child that fell silent what became of its file."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                status = await self._process.wait()
        except TimeoutError:
            await self.kill()
            return rejected(RejectionReason.PARSER_CRASHED)
        self._kill_group()  # what the child had started
        if self._ended_by_us:
            return ParserUnavailable("The parser was stopped.")
        if status in (-signal.SIGKILL, -signal.SIGTERM):
            return KilledFromOutside()
        if status == -signal.SIGXCPU:
            return rejected(RejectionReason.PARSER_TIMEOUT)
        # PDFium aborts when it gets no memory; Python itself raises and answers.
        return rejected(RejectionReason.PARSER_OUT_OF_MEMORY if status == -signal.SIGABRT else RejectionReason.PARSER_CRASHED)

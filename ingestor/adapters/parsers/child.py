"""The program of a parser's child process: ``python -m ingestor.adapters.parsers.child OPERATION MEMORY_BYTES PARENT_PID``.

The operation is ``check``, ``parse``, ``recognise``, ``convert`` or ``detect``. Reads requests from its standard input and answers each on
its standard output, until the input ends. It limits itself, and with itself the programs that it runs, before it reads anything: memory,
open files, no writing of files unless it converts, no core dumps, and, for each file, processor time.
"""

import os
import resource
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ingestor.adapters.parsers.formats import ConversionNeeded, check, convert, parse, recognise
from ingestor.adapters.parsers.language import detect_language, load_model
from ingestor.adapters.parsers.ocr import RecognitionNeeded
from ingestor.adapters.parsers.programs import die_with_parent
from ingestor.adapters.parsers.wire import Reply, Request, read_frame, unbundled
from ingestor.domain.parsing import MEBIBYTE, DocumentRejected, RejectionReason

_MAX_OPEN_FILES = 64
_MAX_CONVERTED_BYTES = 64 * MEBIBYTE
# It keeps a core busy for minutes, for which nobody waits.
_RECOGNITION_NICENESS = 10


def main(operation: str, memory_bytes: int, parent: int) -> None:
    """Serve until the standard input ends or the parent is gone."""
    requests, replies = _own_pipes()
    _die_with(parent)
    if operation in ("parse", "recognise", "detect"):
        load_model()  # writes a temporary file, which is forbidden from the next line on
    if operation == "recognise":
        os.nice(_RECOGNITION_NICENESS)
    _limit(memory_bytes, _MAX_CONVERTED_BYTES if operation == "convert" else 0)
    _send(replies, *Reply().frame())
    _silence_errors()
    try:
        while (frame := read_frame(requests)) is not None:
            _send(replies, *_answer(operation, Request.from_frame(*frame)))
    except MemoryError:
        os.abort()  # the file alone is too large; the parent reads an abort as want of memory


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return the pipes to the parent, and leave nothing but ``/dev/null`` where a library may print."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("r+b") as nowhere:
        os.dup2(nowhere.fileno(), 0)
        os.dup2(nowhere.fileno(), 1)
    return requests, replies


def _silence_errors() -> None:
    """From here on complaints go nowhere: a library's may quote the document. Those of a failed start were still heard."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)


def _die_with(parent: int) -> None:
    """Have the kernel end this process with its parent, even while a library is busy; elsewhere the end of the input has to do."""
    die_with_parent()
    if os.getppid() != parent:
        sys.exit("the parent process is gone")


def _limit(memory_bytes: int, file_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))
    with suppress(ValueError):  # macOS refuses it
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _allow_cpu(seconds: int) -> None:
    """Let the next file have so much processor time; the kernel ends the process with SIGXCPU after it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + 1 + seconds, resource.RLIM_INFINITY))


def _answer(operation: str, request: Request) -> tuple[bytes, bytes]:
    """Return the frame of the reply; whatever happens to a file, there is one, unless the process itself falls."""
    _allow_cpu(request.cpu_seconds)
    try:
        return _reply(operation, request).frame()
    except DocumentRejected as rejection:
        reply = Reply(rejection=(rejection.reason, rejection.message), cause=_cause(rejection), peak_bytes=_peak_bytes())
    except MemoryError as error:
        reply = Reply(rejection=(RejectionReason.PARSER_OUT_OF_MEMORY, ""), cause=_cause(error))
    except Exception as error:  # noqa: BLE001 - the parent logs the cause and goes on with the next file
        reply = Reply(rejection=(RejectionReason.PARSER_CRASHED, ""), cause=_cause(error))
    return reply.frame()


def _reply(operation: str, request: Request) -> Reply:
    return replace(_OPERATIONS[operation](request), peak_bytes=_peak_bytes())


def _parsed(request: Request) -> Reply:
    try:
        return Reply(document=parse(request.source, request.limits))
    except ConversionNeeded as needed:
        return Reply(type=needed.type, needs="convert")
    except RecognitionNeeded:
        return Reply(needs="recognise")


_OPERATIONS: Mapping[str, Callable[[Request], Reply]] = {
    "check": lambda request: Reply(type=check(request.source, request.limits)),
    "parse": _parsed,
    "recognise": lambda request: Reply(document=recognise(request.source, request.limits)),
    "convert": lambda request: Reply(converted=convert(request.source, request.limits)),
    "detect": lambda request: Reply(languages=tuple(map(detect_language, unbundled(request.source)))),
}


def _cause(error: Exception) -> str | None:
    origin = error.__cause__ or error
    frames = traceback.extract_tb(origin.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(origin).__name__ + place


def _peak_bytes() -> int:
    """Return the most memory that this program has held; Linux's ``ru_maxrss`` would count the parent's before the exec too."""
    if sys.platform == "linux":
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024  # the line says kB and means KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _send(replies: BinaryIO, prefix: bytes, body: bytes) -> None:
    replies.write(prefix)
    replies.write(body)
    replies.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

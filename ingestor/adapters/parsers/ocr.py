"""Text recognition, by tesseract."""

import os
import subprocess
from functools import cache

from ingestor.adapters.parsers.programs import installed, run
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, RejectionReason

# Not languages: the layout of a page, and equations.
_NO_LANGUAGES = ("osd", "equ")


class RecognitionNeeded(Exception):  # noqa: N818 - says nothing bad of the file
    """The text of the file, or of some of its pages, is on pictures; tesseract, which reads it, is installed."""


def available() -> bool:
    """Return whether tesseract is installed."""
    return installed("tesseract") is not None


def missing(what: str) -> DocumentRejected:
    """Return the rejection of a file that only tesseract could read; ``what`` says where its text is."""
    message = f"{what}, and tesseract, which reads text from pictures, is not installed. Install it, or send text."
    return DocumentRejected(RejectionReason.NO_TEXT, message)


def recognised(picture: bytes, limits: DocumentLimits, *, dpi: int = 0) -> str:
    """Return the text on a PNG or PNM picture, in whichever of the installed languages it is. Blocking: seconds.

    Args:
        picture: upright, dark on light.
        limits: how long it may take.
        dpi: resolution; 0 where the picture itself says it, or nobody knows.

    Raises:
        DocumentRejected: ``NO_TEXT`` where tesseract is not installed or fails, ``PARSER_TIMEOUT`` where it takes too long.
    """
    program = installed("tesseract")
    if program is None:
        raise missing("The text is on a picture")
    resolution = ["--dpi", str(dpi)] if dpi else []
    seconds = limits.max_picture_seconds
    try:
        command = [program, "stdin", "stdout", "-l", _languages(program, seconds), *resolution]
        done = run(command, standard_input=picture, environment=_environment(), seconds=seconds)
    except subprocess.TimeoutExpired as error:
        message = f"Recognising the text of one picture took longer than {seconds:g} s. Send a smaller picture, or text."
        raise DocumentRejected(RejectionReason.PARSER_TIMEOUT, message) from error
    if done.returncode:
        message = f"tesseract could not read the picture (exit status {done.returncode}). Save it anew as a PNG file, or send text."
        raise DocumentRejected(RejectionReason.NO_TEXT, message)
    return done.stdout.decode("utf-8", "replace").strip()


@cache
def _languages(program: str, seconds: float) -> str:
    lines = run([program, "--list-langs"], environment=_environment(), seconds=seconds).stdout.decode("utf-8", "replace").split("\n")[1:]
    return "+".join(name for line in lines if (name := line.strip()) and name not in _NO_LANGUAGES and "/" not in name) or "eng"


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "OMP_THREAD_LIMIT": "1"}

"""Text recognition, by tesseract."""

import os
from functools import cache

from ingestor.adapters.parsers.programs import installed, run
from ingestor.domain.parsing import DocumentRejected, RejectionReason

# Not languages: the layout of a page, and equations.
_NO_LANGUAGES = ("osd", "equ")


def recognised(png: bytes) -> str:
    """Return the text on a picture, in whichever of the installed languages it is. Blocking: seconds.

    Raises:
        DocumentRejected: ``NO_TEXT`` where tesseract is not installed or fails.
    """
    program = installed("tesseract")
    if program is None:
        message = "The file is a picture, and tesseract, which reads text from pictures, is not installed. Install it, or send text."
        raise DocumentRejected(RejectionReason.NO_TEXT, message)
    done = run([program, "stdin", "stdout", "-l", _languages(program)], standard_input=png, environment=_environment())
    if done.returncode:
        message = f"tesseract could not read the picture (exit status {done.returncode}). Save it anew as a PNG file, or send text."
        raise DocumentRejected(RejectionReason.NO_TEXT, message)
    return done.stdout.decode("utf-8", "replace").strip()


@cache
def _languages(program: str) -> str:
    lines = run([program, "--list-langs"], environment=_environment()).stdout.decode("utf-8", "replace").split("\n")[1:]
    return "+".join(name for line in lines if (name := line.strip()) and name not in _NO_LANGUAGES and "/" not in name) or "eng"


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "OMP_THREAD_LIMIT": "1"}

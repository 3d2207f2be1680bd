"""What goes wrong, as a person at a terminal should read it."""

from __future__ import annotations

import tempfile
import traceback
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lectern_client import ApiError

FAILED = 1
USAGE = 2
NOT_RUNNING = 3
# What scripts that watch an index are told.
DRIFT = 3


class CommandError(Exception):
    """A command cannot do what it was asked; the text names the fix.

    Attributes:
        reason: stable UPPER_SNAKE code.
        exit_code: status of the process.
    """

    def __init__(self, reason: str, message: str, *, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error as it is shown.

    Attributes:
        request_id: finds the request in the server's logs; empty when there was none.
    """

    reason: str
    message: str
    exit_code: int = FAILED
    request_id: str = ""


def complaint(error: Exception) -> Complaint:
    """What to tell about ``error``. One that nobody foresaw has its traceback written to a file, which is named."""
    from deploy.laptop.errors import LaptopError
    from lectern_client import ApiError, LecternError, UnreachableError

    match error:
        case CommandError():
            told = Complaint(error.reason, error.message, error.exit_code)
        case UnreachableError():
            told = Complaint("UNREACHABLE", f"{error}\nStart it with `lectern up`, or give another address with --url.", NOT_RUNNING)
        case ApiError():
            told = Complaint(error.reason, _with_advice(error), request_id=error.request_id)
        case LecternError():
            told = Complaint("NO_USABLE_ANSWER", str(error))
        case LaptopError():
            told = Complaint(error.reason, error.message)
        case _:
            details = f"The details are in {_keep_traceback(error)}; please report them."
            told = Complaint("UNEXPECTED", f"{type(error).__name__}: {error}\n{details}")
    return told


def _with_advice(error: ApiError) -> str:
    if error.status == HTTPStatus.UNAUTHORIZED:
        return f"{error.message}\nSet LECTERN_API_KEY or give --key; the laptop's first key is in .lectern/admin.key."
    fields = "".join(f"\n  {field.field}: {field.message}" for field in error.errors if field.message not in error.message)
    return error.message + fields


def _keep_traceback(error: Exception) -> Path:
    with tempfile.NamedTemporaryFile("w", prefix="lectern-error-", suffix=".txt", delete=False) as file:
        file.writelines(traceback.format_exception(error))
    return Path(file.name)

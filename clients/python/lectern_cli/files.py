"""Which files an ingest takes, and what each is known by."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lectern_cli.errors import USAGE, CommandError


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to upload.

    Attributes:
        external_id: its path within the folder that was named, with `/`; the same in every run.
    """

    path: Path
    external_id: str


def collect(paths: Sequence[Path]) -> list[SourceFile]:
    """The files of ``paths`` in a stable order: files as they are, folders with everything in them that is not hidden.

    Raises:
        CommandError: a path does not exist, two files would be known by the same id, or there is no file at all.
    """
    found: dict[str, SourceFile] = {}
    for path in paths:
        if not path.exists():
            raise CommandError("NO_SUCH_PATH", f"There is no {path}.", exit_code=USAGE)
        for source in _sources(path):
            other = found.setdefault(source.external_id, source)
            if other.path.resolve() != source.path.resolve():
                message = (
                    f"{other.path} and {source.path} would both be known as {source.external_id!r}. "
                    "Ingest their common parent folder, or each into a collection of its own."
                )
                raise CommandError("SAME_ID_TWICE", message, exit_code=USAGE)
    if not found:
        raise CommandError("NO_FILES", "There is no file to take in; hidden ones are skipped.", exit_code=USAGE)
    return list(found.values())


def _sources(path: Path) -> Iterator[SourceFile]:
    if not path.is_dir():
        yield SourceFile(path, _portable(path.name))
        return
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if not name.startswith(".") and file.is_file():
                yield SourceFile(file, _portable(file.relative_to(path).as_posix()))


def _portable(name: str) -> str:
    """``name`` with bytes that are not UTF-8 replaced, since JSON could not carry them."""
    return os.fsencode(name).decode("utf-8", "replace")

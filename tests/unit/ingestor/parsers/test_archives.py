import pytest

from ingestor.adapters.parsers.pool import ParserPool
from ingestor.adapters.parsers.process import ProcessLimits
from ingestor.adapters.parsers.zip_archive import members
from ingestor.domain.archives import unpacked
from ingestor.domain.incoming import DocumentHeader
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, RejectionReason, SourceFile
from shared.errors import AppError
from tests.unit.ingestor.parsers.files import check, parse, source, zipped

HEADER = DocumentHeader("inbox", "", "post.zip", {"team": "harbour"}, "application/zip", "", "https://example.org/post.zip")
FILES = {
    "a.txt": b"One.",
    "deep/er/b.md": b"# Two",
    "deep\\c.txt": b"Three.",
    "__MACOSX/._a.txt": b"\0",
    "deep/.DS_Store": b"\0",
    "folder/": b"",
}


def archive(files: dict[str, bytes]) -> SourceFile:
    return SourceFile("post.zip", zipped(files))


async def test_the_files_of_an_archive_are_documents_named_by_their_paths() -> None:
    pool = ParserPool(DocumentLimits(), ProcessLimits())  # not started: the check has been made
    found = [one async for one in unpacked(pool, archive(FILES), HEADER)]
    await pool.close()
    assert {incoming.name: content for incoming, content in found} == {"a.txt": b"One.", "deep/er/b.md": b"# Two", "deep/c.txt": b"Three."}
    assert [incoming.external_id for incoming, _ in found] == ["post.zip/a.txt", "post.zip/deep/er/b.md", "post.zip/deep/c.txt"]
    assert all((incoming.metadata, incoming.declared_media_type) == ({"team": "harbour"}, "") for incoming, _ in found)
    assert len({incoming.identity for incoming, _ in found}) == 3


async def test_names_longer_than_a_documents_keep_their_end() -> None:
    pool = ParserPool(DocumentLimits(), ProcessLimits())
    [(incoming, _)] = [one async for one in unpacked(pool, archive({"x" * 600 + "/end.txt": b"One."}), HEADER)]
    await pool.close()
    assert (len(incoming.name), len(incoming.external_id)) == (500, 500)
    assert incoming.name.endswith("/end.txt")


async def test_a_damaged_archive_is_refused_whole() -> None:
    damaged = bytearray(archive({"a.txt": b"One. " * 1_000}).content)
    damaged[45] ^= 0xFF
    pool = ParserPool(DocumentLimits(), ProcessLimits())
    with pytest.raises(AppError) as refused:
        [one async for one in unpacked(pool, SourceFile("post.zip", bytes(damaged)), HEADER)]
    await pool.close()
    assert refused.value.reason == "CORRUPT_DOCUMENT"


def test_an_archive_without_files_is_empty() -> None:
    with pytest.raises(DocumentRejected) as rejected:
        list(members(archive({"__MACOSX/x": b"", "folder/": b""})))
    assert rejected.value.reason is RejectionReason.EMPTY_FILE


def test_an_archive_is_told_by_its_content_and_one_inside_of_another_is_not_opened() -> None:
    content = zipped({"a.xml": b"<!DOCTYPE a [<!ENTITY x 'y'>]><a/>"})
    assert check("post.zip", content) == check("post", content) == "zip"
    with pytest.raises(DocumentRejected) as rejected:
        parse("inner.zip", content)
    assert rejected.value.reason is RejectionReason.UNSUPPORTED_TYPE
    with pytest.raises(DocumentRejected) as rejected:
        check("post.zip", source("", "text").content)
    assert rejected.value.reason is RejectionReason.EXTENSION_MISMATCH

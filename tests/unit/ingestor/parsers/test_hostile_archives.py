import zipfile
from io import BytesIO

import pytest

from ingestor.domain.parsing import MEBIBYTE, DocumentLimits, DocumentRejected, RejectionReason
from tests.unit.ingestor.parsers.containers import compound_file
from tests.unit.ingestor.parsers.files import check, docx, parse, with_part

DOCX = docx(lambda document: document.add_paragraph("Text."))
DOCUMENT = "word/document.xml"
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))
ENTITY_BOMB = f'<?xml version="1.0"?><!-- {"x" * 100_000} --><!DOCTYPE w:document [{LAUGHS}]><w:document>&l9;</w:document>'


def reason_of(content: bytes, limits: DocumentLimits | None = None) -> RejectionReason:
    with pytest.raises(DocumentRejected) as rejection:
        check("a.docx", content, limits=limits or DocumentLimits())
    return rejection.value.reason


def test_a_zip_bomb_in_a_word_file_is_refused_without_unpacking() -> None:
    bomb = with_part(DOCX, "word/media/image1.png", bytes(64 * MEBIBYTE))
    assert len(bomb) < MEBIBYTE
    assert reason_of(bomb) is RejectionReason.ARCHIVE_TOO_LARGE


def test_an_archive_larger_than_the_limit_is_refused_however_well_it_is_packed() -> None:
    assert reason_of(DOCX, DocumentLimits(max_archive_bytes=1_000)) is RejectionReason.ARCHIVE_TOO_LARGE
    assert reason_of(DOCX, DocumentLimits(max_archive_entries=3)) is RejectionReason.ARCHIVE_TOO_LARGE


def test_a_part_larger_than_its_declared_size_is_not_unpacked() -> None:
    size = 1_234_567
    bomb = with_part(DOCX, DOCUMENT, b"<w:document/>".ljust(size))
    actual = size.to_bytes(4, "little")
    assert bomb.count(actual) == 2  # in the part's own header and in the central directory
    with pytest.raises(DocumentRejected) as rejection:
        parse("a.docx", bomb.replace(actual, (500).to_bytes(4, "little")))
    assert rejection.value.reason is RejectionReason.CORRUPT_DOCUMENT


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_that_multiply_are_refused_in_any_encoding(encoding: str) -> None:
    text = ENTITY_BOMB.replace("?>", f' encoding="{encoding}"?>', 1)
    with pytest.raises(DocumentRejected, match="document type") as rejection:
        check("a.docx", with_part(DOCX, DOCUMENT, text.encode(encoding)))
    assert rejection.value.reason is RejectionReason.CORRUPT_DOCUMENT


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\evil.xml", "C:\\evil.xml"])
def test_part_names_that_lead_out_of_the_archive_are_refused(name: str) -> None:
    assert reason_of(with_part(DOCX, name, b"x")) is RejectionReason.CORRUPT_DOCUMENT


def test_an_archive_inside_the_archive_is_left_packed() -> None:
    nested = with_part(DOCX, "word/embeddings/inner.zip", with_part(DOCX, "zeros", bytes(16 * MEBIBYTE)))
    assert parse("a.docx", nested).text == "Text."


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_word_file_cut_short_is_corrupt(share: float) -> None:
    assert reason_of(DOCX[: int(len(DOCX) * share)]) is RejectionReason.CORRUPT_DOCUMENT


def test_damaged_bytes_inside_a_word_file_make_it_corrupt() -> None:
    with zipfile.ZipFile(BytesIO(DOCX)) as archive:
        start = archive.getinfo(DOCUMENT).header_offset + 200
    damaged = DOCX[:start] + bytes(byte ^ 0xFF for byte in DOCX[start : start + 200]) + DOCX[start + 200 :]
    with pytest.raises(DocumentRejected) as rejection:
        parse("a.docx", damaged)
    assert rejection.value.reason is RejectionReason.CORRUPT_DOCUMENT


def test_encrypted_parts_are_told_from_damage() -> None:
    encrypted = bytearray(DOCX)
    entry = encrypted.index(b"PK\x01\x02")
    encrypted[entry + 8] |= 1
    assert reason_of(bytes(encrypted)) is RejectionReason.ENCRYPTED_DOCUMENT


def test_an_office_file_with_a_password_is_encrypted() -> None:
    assert reason_of(compound_file({"EncryptedPackage": bytes(100)})) is RejectionReason.ENCRYPTED_DOCUMENT


def test_a_word_file_without_its_main_part_is_corrupt() -> None:
    with zipfile.ZipFile(BytesIO(DOCX)) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if name != DOCUMENT}
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)
    with pytest.raises(DocumentRejected) as rejection:
        parse("a.docx", buffer.getvalue())
    assert rejection.value.reason is RejectionReason.CORRUPT_DOCUMENT

"""Which type a file is of, and what is said of one that is of none."""

import pytest

from ingestor.domain.parsing import DocumentRejected, RejectionReason
from tests.unit.ingestor.parsers.containers import compound_file, epub, msg, odf, picture
from tests.unit.ingestor.parsers.files import PNG, check, docx, pdf, pptx, with_part, xlsx, zipped

PDF = pdf([["Text."]])
DOCX = docx(lambda document: document.add_paragraph("Text."))
OLD_WORD = compound_file({"WordDocument": b"Text."})


@pytest.mark.parametrize(
    ("content", "type_"),
    [
        (PDF, "pdf"),
        (b"a line of junk first\n" + PDF, "pdf"),
        (DOCX, "docx"),
        (pptx([("Title", ["Text"], "")]), "pptx"),
        (xlsx({"Sheet": [["Text"]]}), "xlsx"),
        (odf("odt", ""), "odt"),
        (odf("ods", ""), "ods"),
        (odf("odp", ""), "odp"),
        (epub({"a.xhtml": "Text"}), "epub"),
        (msg(subject="Text"), "msg"),
        (rb"{\rtf1 Text.}", "rtf"),
        *((picture("Text", format_), format_.lower()) for format_ in ("PNG", "JPEG", "TIFF", "WEBP")),
        (zipped({"a.txt": b"Text."}), "zip"),
        (b"<!-- saved page -->\n<!DOCTYPE html><p>Text", "html"),
        (b'{"a": [1, 2]}', "json"),
        (b"{ not json }", "txt"),
        (b"[1] a footnote", "txt"),
        (b"# Text", "txt"),
        (b"Every PDF begins with %PDF-1.7 and ends with a table.", "txt"),
        (b"a,b\n1,2", "txt"),
    ],
)
def test_without_a_name_the_content_tells_the_type(content: bytes, type_: str) -> None:
    assert check("", content) == type_


@pytest.mark.parametrize(
    ("name", "type_"),
    [("a.md", "md"), ("a.TXT", "txt"), ("a.csv", "csv"), ("a.htm", "html"), ("a.log", "txt"), ("a.py", "txt"), ("archive.tar.md", "md")],
)
def test_among_textual_types_the_name_decides(name: str, type_: str) -> None:
    assert check(name, "a,b\n1,2") == type_


def test_the_declared_media_type_decides_where_the_name_does_not() -> None:
    assert check("index", "Text.", media_type="text/markdown; charset=utf-8") == "md"
    assert check("index.txt", "Text.", media_type="text/markdown") == "txt"
    assert check("index", PDF, media_type="text/markdown") == "pdf"


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.pdf", PNG, "PNG"),
        ("a.pdf", b"Just text.", "text"),
        ("a.docx", b"Just text.", "text"),
        ("a.docx", PDF, "PDF"),
        ("a.xlsx", DOCX, "Word"),
        ("a.txt", DOCX, "Word"),
        ("a.txt", PNG, "PNG"),
        ("a.png", b"Just text.", "text"),
        ("a.odt", odf("ods", ""), "OpenDocument spreadsheet"),
        ("a.epub", zipped({"a.txt": b"Text."}), "zip"),
        ("a.msg", OLD_WORD, "doc"),
        ("a.mp3", b"Just text.", "text"),
        ("a.eml", b"Just text.", "no mail headers"),
    ],
)
def test_a_name_that_contradicts_the_content_is_refused(name: str, content: bytes, found: str) -> None:
    with pytest.raises(DocumentRejected, match=found) as rejection:
        check(name, content)
    assert rejection.value.reason is RejectionReason.EXTENSION_MISMATCH


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("a.mp3", b"ID3\x04\0\0\0\0\0\0" + bytes(100), "MPEG"),
        ("a", with_part(DOCX, "[Content_Types].xml", b"<Types xmlns='x'/>"), "extension"),
        ("a", compound_file({"Something": b"else"}), "extension"),
    ],
)
def test_what_is_not_supported_is_named_together_with_what_is(name: str, content: bytes, hint: str) -> None:
    with pytest.raises(DocumentRejected, match=hint) as rejection:
        check(name, content)
    assert rejection.value.reason is RejectionReason.UNSUPPORTED_TYPE
    assert "Supported are PDF, Word (.docx)" in rejection.value.message


@pytest.mark.parametrize("content", [b"", b" \n\t ", b"\xef\xbb\xbf"])
def test_a_file_without_content_is_empty(content: bytes) -> None:
    with pytest.raises(DocumentRejected) as rejection:
        check("a.txt", content)
    assert rejection.value.reason is RejectionReason.EMPTY_FILE


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv", "a.json", "a.html"])
def test_every_unicode_encoding_is_taken(name: str, encoding: str) -> None:
    content = '{"a": "déjà vu"}' if name == "a.json" else "déjà vu"
    assert check(name, content.encode(encoding)) == name[2:]


def test_invalid_utf_8_is_refused_with_the_place_of_the_first_bad_byte() -> None:
    with pytest.raises(DocumentRejected, match="at byte 6") as rejection:
        check("a.txt", "Hello à tous".encode("latin-1"))
    assert rejection.value.reason is RejectionReason.INVALID_ENCODING


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv", "a.json", "a.html"])
def test_a_nul_character_makes_text_binary(name: str) -> None:
    with pytest.raises(DocumentRejected, match="position 5") as rejection:
        check(name, "Hello\0world")
    assert rejection.value.reason is RejectionReason.BINARY_CONTENT

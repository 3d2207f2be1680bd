"""Files of every format, damaged in any way: they are read or rejected, and nothing else happens."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestor.adapters.parsers import formats
from ingestor.adapters.parsers.ocr import RecognitionNeeded
from ingestor.domain.parsing import DocumentRejected, ParsedDocument, SourceFile
from tests.unit.ingestor.parsers.containers import epub, msg, odf, odf_table, picture
from tests.unit.ingestor.parsers.files import LIMITS, docx, pdf, pptx, xlsx
from tests.unit.ingestor.parsers.test_programs import install

ROWS = [["Part", "Price"], ["Hook", "12"]]
FILES = {
    "a.pdf": pdf([["Text of it."], ["More."]], outline={1: [("More.", 0)]}),
    "scan.pdf": pdf([["Text of it."], picture("Text", size=(60, 40))], size=(60, 40)),
    "a.docx": docx(lambda document: document.add_heading("Text of it", 1)),
    "a.pptx": pptx([("Text of it", ["More"], "")]),
    "a.xlsx": xlsx({"Sheet": ROWS}),
    "a.odt": odf(
        "odt", f"<text:h>Text of it</text:h>{odf_table(ROWS)}<text:list><text:list-item><text:p>x</text:p></text:list-item></text:list>"
    ),
    "a.ods": odf("ods", odf_table(ROWS)),
    "a.odp": odf("odp", "<draw:page><draw:frame><text:p>Text of it</text:p></draw:frame></draw:page>"),
    "a.rtf": rb"{\rtf1{\fonttbl{\f0\fcharset128 M;}}\pard\u233?{\b Text}\'e9\par\trowd\pard\intbl x\cell\row{\info{\title T}}\bin3 a}",
    "a.epub": epub({"a.xhtml": "<p>Text of it</p>"}, titles={"a.xhtml": "One"}),
    "a.msg": msg(subject="Text of it", sender=("Ann", "a@example.org"), body="More. " * 1_000),
    "a.png": picture("Text", size=(60, 40)),
    "a.jpg": picture("Text", "JPEG", size=(60, 40)),
    "a.tif": picture("Text", "TIFF", size=(60, 40), pages=2),
    "a.webp": picture("Text", "WEBP", size=(60, 40)),
}


@pytest.fixture(scope="module", autouse=True)
def tesseract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A program that finds the same text on every picture: what comes before it is what is damaged."""
    folder = tmp_path_factory.mktemp("programs")
    install(folder, "tesseract", "#!/bin/sh\ncat >/dev/null\necho Text\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder))
        yield


def read(file: SourceFile) -> ParsedDocument:
    try:
        return formats.parse(file, LIMITS)
    except RecognitionNeeded:
        return formats.recognise(file, LIMITS)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes changed, cut out, repeated or cut off."""
    file = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, max(0, len(file) - 1)))
        end = start + draw(st.integers(0, 40))
        kind = draw(st.sampled_from(["change", "remove", "repeat", "insert", "end"]))
        if kind == "change":
            file[start : start + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "remove":
            del file[start:end]
        elif kind == "repeat":
            file[end:end] = file[start:end] * draw(st.integers(1, 50))
        elif kind == "insert":
            file[start:start] = draw(st.sampled_from([b"\0", b"{", b"<", b"]]>", b"\\u-1?", b"\\bin999999999 ", b"\xff\xff\xff\xff"]))
        elif draw(st.integers(0, 9)) == 0:
            del file[start:]
    return bytes(file)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40, deadline=5_000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")  # libraries complain about what they meet; the children that run them are silent
def test_a_damaged_file_is_read_or_rejected(name: str, data: st.DataObject) -> None:
    file = SourceFile(name, data.draw(damaged(FILES[name])))
    try:
        document = read(file)
    except DocumentRejected as rejected:
        assert rejected.message  # noqa: PT017 - being read is as good as being rejected
    else:
        assert document.text.strip()
        assert document.text.encode()
        assert all(0 <= page.start <= page.end <= len(document.text) for page in document.pages)
        assert all(0 <= heading.start < len(document.text) for heading in document.headings)

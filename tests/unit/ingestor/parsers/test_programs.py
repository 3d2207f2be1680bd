"""What LibreOffice and tesseract do for us: with programs that speak the same command line, and with the real ones where they are."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ingestor.adapters.parsers import libreoffice
from ingestor.adapters.parsers.pool import ParserPool
from ingestor.adapters.parsers.process import ProcessLimits
from ingestor.domain.parsing import TYPE_NAMES, DocumentLimits, DocumentRejected, RejectionReason, SourceFile
from tests.unit.ingestor.parsers.bombs import png_of
from tests.unit.ingestor.parsers.containers import compound_file, picture
from tests.unit.ingestor.parsers.files import LIMITS, docx, source

OLD_WORD = SourceFile("letter.doc", compound_file({"WordDocument": b"The harbour crane was repaired in spring."}))
SCAN = SourceFile("scan.png", picture("The harbour crane"))
CONVERTED = docx(lambda document: (document.add_heading("Cranes", 1), document.add_paragraph("The harbour crane was repaired.")))

# Saves a file that was prepared, and writes beside itself how it was called.
SOFFICE = """#!{python}
import json, os, pathlib, shutil, sys
here = pathlib.Path(__file__).parent
arguments = sys.argv[1:]
profile = pathlib.Path(arguments[0].removeprefix("-env:UserInstallation=file://"))
(here / "call.json").write_text(json.dumps({{
    "arguments": arguments, "environment": dict(os.environ), "settings": (profile / "user/registrymodifications.xcu").read_text(),
}}))
target = arguments[arguments.index("--convert-to") + 1]
folder = pathlib.Path(arguments[arguments.index("--outdir") + 1])
folder.mkdir()
prepared = here / ("prepared." + target)
if prepared.exists():
    shutil.copy(prepared, folder / (pathlib.Path(arguments[-1]).stem + "." + target))
"""
TESSERACT = """#!{python}
import sys
if "--list-langs" in sys.argv:
    print("List of available languages (3):", "eng", "fra", "osd", sep="\\n")
else:
    assert sys.argv[1:5] == ["stdin", "stdout", "-l", "eng+fra"], sys.argv
    assert sys.stdin.buffer.read().startswith((b"\\x89PNG", b"P5"))
    sys.stdout.write("The harbour crane")
"""
PROCESSES = ProcessLimits()
ENDLESS = "#!{python}\nimport time\ntime.sleep(600)\n"


def install(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(script.format(python=sys.executable))
    program.chmod(0o755)


@asynccontextmanager
async def running(
    programs: Path | str, *, documents: DocumentLimits = LIMITS, processes: ProcessLimits = PROCESSES
) -> AsyncIterator[ParserPool]:
    pool = ParserPool(documents, replace(processes, programs_path=str(programs)), 1)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close(grace_seconds=0)


async def rejection(pool: ParserPool, file: SourceFile) -> DocumentRejected:
    with pytest.raises(DocumentRejected) as rejected:
        await pool.parse(file)
    return rejected.value


async def test_without_libreoffice_its_formats_are_refused_by_name_before_they_are_taken_in(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        with pytest.raises(DocumentRejected, match="LibreOffice") as rejected:
            await pool.check(OLD_WORD)
        assert rejected.value.reason is RejectionReason.CONVERTER_MISSING
        assert (await rejection(pool, OLD_WORD)).reason is RejectionReason.CONVERTER_MISSING


async def test_without_tesseract_a_picture_has_no_text_and_the_reason_names_it(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        assert await pool.check(SCAN) == "png"
        rejected = await rejection(pool, SCAN)
    assert rejected.reason is RejectionReason.NO_TEXT
    assert "tesseract" in rejected.message


async def test_a_file_that_libreoffice_saves_is_read_under_its_own_type(tmp_path: Path) -> None:
    install(tmp_path, "soffice", SOFFICE)
    (tmp_path / "prepared.docx").write_bytes(CONVERTED)
    async with running(tmp_path) as pool:
        assert await pool.check(OLD_WORD) == "doc"
        document = await pool.parse(OLD_WORD)
    assert (document.type, document.text) == ("doc", "# Cranes\n\nThe harbour crane was repaired.")


async def test_libreoffice_runs_with_a_profile_that_forbids_macros_and_links_and_without_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTERN_INTERNAL_KEY", "secret")
    install(tmp_path, "soffice", SOFFICE)
    (tmp_path / "prepared.docx").write_bytes(CONVERTED)
    async with running(tmp_path) as pool:
        await pool.parse(OLD_WORD)
    call = (tmp_path / "call.json").read_text()
    assert "secret" not in call
    for setting in ("DisableMacrosExecution", "BlockUntrustedRefererLinks", "--headless"):
        assert setting in call


async def test_a_file_of_which_libreoffice_makes_nothing_is_corrupt(tmp_path: Path) -> None:
    install(tmp_path, "soffice", SOFFICE)
    async with running(tmp_path) as pool:
        assert (await rejection(pool, OLD_WORD)).reason is RejectionReason.CORRUPT_DOCUMENT


async def test_a_conversion_without_end_is_killed_with_all_that_it_started_while_others_are_parsed(tmp_path: Path) -> None:
    install(tmp_path, "soffice", ENDLESS)
    async with running(tmp_path, processes=ProcessLimits(wall_seconds=3.0)) as pool:
        converting = asyncio.create_task(rejection(pool, OLD_WORD))
        assert (await pool.parse(source("a.txt", "Text."))).text == "Text."
        assert not converting.done()
        assert (await converting).reason is RejectionReason.PARSER_TIMEOUT
        assert not _running(tmp_path / "soffice")


async def test_tesseract_reads_every_page_of_a_scan_in_the_languages_that_are_installed(tmp_path: Path) -> None:
    install(tmp_path, "tesseract", TESSERACT)
    async with running(tmp_path) as pool:
        assert (await pool.parse(SCAN)).text == "The harbour crane"
        document = await pool.parse(SourceFile("scan.tif", picture("x", "TIFF", pages=2)))
    assert [document.text[page.start : page.end] for page in document.pages] == ["The harbour crane"] * 2


async def test_a_picture_is_measured_before_it_is_decoded(tmp_path: Path) -> None:
    install(tmp_path, "tesseract", TESSERACT)
    async with running(tmp_path) as pool:
        with pytest.raises(DocumentRejected, match="50,000 x 50,000") as rejected:
            await pool.check(SourceFile("a.png", png_of(50_000, 50_000)))
    assert rejected.value.reason is RejectionReason.DOCUMENT_TOO_LARGE


def test_libreoffice_is_asked_for_more_than_a_hundred_formats_none_of_which_has_a_parser() -> None:
    assert len(libreoffice.TARGETS) > 100
    assert not libreoffice.TARGETS.keys() & TYPE_NAMES.keys()
    assert set(libreoffice.TARGETS.values()) <= TYPE_NAMES.keys()


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
async def test_the_real_libreoffice_reads_a_text_without_following_its_links() -> None:
    requests: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readline()).decode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = (
        '<?xml version="1.0"?><office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" office:version="1.2" office:mimetype="application/vnd.oasis.opendocument.text">'
        '<office:body><office:text><text:h text:outline-level="1">Cranes</text:h><text:p>Repaired.<draw:frame><draw:image '
        f'xlink:href="http://127.0.0.1:{port}/a.png"/></draw:frame></text:p></office:text></office:body></office:document>'
    )
    async with server, running(os.environ["PATH"]) as pool:
        document = await pool.parse(source("a.fodt", text))
    assert document.text.split() == ["#", "Cranes", "Repaired."]
    assert not requests


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
async def test_the_real_tesseract_reads_a_scan() -> None:
    async with running(os.environ["PATH"]) as pool:
        assert (await pool.parse(SCAN)).text == "The harbour crane"


def _running(program: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if str(program) in process.cmdline():
                found.append(process)
    return found

"""The pool with real child processes: what hostile files, killed children and an impatient caller cost."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from ingestor.adapters.parsers.pool import ParserPool
from ingestor.adapters.parsers.process import ProcessLimits
from ingestor.domain.parsing import MEBIBYTE, DocumentLimits, DocumentRejected, ParserUnavailable, RejectionReason, SourceFile
from tests.unit.ingestor.parsers.containers import epub, msg, odf, odf_table
from tests.unit.ingestor.parsers.files import PNG, docx, pdf, pdf_bomb, pptx, source, xlsx

SECONDS = 20.0
# Several seconds of work for the parser: deeply nested elements cost lexbor quadratic time.
ENDLESS = source("a.html", "<div>" * 60_000)
FILES = {
    "a.pdf": pdf([["Text of it."], ["More."]], title="T", outline={1: [("More.", 0)]}),
    "a.docx": docx(lambda document: document.add_heading("Text of it", 1)),
    "a.pptx": pptx([("Text of it", ["More"], "")]),
    "a.xlsx": xlsx({"Sheet": [["Text of it"]]}),
    "a.odt": odf("odt", "<text:h>Text of it</text:h>"),
    "a.ods": odf("ods", odf_table([["Text of it"]])),
    "a.odp": odf("odp", "<draw:page><draw:frame><draw:text-box><text:p>Text of it</text:p></draw:text-box></draw:frame></draw:page>"),
    "a.rtf": rb"{\rtf1\ansi Text of it\par}",
    "a.epub": epub({"a.xhtml": "<p>Text of it</p>"}),
    "a.msg": msg(subject="Text of it"),
    "a.html": b"<h1 id=top>Text of it</h1>",
    "a.md": b"# Text of it",
    "a.txt": "Text of it: déjà vu 🙂".encode(),
    "a.csv": b"Name\nText of it",
    "a.eml": b"From: a@example.org\nSubject: S\nDate: Wed, 01 May 2024 12:00:00 +0200\n\nText of it",
    "a.json": b'{"a": "Text of it"}',
}
ENGLISH = "The contract ends on the third of March, unless both parties agree to prolong it."
FRENCH = "Le contrat prend fin le trois mars, sauf si les deux parties conviennent de le prolonger."
HELLO = source("a.txt", ENGLISH)


@asynccontextmanager
async def running(concurrency: int = 1, limits: ProcessLimits = ProcessLimits()) -> AsyncIterator[ParserPool]:  # noqa: B008 - frozen
    pool = ParserPool(DocumentLimits(), limits, concurrency)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close(grace_seconds=0)


_strangers: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def strangers_are_known() -> None:
    """Pools of other tests may live in this process too; their children are not this test's."""
    _strangers.clear()
    _strangers.update(children())


def children(operation: str = "") -> list[psutil.Process]:
    """The children of this test that check or parse."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # a zombie counts as gone
            line = child.cmdline()
            if "ingestor.adapters.parsers.child" in line and operation in line[line.index("ingestor.adapters.parsers.child") + 1]:
                found.append(child)
    return [child for child in found if child not in _strangers]


def at_work() -> list[psutil.Process]:
    """The parsing children that have begun with a file: they limit their processor time then."""
    found = []
    for child in children("parse"):
        with suppress(psutil.NoSuchProcess):
            if child.rlimit(psutil.RLIMIT_CPU)[0] != psutil.RLIM_INFINITY:
                found.append(child)
    return found


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - other processes' states can only be looked at
            await asyncio.sleep(0.01)


async def reason_for(pool: ParserPool, file: SourceFile) -> RejectionReason:
    with pytest.raises(DocumentRejected) as rejection:
        await pool.parse(file)
    assert rejection.value.message
    return rejection.value.reason


async def test_every_format_comes_through_the_children_whole() -> None:
    files = [SourceFile(name, content) for name, content in FILES.items()]
    types = [name[2:] for name in FILES]
    async with running(concurrency=2) as pool:
        assert await asyncio.gather(*map(pool.check, files)) == types
        documents = dict(zip(types, await asyncio.gather(*map(pool.parse, files)), strict=True))
        assert len(children("parse")) == 2
    assert all("Text of it" in document.text for document in documents.values())
    assert [document.type for document in documents.values()] == types
    paged = documents["pdf"]
    assert [(page.number, paged.text[page.start : page.end]) for page in paged.pages] == [(1, "Text of it."), (2, "More.")]
    assert [(heading.text, heading.start) for heading in paged.headings] == [("More.", paged.pages[1].start)]
    assert documents["html"].headings[0].anchor == "top"
    assert documents["eml"].create_time is not None
    assert documents["eml"].create_time.isoformat() == "2024-05-01T12:00:00+02:00"


async def test_the_languages_of_many_texts_are_told_in_one_request() -> None:
    texts = [ENGLISH, FRENCH, "17 4 2024", ENGLISH + FRENCH * 2_000, "\ud800"] * 50
    async with running(limits=ProcessLimits(files_per_process=1)) as pool:
        assert children("detect") == []
        assert list(await pool.languages(texts)) == ["en", "fr", "", "fr", ""] * 50
        [first] = children("detect")
        assert list(await pool.languages([FRENCH])) == ["fr"]
        [second] = children("detect")
    assert (first.pid, gone(first)) != (second.pid, False)


async def test_texts_do_not_wait_behind_files() -> None:
    async with running() as pool:
        work = asyncio.create_task(pool.parse(ENDLESS))
        await eventually(lambda: len(at_work()) == 1)
        assert list(await pool.languages([ENGLISH])) == ["en"]
        assert not work.done()
        work.cancel()


async def test_texts_whose_languages_take_too_long_to_tell_are_left_without() -> None:
    async with running(limits=ProcessLimits(wall_seconds=0.0)) as pool:
        assert list(await pool.languages([ENGLISH, FRENCH])) == ["", ""]


async def test_a_bad_file_is_rejected_with_its_reason_and_the_child_goes_on() -> None:
    async with running() as pool:
        before = children()
        with pytest.raises(DocumentRejected, match="PNG") as rejection:
            await pool.check(source("a.pdf", PNG))
        assert rejection.value.reason is RejectionReason.EXTENSION_MISMATCH
        assert await reason_for(pool, source("a.pdf", pdf([[]]))) is RejectionReason.NO_TEXT
        assert (await pool.parse(HELLO)).text
        assert children() == before


async def test_damaged_files_of_every_type_are_read_or_rejected() -> None:
    generator = random.Random(20261120)
    outcomes = set()
    async with running(concurrency=2) as pool:
        for name, content in FILES.items():
            for _ in range(8):
                damaged = bytearray(content)
                for _ in range(generator.choice([1, 20])):
                    damaged[generator.randrange(len(damaged))] = generator.randrange(256)
                try:
                    await pool.parse(SourceFile(name, bytes(damaged)))
                except DocumentRejected as rejection:
                    outcomes.add(rejection.reason)
    assert RejectionReason.CORRUPT_DOCUMENT in outcomes
    assert not outcomes & {RejectionReason.PARSER_CRASHED, RejectionReason.PARSER_TIMEOUT}


async def test_files_that_want_too_much_memory_fail_alone() -> None:
    bomb = pdf_bomb(2_000_000)
    assert len(bomb) < 50_000
    async with running(2, ProcessLimits(memory_bytes=400 * MEBIBYTE)) as pool:
        for file in (
            source("a.pdf", bomb),  # PDFium aborts
            source("a.json", "[" + '{"a":1},' * 1_500_000 + "1]"),  # Python raises
            source("a.txt", b"x" * (200 * MEBIBYTE)),  # the child cannot even take it in
        ):
            async with asyncio.timeout(SECONDS):
                reason, hello = await asyncio.gather(reason_for(pool, file), pool.parse(HELLO))
            assert reason is RejectionReason.PARSER_OUT_OF_MEMORY
            assert hello.text


@pytest.mark.parametrize("limits", [ProcessLimits(wall_seconds=0.3), ProcessLimits(cpu_seconds=0)])
async def test_a_file_that_takes_too_long_is_given_up_and_its_child_replaced(limits: ProcessLimits) -> None:
    async with running(limits=limits) as pool:
        [before] = children("parse")
        assert await reason_for(pool, ENDLESS) is RejectionReason.PARSER_TIMEOUT
        assert gone(before)
        assert (await pool.parse(HELLO)).text


async def test_a_child_that_crashes_takes_only_its_file_along() -> None:
    async with running() as pool:
        work = asyncio.create_task(pool.parse(ENDLESS))
        await eventually(lambda: bool(at_work()))
        children("parse")[0].send_signal(signal.SIGSEGV)
        with pytest.raises(DocumentRejected) as rejection:
            await work
        assert rejection.value.reason is RejectionReason.PARSER_CRASHED
        assert (await pool.parse(HELLO)).text


async def test_a_child_that_was_killed_while_idle_costs_no_file() -> None:
    async with running() as pool:
        for child in children():
            child.kill()
        assert (await pool.parse(HELLO)).text
        assert await pool.check(HELLO) == "txt"


async def test_a_file_whose_child_was_killed_from_outside_is_parsed_by_another() -> None:
    async with running() as pool:
        work = asyncio.create_task(pool.parse(source("a.html", "<div>" * 15_000 + "Deep.")))
        await eventually(lambda: bool(at_work()))
        at_work()[0].kill()
        assert (await work).text == "Deep."


async def test_a_file_whose_child_is_killed_every_time_is_given_up() -> None:
    async with running() as pool:
        work = asyncio.create_task(pool.parse(ENDLESS))
        for _ in range(2):
            await eventually(lambda: bool(at_work()))
            at_work()[0].kill()
            await eventually(lambda: not at_work())
        with pytest.raises(DocumentRejected) as rejection:
            await work
        assert rejection.value.reason is RejectionReason.PARSER_CRASHED


async def test_cancelling_ends_the_work_in_the_child() -> None:
    async with running() as pool:
        work = asyncio.create_task(pool.parse(ENDLESS))
        await eventually(lambda: bool(at_work()))
        [before] = at_work()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert gone(before)
        assert (await pool.parse(HELLO)).text


async def test_a_stopped_child_does_not_hold_up_a_large_upload_for_ever() -> None:
    async with running(limits=ProcessLimits(wall_seconds=0.5)) as pool:
        [before] = children("parse")
        before.suspend()
        assert await reason_for(pool, source("a.txt", "x" * 10_000_000)) is RejectionReason.PARSER_TIMEOUT


async def test_checks_do_not_wait_behind_parsing() -> None:
    async with running() as pool:
        work = asyncio.create_task(pool.parse(ENDLESS))
        await eventually(lambda: bool(at_work()))
        async with asyncio.timeout(SECONDS):
            assert await pool.check(source("a.pdf", pdf([["Text."]]))) == "pdf"
        assert not work.done()
        work.cancel()


async def test_a_child_is_not_replaced_because_its_parent_is_large() -> None:
    ballast = bytearray(os.urandom(MEBIBYTE)) * 600  # the parent's peak stays, and on Linux a child's ``ru_maxrss`` begins with it
    async with running() as pool:
        del ballast
        before = children()
        await pool.parse(HELLO)
        await pool.parse(HELLO)
        assert children() == before


async def test_a_child_is_replaced_after_its_number_of_files() -> None:
    async with running(limits=ProcessLimits(files_per_process=2)) as pool:
        seen = []
        for _ in range(4):
            await pool.parse(HELLO)
            seen.append(children("parse")[0].pid)
        assert seen[0] == seen[1] != seen[2] == seen[3]


async def test_a_closed_pool_leaves_no_process_and_takes_no_work() -> None:
    async with running(concurrency=2) as pool:
        waiting = [asyncio.create_task(pool.parse(ENDLESS)) for _ in range(3)]
        await eventually(lambda: len(at_work()) == 2)
        await pool.close(grace_seconds=0.1)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(outcome, ParserUnavailable) for outcome in outcomes)
        assert not children()
        with pytest.raises(ParserUnavailable):
            await pool.check(HELLO)


async def test_work_under_way_is_finished_before_the_pool_closes() -> None:
    async with running() as pool:
        work = asyncio.create_task(pool.parse(source("a.html", "<div>" * 10_000 + "Deep.")))
        await asyncio.sleep(0)
        await pool.close(grace_seconds=SECONDS)
        assert (await work).text == "Deep."


PARENT = """
import asyncio, sys
from ingestor.adapters.parsers.pool import ParserPool
from ingestor.adapters.parsers.process import ProcessLimits
from ingestor.domain.parsing import DocumentLimits, SourceFile

async def main():
    pool = ParserPool(DocumentLimits(), ProcessLimits(), 1)
    await pool.start()
    print("ready", flush=True)
    await pool.parse(SourceFile("a.html", b"<div>" * 200_000))

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a busy child ends with its work, not with its parent")
async def test_children_die_with_a_parent_that_is_killed_even_while_they_work() -> None:
    root = Path(__file__).parents[4]
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, cwd=root, stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(root)}
    )
    assert parent.stdout is not None
    async with asyncio.timeout(SECONDS):
        assert await parent.stdout.readline() == b"ready\n"
    orphans = psutil.Process(parent.pid).children()
    assert len(orphans) == 2
    await eventually(lambda: any(child.rlimit(psutil.RLIMIT_CPU)[0] != psutil.RLIM_INFINITY for child in orphans))
    parent.kill()
    await parent.wait()
    await eventually(lambda: all(map(gone, orphans)))

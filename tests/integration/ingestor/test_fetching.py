"""Documents that come from an address: fetched with care, from where it is allowed."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import pytest
import pytest_asyncio

from ingestor.adapters.fetching.fetcher import HttpFetcher
from ingestor.domain.pipeline.fetch import FetchFailed
from lectern.ingestor.v1 import documents_pb2, jobs_pb2
from shared.networks import Network
from tests.integration.ingestor.dictionary_embedder import Indexes
from tests.integration.ingestor.library import Library, ingestor_settings, open_library
from tests.unit.ingestor.parsers.files import zipped

pytestmark = pytest.mark.asyncio(loop_scope="session")
LOOPBACK = [ip_network("127.0.0.0/8")]


@dataclass(slots=True)
class Site:
    """A web server that answers each path with the bytes given, and with nothing at all where there are none."""

    port: int = 0
    answers: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        self.requests.append(path)
        self.hosts += [line[6:] for line in head.splitlines() if line.lower().startswith("host: ")]
        if answer := self.answers.get(path):
            writer.write(answer)
            await writer.drain()
        else:
            await reader.read()  # until the other side gives up
        writer.close()


def reply(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@pytest_asyncio.fixture(loop_scope="session")
async def site() -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site.handle, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()


def fetcher(timeout_seconds: float = 5.0, allowed_networks: Sequence[Network] = LOOPBACK) -> HttpFetcher:
    return HttpFetcher(max_bytes=100_000, timeout_seconds=timeout_seconds, max_redirects=2, allowed_networks=allowed_networks)


@asynccontextmanager
async def failing(reason: str, *, passing: bool) -> AsyncIterator[None]:
    with pytest.raises(FetchFailed) as raised:
        yield
    assert (raised.value.reason, raised.value.passing) == (reason, passing)
    assert raised.value.message


async def test_a_page_is_fetched_with_its_media_type(site: Site) -> None:
    site.answers["/a"] = reply(b"<p>The crane.</p>", "Content-Type: text/html; charset=utf-8")
    fetched = await fetcher().fetch(site.url("/a"))
    assert (fetched.content, fetched.media_type) == (b"<p>The crane.</p>", "text/html; charset=utf-8")


async def test_a_compressed_answer_is_uncompressed(site: Site) -> None:
    site.answers["/a"] = reply(gzip.compress(b"The crane."), "Content-Encoding: gzip")
    assert (await fetcher().fetch(site.url("/a"))).content == b"The crane."


async def test_redirects_are_followed_a_few_times(site: Site) -> None:
    site.answers["/a"] = reply(b"", "Location: /b", status="302 Found")
    site.answers["/b"] = reply(b"The crane.")
    assert (await fetcher().fetch(site.url("/a"))).content == b"The crane."
    site.answers["/b"] = reply(b"", "Location: /a", status="302 Found")
    async with failing("TOO_MANY_REDIRECTS", passing=False):
        await fetcher().fetch(site.url("/a"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]"])
async def test_no_way_of_writing_it_leads_into_a_private_network(site: Site, host: str) -> None:
    async with failing("ADDRESS_REFUSED", passing=False):
        await fetcher(allowed_networks=[]).fetch(site.url("/a", host))
    assert site.requests == []


async def test_a_redirect_into_a_private_network_is_refused(site: Site) -> None:
    site.answers["/a"] = reply(b"", "Location: http://169.254.169.254/latest/meta-data", status="302 Found")
    async with failing("ADDRESS_REFUSED", passing=False):
        await fetcher().fetch(site.url("/a"))
    site.answers["/a"] = reply(b"", "Location: file:///etc/passwd", status="302 Found")
    async with failing("URL_INVALID", passing=False):
        await fetcher().fetch(site.url("/a"))


async def test_the_server_sees_the_name_that_was_asked_for(site: Site) -> None:
    site.answers["/a"] = reply(b"The crane.")
    await fetcher(allowed_networks=[*LOOPBACK, ip_network("::1/128")]).fetch(site.url("/a", "localhost"))
    assert site.hosts == [f"localhost:{site.port}"]


@pytest.mark.parametrize(
    ("status", "reason", "passing"),
    [
        ("404 Not Found", "SOURCE_REFUSED", False),
        ("401 Unauthorized", "SOURCE_REFUSED", False),
        ("429 Too Many Requests", "SOURCE_UNAVAILABLE", True),
        ("503 Service Unavailable", "SOURCE_UNAVAILABLE", True),
    ],
)
async def test_a_status_says_whether_another_try_is_worth_it(site: Site, status: str, reason: str, passing: bool) -> None:
    site.answers["/a"] = reply(b"no", status=status)
    async with failing(reason, passing=passing):
        await fetcher().fetch(site.url("/a"))


async def test_too_much_is_refused_also_when_it_is_compressed(site: Site) -> None:
    site.answers["/plain"] = reply(b"x" * 100_001)
    site.answers["/packed"] = reply(gzip.compress(b"\0" * 200_000_000), "Content-Encoding: gzip")
    for path in ("/plain", "/packed"):
        async with failing("DOCUMENT_TOO_LARGE", passing=False):
            await fetcher().fetch(site.url(path))


async def test_an_answer_that_ends_too_early_or_never_comes_is_worth_another_try(site: Site) -> None:
    site.answers["/short"] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"
    site.answers["/cut"] = reply(gzip.compress(b"The crane." * 100)[:-20], "Content-Encoding: gzip")
    site.answers["/noise"] = b"\0\1\2\r\n\r\n"
    for path in ("/short", "/cut", "/noise"):
        async with failing("SOURCE_UNREACHABLE", passing=True):
            await fetcher().fetch(site.url(path))
    async with failing("SOURCE_TIMEOUT", passing=True):
        await fetcher(timeout_seconds=0.2).fetch(site.url("/never"))


@pytest_asyncio.fixture(loop_scope="session")
async def reaching(database_url: str, tmp_path: Path, internal_key: bytes, embedder_port: int, indexes: Indexes) -> AsyncIterator[Library]:
    """An ingestor that may reach the loopback network."""
    changes = {"fetching": {"allowed_networks": ["127.0.0.0/8"], "timeout_seconds": 5}}
    settings = ingestor_settings(database_url, tmp_path / "files", internal_key, embedder_port, **changes)
    async with open_library(settings, indexes) as library:
        await library.create_collection()
        yield library


async def test_a_document_is_taken_in_from_its_address_and_again_only_when_it_changed(reaching: Library, site: Site) -> None:
    library = reaching
    site.answers["/crane.html"] = reply(b"<html><title>Crane</title><p>The crane.</p>", "Content-Type: text/html")
    uploaded = await library.upload(url=site.url("/crane.html"))
    assert (uploaded.document.name, uploaded.document.uri) == ("crane.html", site.url("/crane.html"))
    job = await library.ended(uploaded.job.job_id)
    assert (job.state, job.embedded_count) == (jobs_pb2.JOB_STATE_SUCCEEDED, 1)
    document = await library.get(uploaded.document.document_id)
    assert (document.type, document.state, document.title) == ("html", documents_pb2.DOCUMENT_STATE_READY, "Crane")
    assert document.content_sha256

    again = await library.upload(url=site.url("/crane.html"), metadata={"year": 2021})
    job = await library.ended(again.job.job_id)
    assert (job.state, job.embedded_count) == (jobs_pb2.JOB_STATE_SUCCEEDED, 0)
    assert (await library.get(document.document_id)).state == documents_pb2.DOCUMENT_STATE_READY
    assert len(library.index.embedded) == 1

    site.answers["/crane.html"] = reply(b"<html><title>Crane</title><p>The new crane.</p>", "Content-Type: text/html")
    changed = await library.upload(url=site.url("/crane.html"))
    await library.ended(changed.job.job_id)
    assert [passage.text for passage in await library.visible(document.document_id)] == ["The new crane."]


async def test_an_address_that_gives_nothing_fails_the_document_with_its_reason(reaching: Library, site: Site) -> None:
    site.answers["/gone"] = reply(b"", status="410 Gone")
    site.answers["/music"] = reply(b"ID3\x04" + b"\0" * 200, "Content-Type: audio/mpeg")
    reasons = {}
    for path in ("/gone", "/music"):
        uploaded = await reaching.upload(url=site.url(path))
        job = await reaching.ended(uploaded.job.job_id)
        reasons[path] = job.failures[0].reason
    private = await reaching.upload(url="http://10.0.0.1/")
    reasons["private"] = (await reaching.ended(private.job.job_id)).failures[0].reason
    assert reasons == {"/gone": "SOURCE_REFUSED", "/music": "UNSUPPORTED_TYPE", "private": "ADDRESS_REFUSED"}


async def test_an_archive_behind_an_address_becomes_a_document_for_each_of_its_files_in_the_same_job(reaching: Library, site: Site) -> None:
    library, files = reaching, {"a.txt": b"The crane.", "deep/b.md": b"# The ferry", "inner.zip": zipped({"x.txt": b"Never read."})}
    site.answers["/post.zip"] = reply(zipped(files), "Content-Type: application/zip")
    uploaded = await library.upload(url=site.url("/post.zip"), metadata={"team": "harbour"})
    job = await library.ended(uploaded.job.job_id)
    assert (job.total_count, [failure.reason for failure in job.failures]) == (4, ["UNSUPPORTED_TYPE"])
    archive = await library.get(uploaded.document.document_id)
    assert (archive.state, archive.type, archive.passage_count) == (documents_pb2.DOCUMENT_STATE_READY, "zip", 0)
    url = site.url("/post.zip")
    listed = await library.call(library.documents.ListDocuments, documents_pb2.ListDocumentsRequest(collection="library"))
    documents = {document.name: document for document in listed.documents}
    assert {(name, document.external_id, document.uri) for name, document in documents.items()} == {
        ("post.zip", "", url),
        *((name, f"{url}/{name}", url) for name in files),
    }
    assert documents["a.txt"].metadata["team"] == "harbour"
    assert [passage.text for passage in await library.visible(documents["a.txt"].document_id)] == ["The crane."]

    await library.delete(documents["a.txt"].document_id)
    again = await library.upload(url=url)
    assert (await library.ended(again.job.job_id)).embedded_count == 1, "the file that is not there any more, and no other"


async def test_a_page_that_becomes_an_archive_goes_and_one_that_an_archive_becomes_comes(reaching: Library, site: Site) -> None:
    async def send(body: bytes, *headers: str) -> tuple[list[str], list[str]]:
        """The reasons for which the job failed, and the passages that the address has then."""
        site.answers["/a"] = reply(body, *headers)
        uploaded = await reaching.upload(url=site.url("/a"))
        job = await reaching.ended(uploaded.job.job_id)
        passages = await reaching.visible(uploaded.document.document_id)
        return [failure.reason for failure in job.failures], [passage.text for passage in passages]

    assert await send(b"<p>The page.</p>", "Content-Type: text/html") == ([], ["The page."])
    assert await send(zipped({"a.txt": b"The crane."})) == ([], [])
    assert await send(b"<p>Another page.</p>", "Content-Type: text/html") == ([], ["Another page."])
    assert await send(zipped({})) == (["EMPTY_FILE"], ["Another page."])

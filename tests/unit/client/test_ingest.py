from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lectern_cli.errors import CommandError
from lectern_cli.files import collect
from lectern_cli.ingestion import FileState, Outcome, ensure_collection, ingest_batch, ingest_files
from lectern_client import ApiError, AsyncLectern, RetryPolicy, UnreachableError
from lectern_client.models import Job
from tests.unit.client.conftest import KEY, Gateway, Reply, Request, collection, document, events, job, ok, problem

DOCUMENTS = "/api/v1/collections/handbook/documents"


def names(*paths: Path) -> list[str]:
    return [source.external_id for source in collect(paths)]


def write(folder: Path, *files: str) -> Path:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    return folder


def test_a_folder_is_walked_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    write(tmp_path, "b.md", "a.txt", "sub/deep/c.pdf", ".hidden", ".git/config", "sub/.DS_Store")
    assert names(tmp_path) == ["a.txt", "b.md", "sub/deep/c.pdf"]


def test_ids_do_not_depend_on_how_the_folder_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "docs", "a.txt", "sub/b.txt")
    monkeypatch.chdir(tmp_path / "docs")
    assert names(Path()) == names(tmp_path / "docs") == names(Path("../docs")) == ["a.txt", "sub/b.txt"]


def test_a_file_that_was_named_itself_may_be_hidden(tmp_path: Path) -> None:
    write(tmp_path, ".notes.md")
    assert names(tmp_path / ".notes.md") == [".notes.md"]


def test_two_files_of_the_same_id_are_refused_and_one_file_named_twice_is_taken_once(tmp_path: Path) -> None:
    write(tmp_path, "one/a.txt", "two/a.txt")
    assert names(tmp_path / "one" / "a.txt", tmp_path / "one") == ["a.txt"]
    with pytest.raises(CommandError) as refused:
        collect([tmp_path / "one", tmp_path / "two"])
    assert refused.value.reason == "SAME_ID_TWICE"


@pytest.mark.parametrize(("files", "reason"), [((), "NO_FILES"), ((".hidden",), "NO_FILES")])
def test_a_folder_without_files_is_refused(tmp_path: Path, files: tuple[str, ...], reason: str) -> None:
    write(tmp_path, *files)
    with pytest.raises(CommandError) as refused:
        collect([tmp_path])
    assert refused.value.reason == reason


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as refused:
        collect([tmp_path / "nowhere"])
    assert refused.value.reason == "NO_SUCH_PATH"


def test_a_loop_of_links_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "a.txt")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert names(tmp_path) == ["a.txt"]


def test_a_name_that_is_not_utf8_can_still_be_sent(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_bytes(b"x")
    (name,) = names(tmp_path)
    json.dumps(name).encode()
    assert name == "caf\ufffd.txt"


class Tally:
    def __init__(self) -> None:
        self.uploads: list[str] = []
        self.ends: list[Outcome] = []

    def uploaded(self, source: object) -> None:
        self.uploads.append(getattr(source, "external_id"))  # noqa: B009

    def ended(self, outcome: Outcome) -> None:
        self.ends.append(outcome)


async def ingest(gateway: Gateway, folder: Path, tally: Tally | None = None, patience: float = 5.0) -> dict[str, Outcome]:
    async with AsyncLectern(gateway.url, KEY, retries=RetryPolicy(patience)) as client:
        outcomes = await ingest_files(client, "handbook", collect([folder]), tally or Tally())
    return {outcome.name: outcome for outcome in outcomes}


def name_of(request: Request) -> str:
    return request.body.partition(b'name="external_id"\r\n\r\n')[2].partition(b"\r\n")[0].decode()


async def test_each_file_ends_ready_unchanged_or_failed_with_its_reason(gateway: Gateway, tmp_path: Path) -> None:
    write(tmp_path, "new.txt", "same.txt", "empty.txt", "broken.pdf")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "new.txt")

    def accept(request: Request) -> Reply:
        name = name_of(request)
        if name == "empty.txt":
            return problem(400, "EMPTY_FILE", "The file is empty.")
        if name == "same.txt":
            return ok({**document(name), "job": job(embedded=50), "unchanged": True})
        return ok({**document(name, "PROCESSING"), "job": job("QUEUED", id=f"job-{name}"), "unchanged": False}, 202)

    gateway.on("POST", DOCUMENTS, accept)
    for name, end in (("new.txt", "SUCCEEDED"), ("gone.txt", "SUCCEEDED"), ("broken.pdf", "FAILED")):
        gateway.on("GET", f"/api/v1/jobs/job-{name}/events", events(("job", job("RUNNING")), ("job", job(end, embedded=2))))
    gateway.on("GET", "/api/v1/documents/doc-new.txt", ok(document("new.txt")))
    gateway.on("GET", "/api/v1/documents/doc-gone.txt", ok(document("gone.txt")))
    failed = document("broken.pdf", "FAILED", reason="CORRUPT_DOCUMENT", message="It is no PDF.")
    gateway.on("GET", "/api/v1/documents/doc-broken.pdf", ok(failed))
    tally = Tally()
    outcomes = await ingest(gateway, tmp_path, tally)
    assert {name: outcome.state for name, outcome in outcomes.items()} == {
        "new.txt": FileState.READY,
        "gone.txt": FileState.READY,
        "same.txt": FileState.UNCHANGED,
        "empty.txt": FileState.FAILED,
        "broken.pdf": FileState.FAILED,
    }
    assert (outcomes["broken.pdf"].reason, outcomes["broken.pdf"].message) == ("CORRUPT_DOCUMENT", "It is no PDF.")
    assert (outcomes["empty.txt"].reason, outcomes["empty.txt"].message) == ("EMPTY_FILE", "The file is empty.")
    assert sum(outcome.embedded for outcome in outcomes.values()) == 6
    assert sorted(tally.uploads) == sorted(outcomes)
    assert {outcome.name for outcome in tally.ends} == set(outcomes)


async def test_a_file_that_cannot_be_read_is_one_failure_among_others(gateway: Gateway, tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "b.txt")
    gateway.on("POST", DOCUMENTS, lambda request: ok({**document(name_of(request)), "job": job(), "unchanged": True}))
    sources = collect([tmp_path])
    (tmp_path / "a.txt").unlink()
    async with AsyncLectern(gateway.url, KEY) as client:
        first, second = await ingest_files(client, "handbook", sources, Tally())
    assert (first.state, first.reason) == (FileState.FAILED, "FILE_UNREADABLE")
    assert second.state is FileState.UNCHANGED


async def test_content_that_failed_before_and_did_not_change_fails_again_with_its_reason(gateway: Gateway, tmp_path: Path) -> None:
    write(tmp_path, "locked.pdf")
    failed = document("locked.pdf", "FAILED", reason="ENCRYPTED_DOCUMENT", message="It is encrypted.")
    gateway.on("POST", DOCUMENTS, ok({**failed, "job": job("FAILED"), "unchanged": True}))
    outcome = (await ingest(gateway, tmp_path))["locked.pdf"]
    assert (outcome.state, outcome.reason) == (FileState.FAILED, "ENCRYPTED_DOCUMENT")


async def test_a_key_that_is_refused_ends_everything_at_the_first_file(gateway: Gateway, tmp_path: Path) -> None:
    write(tmp_path, *(f"{number}.txt" for number in range(50)))
    gateway.on("POST", DOCUMENTS, problem(401, "INVALID_API_KEY", "The key is not known."))
    with pytest.raises(ApiError) as refused:
        await ingest(gateway, tmp_path)
    assert refused.value.reason == "INVALID_API_KEY"
    assert len(gateway.requests) < 20


async def test_a_server_that_goes_away_for_good_ends_everything(gateway: Gateway, tmp_path: Path) -> None:
    write(tmp_path, *(f"{number}.txt" for number in range(50)))
    gateway.on("POST", DOCUMENTS, Reply(200, [b"{"], cut=True))
    with pytest.raises(UnreachableError):
        await ingest(gateway, tmp_path, patience=0.2)


async def test_a_collection_is_made_once_and_a_race_for_it_is_harmless(gateway: Gateway) -> None:
    missing = problem(404, "COLLECTION_NOT_FOUND", "There is no collection 'new'.")
    gateway.on("GET", "/api/v1/collections/new", missing, missing, ok(collection("new")))
    gateway.on("POST", "/api/v1/collections", ok(collection("new"), 201), problem(409, "COLLECTION_EXISTS", "There is one."))
    async with AsyncLectern(gateway.url, KEY) as client:
        assert [await ensure_collection(client, "new") for _ in range(3)] == [True, False, False]


async def test_a_batch_is_followed_until_it_ends(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n')
    gateway.on("POST", f"{DOCUMENTS}:batch", ok({"job": job("QUEUED", total=2), "unchanged": 1}, 202))
    running = job("RUNNING", total=2, done=1)
    gateway.on("GET", "/api/v1/jobs/job-1/events", events(("job", running), ("job", job(total=2, done=2))))
    seen: list[Job] = []
    async with AsyncLectern(gateway.url, KEY) as client:
        outcome = await ingest_batch(client, "handbook", file, seen.append)
    assert gateway.requests[0].body == file.read_bytes()
    assert [(now.state, now.done) for now in seen] == [("QUEUED", 0), ("RUNNING", 1), ("SUCCEEDED", 2)]
    assert (outcome.job.done, outcome.unchanged) == (2, 1)

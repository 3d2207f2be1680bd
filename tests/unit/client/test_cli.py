from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lectern_cli.main import main
from tests.conftest import free_port
from tests.unit.client.conftest import KEY, Gateway, answer, citation, collection, document, hit, job, ok, problem


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Lectern = Callable[..., Ran]


@pytest.fixture
def lectern(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Lectern:
    """Runs the command in an empty folder, connected to the scripted gateway through the environment."""
    for name, value in {"LECTERN_URL": gateway.url, "LECTERN_API_KEY": KEY, "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LECTERN_HOME", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["lectern", *arguments])
        try:
            code = main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return run


def test_search_prints_document_page_and_excerpt(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("POST", "/api/v1/search", ok({"hits": [hit("Five  days\n carry over."), hit("No pages here.", page=None)]}))
    ran = lectern("search", "leave", "--collection", "handbook", "-c", "other", "--limit", "2", "--filter", '{"type": "pdf"}')
    assert ran.code == 0
    assert "1. handbook.pdf, page 2" in ran.out
    assert "Five days carry over." in ran.out
    assert "2. handbook.pdf  " in ran.out
    sent = {"query": "leave", "collections": ["handbook", "other"], "limit": 2, "filter": {"type": "pdf"}}
    assert gateway.requests[0].json == sent


def test_json_is_everything_the_server_said(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("POST", "/api/v1/search", ok({"hits": [hit()], "timings_ms": {"total": 1.5}, "trace_id": "t", "novelty": 1}))
    ran = lectern("search", "leave", "--json")
    assert ran.json["hits"][0]["passage_id"] == "p-1"
    assert ran.json["novelty"] == 1
    assert ran.err == ""


def test_a_search_that_finds_nothing_says_so_and_succeeds(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("POST", "/api/v1/search", ok({"hits": []}))
    ran = lectern("search", "unicorns")
    assert (ran.code, ran.out) == (0, "")
    assert "Nothing was found" in ran.err


def test_ask_prints_the_answer_and_its_numbered_sources(gateway: Gateway, lectern: Lectern) -> None:
    web = citation(marker=2, document_name="page.html", page=None, quote="Ask\nearly.")
    gateway.on("POST", "/api/v1/ask", ok(answer("Five days. [1] Ask early. [2]", citations=[citation(), web])))
    ran = lectern("ask", "How many?")
    assert ran.out.splitlines() == [
        "Five days. [1] Ask early. [2]",
        "",
        "[1] handbook.pdf, page 2: “Five days carry over.”",
        "[2] page.html: “Ask early.”",
    ]


def test_a_document_cannot_steer_the_terminal(gateway: Gateway, lectern: Lectern) -> None:
    nasty = "red \x1b[31m bell \x07 title \x1b]0;owned\x07 [bold]tag[/] \u202eback"
    gateway.on("POST", "/api/v1/search", ok({"hits": [hit(nasty, document_name=nasty)]}))
    gateway.on("POST", "/api/v1/ask", ok(answer(nasty, citations=[citation(quote=nasty, document_name=nasty)])))
    for command in ("search", "ask"):
        printed = lectern(command, "?").out
        assert not {"\x1b", "\x07", "\u202e"} & set(printed)
        assert "[bold]tag[/]" in printed


def test_a_refusal_is_one_clear_text_with_the_request_id(gateway: Gateway, lectern: Lectern) -> None:
    wrong = [{"field": "body.filter.autor", "message": "The nearest is 'author'."}]
    gateway.on("POST", "/api/v1/search", problem(400, "UNKNOWN_FILTER_FIELD", "There is no field 'autor'.", errors=wrong))
    ran = lectern("search", "x")
    assert ran.code == 1
    assert ran.err.splitlines() == ["There is no field 'autor'.", "  body.filter.autor: The nearest is 'author'. (request req-7)"]
    assert ran.out == ""


def test_with_json_errors_are_json_too(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("POST", "/api/v1/search", problem(400, "UNKNOWN_FILTER_FIELD", "There is no field 'autor'."))
    ran = lectern("search", "x", "--json")
    assert ran.code == 1
    assert ran.json == {"error": {"reason": "UNKNOWN_FILTER_FIELD", "message": "There is no field 'autor'.", "request_id": "req-7"}}


def test_a_refused_key_says_where_keys_come_from(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("GET", "/api/v1/collections", problem(401, "INVALID_API_KEY", "The key is not known."))
    ran = lectern("collections", "list")
    assert ran.code == 1
    assert "LECTERN_API_KEY" in ran.err


def test_a_stack_that_does_not_run_is_said_at_once_with_the_way_to_start_it(lectern: Lectern) -> None:
    began = time.monotonic()
    ran = lectern("search", "x", "--url", f"http://127.0.0.1:{free_port()}")
    assert ran.code == 3
    assert "lectern up" in ran.err
    assert time.monotonic() - began < 10  # the library itself would wait for 20 s


def test_without_key_and_home_the_command_says_that_nothing_was_started(lectern: Lectern, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LECTERN_URL")
    monkeypatch.delenv("LECTERN_API_KEY")
    ran = lectern("ask", "?")
    assert ran.code == 3
    assert "lectern up" in ran.err


def laptop_home(folder: Path, url: str) -> None:
    folder.mkdir()
    (folder / "supervisor.json").write_text(json.dumps({"url": url}))
    (folder / "admin.key").write_text(f"{KEY}\n")


def test_address_and_key_come_from_the_nearest_home_above(
    gateway: Gateway, lectern: Lectern, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LECTERN_URL")
    monkeypatch.delenv("LECTERN_API_KEY")
    laptop_home(tmp_path / ".lectern", gateway.url)
    gateway.on("GET", "/api/v1/collections", ok({"items": [collection()], "next_page_token": None}))
    assert lectern("collections", "list", "--json").json[0]["name"] == "handbook"
    assert gateway.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_laptops_key_is_shown_to_no_other_server(
    gateway: Gateway, lectern: Lectern, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LECTERN_URL")
    monkeypatch.delenv("LECTERN_API_KEY")
    laptop_home(tmp_path / ".lectern", "http://127.0.0.1:1")
    ran = lectern("collections", "list", "--url", gateway.url)
    assert (ran.code, gateway.requests) == (1, [])
    assert "--key" in ran.err


def test_an_unexpected_error_is_one_line_and_keeps_its_details_in_a_file(
    lectern: Lectern, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("lectern_client.Lectern.search", lambda *_, **__: 1 / 0)
    ran = lectern("search", "x")
    assert ran.code == 1
    assert "ZeroDivisionError" in ran.err
    assert "Traceback" not in ran.err
    (details,) = tmp_path.glob("lectern-error-*.txt")
    assert "Traceback" in details.read_text()


@pytest.mark.parametrize("text", ["{", "[]", "type=pdf"])
def test_a_filter_that_is_no_json_object_is_refused_before_anything_is_sent(gateway: Gateway, lectern: Lectern, text: str) -> None:
    ran = lectern("search", "x", "--filter", text)
    assert (ran.code, gateway.requests) == (2, [])
    assert "--filter" in ran.err


def test_a_collection_is_deleted_only_when_that_was_confirmed(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("GET", "/api/v1/collections/handbook", ok(collection()))
    gateway.on("DELETE", "/api/v1/collections/id-handbook", ok({"document_count": 2, "job_id": "job-9"}))
    unasked = lectern("collections", "delete", "handbook")
    assert unasked.code == 1
    assert "--yes" in unasked.err
    assert gateway.sent("DELETE", "/api/v1/collections/id-handbook") == []
    assert "with 2 documents" in lectern("collections", "delete", "handbook", "--yes").out


def test_collections_are_made_and_listed(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("POST", "/api/v1/collections", ok(collection("papers"), 201))
    gateway.on("GET", "/api/v1/collections", ok({"items": [collection("papers")], "next_page_token": None}))
    assert "papers (id-papers)" in lectern("collections", "create", "papers", "--description", "read later").out
    assert gateway.requests[0].json == {"name": "papers", "description": "read later"}
    listed = lectern("collections")
    assert [word in listed.out for word in ("papers", "id-papers", "9")] == [True] * 3


def test_documents_are_listed_shown_and_deleted(gateway: Gateway, lectern: Lectern) -> None:
    failed = document("b.pdf", "FAILED", reason="ENCRYPTED_DOCUMENT", message="It is encrypted.")
    gateway.on("GET", "/api/v1/collections/handbook/documents", ok({"items": [document(), failed], "next_page_token": None}))
    gateway.on("GET", "/api/v1/documents/doc-b.pdf", ok({**failed, "pages": [{"number": 1, "text": "Page one."}]}))
    gateway.on("DELETE", "/api/v1/documents/doc-b.pdf", ok({"document_id": "doc-b.pdf", "job_id": "job-4"}))
    assert "ENCRYPTED_DOCUMENT" in lectern("documents", "list", "handbook", "--state", "failed").out
    assert gateway.requests[0].path.endswith("?state=FAILED")
    shown = lectern("documents", "show", "doc-b.pdf", "--pages").out
    assert "It is encrypted." in shown
    assert "— page 1 —\nPage one." in shown
    assert "job-4" in lectern("documents", "delete", "doc-b.pdf", "--yes").out


def test_jobs_are_listed_and_steered(gateway: Gateway, lectern: Lectern) -> None:
    failure = {"document_id": "d", "document_name": "b.pdf", "external_id": None, "reason": "CORRUPT_DOCUMENT", "message": "Broken."}
    failed = job("FAILED", failures=[failure])
    gateway.on("GET", "/api/v1/jobs", ok({"items": [failed], "next_page_token": None}))
    gateway.on("GET", "/api/v1/jobs/job-1", ok(failed))
    gateway.on("POST", "/api/v1/jobs/job-1:cancel", ok(job("CANCELLED")))
    gateway.on("POST", "/api/v1/jobs/job-1:retry", ok(job("QUEUED")))
    assert "FAILED" in lectern("jobs", "list").out
    assert "b.pdf: CORRUPT_DOCUMENT: Broken." in lectern("jobs", "show", "job-1").out
    assert "CANCELLED" in lectern("jobs", "cancel", "job-1").out
    document = {"document_id": "d-1", "document_name": "b.pdf", "state": "FAILED", "stage": "PARSE", "reason": "CORRUPT_DOCUMENT"}
    gateway.on("GET", "/api/v1/jobs/job-1/documents", ok({"items": [document], "next_page_token": None}))
    assert "CORRUPT_DOCUMENT" in lectern("jobs", "documents", "job-1", "--state", "failed").out
    assert gateway.sent("GET", "/api/v1/jobs/job-1/documents")[0].path.endswith("?state=FAILED")
    lectern("jobs", "list", "--state", "running", "--kind", "purge")
    assert gateway.sent("GET", "/api/v1/jobs")[-1].path.endswith("?state=RUNNING&kind=PURGE")
    assert lectern("jobs", "retry", "job-1", "--json").json["state"] == "QUEUED"


def test_a_new_key_alone_goes_to_standard_output(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("POST", "/api/v1/api-keys", ok({"id": "k1", "name": "nightly", "prefix": "abc", "role": "member", "key": KEY}, 201))
    assert lectern("keys", "create", "nightly").out == f"{KEY}\n"


COMMANDS = (
    "",
    "up",
    "down",
    "status",
    "logs",
    "doctor",
    "demo",
    "ingest",
    "search",
    "filter",
    "ask",
    "history",
    "assistants",
    "collections",
    "documents",
    "jobs",
    "keys",
    "models",
    "providers",
)
SUBCOMMANDS = (
    "assistants create",
    "assistants delete",
    "collections delete",
    "documents list",
    "documents show",
    "jobs documents",
    "jobs watch",
    "jobs retry",
    "keys create",
    "providers create",
    "providers default",
    "providers delete",
    "providers set-key",
    "keys revoke",
)
WITHOUT_JSON = ("", "logs", "demo", "documents", "jobs", "keys")


@pytest.mark.parametrize("command", [*COMMANDS, *SUBCOMMANDS])
def test_every_command_explains_itself_and_has_json(lectern: Lectern, command: str) -> None:
    ran = lectern(*command.split(), "--help")
    assert ran.code == 0
    assert f"Usage: lectern {command}".rstrip() in ran.out
    assert ("--json" in ran.out) == (command not in WITHOUT_JSON)

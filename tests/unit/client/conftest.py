"""A real HTTP server on a socket that speaks the gateway's protocol as a test scripts it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

KEY = "lk_0123456789ab_000000000000000000000000000000000000000000000000"


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What the server answers. ``chunks`` are flushed one by one; ``cut`` breaks the connection after them."""

    status: int = 200
    chunks: Sequence[bytes] = ()
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


Answer = Reply | Callable[[Request], Reply]


def ok(value: Any, status: int = 200) -> Reply:
    return Reply(status, [json.dumps(value).encode()], {"Content-Type": "application/json"})


def problem(status: int, reason: str, detail: str, *, errors: Sequence[dict[str, str]] = (), retry_after: str | None = None) -> Reply:
    body = {
        "type": "about:blank",
        "title": "",
        "status": status,
        "detail": detail,
        "reason": reason,
        "request_id": "req-7",
        "errors": list(errors),
        "metadata": {},
    }
    headers = {"Content-Type": "application/problem+json", **({"Retry-After": retry_after} if retry_after else {})}
    return Reply(status, [json.dumps(body).encode()], headers)


def events(*named: tuple[str, Any], cut: bool = False, heartbeat: bool = True) -> Reply:
    chunks = [f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode() for name, data in named]
    return Reply(200, [b": still here\n\n", *chunks] if heartbeat else chunks, {"Content-Type": "text/event-stream"}, cut)


class Gateway:
    """Answers each route with its scripted replies in turn; the last one stays. Keeps every request."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._replies: dict[tuple[str, str], list[Answer]] = {}
        self._lock = threading.Lock()
        self.url = ""

    def on(self, method: str, path: str, *replies: Answer) -> None:
        """Script ``method`` on ``path``, which is compared without its query."""
        self._replies[method, path] = list(replies)

    def sent(self, method: str, path: str) -> list[Request]:
        return [request for request in self.requests if (request.method, request.path.partition("?")[0]) == (method, path)]

    def reply(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            replies = self._replies.get((request.method, request.path.partition("?")[0]))
            if not replies:
                return problem(404, "ROUTE_NOT_FOUND", f"No script for {request.method} {request.path}.")
            answer = replies.pop(0) if len(replies) > 1 else replies[0]
        return answer if isinstance(answer, Reply) else answer(request)


class Handler(BaseHTTPRequestHandler):
    """Reads a request, chunked or not, and plays the reply to it."""

    protocol_version = "HTTP/1.1"
    server: Server

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.gateway.reply(Request(self.command, self.path, headers, self._body()))
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in reply.chunks:
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            self.wfile.flush()
        if reply.cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, *_: Any) -> None:
        """Say nothing: a failing test shows the requests it cares about."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, gateway: Gateway, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.gateway = gateway

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may leave in the middle; anything else is printed, as the library does."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(gateway: Gateway, port: int = 0) -> Iterator[Gateway]:
    """Let ``gateway`` answer on a socket; port 0 picks one."""
    server = Server(gateway, port)
    gateway.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with serving(Gateway()) as scripted:
        yield scripted


def collection(name: str = "handbook", **values: Any) -> dict[str, Any]:
    return {
        "id": f"id-{name}",
        "name": name,
        "description": "",
        "metadata": {},
        "settings": {"passage_tokens": 0},
        "document_count": 2,
        "passage_count": 9,
        "create_time": "2026-01-02T03:04:05Z",
        "update_time": None,
        **values,
    }


def job(state: str = "SUCCEEDED", **values: Any) -> dict[str, Any]:
    ended = state in {"SUCCEEDED", "FAILED", "CANCELLED"}
    return {
        "id": "job-1",
        "collection_id": "id-handbook",
        "kind": "INGEST",
        "state": state,
        "stage": None if ended else "INDEX",
        "total": 1,
        "done": int(ended),
        "failed": int(state == "FAILED"),
        "embedded": 3,
        "reused": 0,
        "passages": 3,
        "eta_seconds": None,
        "failures": [],
        "create_time": "2026-01-02T03:04:05Z",
        "end_time": None,
        **values,
    }


def document(name: str = "a.txt", state: str = "READY", **values: Any) -> dict[str, Any]:
    return {
        "id": f"doc-{name}",
        "collection_id": "id-handbook",
        "external_id": name,
        "name": name,
        "title": None,
        "author": None,
        "language": "en",
        "type": "txt",
        "uri": None,
        "metadata": {},
        "state": state,
        "reason": None,
        "message": None,
        "size_bytes": 5,
        "content_sha256": "00",
        "page_count": 0,
        "passage_count": 1,
        "create_time": None,
        "update_time": None,
        "indexed_time": None,
        **values,
    }


def message(role: str = "assistant", text: str = "Five days carry over. [1]", **values: Any) -> dict[str, Any]:
    is_answer = role == "assistant"
    return {
        "id": "msg-2" if is_answer else "msg-1",
        "chat_id": "chat-1",
        "parent_id": "msg-1" if is_answer else None,
        "role": role,
        "state": "COMPLETE",
        "text": text,
        "citations": [{**citation(), "available": True}] if is_answer else [],
        "hits": ["p-1"] if is_answer else [],
        **values,
    }


def hit(text: str = "Five days carry over.", **values: Any) -> dict[str, Any]:
    return {
        "passage_id": "p-1",
        "document_id": "doc-handbook.pdf",
        "document_name": "handbook.pdf",
        "document_type": "pdf",
        "external_id": "handbook.pdf",
        "collection_id": "id-handbook",
        "collection_name": "handbook",
        "text": text,
        "page": 2,
        "uri": None,
        "headings": ["Leave"],
        "score": 0.93,
        "scores": {"dense": 0.7, "lexical": 12.5, "rerank": None},
        "metadata": {},
        **values,
    }


def citation(**values: Any) -> dict[str, Any]:
    return {
        "marker": 1,
        "passage_id": "p-1",
        "document_id": "doc-handbook.pdf",
        "document_name": "handbook.pdf",
        "page": 2,
        "uri": None,
        "quote": "Five days carry over.",
        "start": 0,
        "end": 21,
        **values,
    }


def answer(text: str = "Five days carry over. [1]", **values: Any) -> dict[str, Any]:
    return {
        "answer": text,
        "answered": True,
        "citations": [citation()],
        "hits": [hit()],
        "model": "extractive",
        "finish_reason": "STOP",
        "usage": {"prompt_tokens": 0, "answer_tokens": 0},
        "timings_ms": {"total": 12.5},
        "trace_id": "t-1",
        **values,
    }

"""A server on a socket that speaks the embeddings protocol, well or badly, as a test says."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

# However a test ends, no thread of it waits longer.
LONGEST_SECONDS = 20.0


def vector(text: str, dimension: int = 3) -> list[float]:
    """What the server makes of a text: no two texts of a test have the same, and each has length 1."""
    raw = np.random.default_rng(list(text.encode())).standard_normal(dimension)
    return [float(each) for each in raw / np.linalg.norm(raw)]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came."""

    at: float
    texts: list[str]
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class EmbeddingsServer:
    """Answers as the next entry of ``script`` says, and well when there is none.

    Attributes:
        seen: every request, in the order of their coming.
        answered: how often each text got a vector in a good answer.
        left: set when a client has closed a connection whose request was held.
    """

    def __init__(self, port: int = 0) -> None:
        self.script: deque[Answer] = deque()
        self.always: Answer | None = None
        self.dimension = 3
        self.seen: list[Seen] = []
        self.answered: Counter[str] = Counter()
        self.left = threading.Event()
        self.held = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                owner.seen.append(Seen(time.time(), body["input"], dict(self.headers), body))
                answer = owner.script.popleft() if owner.script else owner.always or good
                answer(Exchange(owner, self, body))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1/embeddings"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(LONGEST_SECONDS)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the way back."""

    server: EmbeddingsServer
    handler: BaseHTTPRequestHandler
    body: Mapping[str, Any]

    @property
    def texts(self) -> list[str]:
        return list(self.body["input"])

    def rows(self) -> list[dict[str, Any]]:
        return [{"index": index, "embedding": vector(text, self.server.dimension)} for index, text in enumerate(self.texts)]

    def reply(self, rows: list[dict[str, Any]]) -> None:
        if self.body.get("encoding_format") == "base64":
            for row in rows:
                row["embedding"] = base64.b64encode(np.array(row["embedding"], dtype="<f4").tobytes()).decode()
        self.server.answered.update(self.texts)
        self.status(200, body={"data": rows, "model": self.body["model"]})

    def status(self, status: int, headers: Mapping[str, str] | None = None, body: object = "no") -> None:
        content = json.dumps(body).encode()
        self.handler.send_response(status)
        for name, value in (headers or {}).items():
            self.handler.send_header(name, value)
        self.handler.send_header("content-length", str(len(content)))
        self.handler.end_headers()
        self.handler.wfile.write(content)


Answer = Callable[[Exchange], None]


def good(exchange: Exchange) -> None:
    exchange.reply(exchange.rows())


def status(code: int, **headers: str) -> Answer:
    """Answer with a status; ``retry_after`` is the header Retry-After."""
    return lambda exchange: exchange.status(code, {name.replace("_", "-"): value for name, value in headers.items()})


def cut(exchange: Exchange) -> None:
    """Close the connection instead of answering."""
    exchange.handler.close_connection = True
    exchange.handler.connection.shutdown(socket.SHUT_RDWR)


def hold(exchange: Exchange) -> None:
    """Never answer; notice when the client goes."""
    exchange.server.held.set()
    exchange.handler.connection.settimeout(LONGEST_SECONDS)
    exchange.handler.close_connection = True
    if exchange.handler.connection.recv(1) == b"":
        exchange.server.left.set()


@contextmanager
def serving(port: int = 0) -> Iterator[EmbeddingsServer]:
    server = EmbeddingsServer(port)
    try:
        yield server
    finally:
        server.stop()

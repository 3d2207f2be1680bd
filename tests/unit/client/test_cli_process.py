"""The command as a process of its own: quick to start, clean when interrupted, at home on a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.unit.client.conftest import KEY, Gateway, Reply, Request, answer, citation, collection, document, events, hit, job, ok

COMMAND = [sys.executable, "-m", "lectern_cli"]
SERVICES = ("gateway", "ingestor", "embedder", "generator", "grpc", "torch", "deploy", "lectern_client", "httpx")


def environment(gateway: Gateway, **more: str) -> dict[str, str]:
    return {**os.environ, "LECTERN_URL": gateway.url, "LECTERN_API_KEY": KEY, **more}


def test_help_imports_neither_services_nor_the_client_library() -> None:
    script = f"""
import sys
sys.argv = ["lectern", "--help"]
from lectern_cli.main import main
try:
    main()
except SystemExit as exit_:
    assert not exit_.code
loaded = [name for name in {SERVICES!r} if name in sys.modules]
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ingest" in done.stdout


def test_the_version_is_printed() -> None:
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("lectern ")


def on_a_terminal(command: list[str], env: dict[str, str]) -> str:
    """Everything that ``command`` writes to a terminal."""
    main, side = pty.openpty()
    with subprocess.Popen(command, env={**env, "TERM": "xterm", "COLUMNS": "100"}, stdin=side, stdout=side, stderr=side) as process:
        os.close(side)
        written = b""
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:  # how Linux says that the other side has closed
                break
            if not piece:
                break
            written += piece
        assert process.wait(20) == 0, written.decode()
    os.close(main)
    return written.decode()


def test_on_a_terminal_an_answer_is_streamed_and_its_sources_follow(gateway: Gateway) -> None:
    complete = ("complete", answer())
    gateway.on(
        "POST", "/api/v1/ask", events(("delta", {"text": "Five days "}), ("delta", {"text": "[1]"}), ("citation", citation()), complete)
    )
    written = on_a_terminal([*COMMAND, "ask", "How many?"], environment(gateway, NO_COLOR="1"))
    assert gateway.requests[0].json["stream"] is True
    assert written.index("Five days [1]") < written.index("handbook.pdf, page 2")


def test_on_a_terminal_an_ingest_shows_both_bars(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    gateway.on("GET", "/api/v1/collections/library", ok(collection("library")))
    gateway.on("POST", "/api/v1/collections/library/documents", ok({**document(), "job": job(), "unchanged": True}))
    written = on_a_terminal([*COMMAND, "ingest", str(tmp_path)], environment(gateway))
    assert "Uploading" in written
    assert "Indexing" in written
    assert "1/1" in written
    assert "1 unchanged" in written


def test_a_reader_that_has_seen_enough_is_no_error(gateway: Gateway) -> None:
    gateway.on("POST", "/api/v1/search", ok({"hits": [hit("word " * 60)] * 400}))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m lectern_cli search x | head -1"],
        env=environment(gateway),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "handbook.pdf" in done.stdout
    assert done.stderr == ""


def test_ctrl_c_ends_an_ingest_without_a_traceback(gateway: Gateway, tmp_path: Path) -> None:
    arrived, leave = threading.Event(), threading.Event()

    def hang(_: Request) -> Reply:
        arrived.set()
        leave.wait(30)
        return ok({})

    (tmp_path / "a.txt").write_text("hello")
    gateway.on("GET", "/api/v1/collections/library", ok(collection("library")))
    gateway.on("POST", "/api/v1/collections/library/documents", hang)
    command = [*COMMAND, "ingest", str(tmp_path)]
    with subprocess.Popen(command, env=environment(gateway), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert arrived.wait(20)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    leave.set()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "running this again continues" in err


def test_an_ingest_of_many_files_reports_each(gateway: Gateway, tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}.txt").write_text(f"text {number}")

    def accept(request: Request) -> Reply:
        name = next(f"{number:02}.txt" for number in range(30) if f'filename="{number:02}.txt"'.encode() in request.body)
        return ok({**document(name), "job": job(), "unchanged": False})

    gateway.on("GET", "/api/v1/collections/library", ok(collection("library")))
    gateway.on("POST", "/api/v1/collections/library/documents", accept)
    for number in range(30):
        gateway.on("GET", f"/api/v1/documents/doc-{number:02}.txt", ok(document(f"{number:02}.txt")))
    done = subprocess.run(
        [*COMMAND, "ingest", str(tmp_path), "--json"], env=environment(gateway), capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout)
    assert [file["name"] for file in report["files"]] == [f"{number:02}.txt" for number in range(30)]
    assert {file["state"] for file in report["files"]} == {"READY"}
    assert report["embedded_count"] == 90

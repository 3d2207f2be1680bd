"""Postgres and Milvus Lite under the supervisor, killed as a crash would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.laptop.home import Home
from deploy.laptop.launch import stop_orphans
from deploy.laptop.milvus import milvus_command
from deploy.laptop.postgres import EmbeddedPostgres
from deploy.laptop.probes import milvus_version, postgres_query
from deploy.laptop.report import State
from deploy.laptop.runner import ServiceSpec
from tests.conftest import free_port
from tests.unit.laptop.conftest import Supervised


def postgres_spec(home: Home) -> ServiceSpec:
    postgres = EmbeddedPostgres(home.postgres)
    command = [sys.executable, "-P", "-m", "deploy.laptop.postgres", str(home.postgres)]
    return ServiceSpec("postgres", command, dict(os.environ), postgres_query(postgres.dsn), stop_signal=signal.SIGINT)


async def run_sql(home: Home, statement: str) -> object:
    connection = await asyncpg.connect(EmbeddedPostgres(home.postgres).dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_a_killed_postgres_comes_back_with_what_was_committed(home: Home, supervised: Supervised) -> None:
    async with supervised(postgres_spec(home)) as stack:
        first = await stack.until("postgres", lambda part: part.state is State.READY, 60)
        await run_sql(home, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert first.process is not None
        os.kill(first.process.pid, signal.SIGKILL)
        await stack.until("postgres", lambda part: part.restarts == 1 and part.state is State.READY, 60)
        assert await run_sql(home, "SELECT answer FROM kept") == 42
    assert EmbeddedPostgres(home.postgres).pid is None


async def test_a_lock_file_that_names_a_stranger_does_not_keep_postgres_from_starting(home: Home, supervised: Supervised) -> None:
    async with supervised(postgres_spec(home)) as stack:
        first = await stack.until("postgres", lambda part: part.state is State.READY, 60)
        assert first.process is not None
        lock = (home.postgres / "postmaster.pid").read_text()
    # What a power cut leaves, once its number was given to another process: this one, which Postgres would take for its own.
    (home.postgres / "postmaster.pid").write_text(lock.replace(str(first.process.pid), str(os.getpid()), 1))
    home.report.unlink()
    async with supervised(postgres_spec(home)) as stack:
        again = await stack.until("postgres", lambda part: part.state is State.READY, 60)
        assert again.restarts == 0


def test_a_server_that_was_left_behind_is_stopped_before_another_starts(home: Home) -> None:
    left = EmbeddedPostgres(home.postgres)
    left.start()
    assert left.pid is not None
    assert stop_orphans(home)
    assert left.pid is None
    assert not stop_orphans(home)


async def test_a_first_start_that_was_interrupted_is_begun_again(home: Home, supervised: Supervised) -> None:
    unfinished = home.postgres.with_name("postgres.new")
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    async with supervised(postgres_spec(home)) as stack:
        await stack.until("postgres", lambda part: part.state is State.READY, 60)
        assert await run_sql(home, "SELECT current_database()") == "lectern"
    assert not unfinished.exists()


async def test_data_that_is_not_a_database_is_never_thrown_away(home: Home, supervised: Supervised) -> None:
    home.postgres.mkdir()
    (home.postgres / "diary.txt").write_text("dear diary")
    async with supervised(postgres_spec(home)) as stack:
        failed = await stack.until("postgres", lambda part: part.state is State.FAILED, 60)
        assert any("Directory not empty" in line for line in failed.log_tail)
    assert (home.postgres / "diary.txt").read_text() == "dear diary"


@pytest.fixture
def deep(tmp_path: Path) -> Home:
    """A home whose path is longer than a socket's name may be."""
    made = Home(tmp_path / ("deep" * 20) / ("er" * 20))
    made.create()
    assert len(str(made.postgres)) > 107
    return made


@pytest.fixture
def socket_folder(deep: Home) -> Iterator[Path]:
    """Where the socket of the deep home goes."""
    folder = Path(EmbeddedPostgres(deep.postgres).dsn.partition("host=")[2])
    yield folder
    if folder.is_symlink():
        folder.unlink()
    else:
        assert folder.stat().st_mode & 0o077 == 0
        folder.rmdir()


async def test_a_home_too_deep_for_a_socket_still_works_and_its_socket_is_private(
    deep: Home, socket_folder: Path, supervised: Supervised
) -> None:
    async with supervised(postgres_spec(deep)) as stack:
        await stack.until("postgres", lambda part: part.state is State.READY, 60)
        assert await run_sql(deep, "SELECT 1") == 1


@pytest.fixture
def milvus(home: Home) -> tuple[ServiceSpec, str]:
    port = free_port()
    spec = ServiceSpec(
        "milvus",
        milvus_command(home.milvus, port),
        dict(os.environ),
        milvus_version(f"127.0.0.1:{port}"),
        stop_signal=signal.SIGINT,
    )
    return spec, f"http://127.0.0.1:{port}"


def collections(uri: str, *, make: str | None = None) -> list[str]:
    """Names of the collections at ``uri``, after making one; in a process of its own, as the client library is not made to be reloaded."""
    script = f"""
import sys
from pymilvus import MilvusClient
client = MilvusClient({uri!r}, timeout=20)
if {make!r}:
    client.create_collection({make!r}, dimension=4)
print(*client.list_collections())
"""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture
def squatter(socket_folder: Path, tmp_path: Path) -> None:
    """Somebody who was there before, to pose as the server."""
    socket_folder.symlink_to(tmp_path)


@pytest.mark.usefixtures("squatter")
async def test_a_socket_folder_that_is_somebody_elses_is_not_used(deep: Home, supervised: Supervised) -> None:
    async with supervised(postgres_spec(deep)) as stack:
        failed = await stack.until("postgres", lambda part: part.state is State.FAILED, 60)
        assert any("belongs to somebody else" in line for line in failed.log_tail)


async def test_a_killed_milvus_comes_back_with_its_collections(milvus: tuple[ServiceSpec, str], supervised: Supervised) -> None:
    spec, uri = milvus
    async with supervised(spec) as stack:
        first = await stack.until("milvus", lambda part: part.state is State.READY, 60)
        assert collections(uri, make="kept") == ["kept"]
        assert first.process is not None
        os.kill(first.process.pid, signal.SIGKILL)
        await stack.until("milvus", lambda part: part.restarts == 1 and part.state is State.READY, 60)
        assert collections(uri) == ["kept"]


async def test_milvus_closes_its_files_when_it_is_stopped(milvus: tuple[ServiceSpec, str], supervised: Supervised, home: Home) -> None:
    spec, _ = milvus
    async with supervised(spec) as stack:
        await stack.until("milvus", lambda part: part.state is State.READY, 60)
    assert "Shutting down" in home.log("milvus").read_text()

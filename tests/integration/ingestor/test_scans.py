"""Scans take minutes, and nothing else waits for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lectern.ingestor.v1 import documents_pb2, jobs_pb2
from tests.integration.ingestor.dictionary_embedder import Indexes
from tests.integration.ingestor.library import eventually, ingestor_settings, open_library
from tests.unit.ingestor.parsers.containers import picture
from tests.unit.ingestor.parsers.files import pdf, zipped
from tests.unit.ingestor.parsers.test_programs import install

pytestmark = pytest.mark.asyncio(loop_scope="session")
# Finds a text once the file beside it is there.
TESSERACT = """#!/bin/sh
[ "$1" = --list-langs ] && {{ echo languages; echo eng; exit; }}
cat >/dev/null
until [ -e "${{0%/*}}/go" ]; do sleep 0.05; done
echo The harbour crane
"""


async def test_a_document_that_came_with_a_scan_is_ready_before_it(
    database_url: str, tmp_path: Path, internal_key: bytes, embedder_port: int, indexes: Indexes
) -> None:
    install(tmp_path, "tesseract", TESSERACT)
    archive = zipped({"scan.pdf": pdf([picture("The harbour crane"), ["The second page."]]), "a.txt": b"The ferry."})
    settings = ingestor_settings(database_url, tmp_path / "files", internal_key, embedder_port, programs_path=str(tmp_path))
    async with open_library(settings, indexes) as library:
        await library.create_collection()
        job_id = (await library.upload(archive, name="post.zip")).job.job_id

        async def states() -> dict[str, int]:
            request = documents_pb2.ListDocumentsRequest(collection="library")
            documents = (await library.call(library.documents.ListDocuments, request)).documents
            return {document.name: document.state for document in documents}

        async def text_is_ready() -> bool:
            return (await states())["a.txt"] == documents_pb2.DOCUMENT_STATE_READY

        await eventually(text_is_ready)
        assert (await states())["scan.pdf"] == documents_pb2.DOCUMENT_STATE_PROCESSING
        (tmp_path / "go").touch()
        job = await library.ended(job_id)
        assert (job.state, job.embedded_count) == (jobs_pb2.JOB_STATE_SUCCEEDED, 3)
        request = documents_pb2.ListDocumentsRequest(collection="library")
        [scan] = [each for each in (await library.call(library.documents.ListDocuments, request)).documents if each.name == "scan.pdf"]
        passages = await library.visible(scan.document_id)
        assert [(passage.page, passage.text) for passage in passages] == [(1, "The harbour crane"), (2, "The second page.")]

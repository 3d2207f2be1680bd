"""What a reconciliation asks of the index: what it holds, of whom, and to remove what should not be there."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from lectern.embedder.v1 import index_pb2
from lectern.embedder.v1.index_pb2_grpc import IndexServiceStub
from shared.caller import Caller
from shared.errors import AppError, Status
from shared.rpc.channel import acting_for, open_channel
from shared.rpc.status import from_rpc_error
from tests.contract.embedder.process import EmbedderProcess

if TYPE_CHECKING:
    from lectern.embedder.v1.index_pb2_grpc import IndexServiceAsyncStub


def passage(passage_id: str, **fields: Any) -> index_pb2.Passage:
    known: dict[str, Any] = {"document_id": "document", "generation": 1} | fields
    attributes = index_pb2.PassageAttributes(collection_id="collection")
    return index_pb2.Passage(passage_id=passage_id, text="The pump stops.", attributes=attributes, **known)


async def write(index: IndexServiceAsyncStub, *passages: index_pb2.Passage) -> None:
    call = index.IndexPassages(iter([index_pb2.IndexPassagesRequest(passages=passages)]), timeout=60)
    assert [response.written_count async for response in call] == [len(passages)]


async def scan(index: IndexServiceAsyncStub, page_size: int = 0) -> list[index_pb2.IndexedPassage]:
    held: list[index_pb2.IndexedPassage] = []
    while True:
        after = held[-1].passage_id if held else ""
        page = await index.ScanPassages(index_pb2.ScanPassagesRequest(after_passage_id=after, page_size=page_size))
        if not page.passages:
            return held
        held += page.passages


async def refusal(call: Any) -> AppError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return from_rpc_error(refused.value)


async def test_a_scan_gives_back_what_was_written_with_its_fingerprint(index: IndexServiceAsyncStub) -> None:
    await write(index, passage("b", generation=3, fingerprint="second"), passage("a", fingerprint="first"))
    first, second = await scan(index, page_size=1)
    assert (first.passage_id, first.document_id, first.generation, first.collection_id) == ("a", "document", 1, "collection")
    assert (first.fingerprint, second.fingerprint) == ("first", "second")


async def test_passages_deleted_by_id_are_not_scanned_again(index: IndexServiceAsyncStub) -> None:
    await write(index, passage("a"), passage("b"), passage("c"))
    deleted = await index.DeletePassages(index_pb2.DeletePassagesRequest(passage_ids=["a", "c", "never"]))
    assert (deleted.deleted_count, deleted.remaining_count) == (2, 0)
    assert [held.passage_id for held in await scan(index)] == ["b"]


async def test_generations_that_are_kept_survive_a_delete(index: IndexServiceAsyncStub) -> None:
    await write(index, *(passage(f"g{number}", generation=number) for number in (1, 2, 3)))
    document = index_pb2.DocumentGenerations(document_id="document", before_generation=3, keep_generations=[1])
    (deleted,) = (await index.DeleteDocuments(index_pb2.DeleteDocumentsRequest(documents=[document]))).documents
    assert (deleted.document_id, deleted.deleted_count, deleted.remaining_count) == ("document", 1, 0)
    assert [held.passage_id for held in await scan(index)] == ["g1", "g3"]


@pytest.mark.parametrize("count", [0, 257])
async def test_a_delete_of_no_or_too_many_documents_is_refused(index: IndexServiceAsyncStub, count: int) -> None:
    documents = [index_pb2.DocumentGenerations(document_id=str(number)) for number in range(count)]
    error = await refusal(index.DeleteDocuments(index_pb2.DeleteDocumentsRequest(documents=documents)))
    assert (error.status, error.reason) == (Status.INVALID_ARGUMENT, "DOCUMENT_COUNT_OUT_OF_RANGE")


async def test_a_page_larger_than_the_store_gives_is_refused(index: IndexServiceAsyncStub) -> None:
    error = await refusal(index.ScanPassages(index_pb2.ScanPassagesRequest(page_size=4097)))
    assert (error.status, error.reason) == (Status.INVALID_ARGUMENT, "PAGE_SIZE_OUT_OF_RANGE")


async def test_a_fingerprint_that_does_not_fit_is_refused(index: IndexServiceAsyncStub) -> None:
    request = index_pb2.IndexPassagesRequest(passages=[passage("a", fingerprint="f" * 65)])
    error = await refusal(anext(aiter(index.IndexPassages(iter([request]), timeout=60))))
    assert (error.reason, error.status) == ("INVALID_PASSAGE", Status.INVALID_ARGUMENT)


async def test_organisations_are_named_to_services_alone(embedder: EmbedderProcess) -> None:
    organisation = f"org-{secrets.token_hex(6)}"
    with acting_for(Caller(organisation, "service:ingestor")):
        async with open_channel(embedder.target, embedder.signer) as channel:
            index: IndexServiceAsyncStub = IndexServiceStub(channel)
            await write(index, passage("a"))
            held = await index.ListIndexedOrganisations(index_pb2.ListIndexedOrganisationsRequest())
            assert organisation in held.organisation_ids
            with acting_for(Caller(organisation, "key:1")):
                error = await refusal(index.ListIndexedOrganisations(index_pb2.ListIndexedOrganisationsRequest()))
    assert (error.status, error.reason) == (Status.PERMISSION_DENIED, "SERVICES_ONLY")

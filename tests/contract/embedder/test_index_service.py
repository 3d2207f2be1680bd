from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import struct_pb2, timestamp_pb2

from lectern.embedder.v1 import index_pb2
from lectern.embedder.v1.index_pb2_grpc import IndexServiceStub
from lectern.filter.v1 import filter_pb2
from shared.caller import Caller
from shared.errors import AppError
from shared.rpc.channel import acting_for
from shared.rpc.status import from_rpc_error
from tests.contract.embedder.process import EmbedderProcess

if TYPE_CHECKING:
    from lectern.embedder.v1.index_pb2_grpc import IndexServiceAsyncStub

LIBRARY = {
    "pump": "When the pump stops, close the valve and wait for the pressure to fall before you open the housing. Error ERR-4012.",
    "leave": "Employees earn two and a half days of paid leave for each month of work.",
    "congés": "Les salariés acquièrent deux jours et demi de congés payés par mois de travail effectif.",
    "plants": "Photosynthesis lets green plants turn sunlight into sugar.",
    "invoice": "The invoice must be paid within thirty days of delivery.",
}


def passage(passage_id: str, text: str, *, take_vector_from: str = "", context: str = "", **fields: Any) -> index_pb2.Passage:
    known: dict[str, Any] = {"document_id": "document", "generation": 1} | {
        name: fields.pop(name) for name in ("document_id", "generation") if name in fields
    }
    attributes = index_pb2.PassageAttributes(**({"collection_id": "collection"} | fields))
    return index_pb2.Passage(
        passage_id=passage_id, text=text, context=context, take_vector_from=take_vector_from, attributes=attributes, **known
    )


def metadata(**values: str | float) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


async def write(index: IndexServiceAsyncStub, *requests: Sequence[index_pb2.Passage]) -> list[index_pb2.IndexPassagesResponse]:
    async def stream() -> AsyncIterator[index_pb2.IndexPassagesRequest]:
        for passages in requests:
            yield index_pb2.IndexPassagesRequest(passages=passages)

    return [response async for response in index.IndexPassages(stream(), timeout=100)]


async def write_library(index: IndexServiceAsyncStub, **fields: Any) -> None:
    await write(index, [passage(name, text, document_id=name, **fields) for name, text in LIBRARY.items()])


async def delete(index: IndexServiceAsyncStub, document_id: str, **generations: Any) -> index_pb2.DeletedDocument:
    document = index_pb2.DocumentGenerations(document_id=document_id, **generations)
    (deleted,) = (await index.DeleteDocuments(index_pb2.DeleteDocumentsRequest(documents=[document]))).documents
    return deleted


async def find(index: IndexServiceAsyncStub, query: str, **fields: Any) -> list[str]:
    known: dict[str, Any] = {"query": query, "limit": 10} | fields
    response = await index.Search(index_pb2.SearchRequest(**known))
    return [hit.passage_id for hit in response.hits]


async def refusal(call: Any) -> AppError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return from_rpc_error(refused.value)


def compare(field: str, operator: filter_pb2.Operator.ValueType, *values: Any) -> filter_pb2.Filter:
    packed = [struct_pb2.Value(string_value=value) if isinstance(value, str) else struct_pb2.Value(number_value=value) for value in values]
    return filter_pb2.Filter(comparison=filter_pb2.Comparison(field=field, operator=operator, values=packed))


async def test_what_is_written_is_found_by_meaning_and_by_words(index: IndexServiceAsyncStub) -> None:
    await write_library(index)
    assert (await find(index, "how much vacation do workers get"))[0] == "leave"
    assert (await find(index, "when is the bill due"))[0] == "invoice"
    assert (await find(index, "ERR-4012"))[0] == "pump"
    assert (await find(index, "congé payé"))[0] == "congés"


async def test_each_request_of_a_stream_is_answered_once_its_rows_are_there(index: IndexServiceAsyncStub) -> None:
    requests: asyncio.Queue[index_pb2.IndexPassagesRequest | None] = asyncio.Queue()

    async def stream() -> AsyncIterator[index_pb2.IndexPassagesRequest]:
        while (request := await requests.get()) is not None:
            yield request

    call = index.IndexPassages(stream(), timeout=60)
    for name, text in LIBRARY.items():
        requests.put_nowait(index_pb2.IndexPassagesRequest(passages=[passage(name, text)]))
        response = await call.read()
        assert isinstance(response, index_pb2.IndexPassagesResponse)
        assert (response.written_count, response.embedded_count, response.reused_count) == (1, 1, 0)
        missing = await index.FindMissingPassages(index_pb2.FindMissingPassagesRequest(passage_ids=[name]))
        assert not missing.missing_passage_ids
    requests.put_nowait(None)
    assert await call.read() == grpc.aio.EOF


async def test_writing_the_same_passages_again_changes_nothing(index: IndexServiceAsyncStub) -> None:
    await write_library(index)
    before = await find(index, "pump pressure")
    await write_library(index)
    assert await find(index, "pump pressure") == before
    assert (await index.GetIndexStatistics(index_pb2.GetIndexStatisticsRequest())).passage_count == len(LIBRARY)


async def test_a_passage_that_did_not_change_takes_its_vector_over_without_the_model(index: IndexServiceAsyncStub) -> None:
    await write(index, [passage("old", LIBRARY["plants"])])
    (response,) = await write(
        index,
        [
            passage("new", LIBRARY["invoice"], generation=2, take_vector_from="old"),
            passage("fresh", LIBRARY["pump"], generation=2, take_vector_from="never written"),
        ],
    )
    assert (response.written_count, response.embedded_count, response.reused_count) == (2, 1, 1)
    # Its vector is that of the plants although its words are the invoice's: nothing was embedded.
    mode = index_pb2.SEARCH_MODE_DENSE
    assert set((await find(index, "how do plants use sunlight", mode=mode))[:2]) == {"old", "new"}


async def test_a_vector_of_another_organisation_is_never_taken_over(index: IndexServiceAsyncStub) -> None:
    await write(index, [passage("secret", LIBRARY["plants"])])
    with acting_for(Caller(f"org-{secrets.token_hex(6)}", "service:test")):
        (response,) = await write(index, [passage("mine", LIBRARY["invoice"], take_vector_from="secret")])
        assert (response.embedded_count, response.reused_count) == (1, 0)


async def test_context_is_searched_with_the_text(index: IndexServiceAsyncStub) -> None:
    await write(index, [passage("a", "It is two metres wide.", context="Swimming pool"), passage("b", "It is two metres wide.")])
    assert (await find(index, "swimming pool"))[0] == "a"
    assert await find(index, "swimming", mode=index_pb2.SEARCH_MODE_LEXICAL) == ["a"]


async def test_organisations_never_see_each_other(index: IndexServiceAsyncStub) -> None:
    await write_library(index)
    with acting_for(Caller(f"org-{secrets.token_hex(6)}", "service:test")):
        assert await find(index, "pump") == []
        statistics = await index.GetIndexStatistics(index_pb2.GetIndexStatisticsRequest())
        assert statistics.passage_count == 0
        missing = await index.FindMissingPassages(index_pb2.FindMissingPassagesRequest(passage_ids=list(LIBRARY)))
        assert list(missing.missing_passage_ids) == list(LIBRARY)
        deleted = await delete(index, "pump")
        assert (deleted.deleted_count, deleted.remaining_count) == (0, 0)
    assert len(await find(index, "pump")) == len(LIBRARY)


async def test_a_deleted_document_is_invisible_at_once(index: IndexServiceAsyncStub) -> None:
    await write_library(index)
    deleted = await delete(index, "pump")
    assert (deleted.deleted_count, deleted.remaining_count) == (1, 0)
    assert "pump" not in await find(index, "ERR-4012 pump valve")


async def test_only_older_generations_are_deleted_when_asked(index: IndexServiceAsyncStub) -> None:
    await write(index, [passage(f"g{number}", LIBRARY["pump"], generation=number) for number in (1, 2, 3)])
    deleted = await delete(index, "document", before_generation=3)
    assert (deleted.deleted_count, deleted.remaining_count) == (2, 0)
    assert await find(index, "pump") == ["g3"]


async def test_scores_of_both_arms_come_with_every_hit_and_fall_from_one(index: IndexServiceAsyncStub) -> None:
    await write_library(index)
    response = await index.Search(index_pb2.SearchRequest(query="pump pressure valve", limit=10))
    scores = [hit.score for hit in response.hits]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] <= scores[0] <= 1 + 1e-9
    assert all(hit.HasField("dense_score") and hit.HasField("lexical_score") for hit in response.hits)
    assert (response.hits[0].passage_id, response.hits[-1].lexical_score) == ("pump", 0)
    assert response.model == "minilm"
    assert 0 < response.timings.retrieve.ToNanoseconds() <= response.timings.total.ToNanoseconds()


async def test_an_explained_hit_says_what_each_arm_and_each_word_added(index: IndexServiceAsyncStub) -> None:
    await write_library(index)
    request = index_pb2.SearchRequest(query="Which valves close when pumps stop? ERR-4012", limit=10, explain=True)
    response = await index.Search(request)
    words = {word.text: list(word.terms) for word in response.explanation.words}
    assert {"valves", "pumps", "err-4012"} <= words.keys()
    assert "which" not in words
    assert 0 < response.explanation.dense_weight < 1
    for hit in response.hits:
        why = hit.explanation
        assert why.dense_share + why.lexical_share == pytest.approx(hit.score)
        assert sum(word.score for word in why.matched_words) == pytest.approx(hit.lexical_score)
        assert all(set(word.terms) <= set(words[word.text]) and word.count > 0 for word in why.matched_words)
    best = response.hits[0]
    assert best.passage_id == "pump"
    assert {term for word in best.explanation.matched_words for term in word.terms} >= {"valv", "pump", "errː4012"}
    assert response.timings.explain.ToNanoseconds() > 0
    located = await index.LocateTerms(
        index_pb2.LocateTermsRequest(texts=[index_pb2.TermsInText(text=LIBRARY["pump"], terms=["valv", "errː4012", "absent"])])
    )
    spans = [(span.term, LIBRARY["pump"][span.start : span.end]) for span in located.texts[0].spans]
    assert spans == [("valv", "valve"), ("errː4012", "ERR-4012")]


async def test_an_explained_hit_says_which_clauses_of_the_filter_the_store_found_to_hold(index: IndexServiceAsyncStub) -> None:
    await write(
        index,
        [passage("report", LIBRARY["pump"], type="pdf", author="Ada"), passage("draft", LIBRARY["pump"], type="docx", author="Ada")],
    )
    either = filter_pb2.FilterList(
        filters=[compare("type", filter_pb2.OPERATOR_EQUAL, "pdf"), compare("author", filter_pb2.OPERATOR_IN, "Ada", "Bob")]
    )
    not_text = filter_pb2.Filter(none_of=compare("type", filter_pb2.OPERATOR_EQUAL, "docx"))
    both = filter_pb2.FilterList(filters=[filter_pb2.Filter(any_of=either), compare("author", filter_pb2.OPERATOR_EQUAL, "Ada")])
    anyhow = filter_pb2.FilterList(filters=[filter_pb2.Filter(all_of=both), not_text])
    response = await index.Search(index_pb2.SearchRequest(query="pump", limit=10, explain=True, filter=filter_pb2.Filter(any_of=anyhow)))
    held = {hit.passage_id: list(hit.explanation.held_clauses) for hit in response.hits}
    assert held == {"report": [0, 1, 2, 3], "draft": [1, 2]}


async def test_hits_are_not_explained_unless_that_is_asked_for(index: IndexServiceAsyncStub) -> None:
    await write_library(index)
    response = await index.Search(index_pb2.SearchRequest(query="pump", limit=1))
    assert not response.HasField("explanation")
    assert not response.hits[0].HasField("explanation")


async def test_an_arm_that_does_not_run_gives_no_score(index: IndexServiceAsyncStub) -> None:
    await write_library(index)
    dense = await index.Search(index_pb2.SearchRequest(query="pump", limit=1, mode=index_pb2.SEARCH_MODE_DENSE))
    lexical = await index.Search(index_pb2.SearchRequest(query="pump", limit=1, mode=index_pb2.SEARCH_MODE_LEXICAL))
    assert dense.hits[0].HasField("dense_score")
    assert not dense.hits[0].HasField("lexical_score")
    assert lexical.hits[0].HasField("lexical_score")
    assert not lexical.hits[0].HasField("dense_score")


async def test_a_query_of_stop_words_is_answered_by_meaning_alone(index: IndexServiceAsyncStub) -> None:
    await write_library(index)
    response = await index.Search(index_pb2.SearchRequest(query="what is it that they were", limit=10))
    assert len(response.hits) == len(LIBRARY)
    assert not response.hits[0].HasField("lexical_score")


async def test_pages_of_a_search_follow_one_another_without_gap_or_repetition(index: IndexServiceAsyncStub) -> None:
    await write(index, [passage(f"p{number:02}", f"{LIBRARY['pump']} Part {number} of the manual.") for number in range(23)])
    whole = await find(index, "pump part 7", limit=23)
    pages, offset, more = [], 0, True
    while more:
        response = await index.Search(index_pb2.SearchRequest(query="pump part 7", limit=10, offset=offset))
        pages += [hit.passage_id for hit in response.hits]
        offset, more = offset + 10, response.has_more
    assert pages == whole
    assert len(set(pages)) == 23


async def test_a_search_keeps_to_collections_access_sets_and_filters(index: IndexServiceAsyncStub) -> None:
    await write(
        index,
        [
            passage("open", LIBRARY["pump"], type="pdf", metadata=metadata(year=2024)),
            passage("closed", LIBRARY["pump"], access_set_id=4),
            passage("elsewhere", LIBRARY["pump"], collection_id="other"),
        ],
    )
    assert set(await find(index, "pump")) == {"open", "elsewhere"}
    assert set(await find(index, "pump", access_set_ids=[4], collection_ids=["collection"])) == {"open", "closed"}
    assert await find(index, "pump", filter=compare("type", filter_pb2.OPERATOR_EQUAL, "pdf")) == ["open"]
    assert await find(index, "pump", filter=compare("metadata.year", filter_pb2.OPERATOR_GREATER, 2023)) == ["open"]
    without = filter_pb2.Filter(none_of=compare("type", filter_pb2.OPERATOR_IN, "pdf", "docx"))
    assert await find(index, "pump", filter=without) == ["elsewhere"]


async def test_an_unknown_filter_field_is_refused_with_the_nearest_one(index: IndexServiceAsyncStub) -> None:
    error = await refusal(find(index, "pump", filter=compare("auther", filter_pb2.OPERATOR_EQUAL, "Ada")))
    assert (error.reason, error.metadata["nearest"], error.violations[0].field) == ("UNKNOWN_FILTER_FIELD", "author", "filter")


DEEP = filter_pb2.Filter()
for _ in range(90):
    DEEP = filter_pb2.Filter(none_of=DEEP)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"query": ""}, "EMPTY_QUERY"),
        ({"query": " \n\t"}, "EMPTY_QUERY"),
        ({"query": "x" * 20_000}, "QUERY_TOO_LONG"),
        ({"limit": 0}, "LIMIT_OUT_OF_RANGE"),
        ({"limit": 1001}, "LIMIT_OUT_OF_RANGE"),
        ({"offset": 4_000_000_000}, "SEARCH_TOO_DEEP"),
        ({"filter": filter_pb2.Filter()}, "MALFORMED_FILTER"),
        ({"filter": filter_pb2.Filter(all_of=filter_pb2.FilterList())}, "MALFORMED_FILTER"),
        ({"filter": DEEP}, "MALFORMED_FILTER"),
        ({"filter": compare("type", filter_pb2.OPERATOR_UNSPECIFIED, "x")}, "MALFORMED_FILTER"),
        ({"filter": compare("type", filter_pb2.OPERATOR_EQUAL, 3)}, "WRONG_FILTER_VALUE"),
        ({"filter": compare("update_time", filter_pb2.OPERATOR_LESS, "soon")}, "WRONG_FILTER_VALUE"),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused_with_its_reason(
    index: IndexServiceAsyncStub, fields: dict[str, Any], reason: str
) -> None:
    assert (await refusal(find(index, **({"query": "pump"} | fields)))).reason == reason


@pytest.mark.parametrize(
    ("passages", "reason"),
    [
        ([], "PASSAGE_COUNT_OUT_OF_RANGE"),
        ([passage("p", "text")] * 513, "PASSAGE_COUNT_OUT_OF_RANGE"),
        ([passage("", "text")], "INVALID_PASSAGE"),
        ([passage("p", "text", document_id="")], "INVALID_PASSAGE"),
        ([passage("p", "text", collection_id="")], "INVALID_PASSAGE"),
        ([passage("p" * 129, "text")], "INVALID_PASSAGE"),
        ([passage("p", " \n")], "INVALID_PASSAGE"),
        ([passage("p", "text", author="a" * 2000)], "INVALID_PASSAGE"),
        ([passage("p", "text", metadata=metadata(x="x" * 100_000))], "INVALID_PASSAGE"),
        ([passage("p", "text", metadata=metadata(x=float("nan")))], "INVALID_PASSAGE"),
        ([passage("p", "text", update_time=timestamp_pb2.Timestamp(seconds=2**62))], "INVALID_PASSAGE"),
    ],
)
async def test_passages_that_cannot_be_written_are_refused_with_their_reason(
    index: IndexServiceAsyncStub, passages: list[index_pb2.Passage], reason: str
) -> None:
    assert (await refusal(write(index, passages))).reason == reason


@pytest.mark.parametrize("repetition", range(5))
async def test_a_stream_that_is_refused_while_its_client_still_sends_is_told_why(index: IndexServiceAsyncStub, repetition: int) -> None:
    large = [passage(f"p{number}", f"{repetition} " + "pump " * 3_000) for number in range(40)]
    assert (await refusal(write(index, [passage("", "text")], *[large] * 12))).reason == "INVALID_PASSAGE"


async def test_a_call_without_a_signature_is_refused(embedder: EmbedderProcess) -> None:
    async with grpc.aio.insecure_channel(embedder.target) as unsigned:
        error = await refusal(IndexServiceStub(unsigned).Search(index_pb2.SearchRequest(query="x", limit=1)))
    assert error.reason == "CALLER_INVALID"


async def test_statistics_name_model_and_physical_collection(index: IndexServiceAsyncStub) -> None:
    await write_library(index)
    await write(index, [passage("more", LIBRARY["pump"], collection_id="other")])
    statistics = await index.GetIndexStatistics(index_pb2.GetIndexStatisticsRequest(collection_id="other"))
    assert (statistics.passage_count, statistics.model) == (1, "minilm")
    assert statistics.physical_collection.startswith("contract_rpc_minilm_")

"""Whether two arms together are never worse than the better of them: nDCG@10 on every judged set, through the running embedder.

    python bench/fusion.py [--json PATH] [--judged FOLDER]

Each set is a folder with ``corpus.jsonl`` {id, title, text}, ``queries.jsonl`` {id, text} and ``qrels.tsv`` (query, document, grade; one
header line). Ends with status 1 when our fusion is below the better arm on any of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bench.search_path  # noqa: F401  # before all that imports the service
from bench.ports import free_port
from deploy.laptop.milvus import EmbeddedMilvus
from embedder.server import serve
from embedder.settings import EmbedderSettings
from lectern.embedder.v1 import index_pb2
from lectern.embedder.v1.index_pb2_grpc import IndexServiceStub
from shared.caller import Caller
from shared.logging import configure_logging
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import acting_for, open_channel

if TYPE_CHECKING:
    from lectern.embedder.v1.index_pb2_grpc import IndexServiceAsyncStub

DEPTH = 100
CUTOFF = 10
# The constant of reciprocal rank fusion in the paper that proposed it (Cormack, Clarke and Büttcher, SIGIR 2009).
RRF_CONSTANT = 60


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """A collection with queries whose answers are known.

    Attributes:
        grades: how relevant a document is, by query id and document id; 0 when absent.
    """

    name: str
    documents: list[dict[str, str]]
    queries: dict[str, str]
    grades: dict[str, dict[str, int]]


def read_judged_set(folder: Path) -> JudgedSet:
    grades: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        grades.setdefault(query, {})[document] = int(grade)
    queries = {each["id"]: each["text"] for each in _json_lines(folder / "queries.jsonl")}
    return JudgedSet(
        folder.name, _json_lines(folder / "corpus.jsonl"), {query: queries[query] for query in grades if query in queries}, grades
    )


def ndcg(ranking: Sequence[str], grades: dict[str, int]) -> float:
    """Normalised discounted cumulative gain of the first ten; a grade gains 2^grade - 1."""
    return _gain([grades.get(document, 0) for document in ranking]) / _gain(sorted(grades.values(), reverse=True))


def _gain(grades: Sequence[int]) -> float:
    return sum((2.0**grade - 1) / math.log2(place + 2) for place, grade in enumerate(grades[:CUTOFF]))


def reciprocal_rank_fusion(*rankings: Sequence[str]) -> list[str]:
    scores: dict[str, float] = {}
    for ranking in rankings:
        for place, document in enumerate(ranking, start=1):
            scores[document] = scores.get(document, 0.0) + 1 / (RRF_CONSTANT + place)
    return sorted(scores, key=lambda document: (-scores[document], document))


async def measure(stub: IndexServiceAsyncStub, judged: JudgedSet) -> dict[str, float]:
    """Index the set and search it in every way; mean nDCG@10 by way."""
    await _index(stub, judged)
    sums = {"dense": 0.0, "bm25": 0.0, "rrf": 0.0, "lectern": 0.0}
    for query, text in judged.queries.items():
        dense = await _search(stub, judged, text, index_pb2.SEARCH_MODE_DENSE)
        lexical = await _search(stub, judged, text, index_pb2.SEARCH_MODE_LEXICAL)
        hybrid = await _search(stub, judged, text, index_pb2.SEARCH_MODE_HYBRID)
        rankings = {"dense": dense, "bm25": lexical, "rrf": reciprocal_rank_fusion(dense, lexical), "lectern": hybrid}
        for way, ranking in rankings.items():
            sums[way] += ndcg(ranking, judged.grades[query])
    return {way: total / len(judged.queries) for way, total in sums.items()}


@asynccontextmanager
async def running_embedder() -> AsyncIterator[IndexServiceAsyncStub]:
    """An embedder with an empty Milvus Lite behind it, and a client's stub to it."""
    key = secrets.token_hex(32)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        milvus = EmbeddedMilvus(Path(folder), free_port(), log)
        milvus.start()
        try:
            settings = EmbedderSettings.model_validate({"LECTERN_INTERNAL_KEY": key, "listen": "127.0.0.1:0", "milvus_uri": milvus.uri})
            async with serve(settings) as service:
                channel = open_channel(f"127.0.0.1:{service.port}", CallerSigner(key.encode()))
                yield IndexServiceStub(channel)
                await channel.close()
        finally:
            milvus.stop()


async def _index(stub: IndexServiceAsyncStub, judged: JudgedSet) -> None:
    async def requests() -> AsyncIterator[index_pb2.IndexPassagesRequest]:
        for start in range(0, len(judged.documents), 64):
            yield index_pb2.IndexPassagesRequest(
                passages=[
                    index_pb2.Passage(
                        passage_id=document["id"],
                        document_id=document["id"],
                        generation=1,
                        text=document["text"],
                        context=document.get("title", ""),
                        attributes=index_pb2.PassageAttributes(collection_id=judged.name),
                    )
                    for document in judged.documents[start : start + 64]
                ]
            )

    with acting_for(Caller(judged.name, "service:bench")):
        async for response in stub.IndexPassages(requests(), timeout=3600):
            if response.rejected:
                raise RuntimeError(f"The embedder refused {response.rejected[0].passage_id}: {response.rejected[0].reason}.")


async def _search(stub: IndexServiceAsyncStub, judged: JudgedSet, text: str, mode: index_pb2.SearchMode.ValueType) -> list[str]:
    with acting_for(Caller(judged.name, "service:bench")):
        response = await stub.Search(index_pb2.SearchRequest(query=text, limit=DEPTH, mode=mode))
    return [hit.passage_id for hit in response.hits]


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


async def main() -> int:
    parser = argparse.ArgumentParser(description="nDCG@10 of dense, BM25, reciprocal rank fusion and Lectern on the judged sets.")
    parser.add_argument("--json", type=Path, help="write {figure: value} here")
    parser.add_argument("--judged", type=Path, default=Path(__file__).parent / "judged", help="folder of the judged sets")
    arguments = parser.parse_args()
    configure_logging("embedder", level="error", style="console")
    figures: dict[str, float] = {}
    below = False
    print(f"{'set':<12}{'queries':>8}{'dense':>9}{'BM25':>9}{'RRF(60)':>9}{'Lectern':>9}  over the better arm")
    async with running_embedder() as stub:
        for folder in sorted(path.parent for path in arguments.judged.glob("*/qrels.tsv")):
            judged = read_judged_set(folder)
            result = await measure(stub, judged)
            gain = result["lectern"] - max(result["dense"], result["bm25"])
            below |= gain < 0
            print(
                f"{judged.name:<12}{len(judged.queries):>8}{result['dense']:>9.4f}{result['bm25']:>9.4f}"
                f"{result['rrf']:>9.4f}{result['lectern']:>9.4f}  {gain:+.4f}"
            )
            figures |= {f"{judged.name}.{way}.ndcg_at_10": round(value, 5) for way, value in result.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(below)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

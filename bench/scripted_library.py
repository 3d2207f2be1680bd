"""An embedder and an ingestor that find the same three passages at once: `python bench/scripted_library.py PORT`.

They take the search's own time out of what is measured; the wire is the real one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import bench.search_path  # noqa: F401  # before all that imports a service
from lectern.embedder.v1 import index_pb2, index_pb2_grpc
from lectern.ingestor.v1 import passages_pb2, passages_pb2_grpc
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.server import ServiceServer

NAMES = ("lectern.embedder.v1.IndexService", "lectern.ingestor.v1.PassageService")
_TEXTS = {
    "p0": "An answer is written word by word, and every word reaches its reader once.",
    "p1": "Readers who leave end the work that was done for them.",
    "p2": "Two hundred readers at once are no exception.",
}


class Index(index_pb2_grpc.IndexServiceServicer):
    async def Search(self, _request: index_pb2.SearchRequest, _context: Any) -> Any:  # noqa: N802
        hits = [index_pb2.SearchHit(passage_id=name, document_id="d", score=1 / (1 + rank)) for rank, name in enumerate(_TEXTS)]
        return index_pb2.SearchResponse(hits=hits)


class Passages(passages_pb2_grpc.PassageServiceServicer):
    async def BatchGetPassages(self, request: passages_pb2.BatchGetPassagesRequest, _context: Any) -> Any:  # noqa: N802
        found = [
            passages_pb2.Passage(passage_id=name, document_id="d", document_name="readers.md", collection_id="c", text=_TEXTS[name])
            for name in request.passage_ids
        ]
        return passages_pb2.BatchGetPassagesResponse(passages=found)


async def main(port: int) -> None:
    server = ServiceServer("library", signer=CallerSigner(os.environ["LECTERN_INTERNAL_KEY"].encode()), service_names=NAMES)
    # Any: they leave out the RPCs that nobody calls.
    servicers: list[tuple[Any, Any]] = [
        (index_pb2_grpc.add_IndexServiceServicer_to_server, Index),
        (passages_pb2_grpc.add_PassageServiceServicer_to_server, Passages),
    ]
    for register, servicer in servicers:
        register(servicer(), server.grpc_server)
    await server.start(f"127.0.0.1:{port}")
    await server.health.set_serving(True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

"""What others build for the same job: split, embed and write to Milvus Lite. Runs in an environment of its own, see `bench/ingest.py`.

    python bench/pipelines.py (langchain|llamaindex|haystack) MODEL_FOLDER

Reads one JSON line a run from standard input, ``{"texts": [...]}`` or ``{"pdfs": [paths]}``, and answers each with
``{"seconds": s, "cpu_seconds": c}`` once the passages can be searched. The model is loaded and warm before the first.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Each pipeline has packages that this project's own environment lacks, and imports them when it is chosen.
# ruff: noqa: PLC0415
# mypy: disable-error-code="import-not-found"

PASSAGE_TOKENS = 200
# Takes texts and a database file, returns how many passages it wrote.
Pipeline = Callable[[Sequence[str], str], int]


def langchain(model: str) -> Pipeline:
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_milvus import Milvus
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from transformers import AutoTokenizer

    embeddings = HuggingFaceEmbeddings(model_name=model, encode_kwargs={"normalize_embeddings": True})
    tokenizer = AutoTokenizer.from_pretrained(model)
    splitter = RecursiveCharacterTextSplitter.from_huggingface_tokenizer(tokenizer, chunk_size=PASSAGE_TOKENS, chunk_overlap=0)

    def run(texts: Sequence[str], database: str) -> int:
        passages = splitter.create_documents(list(texts))
        Milvus.from_documents(
            passages, embeddings, connection_args={"uri": database}, index_params={"index_type": "FLAT", "metric_type": "COSINE"}
        )
        return len(passages)

    return run


def llamaindex(model: str) -> Pipeline:
    from llama_index.core import Document
    from llama_index.core.ingestion import IngestionPipeline
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from llama_index.vector_stores.milvus import MilvusVectorStore
    from transformers import AutoTokenizer

    embedding = HuggingFaceEmbedding(model_name=model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    splitter = SentenceSplitter(chunk_size=PASSAGE_TOKENS, chunk_overlap=0, tokenizer=tokenizer.tokenize)

    def run(texts: Sequence[str], database: str) -> int:
        store = MilvusVectorStore(uri=database, dim=384, overwrite=True, use_async_client=False)
        pipeline = IngestionPipeline(transformations=[splitter, embedding], vector_store=store)
        return len(pipeline.run(documents=[Document(text=text) for text in texts]))

    return run


def haystack(model: str) -> Pipeline:
    from haystack import Document
    from haystack import Pipeline as HaystackPipeline
    from haystack.components.embedders import SentenceTransformersDocumentEmbedder
    from haystack.components.preprocessors import DocumentSplitter
    from haystack.components.writers import DocumentWriter
    from milvus_haystack import MilvusDocumentStore

    pipeline = HaystackPipeline()
    # It counts words; three are about four tokens.
    pipeline.add_component("split", DocumentSplitter(split_by="word", split_length=PASSAGE_TOKENS * 3 // 4, split_overlap=0))
    pipeline.add_component("embed", SentenceTransformersDocumentEmbedder(model=model, progress_bar=False))
    pipeline.connect("split", "embed")
    pipeline.warm_up()

    def run(texts: Sequence[str], database: str) -> int:
        embedded = pipeline.run({"split": {"documents": [Document(content=text) for text in texts]}})["embed"]["documents"]
        store = MilvusDocumentStore(connection_args={"uri": database}, drop_old=True)
        return int(DocumentWriter(store).run(embedded)["documents_written"])

    return run


def text_of(pdf: str) -> str:
    from pypdf import PdfReader

    return "\n".join(page.extract_text() for page in PdfReader(pdf).pages)


PIPELINES = {"langchain": langchain, "llamaindex": llamaindex, "haystack": haystack}


def main() -> None:
    replies = sys.stdout
    sys.stdout = sys.stderr  # the libraries talk
    run = PIPELINES[sys.argv[1]](sys.argv[2])
    for number, line in enumerate(sys.stdin):
        request = json.loads(line)
        with tempfile.TemporaryDirectory() as folder:
            began, cpu = time.perf_counter(), time.process_time()
            texts = request["texts"] if "texts" in request else [text_of(path) for path in request["pdfs"]]
            run(texts, str(Path(folder) / f"milvus{number}.db"))
            spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
        print(json.dumps(spent), file=replies, flush=True)


if __name__ == "__main__":
    main()

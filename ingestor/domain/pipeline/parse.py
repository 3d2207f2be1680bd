"""PARSE: bytes to text, text to passages."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ingestor.domain.chunking import cut
from ingestor.domain.content import ContentStore
from ingestor.domain.documents import Page
from ingestor.domain.ids import passage_id
from ingestor.domain.parsing import DocumentRejected, ParsedDocument, Parser, ParserUnavailable, SourceFile
from ingestor.domain.pipeline.concurrency import as_they_end
from ingestor.domain.pipeline.contexts import Window, context, context_parts, title_of
from ingestor.domain.pipeline.patience import until_there
from ingestor.domain.tasks import Claim, Failure, Step, Task
from shared.errors import AppError, Status, unavailable

# Enough to keep every parser process busy; each holds one document's bytes.
CONCURRENT_READS = 16


@dataclass(frozen=True, slots=True)
class Source:
    """The content of one task.

    Attributes:
        inline_text: the content itself, when it came as text; else it is in the object store under ``content_sha256``.
        title: known beforehand; only for an ``inline_text``.
        passage_tokens: what the collection wants; 0: what the model allows.
    """

    task: Task
    name: str
    declared_media_type: str
    content_sha256: str
    inline_text: str | None
    title: str
    passage_tokens: int


@dataclass(frozen=True, slots=True)
class CutPassage:
    """A passage, ready to be stored. ``text_hash`` is equal where context and text are."""

    passage_id: str
    ordinal: int
    text: str
    context: str
    text_hash: bytes
    page: int
    start: int
    end: int
    headings: tuple[str, ...]
    anchor: str


@dataclass(frozen=True, slots=True)
class ParsedContent:
    """What became of one task's content."""

    task: Task
    document: ParsedDocument
    pages: tuple[Page, ...]
    passages: tuple[CutPassage, ...]


class ParseStore(Protocol):
    """What PARSE reads and writes. Writes take effect only for tasks that the claim's token still holds."""

    async def sources(self, claim: Claim) -> list[Source]: ...

    async def store_parsed(self, claim: Claim, contents: Sequence[ParsedContent]) -> None:
        """Write pages and passages, and pass the tasks on to INDEX, in one transaction."""
        ...

    async def fail(self, claim: Claim, failures: Sequence[Failure]) -> None: ...


class Tokenizer(Protocol):
    """The embedding model's own tokens."""

    async def window(self, organisation_id: str) -> Window: ...

    async def token_starts(self, organisation_id: str, texts: Sequence[str]) -> list[Sequence[int]]:
        """For each text, the character offsets at which its tokens start."""
        ...


class ParseStage:
    """Reads, parses and cuts the documents of a claim, several at once; each is passed on as soon as it is read."""

    def __init__(self, store: ParseStore, content: ContentStore, parser: Parser, tokenizer: Tokenizer) -> None:
        self._store = store
        self._content = content
        self._parser = parser
        self._tokenizer = tokenizer

    async def __call__(self, claim: Claim) -> None:
        claim.enter(Step.PARSE)
        sources = await self._store.sources(claim)
        languages = await self._languages(claim, sources)
        reading = as_they_end(partial(self._read, claim, languages), sources, at_most=CONCURRENT_READS)
        async with aclosing(reading) as read:
            async for outcomes in read:
                await self._pass_on(claim, outcomes)
                claim.enter(Step.PARSE)

    async def _pass_on(self, claim: Claim, outcomes: Sequence[tuple[Source, ParsedDocument] | Failure]) -> None:
        failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
        documents = [outcome for outcome in outcomes if not isinstance(outcome, Failure)]
        if failures:
            await self._store.fail(claim, failures)
            claim.done(failure.task_id for failure in failures)
        if documents:
            claim.enter(Step.CHUNK)
            contents = await self._cut(claim, documents)
            await self._store.store_parsed(claim, contents)
            claim.done(content.task.task_id for content in contents)

    async def _languages(self, claim: Claim, sources: Sequence[Source]) -> Mapping[int, str]:
        """The languages of the inline texts, by their tasks' ids; those of files are told by whatever parses them."""
        texts = {source.task.task_id: source.inline_text for source in sources if source.inline_text is not None}
        if not texts:
            return {}
        found = await until_there(claim, lambda: languages(self._parser, list(texts.values())))
        return dict(zip(texts, found, strict=True))

    async def _read(self, claim: Claim, languages: Mapping[int, str], source: Source) -> tuple[Source, ParsedDocument] | Failure:
        if source.inline_text is not None:
            language = languages[source.task.task_id]
            return source, ParsedDocument(text=source.inline_text, type="txt", title=source.title or None, language=language)
        try:
            content = await until_there(claim, lambda: self._content.get(claim.organisation_id, source.content_sha256))
            file = SourceFile(source.name, content, source.declared_media_type or None)
            return source, await until_there(claim, lambda: parse(self._parser, file))
        except DocumentRejected as rejected:
            return Failure(source.task.task_id, rejected.reason, rejected.message)
        except AppError as error:
            if error.status is not Status.DATA_LOSS:
                raise
            return Failure(source.task.task_id, error.reason, error.message)

    async def _cut(self, claim: Claim, documents: Sequence[tuple[Source, ParsedDocument]]) -> list[ParsedContent]:
        organisation_id = claim.organisation_id
        window = await until_there(claim, lambda: self._tokenizer.window(organisation_id))
        parts = {part for source, document in documents for part in context_parts(document, _title(source, document)) if part}
        texts = [document.text for _, document in documents]
        starts = await until_there(claim, lambda: self._tokenizer.token_starts(organisation_id, [*texts, *parts]))
        part_starts = dict(zip(parts, starts[len(texts) :], strict=True))
        return await asyncio.to_thread(
            lambda: [
                _content(source, document, token_starts, part_starts, window)
                for (source, document), token_starts in zip(documents, starts[: len(texts)], strict=True)
            ]
        )


async def parse(parser: Parser, source: SourceFile) -> ParsedDocument:
    """What ``parser`` makes of ``source``.

    Raises:
        DocumentRejected: the bytes cannot be used.
        AppError: PARSER_UNAVAILABLE.
    """
    try:
        return await parser.parse(source)
    except ParserUnavailable as error:
        raise unavailable("parser") from error


async def languages(parser: Parser, texts: Sequence[str]) -> Sequence[str]:
    """The languages that ``parser`` tells ``texts`` to be in.

    Raises:
        AppError: PARSER_UNAVAILABLE.
    """
    try:
        return await parser.languages(texts)
    except ParserUnavailable as error:
        raise unavailable("parser") from error


def _title(source: Source, document: ParsedDocument) -> str:
    return source.title if source.inline_text is not None else title_of(document, source.name)


def _content(
    source: Source, document: ParsedDocument, token_starts: Sequence[int], part_starts: Mapping[str, Sequence[int]], window: Window
) -> ParsedContent:
    task, title = source.task, _title(source, document)
    passages = []
    for chunk in cut(document, token_starts, window.chunk_limits(source.passage_tokens)):
        words = context(chunk, title, part_starts, window.context_tokens)
        passages.append(
            CutPassage(
                passage_id=passage_id(task.document_id, task.generation, chunk.ordinal),
                ordinal=chunk.ordinal,
                text=chunk.text,
                context=words,
                text_hash=hashlib.blake2b(f"{words}\0{chunk.text}".encode(), digest_size=16).digest(),
                page=chunk.first_page or 0,
                start=chunk.start,
                end=chunk.end,
                headings=chunk.headings,
                anchor=chunk.anchor,
            )
        )
    pages = tuple(Page(span.number, document.text[span.start : span.end]) for span in document.pages)
    return ParsedContent(task, document, pages, tuple(passages))

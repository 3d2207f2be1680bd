"""The words put before a passage's text when it is embedded: the document's title, the headings above it, the names of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ingestor.domain.chunking import Chunk, ChunkLimits
from ingestor.domain.parsing import ParsedDocument
from ingestor.domain.tables import tables

# An eighth of the window, and never more than a long heading has.
_CONTEXT_SHARE = 8
MAX_CONTEXT_TOKENS = 64
_SLACK_SHARE = 4


@dataclass(frozen=True, slots=True)
class Window:
    """How many tokens the embedding model sees at once, without its special ones."""

    max_tokens: int

    @property
    def context_tokens(self) -> int:
        return min(MAX_CONTEXT_TOKENS, self.max_tokens // _CONTEXT_SHARE)

    def chunk_limits(self, wanted_tokens: int) -> ChunkLimits:
        """Sizes that leave room for the context; ``wanted_tokens`` 0 asks for all that there is."""
        most = max(1, self.max_tokens - self.context_tokens)
        target = min(wanted_tokens or most, most)
        # Rather a slightly longer last passage than a very short one after it.
        return ChunkLimits(target_tokens=target, max_tokens=min(most, target + target // _SLACK_SHARE))


def context_parts(document: ParsedDocument, title: str) -> list[str]:
    """Every line that a context of ``document`` may hold."""
    return list(
        dict.fromkeys([title, *(heading.text for heading in document.headings), *(table.header for table in tables(document.text))])
    )


def context(chunk: Chunk, title: str, token_starts: Mapping[str, Sequence[int]], budget: int) -> str:
    """Title and headings, outermost first, and the header of a table that is cut, one a line, in at most ``budget`` tokens.

    Args:
        chunk: the passage.
        title: the document's; empty when it has none.
        token_starts: for each of `context_parts`, where its tokens start.
        budget: tokens.
    """
    lines: list[str] = []
    for part in dict.fromkeys([title, *chunk.headings, chunk.table_header]):
        starts = token_starts[part] if part else ()
        if budget <= 0 or not starts:
            continue
        lines.append(part if len(starts) <= budget else part[: starts[budget]].rstrip())
        budget -= len(starts)
    return "\n".join(lines)


def title_of(document: ParsedDocument, name: str) -> str:
    """The content's own title, or the file's name in words."""
    return document.title or PurePosixPath(name).stem.replace("_", " ").replace("-", " ").strip()

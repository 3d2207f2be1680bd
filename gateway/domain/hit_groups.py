"""Hits by document and section, for readers who look for documents rather than passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.domain.search import Hit


@dataclass(slots=True)
class Section:
    """Hits below the same headings, best first."""

    headings: tuple[str, ...]
    hits: list[Hit] = field(default_factory=list)


@dataclass(slots=True)
class DocumentHits:
    """A document's hits by section; the section with the best hit is first."""

    best: Hit
    sections: list[Section] = field(default_factory=list)


def group(hits: Sequence[Hit]) -> list[DocumentHits]:
    """Hits that are given best first, grouped; the document with the best hit is first."""
    documents: dict[str, DocumentHits] = {}
    sections: dict[tuple[str, tuple[str, ...]], Section] = {}
    for hit in hits:
        document_id, headings = hit.passage.document_id, tuple(hit.passage.headings)
        document = documents.setdefault(document_id, DocumentHits(hit))
        section = sections.get((document_id, headings))
        if section is None:
            section = sections[document_id, headings] = Section(headings)
            document.sections.append(section)
        section.hits.append(hit)
    return list(documents.values())

"""What of a model's text may leave: clean characters, true citations, no links but those of the passages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from generator.domain.citations import CitationChecker
from generator.domain.clean_text import TextCleaner, clean
from generator.domain.engine import Citation, SourcePassage, TextDelta
from generator.domain.links import links_in
from generator.domain.sanitising import MarkdownSanitiser

# A refusal is told by how the text begins.
_BEGINNING_CHARACTERS = 400


class CheckedText:
    """Takes a text in pieces cut anywhere and gives back what may be shown of it, with a citation after each first marker.

    Characters are cleaned first, so that no marker or link hides in them. Links are judged last, on the text as it leaves: taking a
    marker out can make one of two halves.
    """

    def __init__(self, passages: Mapping[int, SourcePassage], links: Collection[str], language: str) -> None:
        """Check against ``passages``, by their numbers in the prompt, and allow ``links``."""
        self.beginning = ""
        self._cleaner = TextCleaner()
        self._citations = CitationChecker(passages, language)
        self._sanitiser = MarkdownSanitiser(links)

    @property
    def cited(self) -> Collection[int]:
        """The numbers of the passages cited so far."""
        return self._citations.cited

    @property
    def dropped_markers(self) -> int:
        return self._citations.dropped_markers

    @property
    def removed_links(self) -> int:
        return self._sanitiser.removed

    def feed(self, piece: str) -> Iterator[TextDelta | Citation]:
        """What can be shown with ``piece`` added."""
        yield from self._sanitised(self._citations.feed(self._cleaner.feed(piece)))

    def finish(self) -> Iterator[TextDelta | Citation]:
        """What was held back. Nothing may be fed after."""
        yield from self._sanitised(self._citations.feed(self._cleaner.finish()))
        yield from self._sanitised(self._citations.finish())
        yield from self._delta(self._sanitiser.finish())

    def _sanitised(self, events: Iterator[TextDelta | Citation]) -> Iterator[TextDelta | Citation]:
        for event in events:
            if isinstance(event, Citation):
                # Its marker ends with a bracket, and nothing is ever held back at one.
                yield event
            else:
                yield from self._delta(self._sanitiser.feed(event.text))

    def _delta(self, text: str) -> Iterator[TextDelta]:
        if len(self.beginning) < _BEGINNING_CHARACTERS:
            self.beginning += text
        if text:
            yield TextDelta(text)


def links_of(passages: Collection[SourcePassage]) -> frozenset[str]:
    """The links that stand in ``passages``, read as an answer's are."""
    return frozenset().union(*(links_in(clean(passage.text)) for passage in passages))

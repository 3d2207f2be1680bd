"""An answer while it is being written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.domain.ask import Citation, Complete, Delta
from gateway.domain.chats.messages import Evidence, MessageState, Outcome
from gateway.domain.search import Found
from shared.errors import AppError, Status

# Far beyond what a model should write; what goes on without end is ended.
MAX_CHARS = 400_000
MAX_EVENTS = 100_000


@dataclass(slots=True)
class Draft:
    """Gathers what comes of an answer, so that whatever ends it, what was there is kept."""

    found: Found = field(default_factory=Found)
    text: list[str] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    complete: Complete | None = None
    chars: int = 0
    events: int = 0

    def add(self, event: Found | Delta | Citation | Complete) -> Found | Delta | Citation | None:
        """Take ``event`` in; what of it readers are shown.

        Raises:
            AppError: ANSWER_TOO_LONG.
        """
        self.events += 1
        match event:
            case Found():
                self.found = event
            case Delta(text):
                # Postgres keeps no NUL, and no reader misses one.
                event = Delta(text.replace("\0", ""))
                self.text.append(event.text)
                self.chars += len(event.text)
            case Citation():
                self.citations.append(event)
            case Complete():
                self.complete = event
                return None
        if self.chars > MAX_CHARS or self.events > MAX_EVENTS:
            raise AppError("ANSWER_TOO_LONG", Status.RESOURCE_EXHAUSTED, "The model went on without end, and was ended. Ask more narrowly.")
        return event

    def outcome(self, state: MessageState, reason: str = "") -> Outcome:
        """The answer as it is now; one that is complete is so whatever ``state`` was meant."""
        end = self.complete.end if self.complete else None
        return Outcome(
            state=MessageState.COMPLETE if end else state,
            text="".join(self.text),
            model=end.model if end else "",
            citations=_evidence(self.citations),
            hits=[hit.passage.passage_id for hit in self.found.hits],
            answered=end.answered if end else False,
            finish_reason=end.finish_reason if end else "",
            reason="" if end else reason,
            timings_ms=self.found.timings_ms,
        )


def _evidence(citations: Sequence[Citation]) -> Sequence[Evidence]:
    return [Evidence.of(citation) for citation in citations]

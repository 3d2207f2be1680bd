from __future__ import annotations

from gateway.domain.hit_groups import group
from gateway.domain.passages import Passage
from gateway.domain.search import Candidate, Hit


def hit(passage_id: str, document_id: str, *headings: str) -> Hit:
    passage = Passage(passage_id, document_id, "D", "md", "", "c", "C", 0, "text", None, 0, 1, headings, "", "", {})
    return Hit(passage, Candidate(passage_id, 0.5, None, None))


def test_documents_and_sections_stand_in_the_order_of_their_best_hits_and_lose_none() -> None:
    hits = [hit("1", "b", "X"), hit("2", "a", "X", "Y"), hit("3", "b"), hit("4", "a", "X"), hit("5", "b", "X"), hit("6", "a", "X", "Y")]
    grouped = [
        (
            document.best.passage.passage_id,
            [(section.headings, [each.passage.passage_id for each in section.hits]) for section in document.sections],
        )
        for document in group(hits)
    ]
    assert grouped == [
        ("1", [(("X",), ["1", "5"]), ((), ["3"])]),
        ("2", [(("X", "Y"), ["2", "6"]), (("X",), ["4"])]),
    ]


def test_nothing_found_is_no_group() -> None:
    assert group([]) == []

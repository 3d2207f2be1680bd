"""The judged retrieval sets are well formed and hold no text made from a template."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

JUDGED = Path(__file__).parents[3] / "bench" / "judged"
pytestmark = pytest.mark.parametrize("language", ["english", "french"])


def read_jsonl(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_judgements(language: str) -> list[tuple[str, str, int]]:
    with (JUDGED / language / "qrels.tsv").open(encoding="utf-8", newline="") as file:
        return [(row["query-id"], row["corpus-id"], int(row["score"])) for row in csv.DictReader(file, delimiter="\t")]


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return set(zip(*(words[start:] for start in range(8)), strict=False))


@pytest.mark.parametrize("name", ["corpus", "queries"])
def test_ids_and_texts_are_unique_and_not_empty(language: str, name: str) -> None:
    rows = read_jsonl(JUDGED / language / f"{name}.jsonl")
    for field in ("id", "text"):
        values = [row[field].strip() for row in rows]
        assert all(values)
        assert len(set(values)) == len(values)


def test_a_passage_has_a_title_and_60_to_150_words(language: str) -> None:
    for passage in read_jsonl(JUDGED / language / "corpus.jsonl"):
        assert passage["title"].strip()
        assert 60 <= len(passage["text"].split()) <= 150, passage["id"]


def test_judgements_refer_to_queries_and_passages_that_exist(language: str) -> None:
    queries = {row["id"] for row in read_jsonl(JUDGED / language / "queries.jsonl")}
    passages = {row["id"] for row in read_jsonl(JUDGED / language / "corpus.jsonl")}
    judgements = read_judgements(language)
    assert {query for query, _, _ in judgements} <= queries
    assert {passage for _, passage, _ in judgements} <= passages
    assert len({(query, passage) for query, passage, _ in judgements}) == len(judgements)


def test_every_query_has_one_to_four_judgements_and_an_answer(language: str) -> None:
    judgements = read_judgements(language)
    counts = Counter(query for query, _, _ in judgements)
    answered = {query for query, _, score in judgements if score == 2}
    assert {score for _, _, score in judgements} <= {1, 2}
    for query in read_jsonl(JUDGED / language / "queries.jsonl"):
        assert 1 <= counts[query["id"]] <= 4
        assert query["id"] in answered


def test_no_two_passages_share_eight_words_in_a_row(language: str) -> None:
    owners: dict[tuple[str, ...], str] = {}
    for passage in read_jsonl(JUDGED / language / "corpus.jsonl"):
        for shingle in shingles(passage["text"]):
            other = owners.setdefault(shingle, passage["id"])
            assert other == passage["id"], f"{other} and {passage['id']} share {' '.join(shingle)!r}"


def test_the_readme_counts_what_is_there(language: str) -> None:
    counts = (
        len(read_jsonl(JUDGED / language / "corpus.jsonl")),
        len(read_jsonl(JUDGED / language / "queries.jsonl")),
        len(read_judgements(language)),
    )
    row = f"| `{language}/` | {' | '.join(map(str, counts))} |"
    assert row in (JUDGED / "README.md").read_text(encoding="utf-8")

from __future__ import annotations

import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.domain.analysis.analyzer import Analyzer
from embedder.domain.analysis.languages import LANGUAGES

ANALYZER = Analyzer()

ENGLISH = "The pumps were inspected by the engineers before they started running again."
FRENCH = "Les règlements intérieurs de l’université ont été modifiés par le conseil d'administration."
GERMAN = "Die Bestellungen werden von den Mitarbeitern der Abteilung sorgfältig überprüft."


def found(query: str, passage: str) -> bool:
    """Whether a query meets a passage in any of its words."""
    held = set(ANALYZER.passage_terms(passage).split())
    return any(not held.isdisjoint(word) for word in ANALYZER.query(query).words)


def standing(text: str, *terms: str) -> list[str]:
    """What stands in a text where its terms are said to be."""
    return [text[span.start : span.end] for span in ANALYZER.locate(text, terms)]


@pytest.mark.parametrize(("text", "language"), [(ENGLISH, "en"), (FRENCH, "fr"), (GERMAN, "de")])
def test_a_sentence_is_told_to_be_in_its_language(text: str, language: str) -> None:
    assert ANALYZER.detect(text) == language


def test_an_english_passage_is_stemmed_and_loses_its_stop_words() -> None:
    assert ANALYZER.passage_terms(ENGLISH) == "pump inspect engin start run"


def test_a_french_passage_loses_elisions_and_accents() -> None:
    terms = ANALYZER.passage_terms(FRENCH).split()
    assert {"l", "d", "les", "ete", "par"}.isdisjoint(terms)
    assert {"univers", "regl", "conseil"} <= set(terms)


@pytest.mark.parametrize(
    ("query", "passage"),
    [
        ("pump inspection", ENGLISH),
        ("règlement intérieur", FRENCH),
        ("reglement interieur", FRENCH),
        ("universités", FRENCH),
        ("Bestellung", GERMAN),
        ("sorgfaltig", GERMAN),
    ],
)
def test_another_form_of_a_word_finds_it_in_the_passages_own_language(query: str, passage: str) -> None:
    assert found(query, passage)


@pytest.mark.parametrize("identifier", ["ERR-4012", "v2.3.1", "ada@example.org", "max_length_tokens", "2024-01-31", "10.0.0.1"])
def test_an_identifier_stands_whole_and_in_parts(identifier: str) -> None:
    passage = f"The service reported {identifier} during the night and was restarted."
    (whole,) = ANALYZER.query(identifier).words[0]
    terms = ANALYZER.passage_terms(passage).split()
    assert whole in terms
    assert whole.isalnum()
    assert found(identifier.replace("-", " ").replace(".", " ").replace("_", " ").replace("@", " "), passage)


def test_a_hyphenated_phrase_is_no_identifier() -> None:
    assert ANALYZER.passage_terms("This is a state-of-the-art engine for the ships.") == "state art engin ship"


@pytest.mark.parametrize("query", ["what is the", "qui est là", "wer ist das"])
def test_a_query_of_stop_words_has_no_terms(query: str) -> None:
    assert ANALYZER.query(query).words == ()


def test_scripts_without_spaces_are_cut_into_pairs_of_characters() -> None:
    assert ANALYZER.passage_terms("文書を検索する").split() == ["文書", "書を", "を検", "検索", "索す", "する"]
    assert found("検索", "文書を検索する")
    assert ANALYZER.query("検索する").length == 3


def test_compatibility_forms_and_case_are_the_same_word() -> None:
    assert found("ﬁnance ＥＲＲ４０１２", "The finance department saw err4012 yesterday in the reports.")


def test_a_query_counts_all_its_words_and_keeps_those_that_tell() -> None:
    query = ANALYZER.query("what are the rules for remote work")
    assert query.length == 7
    assert [word[0] for word in query.words] == ["rule", "remot", "work"]


@given(st.text(max_size=400))
def test_terms_are_letters_and_digits_whatever_the_text(text: str) -> None:
    for term in (*ANALYZER.passage_terms(text).split(" "), *ANALYZER.query(text).terms.split(" ")):
        assert term == "" or term.isalnum()
        assert len(term) <= 64


@given(st.lists(st.sampled_from([*ENGLISH.split(), *FRENCH.split(), *GERMAN.split(), "検索する", "ERR-4012", "3.5", "naïve"]), min_size=1))
def test_a_text_that_is_its_own_query_has_all_that_it_asks_for_in_its_language(words: list[str]) -> None:
    text = " ".join(words)
    held = set(ANALYZER.passage_terms(text).split())
    stop_words = LANGUAGES[ANALYZER.detect(text)].stop_words
    assert all(not held.isdisjoint(word) for word in ANALYZER.query(text).words if stop_words.isdisjoint(word))


def test_a_text_without_spaces_is_analysed_as_quickly_as_any_and_not_remembered() -> None:
    assert len(ANALYZER.passage_terms("x" * 1_000_000)) == 64
    assert len(ANALYZER.passage_terms("a-" * 500_000).split()) <= 500_000
    assert all(len(token) <= 128 for vocabulary in ANALYZER._vocabularies.values() for token in vocabulary)


def test_a_query_asks_for_a_bounded_number_of_words() -> None:
    assert len(ANALYZER.query(" ".join(f"word{number}" for number in range(2_000))).words) == 256


def test_threads_do_not_disturb_one_another() -> None:
    texts = [f"{ENGLISH} {FRENCH} word{number}s running{number}" for number in range(200)]
    alone = [Analyzer().passage_terms(text) for text in texts[:1]] + [ANALYZER.passage_terms(text) for text in texts[1:]]
    shared = Analyzer()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(shared.passage_terms, texts)) == alone


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=lambda language: language.code)
def test_stop_words_are_lower_case_single_words(language: object) -> None:
    stop_words = language.stop_words  # type: ignore[attr-defined]
    assert len(stop_words) > 80
    assert all(word == word.lower() and word.isalpha() for word in stop_words)


@pytest.mark.parametrize(
    ("text", "terms", "words"),
    [
        (ENGLISH, ("pump", "inspect", "walk"), ["pumps", "inspected"]),
        (FRENCH, ("regl", "univers", "conseil"), ["règlements", "université", "conseil"]),
        (unicodedata.normalize("NFD", FRENCH), ("regl",), [unicodedata.normalize("NFD", "règlements")]),
        ("ＦＵＬＬ　ｗｉｄｔｈ ﬁles of the pumps", ("width", "file", "pump"), ["ｗｉｄｔｈ", "ﬁles", "pumps"]),
        ("Error ERR-4012 was seen.", ("errː4012", "err"), ["ERR", "ERR-4012"]),
        ("東京都に行きます", ("京都",), ["京都"]),
        ("İstanbul is large, and the İSTANBUL office too.", ("offic",), ["office"]),
    ],
)
def test_terms_are_found_where_they_stand_in_the_text_as_it_is_written(text: str, terms: tuple[str, ...], words: list[str]) -> None:
    assert standing(text, *terms) == words


def test_a_term_is_found_also_in_a_text_that_looks_like_another_language_than_its_passage() -> None:
    # Indexed below German headings as German, by itself it looks English.
    assert ANALYZER.detect("The server restarts after the Bestellungen of the office") == "en"
    assert standing("The server restarts after the Bestellungen of the office", "bestell") == ["Bestellungen"]


@given(st.text(max_size=60))
def test_every_term_of_a_text_is_found_in_it(text: str) -> None:
    terms = set(ANALYZER.passage_terms(text).split())
    spans = ANALYZER.locate(text, terms)
    assert all(0 <= span.start < span.end <= len(text) and span.term in terms for span in spans)
    if unicodedata.is_normalized("NFKC", text):
        assert {span.term for span in spans} == terms

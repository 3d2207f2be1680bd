from __future__ import annotations

import pytest

from generator.domain.language import detect_language
from generator.domain.terms import stem, words


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("What happens to annual leave that I have not used?", "en"),
        ("Combien de jours de congé ai-je ?", "fr"),
        ("A qui parler si je suis temoin de harcelement ?", "fr"),
        ("Wie lange dauert die Garantie und was kostet sie?", "de"),
        ("¿Cuánto cuesta la calibración y quién la hace?", "es"),
        ("Quanto costa la taratura e chi la fa?", "it"),
        ("Hoeveel dagen verlof heb ik?", "nl"),
        ("Quantos dias de férias eu tenho?", "pt"),
        ("HW-300 E-14", "en"),
        ("", "en"),
    ],
)
def test_a_question_s_function_words_tell_its_language(question: str, language: str) -> None:
    assert detect_language(question) == language


def test_identifiers_numbers_and_amounts_are_single_words() -> None:
    assert words("HW-300's E-14 cost £1,890.00 by e-mail") == ["hw-300", "s", "e-14", "cost", "£", "1,890.00", "by", "e-mail"]


def test_an_elided_article_is_a_word_of_its_own() -> None:
    assert words("l'accord d’entreprise") == ["l", "accord", "d", "entreprise"]


def test_forms_of_a_word_have_one_stem_with_or_without_accents() -> None:
    assert stem("recommandée", "fr") == stem("recommander", "fr") == stem("recommande", "fr")
    assert stem("calibrations", "en") == stem("calibration", "en")


def test_prices_costs_and_currencies_are_one_concept() -> None:
    assert len({stem(word, "fr") for word in ("prix", "coûte", "tarif", "€")}) == 1

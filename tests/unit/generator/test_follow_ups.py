from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.domain.follow_ups import completed, leans
from generator.domain.language_model import Message, Role

LEAVE = [
    Message(Role.USER, "How many days of annual leave do employees have?"),
    Message(Role.ASSISTANT, "26 days a year [1]."),
]
CONGES = [Message(Role.USER, "Combien de jours de congé a un salarié ?"), Message(Role.ASSISTANT, "26 jours par an [1].")]


@pytest.mark.parametrize(
    ("language", "question"),
    [
        ("en", "Why?"),
        ("en", "How much?"),
        ("en", "Can they carry it over?"),
        ("en", "How long does it take to process them?"),
        ("en", "When does the company pay it?"),
        ("en", "Is that allowed?"),
        ("en", "And for interns?"),
        ("en", "What about the deadline?"),
        ("en", "For interns?"),
        ("en", "At the Lyon site?"),
        ("fr", "Pourquoi ?"),
        ("fr", "À Lyon ?"),
        ("fr", "En cas de maladie ?"),
        ("fr", "Combien coûte-t-elle ?"),
        ("fr", "Qui doit valider celui-ci ?"),
        ("fr", "Et pour les stagiaires ?"),
        ("fr", "Qu'en est-il des stagiaires ?"),
        ("de", "Und für Praktikanten?"),
        ("es", "¿Y para los becarios?"),
        ("it", "E per gli stagisti?"),
        ("nl", "En voor stagiairs?"),
        ("pt", "E para estagiários?"),
    ],
)
def test_a_question_leans_that_has_no_subject_or_points_at_one_before_it(language: str, question: str) -> None:
    assert leans(question, language)


@pytest.mark.parametrize(
    ("language", "question"),
    [
        ("en", "What is the price of the HW-300?"),
        ("en", "How do employees book their leave?"),
        ("en", "If my laptop is stolen, how do I report it?"),
        ("en", "Is it possible to work from abroad?"),
        ("en", "How long does it take to get a badge?"),
        ("en", "Which is the form that I need for travel?"),
        ("en", "HW-300 E-14"),
        ("fr", "Quand un salarié peut-il prendre ses congés ?"),
        ("fr", "Est-il possible de travailler de l'étranger ?"),
        ("fr", "Faut-il une autorisation pour voyager ?"),
        ("fr", "Qu'est-ce que le CSE ?"),
        ("fr", "Où se trouve l'atelier ?"),
        ("en", "In which building is the workshop?"),
        ("fr", "À quelle heure ferme le site de Lyon ?"),
        ("de", "Was ist das Budget für Reisen?"),
        ("de", "Wie buchen Sie Urlaub?"),
        ("nl", "Wat is het budget voor reizen?"),
        ("es", "¿Cuánto cuesta la calibración?"),
        ("it", "Quanto costa la taratura?"),
        ("pt", "Quanto custa a calibração?"),
        ("pl", "Ile dni urlopu mam w roku?"),
    ],
)
def test_a_question_that_says_what_it_speaks_of_does_not_lean_and_stays_as_it_is(language: str, question: str) -> None:
    assert not leans(question, language)
    assert completed(question, LEAVE, language, 4000) == question


def test_a_question_that_leans_takes_over_what_the_last_one_was_about() -> None:
    assert completed("And for interns?", LEAVE, "en", 4000) == "And for interns? (days annual leave employees)"
    assert completed("Et pour les stagiaires ?", CONGES, "fr", 4000) == "Et pour les stagiaires ? (jours congé salarié)"


def test_words_come_from_as_far_back_as_questions_lean() -> None:
    history = [
        Message(Role.USER, "Where are bicycles kept?"),
        *LEAVE,
        Message(Role.USER, "Do they carry over?"),
        Message(Role.ASSISTANT, "Up to five days [1]."),
    ]
    assert completed("Until when?", history, "en", 4000) == "Until when? (days annual leave employees carry)"


def test_only_people_s_questions_are_taken_from() -> None:
    history = [Message(Role.SYSTEM, "Speak of whales."), *LEAVE[:1], Message(Role.ASSISTANT, "Ask about dolphins.")]
    assert completed("Why?", history, "en", 4000) == "Why? (days annual leave employees)"


def test_a_conversation_without_a_subject_adds_nothing() -> None:
    assert completed("Why?", [Message(Role.USER, "How?")], "en", 4000) == "Why?"
    assert completed("Why?", [], "en", 4000) == "Why?"


@settings(deadline=None)
@given(st.text(max_size=300), st.lists(st.text(max_size=300).map(lambda text: Message(Role.USER, text)), max_size=5))
def test_a_completed_question_begins_with_the_question_and_is_never_longer_than_allowed(question: str, history: list[Message]) -> None:
    text = completed(question, history, "en", 400)
    assert text == question or (text.startswith(question.strip()) and len(text) <= 400)

from __future__ import annotations

from pathlib import Path

import yaml

from deploy.laptop.demo import LIBRARY, QUESTIONS

SAMPLES = Path(__file__).resolve().parents[3] / "samples"


def test_the_demo_asks_sample_questions_in_both_languages_whose_answers_have_a_page() -> None:
    known = {question["question"]: question for question in yaml.safe_load((SAMPLES / "questions.yaml").read_text())}
    asked = [known[question] for question in QUESTIONS]
    assert [question["language"] for question in asked] == ["en", "fr"]
    assert all(question["answerable"] and question["page"] for question in asked)
    assert all((LIBRARY / question["document"]).is_file() for question in asked)

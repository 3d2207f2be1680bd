import pytest

from ingestor.adapters.parsers.language import detect_language, sample


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The contract ends on the third of March, unless both parties agree to prolong it.", "en"),
        ("Le contrat prend fin le trois mars, sauf si les deux parties conviennent de le prolonger.", "fr"),
        ("Der Vertrag endet am dritten März, wenn ihn nicht beide Seiten verlängern.", "de"),
        ("THE CONTRACT ENDS ON THE THIRD OF MARCH, UNLESS BOTH PARTIES AGREE.", "en"),
        ("17 4 2024\n18 4 2024", ""),
        ("xq7 rt_9 = kk(4)", ""),
        ("OK", ""),
        ("", ""),
    ],
)
def test_the_language_is_told_where_it_is_sure(text: str, language: str) -> None:
    assert detect_language(text) == language


def test_a_short_text_is_looked_at_whole_and_a_long_one_in_bounded_part() -> None:
    short = "The contract ends on the third of March. " * 50
    assert sample(short) == short
    assert len(sample(short * 1_000)) < 3 * len(short)


def test_most_of_a_long_text_decides_not_its_beginning() -> None:
    preface = "The contract ends on the third of March. " * 20
    text = "Le contrat prend fin le trois mars, sauf si les deux parties conviennent de le prolonger. " * 200
    assert detect_language(preface + text) == "fr"

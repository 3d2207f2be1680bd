import pytest

from ingestor.domain.sentences import sentence_starts


@pytest.mark.parametrize(
    "sentences",
    [
        ["It rains. ", "It pours! ", "Does it? ", "Yes."],
        ["The price is 3.14 euros at example.org. ", "Next."],
        ["Dr. Smith met Mr. J. R. Jones, i.e. him. ", "They talked."],
        ["See fig. 3 and No. 5 on p. 12. ", "He said no. ", "They left."],
        ["Use it, e.g. at home, vs. the old one etc. and so on. ", "Good."],
        ['He asked: "Why?" ', "She said (softly.) ", "Nothing."],
        ["Wait... ", "What?! ", "No."],
        ["1. First step of it. ", "Then more."],
        ["It happened in 2019. ", "The year after was calm."],
        ["M. Dupont et Mme Durand habitent av. Foch. ", "Ils partent."],
        ["Selon l'art. 5 et p. ex. le n° 3, c'est 3,5 % env. du total. ", "Bien."],
        ["Il dit : « Bonjour ! » puis s'en va. ", "Elle rit."],
        ["« Il vient. » ", "Elle part. ", "Vraiment\u202f? ", "Oui."],
        ["J.-C. Martin arrive le 3 janv. prochain. ", "À lundi."],
        ["これは文です。", "次の文！", "「はい。」", "終わり"],
    ],
    ids=lambda sentences: sentences[0].strip()[:30],
)
def test_sentences_begin_where_a_reader_says_they_do(sentences: list[str]) -> None:
    expected, offset = [], 0
    for sentence in sentences[:-1]:
        offset += len(sentence)
        expected.append(offset)
    assert sentence_starts("".join(sentences)) == expected


@pytest.mark.parametrize("text", ["", "   ", ".", "No stop", "Ends with one. ", "...", "a. b. c."])
def test_text_without_a_second_sentence_has_no_start(text: str) -> None:
    assert sentence_starts(text) == []

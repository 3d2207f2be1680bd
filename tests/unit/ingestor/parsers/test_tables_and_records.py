import pytest

from ingestor.domain.parsing import DocumentLimits, DocumentRejected, RejectionReason
from tests.unit.ingestor.parsers.files import check, parse


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_becomes_a_table_under_its_columns_whatever_the_delimiter(delimiter: str) -> None:
    content = "\n".join(delimiter.join(row) for row in (["Item", "Price"], ['"Pen, red; new"', "2"], ["Ink", ""]))
    assert parse("a.csv", content).text == "| Item | Price |\n| --- | --- |\n| Pen, red; new | 2 |\n| Ink |  |"


def test_a_csv_file_without_header_keeps_its_first_row() -> None:
    assert parse("a.csv", "1,Pen\n2,Ink\n").text == "| Column 1 | Column 2 |\n| --- | --- |\n| 1 | Pen |\n| 2 | Ink |"


def test_a_quoted_line_end_stays_within_its_row() -> None:
    assert parse("a.csv", 'Name,Note\r\nAnn,"two\r\nlines"\r\n').text.endswith("| Ann | two lines |")


def test_a_hundred_thousand_columns_are_refused_at_the_check() -> None:
    with pytest.raises(DocumentRejected, match="100,000 columns") as rejection:
        check("a.csv", ",".join(f"c{n}" for n in range(100_000)))
    assert rejection.value.reason is RejectionReason.DOCUMENT_TOO_LARGE


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(DocumentRejected, match="more than 10 rows") as rejection:
        parse("a.csv", "Name\n" + "x\n" * 10, limits=DocumentLimits(max_table_rows=10))
    assert rejection.value.reason is RejectionReason.DOCUMENT_TOO_LARGE


def test_json_records_are_blocks_of_paths_and_values() -> None:
    content = '[{"name": "Ann", "address": {"city": "Paris", "zip": null}, "tags": ["a", "b"]}, {"name": "Bob", "score": 1.10, "ok": true}]'
    assert parse("a.json", content).text == "name: Ann\naddress.city: Paris\ntags: a, b\n\nname: Bob\nscore: 1.10\nok: true"


def test_a_json_object_gives_its_title() -> None:
    document = parse("a.json", '{"title": "Plan", "steps": [{"do": "buy"}, {"do": "build"}]}')
    assert (document.title, document.text) == ("Plan", "title: Plan\nsteps[1].do: buy\nsteps[2].do: build")


def test_json_lines_are_records_and_a_broken_one_is_named_by_its_number() -> None:
    assert parse("a.jsonl", '{"a": 1}\n\n{"a": 2}\n').text == "a: 1\n\na: 2"
    with pytest.raises(DocumentRejected, match="line 3, column 7") as rejection:
        check("a.jsonl", '{"a": 1}\n\n{"a": }\n')
    assert rejection.value.reason is RejectionReason.CORRUPT_DOCUMENT


def test_malformed_json_is_named_by_line_and_column() -> None:
    with pytest.raises(DocumentRejected, match="line 2, column 6") as rejection:
        check("a.json", '{"a": 1,\n"b": ]}')
    assert rejection.value.reason is RejectionReason.CORRUPT_DOCUMENT


@pytest.mark.parametrize("depth", [200, 100_000])
def test_json_nested_too_deeply_is_refused(depth: int) -> None:
    with pytest.raises(DocumentRejected, match="more than 100 levels") as rejection:
        parse("a.json", '{"a":' * depth + "1" + "}" * depth)
    assert rejection.value.reason is RejectionReason.DOCUMENT_TOO_LARGE


def test_paths_that_multiply_a_small_file_into_a_large_text_end_at_the_limit() -> None:
    leaves = ",".join(f'"k{n}": 1' for n in range(10_000))
    with pytest.raises(DocumentRejected, match="characters of text"):
        parse("a.json", f'{{"{"long" * 1_000}": {{{leaves}}}}}', limits=DocumentLimits(max_text_chars=1_000_000))

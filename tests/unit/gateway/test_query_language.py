"""The query language; what it reads is shown in docs/query-language.md, whose tables are checked here."""

from __future__ import annotations

import contextlib
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.query.filters import MAX_CONDITIONS, AllOf, Comparison, Operator
from gateway.domain.query.json_filter import compile_filter
from gateway.domain.query.language import MAX_COMPARISONS, ParsedQuery, parse_query
from shared.errors import AppError, Status

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "query-language.md").read_text()
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def rows(heading: str) -> list[list[str]]:
    """The code in the cells of the table below a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [re.findall(r"`([^`]*)`", line) for line in section.splitlines() if line.startswith("|") and "`" in line]


def parse(query: str) -> ParsedQuery:
    return parse_query(query, "body.query", NOON)


@pytest.mark.parametrize(("query", "words", "filter_"), rows("What is read from what"))
def test_a_query_means_what_the_page_says(query: str, words: str, filter_: str) -> None:
    assert parse(query) == ParsedQuery(words, compile_filter(json.loads(filter_)))


@pytest.mark.parametrize(("query", "reason", "words"), rows("What is refused"))
def test_a_query_is_refused_as_the_page_says(query: str, reason: str, words: str) -> None:
    with pytest.raises(AppError) as raised:
        parse(query)
    assert (raised.value.reason, raised.value.status) == (reason, Status.INVALID_ARGUMENT)
    assert words in raised.value.message
    assert raised.value.violations[0].field == "body.query"


LOOKUPS = [row[0] for row in rows("In JSON") if row[0].startswith("{")]


@pytest.mark.parametrize("lookup", LOOKUPS)
def test_the_lookups_of_the_page_compile(lookup: str) -> None:
    assert compile_filter(json.loads(lookup)) is not None


def test_the_tables_of_the_page_are_read() -> None:
    assert len(rows("What is read from what")) > 40
    assert len(rows("What is refused")) > 10
    assert len(LOOKUPS) == 6


def test_an_error_names_the_character_counted_in_characters() -> None:
    with pytest.raises(AppError, match="at character 10"):
        parse("é 検索 🦀 x created:2021-02-30")


def test_the_relative_dates_are_counted_in_utc() -> None:
    evening = datetime.fromisoformat("2026-11-20T22:00:00-05:00")
    assert parse_query("x updated:today", "body.query", evening).filter == compile_filter({"update_time": "2026-11-21"})


def test_a_date_before_there_were_years_is_refused() -> None:
    with pytest.raises(AppError, match="further back"):
        parse("x updated:99999y")


def test_words_of_a_negated_group_must_not_be_there_together() -> None:
    assert parse("x -(draft old)").filter == compile_filter({"$not": {"$and": [{"$phrase": "draft"}, {"$phrase": "old"}]}})


def test_metadata_keys_keep_their_case_and_fields_need_none() -> None:
    assert parse("x Meta.Team:a TYPE:pdf").filter == compile_filter({"metadata.Team": "a", "type": "pdf"})


@pytest.mark.parametrize("query", ["“annual leave” x", "«annual leave» x", '"annual leave" x'])
def test_phrases_may_stand_in_the_quotes_of_several_languages(query: str) -> None:
    assert parse(query) == ParsedQuery("annual leave x", compile_filter({"$phrase": "Annual LEAVE"}))


@pytest.mark.parametrize("query", ['5" pipe', '"open', ":)", "1) first", "(open", "a OR", "NOT", "OR gate", '""  x', "-", "--flag", "???"])
def test_signs_that_people_type_are_text(query: str) -> None:
    assert parse(query).filter is None


def test_conditions_are_counted() -> None:
    parse("x " + "type:pdf " * MAX_COMPARISONS)
    for query in ("type:pdf " * (MAX_COMPARISONS + 1), "-x " * MAX_CONDITIONS, "NOT " * 9 + "x"):
        with pytest.raises(AppError) as raised:
            parse("x " + query)
        assert raised.value.reason == "FILTER_TOO_LARGE"


def test_times_compare_as_instants_when_they_name_a_zone() -> None:
    assert parse("x created<2021-01-01T02:00:00+02:00").filter == Comparison("create_time", Operator.LESS, ("2021-01-01T00:00:00Z",))
    assert isinstance(parse("x created:2021").filter, AllOf)


signs = ["type:", "created", ">=", "..", "2021", '"', "(", ")", "-", "NOT ", " OR ", " AND ", "?", "&", "metadata.", "meta.a:", ",", "\\"]
names = ["x", " ", "has:", "author=", "7d", "“", "»", "a.b:c", "://", "updated:"]
pieces = st.sampled_from([*signs, *names])
queries = st.lists(pieces | st.text(max_size=3), min_size=1, max_size=30).map("".join)


@given(queries)
def test_no_query_does_worse_than_a_clear_refusal(query: str) -> None:
    try:
        assert parse(query).text.strip()
    except AppError as error:
        refused = (error.status, error.violations[0].field)
        assert refused == (Status.INVALID_ARGUMENT, "body.query")


@given(st.text(alphabet=st.characters(exclude_characters='"\\', codec="utf-8"), max_size=40))
def test_a_quoted_value_is_the_value_whatever_stands_in_it(value: str) -> None:
    assert parse(f'x author:"{value}"').filter == Comparison("author", Operator.EQUAL, (value,))


@pytest.mark.parametrize("piece", ["(", "“ ", '" ', "a(", "«", "?type:", "&", "-(", "x.", "NOT ", '"\\', "type:(", "meta.a-", "_:"])
def test_the_longest_query_is_read_in_little_time(piece: str) -> None:
    query = (piece * 10_000)[:10_000]
    started = time.process_time()
    with contextlib.suppress(AppError):
        parse(query)
    assert time.process_time() - started < 0.5

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from lectern_client.sse import Event, EventParser

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))


def parse(*chunks: bytes) -> list[Event]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def test_an_event_has_its_name_and_the_lines_of_its_data() -> None:
    assert parse(b"event: delta\ndata: one\ndata: two\n\n") == [Event("delta", "one\ntwo")]


def test_an_event_without_a_name_is_a_message_and_one_without_data_is_none() -> None:
    assert parse(b"data: x\n\nevent: empty\n\ndata: y\n\n") == [Event("message", "x"), Event("message", "y")]


def test_comments_and_unknown_fields_mean_nothing() -> None:
    assert parse(b": still here\n\n: again\nretry: 10\nodd\nevent: a\ndata: x\n\n") == [Event("a", "x")]


def test_the_last_id_stays_until_another_comes() -> None:
    assert parse(b"id: 7\ndata: x\n\ndata: y\n\nid: 8\ndata: z\n\n") == [
        Event("message", "x", "7"),
        Event("message", "y", "7"),
        Event("message", "z", "8"),
    ]


def test_only_one_space_after_the_colon_is_left_out() -> None:
    assert parse(b"data:  x\n\ndata:y\n\n") == [Event("message", " x"), Event("message", "y")]


def test_an_event_that_was_cut_off_is_not_given() -> None:
    assert parse(b"event: a\ndata: x\n") == []


@given(st.lists(st.tuples(st.sampled_from(["delta", "citation"]), TEXT)), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_however_a_stream_is_cut_the_same_events_come_out(sent: list[tuple[str, str]], end: str, data: st.DataObject) -> None:
    stream = "".join(f"event: {name}{end}data: {json.dumps(text, ensure_ascii=False)}{end}{end}" for name, text in sent).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    if end == "\r":
        pieces.append(b": the end\n")  # a lone CR at the very end may be half of a line end
    assert [(event.name, json.loads(event.data)) for event in parse(*pieces)] == sent

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from generator.domain.exchanges import exchanges, newest_exchanges
from generator.domain.language_model import Message, Role

USER, ASSISTANT = Role.USER, Role.ASSISTANT
MESSAGES = st.lists(st.builds(Message, st.sampled_from(Role), st.text(alphabet="ab \n[1]<passage", max_size=30)), max_size=12)


def words(text: str, room: int) -> int | None:
    return None if len(text) > 16 * max(room, 0) else len(text.split())


def test_the_newest_exchanges_are_kept_whole_and_in_their_order() -> None:
    history = [Message(USER, "one two"), Message(ASSISTANT, "three"), Message(USER, "four"), Message(ASSISTANT, "five six")]
    assert newest_exchanges(history, 6, words) == (history, 6)
    assert newest_exchanges(history, 5, words) == (history[2:], 3)
    assert newest_exchanges(history, 2, words) == ([], 0)


def test_what_is_too_long_ends_the_memory_there() -> None:
    history = [Message(USER, "old"), Message(ASSISTANT, "old"), Message(USER, "x" * 10_000), Message(ASSISTANT, "y")]
    assert newest_exchanges(history, 100, words) == ([], 0)


def test_messages_come_in_turns_and_what_has_no_counterpart_is_left_out() -> None:
    history = [
        Message(ASSISTANT, "Hello!"),
        Message(USER, "How many days?"),
        Message(USER, "Of leave."),
        Message(ASSISTANT, "26 days [1][2]."),
        Message(ASSISTANT, " "),
        Message(USER, "A question whose answer failed"),
    ]
    assert list(exchanges(history)) == [(Message(USER, "How many days?\n\nOf leave."), Message(ASSISTANT, "26 days."))]


@settings(deadline=None)
@given(MESSAGES, st.integers(-5, 60))
def test_whatever_was_said_models_read_turns_that_fit_and_forge_no_fence(history: list[Message], room: int) -> None:
    kept, used = newest_exchanges(history, room, words)
    assert [message.role for message in kept] == [USER, ASSISTANT] * (len(kept) // 2)
    assert used == sum(len(message.text.split()) for message in kept) <= max(room, 0)
    assert not any("<passage" in message.text or (message.role is ASSISTANT and "[1]" in message.text) for message in kept)

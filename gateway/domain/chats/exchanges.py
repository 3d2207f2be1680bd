"""From a message to a chat to a question that can be answered, stored with the place of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from gateway.domain.accounts import Principal
from gateway.domain.ask import Question, Role
from gateway.domain.chats.chats import Chat, Chats
from gateway.domain.chats.messages import Message, MessageState, MessageTree, Scope, conversation
from gateway.domain.chats.running_answer import Exchange
from gateway.domain.query.reading import read
from gateway.domain.search import Query
from gateway.domain.user_settings import UserSettingsStore
from gateway.errors import answer_in_work, not_an_answer
from shared.errors import not_found

# The generator takes what fits the model's context; more than this never does, and would only travel.
HISTORY_MESSAGES: Final = 40


@dataclass(frozen=True, slots=True)
class NewQuestion:
    """What a user says.

    Attributes:
        model: empty: the chat's.
        parent_id: the answer that it follows; None: it begins the chat. An edit is a new question with the same parent.
        follows_newest: whether it follows the newest answer, whatever ``parent_id`` is.
    """

    text: str
    scope: Scope = field(default_factory=Scope)
    model: str = ""
    parent_id: str | None = None
    follows_newest: bool = True


class QuestionMaker(Protocol):
    """Who knows what an assistant and a model add to a question."""

    async def prepare(self, principal: Principal, question: Question, assistant: str = "", *, default_model: str = "") -> Question:
        """Raises AppError ASSISTANT_NOT_FOUND or MODEL_NOT_FOUND."""
        ...


class ExchangeStore(MessageTree, Protocol):
    """Where questions and answers are written."""

    async def newest_answer(self, principal: Principal, chat_id: str) -> Message | None: ...

    async def path(self, principal: Principal, chat_id: str, message_id: str, count: int) -> Sequence[Message]:
        """The last ``count`` messages of the branch that ends with ``message_id``, oldest first."""
        ...

    async def add_question(self, principal: Principal, chat_id: str, new: NewQuestion, trace_id: str) -> tuple[Message, Message] | None:
        """Store a question after its ``parent_id``, with the place of its answer; None when there is no such chat to write to."""
        ...

    async def add_answer(self, principal: Principal, chat_id: str, question_id: str, trace_id: str) -> Message | None:
        """Store the place of a further answer to a question; None when there is no such chat to write to."""
        ...


class Exchanges:
    """Begins exchanges; ``passages`` are as many as an answer may rest on."""

    def __init__(self, store: ExchangeStore, chats: Chats, questions: QuestionMaker, settings: UserSettingsStore, passages: int) -> None:
        self._store = store
        self._chats = chats
        self._questions = questions
        self._settings = settings
        self._passages = passages

    async def begin(self, principal: Principal, chat_id: str, new: NewQuestion, trace_id: str) -> Exchange:
        """Store a question.

        Raises:
            AppError: CHAT_NOT_FOUND, CHAT_READ_ONLY, MESSAGE_NOT_FOUND of the parent, NOT_AN_ANSWER, ANSWER_IN_WORK, ASSISTANT_NOT_FOUND,
                or what is wrong with the text or its filter. Nothing is stored then.
        """
        chat = await self._chats.get_own(principal, chat_id)
        new = await self._placed(principal, chat_id, new)
        asked = await self._asked(principal, chat, new.text, new.scope, new.model)
        asked = await self._with_history(principal, chat_id, asked, new.parent_id)
        stored = await self._store.add_question(principal, chat_id, new, trace_id)
        if stored is None:
            raise not_found("chat", chat_id)
        question, answer = stored
        return Exchange(principal, question, answer, asked, trace_id, names_chat=not chat.title)

    async def begin_again(self, principal: Principal, chat_id: str, answer_id: str, model: str, trace_id: str) -> Exchange:
        """Make place for another answer to the question of ``answer_id``; ``model`` empty: the one that the question asked for.

        Raises:
            AppError: CHAT_NOT_FOUND, CHAT_READ_ONLY, MESSAGE_NOT_FOUND, NOT_AN_ANSWER or ASSISTANT_NOT_FOUND. Nothing is stored then.
        """
        chat = await self._chats.get_own(principal, chat_id)
        former = await self._message(principal, chat_id, answer_id)
        if former.role is not Role.ASSISTANT or former.parent_id is None:
            raise not_an_answer(answer_id)
        question = await self._message(principal, chat_id, former.parent_id)
        asked = await self._asked(principal, chat, question.text, question.scope, model or question.model)
        asked = await self._with_history(principal, chat_id, asked, question.parent_id)
        answer = await self._store.add_answer(principal, chat_id, question.message_id, trace_id)
        if answer is None:
            raise not_found("chat", chat_id)
        return Exchange(principal, question, answer, asked, trace_id, names_chat=not chat.title)

    async def _placed(self, principal: Principal, chat_id: str, new: NewQuestion) -> NewQuestion:
        """``new`` with the parent that it is to have."""
        if new.follows_newest:
            parent = await self._store.newest_answer(principal, chat_id)
        elif new.parent_id is not None:
            parent = await self._message(principal, chat_id, new.parent_id)
        else:
            parent = None
        if parent is not None:
            if parent.role is not Role.ASSISTANT:
                raise not_an_answer(parent.message_id)
            if parent.state is MessageState.STREAMING:
                raise answer_in_work()
        return replace(new, parent_id=parent.message_id if parent else None)

    async def _asked(self, principal: Principal, chat: Chat, text: str, scope: Scope, model: str) -> Question:
        words, condition = read(text, "body.text", scope.filter, literal=scope.literal)
        query = Query(words, scope.collections, condition, self._passages)
        question = Question(query, model or chat.model, scope.language)
        default_model = (await self._settings.get(principal)).default_model
        return await self._questions.prepare(principal, question, chat.assistant_id, default_model=default_model)

    async def _with_history(self, principal: Principal, chat_id: str, asked: Question, parent_id: str | None) -> Question:
        if parent_id is None:
            return asked
        return replace(asked, history=conversation(await self._store.path(principal, chat_id, parent_id, HISTORY_MESSAGES)))

    async def _message(self, principal: Principal, chat_id: str, message_id: str) -> Message:
        message = await self._store.get(principal, chat_id, message_id)
        if message is None:
            raise not_found("message", message_id)
        return message

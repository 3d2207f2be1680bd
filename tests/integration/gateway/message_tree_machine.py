"""What users do to chats, over the real store, against an oracle in memory."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.adapters.chats import PostgresChats, PostgresUserSettings
from gateway.adapters.messages import PostgresMessages
from gateway.domain import accounts
from gateway.domain.accounts import Principal
from gateway.domain.ask import AnswerEnd, AnswerEvent, Ask, Delta, Question, Quote, Role
from gateway.domain.assistants import Assistant, Visibility
from gateway.domain.chats.answering import Answering
from gateway.domain.chats.chats import ChatChange, ChatDraft, Chats
from gateway.domain.chats.exchanges import Exchanges, NewQuestion
from gateway.domain.chats.messages import Message, Messages, MessageState
from gateway.domain.chats.running_answer import Exchange
from gateway.domain.chats.titles import ChatTitles
from gateway.domain.listing import PageRequest
from gateway.domain.passages import Passage
from gateway.domain.search import Search
from shared.errors import AppError, Status, not_found
from shared.paging import PageTokens
from shared.postgres import Pool
from tests.unit.gateway.test_search import Library, RankedIndex, ids

Result = TypeVar("Result")
ENDINGS = st.sampled_from(["complete", "complete", "fail", "stop"])
PASSAGES = 4
CITED = st.lists(st.integers(0, PASSAGES - 1), max_size=3)
PAGE = PageRequest(size=3)


@dataclass
class Teller:
    """A generator that cites, fails and waits as the next step wants it; also who prepares, finds and names nothing."""

    cited: Sequence[int] = ()
    ending: str = "complete"
    asked: Question | None = None
    written: asyncio.Event = field(default_factory=asyncio.Event)

    async def condense(self, question: Question) -> str:
        return question.query.text

    async def answer(self, question: Question, passages: Sequence[tuple[Passage, float]]) -> AsyncGenerator[AnswerEvent, None]:
        self.asked = question
        yield Delta(f"On {question.query.text}: ")
        for marker, number in enumerate(self.cited, 1):
            passage = passages[number][0]
            yield Delta(f"[{marker}]")
            yield Quote(marker, passage.passage_id, passage.text, 0, len(passage.text))
        if self.ending == "fail":
            raise AppError("MODEL_ILL", Status.UNAVAILABLE, "It is ill.")
        if self.ending == "stop":
            self.written.set()
            await asyncio.Event().wait()
        yield AnswerEnd(answered=True, finish_reason="STOP", model="m", prompt_tokens=0, answer_tokens=0, first_delta_ms=0)

    async def prepare(self, principal: Principal, question: Question, assistant: str = "", *, default_model: str = "") -> Question:
        return question

    async def suggest_title(self, question: Question, answer: str) -> str:
        return question.query.text

    async def get(self, principal: Principal, assistant: str) -> Assistant:
        raise not_found("assistant", assistant)


@dataclass
class Told:
    """A message as the oracle knows it."""

    message_id: str
    parent_id: str | None
    role: Role
    text: str
    state: MessageState = MessageState.COMPLETE
    cited: Sequence[str] = ()


@dataclass
class ToldChat:
    chat_id: str
    owner: Principal
    shared: bool = False
    messages: dict[str, Told] = field(default_factory=dict)

    def of(self, role: Role) -> list[Told]:
        return [each for each in self.messages.values() if each.role is role]

    def path(self, message_id: str | None) -> list[Told]:
        told = self.messages[message_id] if message_id else None
        return [*self.path(told.parent_id), told] if told else []


class MessageTreeMachine(RuleBasedStateMachine):
    """Two users of one organisation and one of another."""

    def __init__(self, runner: asyncio.Runner, pool: Pool) -> None:
        super().__init__()
        self.runner, self.pool = runner, pool
        self.teller, self.library = Teller(), Library()
        tree, chatting, choosing = PostgresMessages(pool), PostgresChats(pool), PostgresUserSettings(pool)
        tokens = PageTokens(b"k" * 32)
        self.chats = Chats(chatting, self.teller, choosing, tokens)
        self.messages = Messages(tree, self.chats, self.library, tokens)
        self.exchanges = Exchanges(tree, self.chats, self.teller, choosing, PASSAGES)
        ask = Ask(Search(RankedIndex(ids(PASSAGES)), Library(), Library()), self.teller)
        self.answering = Answering(tree, self.chats, self.messages, ask, ChatTitles(self.teller, chatting), resume_seconds=60)
        self.told: dict[str, ToldChat] = {}

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(asyncio.wait_for(work, 60))

    def a_chat(self, data: st.DataObject) -> ToldChat:
        return data.draw(st.sampled_from(list(self.told.values())))

    @initialize()
    def begin(self) -> None:
        """Organisations of this history's own, so that histories share the database and see nothing of one another."""
        organisations = [f"org_{secrets.token_hex(6)}" for _ in range(2)]

        async def create() -> None:
            for name in organisations:
                await self.pool.execute("INSERT INTO accounts.organisation (organisation_id, name) VALUES ($1, $1)", name)

        self.run(create())
        users = ((organisations[0], "ann"), (organisations[0], "ben"), (organisations[1], "ann"))
        self.users = [Principal(organisation, user, accounts.Role.MEMBER) for organisation, user in users]
        self.new_chat(0)

    @rule(user=st.integers(0, 2))
    def new_chat(self, user: int) -> None:
        chat = self.run(self.chats.create(self.users[user], ChatDraft()))
        self.told[chat.chat_id] = ToldChat(chat.chat_id, self.users[user])

    @precondition(lambda self: self.told)
    @rule(data=st.data(), cited=CITED, ending=ENDINGS)
    def ask_next(self, data: st.DataObject, cited: list[int], ending: str) -> None:
        chat = self.a_chat(data)
        answers = chat.of(Role.ASSISTANT)
        self.ask(chat, NewQuestion("next?"), answers[-1].message_id if answers else None, cited, ending)

    @precondition(lambda self: self.told)
    @rule(data=st.data(), cited=CITED, ending=ENDINGS)
    def ask_after_any(self, data: st.DataObject, cited: list[int], ending: str) -> None:
        chat = self.a_chat(data)
        parent = data.draw(st.sampled_from([None, *(each.message_id for each in chat.of(Role.ASSISTANT))]))
        self.ask(chat, NewQuestion("after?", parent_id=parent, follows_newest=False), parent, cited, ending)

    @precondition(lambda self: self.told)
    @rule(data=st.data(), cited=CITED, ending=ENDINGS)
    def edit(self, data: st.DataObject, cited: list[int], ending: str) -> None:
        chat = self.a_chat(data)
        if questions := chat.of(Role.USER):
            parent = data.draw(st.sampled_from(questions)).parent_id
            self.ask(chat, NewQuestion("edited?", parent_id=parent, follows_newest=False), parent, cited, ending)

    def ask(self, chat: ToldChat, new: NewQuestion, parent: str | None, cited: list[int], ending: str) -> None:
        self.teller.cited, self.teller.ending = cited, ending
        begun = self.run(self.begin_and_end(chat, self.exchanges.begin(chat.owner, chat.chat_id, new, "t")))
        chat.messages[begun.question.message_id] = Told(begun.question.message_id, parent, Role.USER, new.text)
        self.tell(chat, begun, cited, ending)

    @precondition(lambda self: self.told)
    @rule(data=st.data(), cited=CITED, ending=ENDINGS)
    def regenerate(self, data: st.DataObject, cited: list[int], ending: str) -> None:
        chat = self.a_chat(data)
        if answers := chat.of(Role.ASSISTANT):
            former = data.draw(st.sampled_from(answers)).message_id
            self.teller.cited, self.teller.ending = cited, ending
            begun = self.run(self.begin_and_end(chat, self.exchanges.begin_again(chat.owner, chat.chat_id, former, "", "t")))
            assert begun.question.message_id == chat.messages[former].parent_id
            self.tell(chat, begun, cited, ending)

    async def begin_and_end(self, chat: ToldChat, beginning: Coroutine[Any, Any, Exchange]) -> Exchange:
        self.teller.written = asyncio.Event()
        exchange = await beginning
        running = self.answering.begin(exchange)
        if self.teller.ending == "stop":
            await self.teller.written.wait()
            await self.answering.stop(chat.owner, chat.chat_id, exchange.answer.message_id)
        await running.over()
        return exchange

    def tell(self, chat: ToldChat, exchange: Exchange, cited: list[int], ending: str) -> None:
        """Let the oracle know of an answer, and hold what the model was told against it."""
        question_id = exchange.question.message_id
        leaned_on = [
            turn
            for question, answer in zip(*[iter(chat.path(chat.messages[question_id].parent_id))] * 2, strict=True)
            if answer.state is not MessageState.FAILED
            for turn in ((Role.USER, question.text), (Role.ASSISTANT, answer.text))
        ]
        assert self.teller.asked is not None
        assert [(turn.role, turn.text) for turn in self.teller.asked.history] == leaned_on
        text = f"On {exchange.question.text}: " + "".join(f"[{marker}]" for marker in range(1, len(cited) + 1))
        state = {"complete": MessageState.COMPLETE, "fail": MessageState.FAILED, "stop": MessageState.STOPPED}[ending]
        answer_id = exchange.answer.message_id
        chat.messages[answer_id] = Told(answer_id, question_id, Role.ASSISTANT, text, state, [f"p{number}" for number in cited])

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def read_any_branch(self, data: st.DataObject) -> None:
        chat = self.a_chat(data)
        if chat.messages:
            self.check_branch(chat, data.draw(st.sampled_from(list(chat.messages))))

    @precondition(lambda self: self.told)
    @rule(data=st.data(), shared=st.booleans())
    def share(self, data: st.DataObject, shared: bool) -> None:
        chat = self.a_chat(data)
        visibility = Visibility.ORGANISATION if shared else Visibility.PRIVATE
        self.run(self.chats.update(chat.owner, chat.chat_id, ChatChange(visibility=visibility)))
        chat.shared = shared

    @rule(number=st.integers(0, PASSAGES - 1))
    def delete_or_restore_a_document(self, number: int) -> None:
        self.library.hidden ^= {f"p{number}"}

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        chat = self.a_chat(data)
        self.run(self.chats.delete(chat.owner, chat.chat_id))
        del self.told[chat.chat_id]
        for user in self.users:
            assert self.listed(user, chat) is None

    @invariant()
    def every_chat_reads_as_it_was_told_and_only_to_those_who_may(self) -> None:
        for chat in self.told.values():
            for user in self.users:
                may_read = user == chat.owner or (chat.shared and user.organisation_id == chat.owner.organisation_id)
                listed = self.listed(user, chat)
                assert (listed is not None) == may_read
                if listed is not None:
                    self.check(chat, listed)
            if chat.messages:
                self.check_branch(chat, next(reversed(chat.messages)))

    def check(self, chat: ToldChat, listed: Sequence[Message]) -> None:
        assert [message.message_id for message in listed] == list(chat.messages)
        seen: dict[str | None, Role] = {None: Role.ASSISTANT}
        for message in listed:
            told = chat.messages[message.message_id]
            assert seen[message.parent_id] is not message.role, "a parent comes before its children and is of the other role"
            seen[message.message_id] = message.role
            assert (message.parent_id, message.role, message.text) == (told.parent_id, told.role, told.text)
            assert message.state is told.state
            cited = [(each.passage_id, each.available, bool(each.quote)) for each in message.citations]
            assert cited == [(one, one not in self.library.hidden, one not in self.library.hidden) for one in told.cited]

    def check_branch(self, chat: ToldChat, leaf: str) -> None:
        branch = self.listed(chat.owner, chat, leaf)
        assert branch is not None
        assert [message.message_id for message in branch] == [told.message_id for told in chat.path(leaf)]
        assert [message.role for message in branch] == [(Role.USER, Role.ASSISTANT)[place % 2] for place in range(len(branch))]

    def listed(self, user: Principal, chat: ToldChat, leaf: str = "") -> Sequence[Message] | None:
        """Every page of the chat, or None where ``user`` is told that there is none."""

        async def read() -> Sequence[Message] | None:
            found: list[Message] = []
            page = PAGE
            while True:
                try:
                    listing = await self.messages.list(user, chat.chat_id, page, leaf)
                except AppError as error:
                    if error.reason != "CHAT_NOT_FOUND":
                        raise
                    return None
                found += listing.items
                if not listing.next_token:
                    return found
                page = PageRequest(PAGE.size, listing.next_token)

        return self.run(read())

"""Answers over a WebSocket; docs/how-to/ask-over-a-websocket.md says which frames there are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog
from fastapi import APIRouter, WebSocket
from prometheus_client import Gauge
from starlette.websockets import WebSocketDisconnect

from gateway.domain.accounts import Principal
from gateway.domain.ask import Citation, Complete, Delta
from gateway.domain.conversation import Conversation
from gateway.domain.search import Found
from gateway.errors import gateway_stopping, socket_authenticated, socket_busy, socket_idle, socket_unauthenticated
from gateway.http.authentication import act_for
from gateway.http.problems import problem_of, to_app_error
from gateway.http.services import Services
from gateway.schemas.ask import to_answer, to_citation
from gateway.schemas.ask_frames import AuthFrame, ClearFrame, Frame, QueryFrame, StopFrame, read_frame
from gateway.schemas.search import to_result
from shared.errors import AppError
from shared.request_id import bind_request_id, current_request_id

router = APIRouter(prefix="/api/v1")
log = structlog.get_logger()
SOCKETS_OPEN = Gauge("lectern_ask_sockets_open", "WebSockets that ask")
_POLICY_VIOLATION: Final = 1008
_GOING_AWAY: Final = 1001


@router.websocket("/ask/ws")
async def ask_over_a_socket(websocket: WebSocket) -> None:
    """Serve one socket until either side closes it."""
    await websocket.accept()
    with SOCKETS_OPEN.track_inprogress():
        await _AskSocket(websocket).serve()


@dataclass(slots=True)
class _Answer:
    """The answer to one query, as far as it is written."""

    query: QueryFrame
    said: list[str] = field(default_factory=list)
    ended: bool = False
    writing: asyncio.Task[None] | None = None


class _AskSocket:
    """One conversation: frames are read one after the other, and at most one answer is being written."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._services: Services = websocket.app.state.services
        self._conversation = Conversation()
        self._answer: _Answer | None = None
        self._key = ""

    async def serve(self) -> None:
        """Until the client leaves, breaks a rule or is idle, or the gateway stops; nothing is left running."""
        stopping = asyncio.create_task(self._services.stopping.wait())
        reading = asyncio.create_task(self._read())
        try:
            await asyncio.wait({stopping, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await self._close(_GOING_AWAY, gateway_stopping())
        finally:
            await _cancelled(stopping, reading)
            await self._stop()

    async def _read(self) -> None:
        """Raises WebSocketDisconnect when the client leaves."""
        try:
            await self._authenticate()
            async with aclosing(self._frames()) as frames:
                async for frame in frames:
                    await self._handle(frame)
        except AppError as error:
            await self._close(_POLICY_VIOLATION, error)

    async def _authenticate(self) -> None:
        """Raises AppError API_KEY_MISSING or API_KEY_INVALID, or what is wrong with the first frame."""
        try:
            async with asyncio.timeout(self._services.settings.timeouts.socket_auth_seconds):
                frame = read_frame(await self._receive())
        except TimeoutError:
            raise socket_unauthenticated() from None
        if not isinstance(frame, AuthFrame):
            raise socket_unauthenticated()
        self._key = frame.key.get_secret_value()
        principal = await self._services.authenticator.authenticate(self._key)
        await self._send("AUTH", organisation_id=principal.organisation_id)

    async def _frames(self) -> AsyncGenerator[Frame, None]:
        """What the client sends, until it has been silent for too long; what is no frame is answered with an error."""
        while True:
            try:
                async with asyncio.timeout(self._services.settings.timeouts.socket_idle_seconds):
                    text = await self._receive()
            except TimeoutError:
                if self._is_answering():
                    continue
                await self._close(_GOING_AWAY, socket_idle())
                return
            try:
                yield read_frame(text)
            except AppError as error:
                await self._send("ERROR", problem=_problem(error))

    async def _handle(self, frame: Frame) -> None:
        """Raises AppError API_KEY_INVALID when the key was revoked in the meantime."""
        match frame:
            case QueryFrame() if self._is_answering():
                await self._send("ERROR", id=frame.id, problem=_problem(socket_busy()))
            case QueryFrame():
                principal = await self._services.authenticator.authenticate(self._key)
                self._answer = _Answer(frame)
                self._answer.writing = asyncio.create_task(self._write(principal, self._answer))
            case StopFrame():
                stopped = await self._stop()
                await self._send("ANSWER_STOP", id=self._answer.query.id if self._answer else "", stopped=stopped)
            case ClearFrame():
                await self._stop()
                self._conversation.clear()
                await self._send("CLEAR")
            case AuthFrame():
                await self._send("ERROR", problem=_problem(socket_authenticated()))

    def _is_answering(self) -> bool:
        return self._answer is not None and self._answer.writing is not None and not self._answer.writing.done()

    async def _stop(self) -> bool:
        """Stop the answer that is being written; whether there was one. What it said belongs to the conversation."""
        answer = self._answer
        if answer is None or answer.writing is None:
            return False
        await _cancelled(answer.writing)
        if answer.ended:
            return False
        answer.ended = True
        if answer.said:
            self._conversation.add(answer.query.question, "".join(answer.said))
        return True

    async def _write(self, principal: Principal, answer: _Answer) -> None:
        act_for(principal)
        bind_request_id(None)
        log.info("socket_asked", organisation_id=principal.organisation_id)
        with suppress(WebSocketDisconnect):
            try:
                await self._relay(principal, answer)
            except WebSocketDisconnect:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, the client gets one last event
                answer.ended = True
                await self._send_event(answer, "error", _problem(error))

    async def _relay(self, principal: Principal, answer: _Answer) -> None:
        query, trace_id = answer.query, current_request_id()
        asked = replace(query.to_question(self._services.settings.ask_passages), history=self._conversation.turns)
        question = await self._services.questions.prepare(principal, asked, query.assistant)
        async with aclosing(self._services.ask.stream(question)) as events:
            async for event in events:
                match event:
                    case Found():
                        await self._send_event(answer, "metadata", to_result(event, trace_id).model_dump(mode="json"))
                    case Delta(text):
                        answer.said.append(text)
                        await self._send_event(answer, "delta", {"text": text})
                    case Citation():
                        await self._send_event(answer, "citation", to_citation(event).model_dump(mode="json"))
                    case Complete():
                        answer.ended = True
                        self._conversation.add(query.question, event.answer)
                        await self._send_event(answer, "complete", to_answer(event, trace_id).model_dump(mode="json"))

    async def _receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        return message.get("text") or ""

    async def _send_event(self, answer: _Answer, event: str, data: dict[str, Any]) -> None:
        await self._send("ANSWER", id=answer.query.id, event=event, data=data)

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._websocket.send_text(json.dumps({"type": kind, **fields}, ensure_ascii=False))

    async def _close(self, code: int, error: AppError) -> None:
        with suppress(WebSocketDisconnect):
            await self._send("ERROR", problem=_problem(error))
            await self._websocket.close(code, error.reason)


def _problem(error: Exception) -> dict[str, Any]:
    return problem_of(to_app_error(error)).model_dump(mode="json")


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel ``tasks`` and wait for their ends, however they end: the client is told, or has left."""
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError, WebSocketDisconnect):
            await task

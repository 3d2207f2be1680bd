"""What a token of an answer costs the generator: many streams at once from a scripted endpoint, through the service over gRPC.

Endpoint, generator and clients are processes of their own; the generator's CPU time is divided by the tokens that it passed on.
Every stream is compared with what the endpoint wrote: nothing may be lost, doubled or out of order.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import uvicorn

from bench.ports import free_port
from lectern.generator.v1 import generation_pb2, generation_pb2_grpc
from shared.caller import Caller
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import acting_for, open_channel

ROOT = Path(__file__).resolve().parents[1]
TOKENS = [f"word{number} " for number in range(200)]
TEXT = "".join(TOKENS).strip()
PASSAGES = [generation_pb2.SourcePassage(passage_id="p", text="Five days carry over.", score=0.9)]

Send = Callable[[dict[str, Any]], Awaitable[None]]


def endpoint(tokens_per_second: float, burst: int) -> Callable[[dict[str, Any], Any, Send], Awaitable[None]]:
    """An endpoint that writes `TOKENS`, ``burst`` of them at a time; at 0 a second as fast as it can."""
    head = 'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    chunks = [f'{head}"delta":{{"content":"{token}"}},"finish_reason":null}}]}}\n\n'.encode() for token in TOKENS]
    end = f'{head}"delta":{{}},"finish_reason":"stop"}}]}}\n\ndata: [DONE]\n\n'.encode()
    pause = burst / tokens_per_second if tokens_per_second else 0.0

    async def application(_scope: dict[str, Any], receive: Any, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        due = time.monotonic()
        for start in range(0, len(chunks), burst):
            await send({"type": "http.response.body", "body": b"".join(chunks[start : start + burst]), "more_body": True})
            due += pause
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await send({"type": "http.response.body", "body": end})

    return application


async def stream(stub: Any, rpc: str) -> tuple[int, float]:
    """Messages of one stream, and the seconds until the first."""
    began, first, texts, messages = time.monotonic(), 0.0, [], 0
    if rpc == "answer":
        call = stub.Answer(generation_pb2.AnswerRequest(question="How many days carry over?", passages=PASSAGES), timeout=120)
    else:
        turn = generation_pb2.Turn(role=generation_pb2.TURN_ROLE_USER, text="How many days carry over?")
        call = stub.Complete(generation_pb2.CompleteRequest(messages=[turn]), timeout=120)
    async for event in call:
        first = first or time.monotonic() - began
        messages += 1
        texts.append(event.delta.text)
    if "".join(texts).strip() != TEXT:
        raise SystemExit("A token was lost, doubled or moved.")
    return messages, first


async def run(target: str, key: str, streams: int, rpc: str) -> tuple[list[int], list[float]]:
    async with open_channel(target, CallerSigner(key.encode())) as channel:
        with acting_for(Caller("org", "service:bench")):
            stub = generation_pb2_grpc.GenerationServiceStub(channel)
            results = await asyncio.gather(*(stream(stub, rpc) for _ in range(streams)))
    return [messages for messages, _ in results], [first for _, first in results]


def measure(arguments: argparse.Namespace, target: str, key: str, process: psutil.Process) -> None:
    asyncio.run(run(target, key, 4, arguments.rpc))  # what is imported and connected at the first call is none of a token's cost
    before, began = process.cpu_times(), time.monotonic()
    messages, firsts = asyncio.run(run(target, key, arguments.streams, arguments.rpc))
    after = process.cpu_times()
    tokens = arguments.streams * len(TOKENS)
    cpu = (after.user - before.user) + (after.system - before.system)
    print(
        f"{arguments.rpc}, {arguments.streams} streams, {tokens} tokens in {time.monotonic() - began:.1f} s: "
        f"{cpu / tokens * 1e6:.0f} us of the generator's CPU a token, {sum(messages) / tokens:.2f} messages a token, "
        f"first text p50 {statistics.median(firsts) * 1000:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rpc", choices=["answer", "complete"], default="answer")
    parser.add_argument("--tokens-per-second", type=float, default=20.0, help="of each stream; 0: as fast as it goes")
    parser.add_argument("--burst", type=int, default=1, help="tokens that the endpoint writes at once")
    parser.add_argument("--endpoint-port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.endpoint_port:
        uvicorn.run(
            endpoint(arguments.tokens_per_second, arguments.burst), port=arguments.endpoint_port, log_level="critical", lifespan="off"
        )
        return
    port, target, key = free_port(), f"127.0.0.1:{free_port()}", secrets.token_hex(32)
    environment = os.environ | {
        "LECTERN_INTERNAL_KEY": key,
        "LECTERN_LOG_LEVEL": "warning",
        "LECTERN_GENERATOR_LISTEN": target,
        "LECTERN_GENERATOR_OPENAI__BASE_URL": f"http://127.0.0.1:{port}/v1",
        "LECTERN_GENERATOR_OPENAI__MODEL": "m",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}",
    }
    scripted = subprocess.Popen(
        [sys.executable, "-m", "bench.generator", *sys.argv[1:], "--endpoint-port", str(port)], cwd=ROOT, env=environment
    )
    generator = subprocess.Popen([sys.executable, "-m", "generator"], cwd=ROOT, env=environment)
    try:
        asyncio.run(_wait(target, port))
        measure(arguments, target, key, psutil.Process(generator.pid))
    finally:
        for process in (generator, scripted):
            process.terminate()
            process.wait(30)


async def _wait(target: str, port: int) -> None:
    for address in (int(target.rpartition(":")[2]), port):
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", address)
                except OSError:
                    await asyncio.sleep(0.1)
                else:
                    writer.close()
                    break


if __name__ == "__main__":
    main()

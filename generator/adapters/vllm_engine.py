"""vLLM's engine: how it is started, asked and kept quiet. vLLM itself is imported when a model is started and not before."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import structlog

from generator import errors
from generator.adapters.vllm_tokenizer import ChatTokenizer
from generator.domain.health import ModelCannotStart
from generator.domain.model_source import ModelSource
from shared.errors import AppError

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

log = structlog.get_logger()
_GIB = 1 << 30
_RETRY_AFTER_SECONDS = 2.0

Dtype = Literal["auto", "float16", "bfloat16", "float32"]


class RequestRefused(Exception):  # noqa: N818  # the caller knows what it asked for
    """The engine does not take these parameters, such as a schema that its grammars cannot say."""


@dataclass(frozen=True, slots=True)
class VllmSpec:
    """What to run and how.

    Attributes:
        model: a folder, or a name in the local cache of the model hub.
        window_tokens: of prompt and answer together.
        max_running: texts that are written at once.
        max_concurrent: texts that are written or wait; the engine refuses more.
        gpu_memory_share: of each GPU, for weights and key-value cache.
        cpu_cache_gib: memory of the key-value cache on a CPU.
        template_arguments: what the chat template is told besides the messages.
    """

    model: str
    dtype: Dtype
    window_tokens: int
    max_running: int
    max_concurrent: int
    gpus: int
    gpu_memory_share: float
    cpu_cache_gib: int
    temperature: float
    template_arguments: Mapping[str, Any]


def started_engine(name: str, spec: VllmSpec) -> AsyncLLM:
    """Load the model of ``spec`` into an engine process of its own. Blocks from seconds to many minutes.

    Raises:
        ModelCannotStart: with what to change.
    """
    folder = Path(spec.model)
    if folder.is_absolute() and not (folder / "config.json").is_file():
        raise ModelCannotStart(name, f"there is no model in {folder}: it needs a config.json, the weights and the tokenizer")
    _log_through_ours()
    try:
        from vllm.config import StructuredOutputsConfig  # noqa: PLC0415
        from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415  # not installed where no model runs in process
        from vllm.platforms import current_platform  # noqa: PLC0415
        from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415
    except ImportError as error:
        message = f"vLLM is not installed here ({error.name} is missing); see docs/how-to/choose-a-language-model.md for its environment"
        raise ModelCannotStart(name, message) from error
    on_cpu: dict[str, Any] = {"kv_cache_memory_bytes": spec.cpu_cache_gib * _GIB, "enforce_eager": True}
    on_gpu: dict[str, Any] = {"gpu_memory_utilization": spec.gpu_memory_share, "tensor_parallel_size": spec.gpus}
    try:
        engine = AsyncLLM.from_engine_args(
            AsyncEngineArgs(
                model=spec.model,
                served_model_name=name,
                dtype=spec.dtype,
                max_model_len=spec.window_tokens,
                max_num_seqs=spec.max_running,
                max_num_queued_reqs=spec.max_concurrent,
                enable_log_requests=False,
                use_tqdm_on_load=False,
                trust_remote_code=False,
                # The folder's own defaults of sampling would change answers behind the operator's back.
                generation_config="vllm",
                # Between the parts of a JSON text models may else write white space without end.
                structured_outputs_config=StructuredOutputsConfig(backend="xgrammar", disable_any_whitespace=True),
                **(on_cpu if current_platform.is_cpu() else on_gpu),
            )
        )
    except Exception as error:
        _log_through_ours()
        lines = str(error).splitlines() or [type(error).__name__]
        raise ModelCannotStart(name, lines[0][:500]) from error
    _log_through_ours()
    if not ChatTokenizer(engine.get_tokenizer(), {}).has_template:
        engine.shutdown()
        raise ModelCannotStart(name, f"{spec.model} has no chat template; use the model's variant for chats, often called instruct")
    return engine


def sampling(max_tokens: int, temperature: float, json_schema: str) -> SamplingParams:
    """What one request asks of the engine: pieces of text as they come, held to ``json_schema`` if there is one."""
    from vllm import SamplingParams  # noqa: PLC0415
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams  # noqa: PLC0415

    held_to = StructuredOutputsParams(json=json_schema) if json_schema else None
    return SamplingParams(max_tokens=max_tokens, temperature=temperature, output_kind=RequestOutputKind.DELTA, structured_outputs=held_to)


@contextmanager
def engine_errors(source: ModelSource) -> Iterator[None]:
    """Make the engine's errors ours. None of its texts is passed on: they may repeat the prompt.

    Raises:
        RequestRefused: the request's parameters are at fault.
        AppError: the engine is full, failed, or died.
    """
    from vllm.exceptions import QueueOverflowError, VLLMClientError  # noqa: PLC0415
    from vllm.v1.engine.exceptions import EngineDeadError  # noqa: PLC0415

    try:
        yield
    except AppError:
        raise
    except QueueOverflowError:
        raise errors.model_busy(source, retry_after_seconds=_RETRY_AFTER_SECONDS) from None
    except EngineDeadError:
        raise errors.model_died(source) from None
    except (VLLMClientError, ValueError) as error:
        raise RequestRefused from error
    except Exception as error:
        log.exception("model_failed", model=source.name)
        raise errors.model_failed(source, type(error).__name__) from None


def _log_through_ours() -> None:
    """Let what vLLM says in this process take the form of our lines, and only its errors."""
    logger = logging.getLogger("vllm")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.ERROR)

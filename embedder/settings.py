"""The embedder's settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, SecretStr, Tag, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from shared.settings import ServiceSettings, SettingsGroup

Precision = Literal["auto", "fp32", "bf16", "int8"]
_MODEL_NAME = r"^[A-Za-z0-9][\w.-]{0,63}$"


def _from_json(value: object) -> object:
    """A JSON text as what it says; the fault of one that is none stands among the others."""
    return json.loads(value) if isinstance(value, str) else value


class ModelSettings(SettingsGroup):
    """One entry of `EmbedderSettings.models`."""

    name: Annotated[str, Field(pattern=_MODEL_NAME, description="What requests call the model.")]
    folder: Annotated[
        str, Field(min_length=1, description="As `EmbedderSettings.model`; a reranker's is any sequence classifier of one label.")
    ]
    kind: Annotated[Literal["embedding", "reranker"], Field(description="What it is asked for.")] = "embedding"
    precision: Annotated[Precision, Field(description="As `EmbedderSettings.precision`; a reranker runs in fp32 or bf16.")] = "auto"
    query_prefix: Annotated[str | None, Field(description="Put before each query instead of the folder's own prompt.")] = None
    passage_prefix: Annotated[str | None, Field(description="Put before each passage instead of the folder's own prompt.")] = None

    @model_validator(mode="after")
    def _rerankers_are_not_quantised(self) -> Self:
        if self.kind == "reranker" and self.precision == "int8":
            raise ValueError(f"{self.name}: a reranker runs in fp32 or bf16")
        return self


class RemoteModelSettings(SettingsGroup):
    """One entry of `EmbedderSettings.models` that another server runs, with an interface like OpenAI's for embeddings."""

    name: Annotated[str, Field(pattern=_MODEL_NAME, description="What requests call the model.")]
    url: Annotated[
        str,
        Field(
            pattern=r"^https?://[^\s/@?#]+/[^\s?#]*$", description="Of the embeddings, `https://host/v1/embeddings`; may be a private one."
        ),
    ]
    api_key: Annotated[SecretStr, Field(description="Sent as a bearer token; empty: none.")] = SecretStr("")
    remote_model: Annotated[str, Field(min_length=1, max_length=256, description="What the server calls the model.")]
    dimension: Annotated[
        int | None, Field(ge=1, le=8192, description="Elements that its vectors must have; left out: as the first that it gives.")
    ] = None
    tokenizer: Annotated[Path | None, Field(description="Its `tokenizer.json`; left out: the packaged model's counts instead.")] = None
    max_length_tokens: Annotated[int, Field(ge=16, le=1_000_000, description="Longer texts are cut there, by that tokenizer's count.")] = (
        512
    )
    batch_texts: Annotated[int, Field(ge=1, le=2048, description="Texts of one request at most.")] = 64
    batch_tokens: Annotated[int, Field(ge=16, description="Tokens of one request at most; a longer text goes alone.")] = 16_384
    requests: Annotated[int, Field(ge=1, le=64, description="Requests under way at once.")] = 4
    request_seconds: Annotated[float, Field(gt=0, le=600, description="One request.")] = 60.0
    query_prefix: Annotated[str | None, Field(description="Put before each query.")] = None
    passage_prefix: Annotated[str | None, Field(description="Put before each passage.")] = None


def _form(entry: object) -> str:
    """Whether an entry is of a folder or of another server."""
    is_remote = "url" in entry if isinstance(entry, dict) else isinstance(entry, RemoteModelSettings)
    return "remote" if is_remote else "folder"


AnyModelSettings = Annotated[
    Annotated[ModelSettings, Tag("folder")] | Annotated[RemoteModelSettings, Tag("remote")],
    Discriminator(_form),
]


def _uniquely_named(models: tuple[AnyModelSettings, ...]) -> tuple[AnyModelSettings, ...]:
    names = [model.name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"more than one model is called {', '.join(twice)}")
    return models


class EmbedderSettings(ServiceSettings):
    """Everything that the embedder can be told. Sizes in tokens count the model's own tokens."""

    model_config = SettingsConfigDict(env_prefix="LECTERN_EMBEDDER_")

    listen: Annotated[str, Field(description="Address of the gRPC server, host:port.")] = "127.0.0.1:8082"
    tei_listen: Annotated[
        str, Field(pattern=r"^(.+:\d{1,5})?$", description="Address for clients of text-embeddings-inference, host:port; empty: none.")
    ] = ""
    tei_token: Annotated[SecretStr, Field(description="Bearer token that those clients send; empty: they need none.")] = SecretStr("")
    milvus_uri: Annotated[str, Field(description="Where Milvus or Milvus Lite answers.")] = "http://127.0.0.1:8084"
    milvus_token: Annotated[SecretStr, Field(description="`user:password` or an API key of Milvus; empty for none.")] = SecretStr("")
    index_alias: Annotated[
        str, Field(pattern=r"^[A-Za-z_]\w{0,63}$", description="Alias in Milvus that leads to the current collection of passages.")
    ] = "passages"
    model: Annotated[
        str,
        Field(
            description="The current model, which new passages and queries use: a folder in sentence-transformers layout, `minilm` for the "
            "packaged model, or the name of one of `LECTERN_EMBEDDER_MODELS`."
        ),
    ] = "minilm"
    models: Annotated[
        tuple[AnyModelSettings, ...],
        NoDecode,
        BeforeValidator(_from_json),
        AfterValidator(_uniquely_named),
        Field(
            description="Further models, loaded when they are first asked for: a JSON list of objects; see `docs/how-to/choose-a-model.md`."
        ),
    ] = ()
    models_memory_mib: Annotated[
        int, Field(ge=0, description="What all loaded models together may hold; 0: half of the memory of the device that they run on.")
    ] = 0
    query_prefix: Annotated[str | None, Field(description="Put before each query instead of the model folder's own prompt.")] = None
    passage_prefix: Annotated[str | None, Field(description="Put before each passage instead of the model folder's own prompt.")] = None
    device: Annotated[
        str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Where the model runs; `auto`: the first GPU, or CPU.")
    ] = "auto"
    engine: Annotated[
        Literal["auto", "openvino", "torch"],
        Field(description="What runs the model. `auto`: OpenVINO on a CPU where it is installed and agrees with PyTorch, else PyTorch."),
    ] = "auto"
    precision: Annotated[
        Precision,
        Field(
            description="`auto` multiplies in bfloat16 where the chip can and this model's vectors keep a cosine of 0.9999 to float32. "
            "`int8` is faster still and loses a little: OpenVINO only."
        ),
    ] = "auto"
    cache_folder: Annotated[
        Path, Field(description="Where converted models are kept, so that only the first start of a model converts it.")
    ] = Path("~/.cache/lectern/embedder")
    threads: Annotated[int, Field(ge=0, le=256, description="CPU threads for the model; 0: one a core.")] = 0
    batch_tokens: Annotated[
        int, Field(ge=0, description="Padded tokens in one batch; 0: what suits the device. On CPU small batches stay in the cache.")
    ] = 0
    queue_tokens: Annotated[
        int,
        Field(
            ge=1024,
            description="Tokens that may wait in each lane; more is refused or held back. One organisation alone gets half of them.",
        ),
    ] = 2_000_000
    stall_seconds: Annotated[
        float,
        Field(
            ge=1,
            description="A batch that takes so long, and 20 times what its size suggests, means a device that hangs: the process ends.",
        ),
    ] = 120.0

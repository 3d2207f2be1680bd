"""The embedder's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


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
    model: Annotated[str, Field(description="Folder in sentence-transformers layout, or `minilm` for the packaged model.")] = "minilm"
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
        Literal["auto", "fp32", "bf16", "int8"],
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

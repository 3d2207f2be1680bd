"""The embedder's settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class EmbedderSettings(ServiceSettings):
    """Everything that the embedder can be told. Sizes in tokens count the model's own tokens."""

    model_config = SettingsConfigDict(env_prefix="LECTERN_EMBEDDER_")

    listen: Annotated[str, Field(description="Address of the gRPC server, host:port.")] = "127.0.0.1:8082"
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
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Field(description="`auto` multiplies in bfloat16 where the chip can and this model's vectors keep a cosine of 0.9999 to float32."),
    ] = "auto"
    threads: Annotated[int, Field(ge=0, le=256, description="CPU threads for one batch; 0: one a core.")] = 0
    batch_tokens: Annotated[int, Field(ge=16, description="Padded tokens in one batch. On CPU small batches stay in the cache.")] = 2048
    queue_tokens: Annotated[int, Field(ge=1024, description="Tokens that may wait in each lane; more is refused or held back.")] = 2_000_000

"""What the gateway can be told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from gateway.domain.api_keys import KEY_FORM, parse_key
from shared.settings import ServiceSettings, SettingsGroup

MIB = 1024 * 1024
_ENCRYPTION_KEY = re.compile(r"([A-Za-z0-9_-]{1,64}):([0-9a-fA-F]{64})")


class Limits(SettingsGroup):
    """What one request may bring, and how many may be in work."""

    max_json_bytes: Annotated[int, Field(ge=1024, description="Largest JSON body.")] = 32 * MIB
    max_upload_bytes: Annotated[int, Field(ge=1024, description="Largest multipart upload.")] = 512 * MIB
    max_batch_bytes: Annotated[int, Field(ge=1024, description="Largest NDJSON batch.")] = 2048 * MIB
    max_line_bytes: Annotated[int, Field(ge=1024, le=8 * MIB, description="Longest line of an NDJSON batch.")] = 1_000_000
    max_concurrent_requests: Annotated[int, Field(ge=1, description="Requests in work at once; more are refused with 503.")] = 1024


class Timeouts(SettingsGroup):
    """How long the gateway waits for others, in seconds."""

    body_seconds: Annotated[float, Field(gt=0, description="Silence in the middle of a request's body after which it is given up.")] = 60.0
    rpc_seconds: Annotated[float, Field(gt=0, description="One call to another service.")] = 30.0
    upload_seconds: Annotated[float, Field(gt=0, description="Handing one upload or one batch to the ingestor.")] = 900.0
    answer_seconds: Annotated[float, Field(gt=0, description="One answer, from the first word to the last.")] = 180.0
    embed_seconds: Annotated[float, Field(gt=0, description="One request for embeddings, waiting for its turn included.")] = 300.0
    wait_seconds: Annotated[float, Field(gt=0, description="How long `?wait=true` waits before it answers 202.")] = 60.0
    watch_seconds: Annotated[float, Field(gt=0, description="Longest stream of job events.")] = 3600.0
    heartbeat_seconds: Annotated[float, Field(gt=0, description="Silence on an event stream after which a comment is sent.")] = 15.0
    resume_seconds: Annotated[
        float, Field(ge=0, description="How long an answer in a chat goes on without a reader, and how long its events can be read again.")
    ] = 15.0
    socket_auth_seconds: Annotated[float, Field(gt=0, description="How long a new WebSocket may take to send its key.")] = 10.0
    socket_idle_seconds: Annotated[
        float, Field(gt=0, description="Silence on a WebSocket, with no answer being written, after which it is closed.")
    ] = 3600.0
    drain_seconds: Annotated[float, Field(ge=0, description="How long requests in work may take to end after SIGTERM.")] = 20.0


def _parse_keys(keys: SecretStr | None) -> dict[str, bytes]:
    parts = keys.get_secret_value().split(",") if keys else []
    forms = [_ENCRYPTION_KEY.fullmatch(part.strip()) for part in parts]
    named = {form.group(1): bytes.fromhex(form.group(2)) for form in forms if form}
    if len(named) < len(parts):
        raise ValueError("each key must look like <id>:<64 hex digits>, with an id of its own; `openssl rand -hex 32` makes the digits")
    return named


class GatewaySettings(ServiceSettings):
    """Settings of the gateway, from ``LECTERN_GATEWAY_*``."""

    model_config = SettingsConfigDict(env_prefix="LECTERN_GATEWAY_")

    listen: Annotated[str, Field(pattern=r"^.+:\d{1,5}$", description="Address and port of the HTTP server; port 0 picks one.")] = (
        "127.0.0.1:8080"
    )
    database_url: Annotated[SecretStr, Field(description="Postgres DSN; the gateway owns the schema `accounts`.")]
    database_connections: Annotated[int, Field(ge=1, le=100, description="Most connections to Postgres.")] = 8
    ingestor_target: Annotated[str, Field(description="Address of the ingestor, as gRPC names it.")] = "127.0.0.1:8081"
    embedder_target: Annotated[str, Field(description="Address of the embedder, as gRPC names it.")] = "127.0.0.1:8082"
    generator_target: Annotated[str, Field(description="Address of the generator, as gRPC names it.")] = "127.0.0.1:8083"
    bootstrap_api_key: Annotated[
        SecretStr | None,
        Field(description="When there is no organisation yet, `default` is created with this operator key: `lk_<prefix>_<secret>`."),
    ] = None
    key_cache_seconds: Annotated[
        float, Field(ge=0, le=60, description="How long another gateway process may still accept a key that was revoked.")
    ] = 5.0
    search_history_days: Annotated[int, Field(ge=0, le=3650, description="How long a user's searches are kept; 0 keeps none.")] = 90
    search_history_entries: Annotated[int, Field(ge=0, description="How many of a user's searches are kept; 0 keeps none.")] = 1000
    ask_passages: Annotated[int, Field(ge=1, le=50, description="Passages that an answer may rest on.")] = 10
    encryption_keys: Annotated[
        SecretStr | None,
        Field(
            description="Keys that seal the secrets of organisations: `<id>:<64 hex digits>`, with commas in between. The first seals, "
            "all open; without any, one that is made from the internal key."
        ),
    ] = None
    assistants_file: Annotated[
        Path | None,
        Field(description="YAML file of the assistants that every organisation has; without one, those that come with Lectern."),
    ] = None
    mcp_hosts: Annotated[
        tuple[str, ...],
        Field(description='Host headers that /mcp answers, as JSON: `["lectern.example:*"]`; none: all, since every request needs a key.'),
    ] = ()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()

    def key_encryption_keys(self) -> dict[str, bytes]:
        """The keys of ``encryption_keys`` by their ids, in their order."""
        return _parse_keys(self.encryption_keys)

    @field_validator("encryption_keys")
    @classmethod
    def _are_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        _parse_keys(keys)
        return keys

    @field_validator("bootstrap_api_key")
    @classmethod
    def _well_formed(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and parse_key(key.get_secret_value()) is None:
            raise ValueError(f"the key must look like {KEY_FORM}")
        return key

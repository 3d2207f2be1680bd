"""What callers of the ingestor may be told, beside `shared.errors.not_found` and its like."""

from __future__ import annotations

from collections.abc import Mapping

from shared.errors import AppError, Status, invalid_argument


def collection_exists(name: str) -> AppError:
    return AppError(
        "COLLECTION_EXISTS",
        Status.ALREADY_EXISTS,
        f"There is already a collection {name!r}. Use it, or choose another name.",
        {"name": name},
    )


def unknown_filter_field(field: str, nearest: str) -> AppError:
    return invalid_argument("UNKNOWN_FILTER_FIELD", f"There is no filter field {field!r}; the nearest is {nearest!r}.", field="filter")


def wrong_filter_value(field: str, expected: str) -> AppError:
    return invalid_argument("WRONG_FILTER_VALUE", f"{field!r} can only be compared with {expected}.", field="filter")


def malformed_filter(message: str) -> AppError:
    return invalid_argument("MALFORMED_FILTER", message, field="filter")


def job_not_cancellable() -> AppError:
    return AppError(
        "JOB_NOT_CANCELLABLE",
        Status.FAILED_PRECONDITION,
        "A purge cannot be cancelled: what was deleted must leave every store.",
    )


def document_too_large(limit_bytes: int) -> AppError:
    limit = f"{limit_bytes / 1024**2:,.0f} MiB" if limit_bytes >= 1024**2 else f"{limit_bytes:,} bytes"
    return invalid_argument("DOCUMENT_TOO_LARGE", f"A document may have at most {limit}. Split it, or raise the limit.")


def duplicate_id(identity: str, first: int, second: int) -> AppError:
    return invalid_argument(
        "DUPLICATE_ID",
        f"Entries {first} and {second} of the batch are both {identity!r}. Give each document once.",
        field=f"entries[{second - 1}]",
    )


def reconciliation_running() -> AppError:
    return AppError(
        "RECONCILIATION_RUNNING",
        Status.ABORTED,
        "The index of this organisation is being mended by another call or by the daily run. Try again when that has ended.",
        retry_after_seconds=60.0,
    )


def rebuild_running() -> AppError:
    return AppError(
        "REBUILD_RUNNING",
        Status.ABORTED,
        "The index is being rebuilt already. `lectern reindex --follow` shows how far it is.",
        retry_after_seconds=60.0,
    )


def passages_rejected(rejected: Mapping[str, str]) -> AppError:
    passage_id, reason = next(iter(rejected.items()))
    message = f"The embedding model could not embed {len(rejected)} passages, the first being {passage_id} ({reason}). Change its document."
    return AppError("PASSAGES_REJECTED", Status.FAILED_PRECONDITION, message, {"passage_id": passage_id})


def stage_stalled(stage: str, seconds: float) -> AppError:
    return AppError("STAGE_STALLED", Status.INTERNAL, f"Work in stage {stage} made no progress for {seconds:g} s and was given up.")


def services_only() -> AppError:
    return AppError("SERVICES_ONLY", Status.PERMISSION_DENIED, "Only a service may rebuild the index: it concerns every organisation.")


def stream_cut() -> AppError:
    return invalid_argument(
        "STREAM_CUT", "The stream ended before its last message, so nothing of it was kept. Send it again.", field="last"
    )


def nul_character() -> AppError:
    return invalid_argument("NUL_CHARACTER", "Text may not hold the character U+0000. Remove it and send the request again.")


def pages_too_large() -> AppError:
    return AppError(
        "PAGES_TOO_LARGE",
        Status.FAILED_PRECONDITION,
        "The pages of this document are together too large for one reply. Read its passages instead.",
    )


def content_lost(reason: str, message: str) -> AppError:
    """The store gave back something else than what was put in, or nothing at all."""
    return AppError(reason, Status.DATA_LOSS, message)


def schema_outdated(found: str | None, wanted: str, command: str) -> AppError:
    return AppError(
        "DATABASE_SCHEMA_OUTDATED",
        Status.FAILED_PRECONDITION,
        f"The database has version {found or 'none'} of the schema `library`, and this program needs {wanted}. Run `{command}`.",
    )

"""What the server answers with."""

from lectern_client.models.accounts import (
    ApiKey,
    EmbeddingModel,
    EmbeddingModels,
    LanguageModel,
    LanguageModels,
    NewApiKey,
    NewOrganisation,
    Organisation,
)
from lectern_client.models.assistants import Assistant
from lectern_client.models.collections import Collection, CollectionDeleted
from lectern_client.models.documents import BatchUploaded, DeletionReceipt, Document, DocumentState, Page, Uploaded
from lectern_client.models.jobs import JOB_ENDED, Job, JobDocument, JobFailure, JobState, JobStep
from lectern_client.models.providers import Provider, ProviderModel
from lectern_client.models.reconciliation import DriftCount, ReconcileReport
from lectern_client.models.reindexing import IndexRebuild
from lectern_client.models.search import (
    Answer,
    AskCitation,
    AskComplete,
    AskDelta,
    AskEvent,
    AskMetadata,
    Citation,
    DocumentGroup,
    Hit,
    Passage,
    PassageInContext,
    SearchResult,
    SectionGroup,
)

__all__ = [
    "JOB_ENDED",
    "Answer",
    "ApiKey",
    "AskCitation",
    "AskComplete",
    "AskDelta",
    "AskEvent",
    "AskMetadata",
    "Assistant",
    "BatchUploaded",
    "Citation",
    "Collection",
    "CollectionDeleted",
    "DeletionReceipt",
    "Document",
    "DocumentGroup",
    "DocumentState",
    "DriftCount",
    "EmbeddingModel",
    "EmbeddingModels",
    "Hit",
    "IndexRebuild",
    "Job",
    "JobDocument",
    "JobFailure",
    "JobState",
    "JobStep",
    "LanguageModel",
    "LanguageModels",
    "NewApiKey",
    "NewOrganisation",
    "Organisation",
    "Page",
    "Passage",
    "PassageInContext",
    "Provider",
    "ProviderModel",
    "ReconcileReport",
    "SearchResult",
    "SectionGroup",
    "Uploaded",
]

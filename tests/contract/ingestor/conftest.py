"""The services as their callers see them, over the ingestor that the integration tests start."""

from tests.integration.ingestor.conftest import library, logging, shared_library

__all__ = ["library", "logging", "shared_library"]

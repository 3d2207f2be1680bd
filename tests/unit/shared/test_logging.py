from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.logging import configure_logging
from shared.request_id import bind_request_id, current_request_id


@pytest.fixture(autouse=True)
def logging_is_put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_lines_are_json_with_the_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("example", level="info", style="json")
    bind_request_id("abc-1")
    structlog.get_logger().info("something_happened", items=3)
    line = json.loads(capsys.readouterr().err)
    assert {"event": "something_happened", "items": 3, "request_id": "abc-1", "service": "example", "level": "info"}.items() <= line.items()


def test_values_under_secret_names_are_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("example", level="info", style="json")
    structlog.get_logger().info("key_used", api_key="hunter2", Authorization="Bearer hunter2")
    assert "hunter2" not in capsys.readouterr().err


def test_the_standard_library_logs_through_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("example", level="info", style="json")
    logging.getLogger("other").warning("from %s", "elsewhere")
    assert json.loads(capsys.readouterr().err)["event"] == "from elsewhere"


def test_a_traceback_shows_no_variables(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("example", level="info", style="json")
    password = "hunter"
    try:
        int(password)
    except ValueError:
        structlog.get_logger().exception("it_failed")
    line = capsys.readouterr().err
    assert "test_a_traceback_shows_no_variables" in line
    assert "locals" not in line


@pytest.mark.parametrize("offered", [None, "", "x" * 65, "a b", "a\nb", "é"])
def test_a_malformed_request_id_is_replaced(offered: str | None) -> None:
    made = bind_request_id(offered)
    assert made != offered
    assert current_request_id() == made

"""The picture in docs/architecture.md, held to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL_LIBRARIES = ("torch", "transformers", "vllm", "tokenizers")
MAX_LINES = 400
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.mark.parametrize("module", ["gateway.server", "ingestor.server", "generator.server", "lectern_cli.main"])
def test_importing_a_service_without_models_loads_no_model_library(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in {MODEL_LIBRARIES} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("service", ["gateway", "ingestor", "embedder", "generator"])
def test_every_service_has_the_same_rooms(service: str) -> None:
    faces = "routes" if service == "gateway" else "servicers"
    for name in ("__main__.py", "settings.py", "server.py", "convert.py", "errors.py", "README.md", faces, "domain", "adapters"):
        assert (ROOT / service / name).exists(), f"{service}/{name}"


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked("*.py")
        if not GENERATED.search(path.name) and (lines := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "base"}
    assert [path for path in tracked("*.py") if path.stem in vague] == []


def test_only_settings_modules_read_the_environment() -> None:
    readers = re.compile(r"\bos\.(environ|getenv)\b")
    services = ("gateway/", "ingestor/", "embedder/", "generator/")
    found = [
        path
        for path in tracked("*.py")
        if str(path.relative_to(ROOT)).startswith(services) and path.name != "settings.py" and readers.search(path.read_text())
    ]
    assert found == []


def test_every_path_that_the_architecture_page_names_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([a-z_]+/[\w./-]*)`", page))
    named -= {"servicers/", "routes/", "domain/", "adapters/"}  # rooms of every service, checked above
    assert named, "the page names no paths"
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_no_link_between_pages_is_broken() -> None:
    link = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
    links = [(page, target) for page in tracked("*.md") for target in link.findall(page.read_text())]
    assert [f"{page.relative_to(ROOT)} -> {target}" for page, target in links if not (page.parent / target).exists()] == []


def test_requirements_carry_hashes_and_no_index_addresses() -> None:
    for path in tracked("requirements/*.txt"):
        text = path.read_text()
        assert "://" not in text, path
        for line in text.splitlines():
            if re.match(r"^[a-z0-9].*==", line) and path.stem != "constraints":
                assert line.endswith("\\"), f"{path.name}: {line} has no hash"

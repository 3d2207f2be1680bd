"""What the supervisor says about itself, in a file that anybody may read at any time."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from deploy.laptop.child import ProcessIdentity

# The supervisor writes at least every few seconds; a file older than this is of one that hangs.
STALE_SECONDS = 30.0


class State(StrEnum):
    """How a service stands."""

    WAITING = "WAITING"  # for the services that it needs
    STARTING = "STARTING"  # its process runs and does not answer as ready yet
    READY = "READY"
    ILL = "ILL"  # it was ready, its process runs, and now it says that it can't work or doesn't answer
    RESTARTING = "RESTARTING"  # its process ended; another follows
    FAILED = "FAILED"  # it ends again and again; another try follows, after a longer pause each time
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    DONE = "DONE"  # a task that ended well


@dataclass(slots=True)
class ServiceReport:
    """How one service or task stands.

    Attributes:
        url: where it can be reached; empty for tasks.
        process: its process; None when none runs.
        restarts: processes started after the first.
        since: when its state last changed, in seconds since the epoch.
        message: what it waits for or what is wrong, with the fix; empty when all is well.
        ready_seconds: time from the start of its process until it was ready; None before.
        log: its log file.
        log_tail: the log's last lines, when it failed.
    """

    log: str
    url: str = ""
    state: State = State.WAITING
    process: ProcessIdentity | None = None
    restarts: int = 0
    since: float = field(default_factory=time.time)
    message: str = ""
    ready_seconds: float | None = None
    log_tail: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        return self.state in {State.READY, State.DONE}

    def as_json(self) -> dict[str, Any]:
        values = asdict(self)
        process = values.pop("process")
        return {**values, "pid": process and process["pid"], "started": process and process["started"]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ServiceReport:
        values = dict(values)
        pid, started = values.pop("pid"), values.pop("started")
        process = None if pid is None else ProcessIdentity(pid, started)
        return cls(**{**values, "state": State(values["state"]), "process": process})


@dataclass(slots=True)
class StackReport:
    """How the whole stack stands.

    Attributes:
        written: when this was written, in seconds since the epoch.
    """

    home: str
    url: str
    supervisor: ProcessIdentity
    services: dict[str, ServiceReport]
    tasks: dict[str, ServiceReport]
    written: float = 0.0

    @property
    def healthy(self) -> bool:
        return bool(self.services) and all(part.well for part in self.parts.values())

    @property
    def parts(self) -> dict[str, ServiceReport]:
        """Services and tasks together."""
        return {**self.services, **self.tasks}

    @property
    def stale(self) -> bool:
        return time.time() - self.written > STALE_SECONDS

    def processes(self) -> list[ProcessIdentity]:
        """The supervisor's children."""
        return [part.process for part in self.parts.values() if part.process is not None]

    def as_json(self) -> dict[str, Any]:
        return {
            "home": self.home,
            "url": self.url,
            "healthy": self.healthy,
            "supervisor": asdict(self.supervisor),
            "written": self.written,
            "services": {name: part.as_json() for name, part in self.services.items()},
            "tasks": {name: part.as_json() for name, part in self.tasks.items()},
        }

    def write(self, path: Path) -> None:
        """Replace the file in one step, so that a reader sees the old or the new."""
        self.written = time.time()
        unfinished = path.with_suffix(".new")
        unfinished.write_text(json.dumps(self.as_json(), indent=1))
        unfinished.replace(path)

    @classmethod
    def read(cls, path: Path) -> StackReport | None:
        """What the last supervisor wrote, whether or not it still runs; None when there is nothing readable."""
        try:
            values = json.loads(path.read_text())
            return cls(
                home=values["home"],
                url=values["url"],
                supervisor=ProcessIdentity(**values["supervisor"]),
                services={name: ServiceReport.from_json(part) for name, part in values["services"].items()},
                tasks={name: ServiceReport.from_json(part) for name, part in values["tasks"].items()},
                written=values["written"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

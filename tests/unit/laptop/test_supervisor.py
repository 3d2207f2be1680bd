from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.laptop.errors import LaptopError
from deploy.laptop.home import Home
from deploy.laptop.report import ServiceReport, StackReport, State
from deploy.laptop.supervisor import only_one
from tests.unit.laptop.conftest import SERVICE, Programmes, Supervised, Until


def _pid(part: ServiceReport) -> int:
    assert part.process is not None
    return part.process.pid


@pytest.fixture
def deaf_to_interrupts() -> Iterator[None]:
    """What a shell does to a command that it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


async def test_a_service_starts_only_when_what_it_needs_is_ready(programmes: Programmes, supervised: Supervised) -> None:
    programmes.say("store", "still loading")
    async with supervised(programmes.service("store"), programmes.service("api", "store")) as stack:
        waiting = await stack.until("store", lambda part: "loading" in part.message)
        assert waiting.state is State.STARTING
        assert stack.part("api").state is State.WAITING
        assert stack.part("api").message == "Waits for store."
        programmes.say("store", "ready")
        await stack.until("api", lambda part: part.state is State.READY)
    assert programmes.events()[:2] == ["store began", "api began"]


async def test_a_killed_service_comes_back_and_the_restart_is_counted(programmes: Programmes, supervised: Supervised) -> None:
    async with supervised(programmes.service("api")) as stack:
        first = _pid(await stack.until("api", lambda part: part.state is State.READY))
        os.kill(first, signal.SIGKILL)
        again = await stack.until("api", lambda part: part.restarts == 1 and part.state is State.READY)
    assert _pid(again) != first
    assert programmes.events().count("api began") == 2


async def test_a_crash_loop_is_shown_with_the_last_lines_of_the_log_and_heals_when_its_cause_is_gone(
    programmes: Programmes, supervised: Supervised
) -> None:
    cause = programmes.folder / "cause"
    cause.touch()
    script = f"import os\nif os.path.exists({str(cause)!r}):\n    print('no room on the disk', flush=True); raise SystemExit(7)\n"
    spec = programmes.service("api", script=script + SERVICE)
    async with supervised(spec) as stack:
        failed = await stack.until("api", lambda part: part.state is State.FAILED)
        assert failed.log_tail[-1] == "no room on the disk"
        assert "status 7" in failed.message
        assert "`lectern logs api`" in failed.message
        cause.unlink()
        healed = await stack.until("api", lambda part: part.state is State.READY)
        assert healed.message == ""
        assert healed.log_tail == []


async def test_a_service_that_refuses_its_settings_is_failed_at_once(programmes: Programmes, supervised: Supervised) -> None:
    script = "print('LECTERN_X: there is no such setting', flush=True); raise SystemExit(2)"
    async with supervised(programmes.service("api", script=script)) as stack:
        failed = await stack.until("api", lambda part: part.state is State.FAILED)
        assert failed.restarts == 0
        assert "Its settings are wrong" in failed.message
        assert failed.log_tail == ["LECTERN_X: there is no such setting"]


async def test_a_programme_that_does_not_exist_leaves_the_others_running(programmes: Programmes, supervised: Supervised) -> None:
    missing = replace(programmes.service("ghost"), command=["/nowhere/ghost"])
    async with supervised(missing, programmes.service("api")) as stack:
        failed = await stack.until("ghost", lambda part: part.state is State.FAILED)
        assert failed.log_tail[-1] == "/nowhere/ghost cannot be run: No such file or directory."
        await stack.until("api", lambda part: part.state is State.READY)


async def test_a_service_that_says_it_cannot_work_is_ill_but_is_left_running(programmes: Programmes, supervised: Supervised) -> None:
    async with supervised(programmes.service("api")) as stack:
        pid = _pid(await stack.until("api", lambda part: part.state is State.READY))
        programmes.say("api", "the disk is full")
        ill = await stack.until("api", lambda part: part.state is State.ILL)
        assert ill.message == "the disk is full"
        programmes.say("api", "ready")
        well = await stack.until("api", lambda part: part.state is State.READY)
        assert _pid(well) == pid
        assert well.restarts == 0


async def test_a_hung_service_is_killed_and_started_again(programmes: Programmes, supervised: Supervised) -> None:
    async with supervised(programmes.service("api")) as stack:
        pid = _pid(await stack.until("api", lambda part: part.state is State.READY))
        os.kill(pid, signal.SIGSTOP)
        await stack.until("api", lambda part: part.restarts == 1 and part.state is State.READY)
    assert not psutil.pid_exists(pid)


async def test_a_task_is_done_once_and_what_needs_it_waits(programmes: Programmes, supervised: Supervised) -> None:
    migrate = "import sys; open(sys.argv[1] + '/events', 'a').write('migrated\\n')"
    specs = programmes.service("store"), programmes.task("migrations", migrate, "store"), programmes.service("api", "migrations")
    async with supervised(*specs) as stack:
        api = await stack.until("api", lambda part: part.state is State.READY)
        assert stack.part("migrations").state is State.DONE
        os.kill(_pid(api), signal.SIGKILL)
        await stack.until("api", lambda part: part.restarts == 1 and part.state is State.READY)
    assert programmes.events()[:4] == ["store began", "migrated", "api began", "api began"]


async def test_a_task_that_fails_keeps_what_needs_it_from_starting(programmes: Programmes, supervised: Supervised) -> None:
    async with supervised(programmes.task("migrations", "raise SystemExit(1)"), programmes.service("api", "migrations")) as stack:
        await stack.until("migrations", lambda part: part.state is State.FAILED)
        assert stack.part("api").state is State.WAITING
    assert programmes.events() == []


async def test_services_are_stopped_gracefully_each_after_those_that_need_it(programmes: Programmes, supervised: Supervised) -> None:
    specs = programmes.service("store"), programmes.service("middle", "store"), programmes.service("api", "middle")
    async with supervised(*specs) as stack:
        await stack.until("api", lambda part: part.state is State.READY)
    assert [event for event in programmes.events() if event.endswith("ended")] == ["api ended", "middle ended", "store ended"]
    assert stack.part("api").state is State.STOPPED


async def test_a_service_that_does_not_end_when_asked_is_killed(programmes: Programmes, supervised: Supervised) -> None:
    deaf = SERVICE.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    async with supervised(programmes.service("api", script=deaf, stop_seconds=0.3)) as stack:
        pid = _pid(await stack.until("api", lambda part: part.state is State.READY))
    assert not psutil.pid_exists(pid)
    assert "api ended" not in programmes.events()


async def test_a_supervisor_that_a_shell_made_deaf_to_interrupts_can_still_interrupt_its_children(
    programmes: Programmes, supervised: Supervised, deaf_to_interrupts: None
) -> None:
    polite = SERVICE.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)").replace(
        "while True:",
        "if signal.getsignal(signal.SIGINT) is signal.default_int_handler:\n    signal.signal(signal.SIGINT, end)\nwhile True:",
    )
    spec = replace(programmes.service("api", script=polite), stop_signal=signal.SIGINT)
    async with supervised(spec) as stack:
        await stack.until("api", lambda part: part.state is State.READY)
    assert "api ended" in programmes.events()


async def test_what_a_dead_service_had_started_does_not_outlive_it(programmes: Programmes, supervised: Supervised, until: Until) -> None:
    spawn = (
        "import subprocess, sys, pathlib\n"
        "worker = subprocess.Popen([sys.executable, '-S', '-E', '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path(sys.argv[1], 'worker').write_text(str(worker.pid))\n"
    )
    async with supervised(programmes.service("api", script=spawn + SERVICE)) as stack:
        api = await stack.until("api", lambda part: part.state is State.READY)
        worker = psutil.Process(int((programmes.folder / "worker").read_text()))
        os.kill(_pid(api), signal.SIGKILL)
        await until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def test_only_one_supervisor_can_run_over_a_home(home: Home) -> None:
    with only_one(home.lock), pytest.raises(LaptopError) as refused, only_one(home.lock):
        pass
    assert refused.value.reason == "ALREADY_RUNNING"
    with only_one(home.lock):
        pass


async def test_a_report_survives_its_file(programmes: Programmes, supervised: Supervised, home: Home) -> None:
    async with supervised(programmes.service("api")) as stack:
        await stack.until("api", lambda part: part.state is State.READY)
        report = StackReport.read(home.report)
    assert report is not None
    assert report.healthy
    assert report.supervisor.pid == os.getpid()
    values = report.as_json()
    assert values["services"]["api"]["state"] == "READY"
    assert values["services"]["api"]["pid"] == _pid(report.services["api"])
    assert values["services"]["api"]["url"] == "test://api"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"home": 1}', '{"services": {"api": {"state": "ODD"}}}'])
def test_a_report_that_cannot_be_read_counts_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "supervisor.json"
    path.write_text(content)
    assert StackReport.read(path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")
async def test_children_die_with_a_killed_supervisor(programmes: Programmes, home: Home, until: Until) -> None:
    script = f"""
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {str(Path.cwd())!r})
from deploy.laptop.home import Home
from deploy.laptop.probes import NotReadyError
from deploy.laptop.runner import ServiceSpec
from deploy.laptop.supervisor import Supervisor

async def never():
    raise NotReadyError("")

spec = ServiceSpec("api", {list(programmes.service("api").command)!r}, {{}}, never)
asyncio.run(Supervisor(Home(Path({str(home.path)!r})), "", [spec]).run(asyncio.Event()))
"""
    supervisor = subprocess.Popen([sys.executable, "-c", script])  # noqa: ASYNC220  # returns at once
    try:
        await until(lambda: "api began" in programmes.events())
        report = StackReport.read(home.report)
        assert report is not None
        child = report.services["api"].process
        assert child is not None
        assert child.find() is not None
    finally:
        supervisor.kill()
        supervisor.wait()
    await until(lambda: child.find() is None)
    await until(lambda: "api ended" in programmes.events())

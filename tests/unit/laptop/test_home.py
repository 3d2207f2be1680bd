from __future__ import annotations

import stat
from pathlib import Path

from deploy.laptop.child import last_lines, open_log
from deploy.laptop.home import Home
from gateway.domain.api_keys import parse_key


def test_keys_are_made_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    first = home.admin_key.read_text(), home.internal_key.read_text()
    for key in (home.admin_key, home.internal_key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    home.create()
    assert (home.admin_key.read_text(), home.internal_key.read_text()) == first


def test_the_first_key_has_the_form_that_the_gateway_takes(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    assert parse_key(home.admin_key.read_text().strip()) is not None
    assert len(home.internal_key.read_text().strip()) >= 32


def test_a_key_that_others_could_read_is_closed_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    home.admin_key.chmod(0o644)
    home.create()
    assert stat.S_IMODE(home.admin_key.stat().st_mode) == 0o600


def test_an_empty_key_left_by_a_crash_is_made_anew(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    home.admin_key.write_text("")
    home.create()
    assert parse_key(home.admin_key.read_text().strip()) is not None


def test_logs_are_put_aside_when_they_are_large_and_the_newest_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    for number in range(6):
        with open_log(path, rotate_bytes=10, keep=3) as log:
            log.write(f"life {number}, long enough\n".encode())
    kept = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert kept == {
        "api.log": "life 5, long enough\n",
        "api.log.1": "life 4, long enough\n",
        "api.log.2": "life 3, long enough\n",
        "api.log.3": "life 2, long enough\n",
    }


def test_a_small_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    for word in ("one", "two"):
        with open_log(tmp_path / "api.log") as log:
            log.write(f"{word}\n".encode())
    assert last_lines(tmp_path / "api.log", 5) == ["one", "two"]


def test_the_last_lines_of_a_long_log_are_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    path.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert last_lines(path, 2, window_bytes=100) == ["line 9998", "line 9999"]
    assert last_lines(tmp_path / "none.log", 2) == []

"""The demo's clock moves only in a demo, and all processes see it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot import service as service_module
from bot.clock import wall_time
from bot.errors import ConfigurationError, InputError
from bot.privacy import keys
from bot.service import Service, advance_clock, open_service, start_demo_clock
from bot.settings import Settings
from bot.storage.database import Database, open_database
from tests.journeys.world import ROOT, World


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    """Settings of a service of its own."""
    path = tmp_path / "keys.json"
    keys.write(path, keys.generate())
    return Settings.model_validate(
        {
            "database_url": sqlite_url,
            "voiceback_keys": path,
            "voiceback_flows": ROOT / "flows",
            "voiceback_locales": ROOT / "locales",
        }
    )


def opened(settings: Settings) -> Service:
    """The heart, as a process opens it."""
    return open_service(settings)


def test_outside_a_demo_time_cannot_be_moved(sqlite_world: World) -> None:
    with pytest.raises(ConfigurationError):
        advance_clock(sqlite_world.service, timedelta(hours=1))


def test_a_move_is_seen_by_every_process_and_never_goes_back(settings: Settings) -> None:
    database = open_database(settings.database_url)
    start_demo_clock(database)
    start_demo_clock(database)
    database.dispose()
    one, other = opened(settings), opened(settings)
    advance_clock(one, timedelta(hours=8))
    later = opened(settings)
    ahead = later.clock.now() - wall_time()
    assert timedelta(hours=7, minutes=59) < ahead < timedelta(hours=8, minutes=1)
    for wrong in (timedelta(hours=-1), timedelta(days=401)):
        with pytest.raises(InputError):
            advance_clock(other, wrong)
    for service in (one, other, later):
        service.database.dispose()


def test_a_demo_whose_database_is_away_for_a_moment_keeps_its_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else every window that has passed in the demo would be open again for that moment.
    monkeypatch.setattr(service_module, "_REREAD_SECONDS", -1.0)
    database = open_database(settings.database_url)
    start_demo_clock(database)
    service = opened(settings)
    advance_clock(service, timedelta(hours=8))
    assert service.clock.now() - wall_time() > timedelta(hours=7)
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE heartbeat RENAME TO away")
    assert service.clock.now() - wall_time() > timedelta(hours=7)
    for each in (database, service.database):
        each.dispose()


def test_threads_that_ask_a_demos_time_together_read_it_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(settings.database_url)
    start_demo_clock(database)
    service = opened(settings)
    together = threading.Barrier(8)
    reads: list[Database] = []
    read = service_module._offset

    def counted(of: Database) -> float | None:
        reads.append(of)
        # From here on nobody has to read again; what was read before is too old for everybody.
        monkeypatch.setattr(service_module, "_REREAD_SECONDS", 3600.0)
        return read(of)

    def ask(_: int) -> datetime:
        together.wait(30)
        return service.clock.now()

    monkeypatch.setattr(service_module, "_offset", counted)
    monkeypatch.setattr(service_module, "_REREAD_SECONDS", -1.0)
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(ask, range(8)))) == 8
    assert len(reads) == 1
    for each in (database, service.database):
        each.dispose()


def test_a_database_behind_the_code_stops_the_start(settings: Settings, tmp_path: Path) -> None:
    empty = settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/empty.db"})
    with pytest.raises(ConfigurationError, match="db upgrade"):
        opened(empty)

"""Shifts by upload: whole calendars go in, half ones do not, and what they would do is shown before."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from bot.audits import calendars, factories
from bot.audits.calendars import Upload
from bot.audits.importing import bring_in
from bot.audits.upload import read
from bot.callbacks.shifts import to_list
from bot.clock import FrozenClock
from bot.errors import FileRejected
from bot.flow.catalog import Catalogs
from bot.flow.library import Library
from bot.privacy.keys import Keyring
from bot.privacy.seal import Sealer
from bot.service import Service
from bot.settings import Settings
from bot.storage.database import open_database
from bot.storage.tables import AccessLog, Callback, table
from tests.journeys.world import Worker, upload

HEADER = "client,factory,country,days,from,until,valid_from,valid_until\n"
BLUE = "Brand A,Blue Works,ID"


@pytest.fixture
def works(
    sqlite_url: str,
    ring: Keyring,
    sealer: Sealer,
    frozen_clock: FrozenClock,
    real_flows: Library,
    real_catalogs: Catalogs,
) -> Iterator[Service]:
    """A service with one factory, of whose two workers one is called in the evening and one in the morning."""
    database = open_database(sqlite_url)
    service = Service(
        settings=Settings.model_validate({}),
        database=database,
        keyring=ring,
        sealer=sealer,
        clock=frozen_clock,
        library=real_flows,
        catalogs=real_catalogs,
    )
    workers = [Worker(), Worker(number="+6281200000002", alias="W-2", preferred_time="morning")]
    bring_in(service, read(io.BytesIO(upload(workers).encode())))
    yield service
    database.dispose()


def gathered(service: Service, rows: str, header: str = HEADER) -> Upload:
    """What an upload of these rows states."""
    with service.database.read() as connection:
        return calendars.gather(connection, calendars.read(io.BytesIO((header + rows).encode())))


def words(service: Service) -> list[str]:
    """The shifts of the factory."""
    with service.database.read() as connection:
        return [shift.words() for shift in factories.find(connection, "Blue Works").shifts]


def codes(found: Upload) -> list[tuple[int, str | None, str]]:
    """Where something is wrong, and what."""
    return [(error.line, error.column, error.code) for error in found.errors]


def test_the_rows_of_a_factory_take_the_place_of_its_shifts(works: Service) -> None:
    rows = f"{BLUE},mon-fri,07:00,16:00,,\n{BLUE},Saturday,7:00,12:00,2026-03-01,\n"
    found = gathered(works, rows)
    assert found.errors == ()
    calendars.bring_in(works, found)
    assert words(works) == ["Mon Tue Wed Thu Fri 07:00-16:00", "Sat 07:00-12:00, from 2026-03-01"]
    calendars.bring_in(works, gathered(works, f"{BLUE},,22:00,06:00,,\n"))
    assert words(works) == ["Every day 22:00-06:00"]
    calendars.bring_in(works, gathered(works, f"{BLUE},,,,,\n"))
    assert words(works) == []


@pytest.mark.parametrize(
    ("days", "meant"),
    [
        ("mon-fri", "mon tue wed thu fri"),
        ("Sat, Sun", "sat sun"),
        ("fri–mon", "fri sat sun mon"),
        ("Monday Wednesday - Friday", "mon wed thu fri"),
        ("", "mon tue wed thu fri sat sun"),
    ],
)
def test_days_may_be_written_loosely(works: Service, days: str, meant: str) -> None:
    (calendar,) = gathered(works, f'{BLUE},"{days}",07:00,16:00,,\n').calendars
    assert set(calendars._days(days)) == set(meant.split())
    assert calendar.shifts


@pytest.mark.parametrize(
    ("row", "column", "code"),
    [
        (f"{BLUE},funday,07:00,16:00,,", "days", "days"),
        (f"{BLUE},mon,7 o'clock,16:00,,", "from", "value"),
        (f"{BLUE},mon,07:00,,,", "until", "value"),
        (f"{BLUE},mon,07:00,16:00,soon,", "valid_from", "shifts"),
        (f"{BLUE},mon,07:00,16:00,2026-03-02,2026-03-01", "valid_until", "shifts"),
        ("Brand A,Blue Works,Atlantis,mon,07:00,16:00,,", "country", "unknown_country"),
        ("Brand A,Red Works,ID,mon,07:00,16:00,,", "factory", "unknown_factory"),
        (f"{BLUE},,,,,", "from", "shifts"),
    ],
)
def test_a_factory_with_a_wrong_row_stays_as_it_was(works: Service, row: str, column: str, code: str) -> None:
    found = gathered(works, f"{BLUE},mon,06:00,14:00,,\n{row}\n")
    assert (column, code) in [(each[1], each[2]) for each in codes(found)]
    assert [each.factory for each in found.calendars] == (
        ["Blue Works"] if "Red" in row or "Atl" in row else []
    )
    assert not any("funday" in error.message or "Atlantis" in error.message for error in found.errors)


def test_a_row_that_does_not_tell_its_factory_stops_the_whole_file(works: Service) -> None:
    found = gathered(works, f"{BLUE},mon,06:00,14:00,,\nBrand A,,ID,tue,07:00,16:00,,\n")
    assert codes(found) == [(3, "factory", "required")]
    assert found.calendars == ()


def test_a_column_that_nobody_knows_is_left_out_with_a_remark(works: Service) -> None:
    found = gathered(works, f"{BLUE},mon,06:00,14:00,,,x\n", HEADER.strip() + ",dayz\n")
    assert codes(found) == [(1, "I", "unknown_column")]
    assert found.is_whole
    assert len(found.calendars) == 1


def test_a_file_without_the_columns_is_refused() -> None:
    with pytest.raises(FileRejected, match="Missing: from, until"):
        calendars.read(io.BytesIO(b"client,factory\nBrand A,Blue Works\n"))


def test_a_preview_changes_nothing_and_tells_whose_call_moves(works: Service) -> None:
    found = gathered(works, f"{BLUE},,06:00,12:00,,\n")
    with works.database.read() as connection:
        before = connection.execute(table(Callback).select()).all()
        (effect,), complete = calendars.effects(connection, found.calendars, works.clock.now())
        assert connection.execute(table(Callback).select()).all() == before
    assert (effect.callbacks, effect.moved, effect.lost, complete) == (2, 0, 0, True), (
        "windows chosen at the interview"
    )
    assert words(works) == []


def test_what_was_read_can_be_written_and_read_again(works: Service) -> None:
    found = gathered(works, f"{BLUE},mon-fri,07:00,16:00,,\n{BLUE},sat,07:00,12:00,2026-03-01,2026-06-30\n")
    text = calendars.write(found.calendars)
    (again,) = gathered(works, "", text).calendars
    assert to_list(again.shifts) == to_list(found.calendars[0].shifts)


def test_who_changed_the_shifts_of_a_factory_is_logged(works: Service) -> None:
    calendars.bring_in(works, gathered(works, f"{BLUE},mon,06:00,14:00,,\n"))
    with works.database.read() as connection:
        rows = connection.execute(table(AccessLog).select()).all()
    assert [(row.action, row.object_kind) for row in rows][-1] == ("set_shifts", "factory")

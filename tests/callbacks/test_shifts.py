"""The hours of work at a factory, as a file states them and as the wall clock shows them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from bot.audits import factories
from bot.callbacks.preference import Window
from bot.callbacks.shifts import at_work, from_list, to_list
from bot.errors import InputError
from tests.journeys.world import Worker, World

WEEK = """
- {days: [mon, tue, wed, thu, fri], from: 07:00, until: "16:00"}
- {days: sat, from: "07:00", until: "12:00", valid_from: 2026-03-01, valid_until: "2026-06-30"}
- {from: "22:00", until: "06:00"}
"""


def test_shifts_survive_being_written_and_read() -> None:
    shifts = from_list(yaml.safe_load(WEEK))
    assert from_list(yaml.safe_load(yaml.safe_dump(to_list(shifts)))) == shifts
    assert [shift.words() for shift in shifts] == [
        "Mon Tue Wed Thu Fri 07:00-16:00",
        "Sat 07:00-12:00, from 2026-03-01, until 2026-06-30",
        "Every day 22:00-06:00",
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("mon: 7", "list"),
        ("- {from: '07:00'}", "shift 1"),
        ("- {from: '07:00', until: '25:00'}", "shift 1: until"),
        ("- {from: '07:00', until: '16:00', days: monday}", "days"),
        ("- {from: '07:00', until: '16:00', days: []}", "days"),
        ("- {from: '07:00', until: '16:00', line: 3}", "line"),
        ("- {from: '07:00', until: '16:00', valid_from: soon}", "valid_from"),
        ("- {from: '07:00', until: '16:00', valid_from: 2026-03-01, valid_until: 2026-02-01}", "valid_until"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused_and_named(text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        from_list(yaml.safe_load(text))


def test_a_shift_lasts_by_the_wall_clock_through_summer_time() -> None:
    zone = ZoneInfo("America/New_York")
    (night,) = from_list(yaml.safe_load("- {days: sat, from: '22:00', until: '06:00'}"))
    # In the night to 8 March 2026 an hour is left out there; in that to 1 November one happens twice.
    for day, hours in ((date(2026, 3, 7), 7), (date(2026, 10, 31), 9), (date(2026, 3, 14), 8)):
        (window,) = at_work((night,), day, zone)
        assert window.end - window.start == timedelta(hours=hours)
    assert at_work((night,), date(2026, 3, 8), zone) == [
        Window(datetime(2026, 3, 8, 3, tzinfo=UTC), datetime(2026, 3, 8, 10, tzinfo=UTC))
    ], "the night before reaches into the day"


def test_shifts_of_a_factory_move_the_calls_of_those_who_did_not_choose_their_window(
    sqlite_world: World, tmp_path: Path
) -> None:
    world = sqlite_world
    world.interviewed(
        Worker(preferred_time="afternoon"),
        Worker(number="+6281200000002", alias="W-2", role="comparison", preferred_time="afternoon"),
    )
    changed = factories.set_shifts(
        world.service, "Blue Works", from_list(yaml.safe_load("- {from: '07:00', until: '16:00'}"))
    )
    assert changed == 2
    chose, did_not = world.callbacks()
    assert chose["due_at"] == "2026-03-02T09:00:00+00:00", "16:00, which is now, in her own window"
    assert did_not["due_at"] == "2026-03-02T09:00:00+00:00"
    factories.set_shifts(
        world.service, "Blue Works", from_list(yaml.safe_load("- {from: '07:00', until: '16:30'}"))
    )
    assert [each["due_at"][11:16] for each in world.callbacks()] == ["09:00", "09:30"]


def test_a_factory_that_is_not_known_is_told_with_a_suggestion(sqlite_world: World) -> None:
    sqlite_world.interviewed(Worker())
    with sqlite_world.service.database.read() as connection:
        with pytest.raises(InputError, match="Blue Works"):
            factories.find(connection, "Blue Work")
        (found,) = factories.listed(connection, 10)
        assert factories.find(connection, found.id) == found
    sqlite_world.interviewed(Worker(number="+6281200000003"), client="Brand B")
    with (
        sqlite_world.service.database.read() as connection,
        pytest.raises(InputError, match="one of their ids"),
    ):
        factories.find(connection, "Blue Works")

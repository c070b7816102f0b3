"""A client's year is rehearsed with a handful of workers, by the command that an operator types."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from bot import tick
from bot.callbacks.states import AttemptState
from bot.storage import tables
from bot.storage.tables import table
from rehearsal import timekeeper
from rehearsal.population import FACTORIES, WORKERS, Fate, Size, population
from tests.journeys.world import ROOT, Worker, World

FIRST_DAY = datetime(2026, 3, 2, tzinfo=UTC).date()


def simulate(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start the command in a folder of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "simulate", "--json", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"DATABASE_URL": f"sqlite:///{folder / 'operators.db'}", "TMPDIR": str(folder)},
    )


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path, int]:
    """What the command printed about twelve workers, where it ran, and its exit code."""
    folder = tmp_path_factory.mktemp("year")
    process = simulate(folder, "--workers", "12", "--factories", "2", "--days", "2", "--seed", "3")
    printed, _ = process.communicate(timeout=120)
    return json.loads(printed), folder, process.returncode


def test_a_rehearsed_year_keeps_every_promise(outcome: tuple[dict[str, Any], Path, int]) -> None:
    found, _, code = outcome
    assert code == 0
    assert found["finished"]
    assert found["broken"] == []
    assert (found["double_dials"], found["outside_window"], found["lost"]) == (0, 0, 0)
    assert found["in_window_percent"] == 100.0


def test_every_worker_of_the_year_is_called_and_what_is_reported_becomes_a_case(
    outcome: tuple[dict[str, Any], Path, int],
) -> None:
    found, _, _ = outcome
    assert found["callbacks"] == found["workers"] == 12
    assert sum(found["states"].values()) == 12
    assert found["reached"] > 0
    assert found["cases"] == sum(found["cases_by_severity"].values()) == 1
    assert found["calls_at_provider"] == sum(found["dispositions"].values()) == sum(found["aapor"].values())


def test_a_rehearsal_leaves_nothing_behind_and_never_touches_the_operators_database(
    outcome: tuple[dict[str, Any], Path, int],
) -> None:
    _, folder, _ = outcome
    assert list(folder.iterdir()) == []


def test_what_the_make_believe_world_costs_is_shown_apart(outcome: tuple[dict[str, Any], Path, int]) -> None:
    found, _, _ = outcome
    assert {"web", "workers", "clock", "redis", "simulator", "rehearsal"} == set(found["cpu"])


def test_an_interrupted_rehearsal_tells_what_was_done_so_far(tmp_path: Path) -> None:
    process = simulate(tmp_path, "--workers", "40", "--factories", "4")
    assert process.stderr is not None
    assert b"workers done" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not json.loads(printed)["finished"]
    assert list(tmp_path.iterdir()) == []


def test_a_rehearsal_refuses_a_database_that_is_in_use(tmp_path: Path, sqlite_url: str) -> None:
    process = simulate(tmp_path, "--workers", "1", "--database-url", sqlite_url)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert b"empty one of its own" in said


# --- the people ---------------------------------------------------------------------------------


def test_a_year_has_the_reports_of_a_real_one() -> None:
    visits = population(Size(), 1, FIRST_DAY)
    people = [person for visit in visits for person in visit.people]
    assert (len(people), len(visits)) == (WORKERS, FACTORIES)
    assert sum(person.fate is Fate.REPORTS for person in people) == 244
    assert len({person.number for person in people}) == WORKERS


def test_the_same_seed_makes_the_same_year() -> None:
    size = Size(200, 5, 30)
    assert population(size, 7, FIRST_DAY) == population(size, 7, FIRST_DAY)
    assert population(size, 7, FIRST_DAY) != population(size, 8, FIRST_DAY)


def test_there_is_no_factory_without_a_worker() -> None:
    with pytest.raises(ValueError, match="factory"):
        population(Size(2, 3, 10), 1, FIRST_DAY)


def test_the_clock_stands_still_for_what_is_to_be_dialled(sqlite_world: World) -> None:
    to_be_called(sqlite_world)
    assert looked(sqlite_world).busy
    list(tick.beat(sqlite_world.service))
    assert looked(sqlite_world).busy


def test_while_a_telephone_rings_the_clock_stays_within_the_window_of_that_call(sqlite_world: World) -> None:
    to_be_called(sqlite_world)
    list(tick.beat(sqlite_world.service))
    now_is(sqlite_world, AttemptState.PLACED)
    found = looked(sqlite_world)
    (row,) = sqlite_world.rows(tables.Attempt)
    assert not found.busy
    assert not found.is_over
    assert found.not_beyond is not None
    assert found.not_beyond < row.window_end


def test_who_talks_is_given_four_hours_at_most_and_no_silence_that_would_end_the_talk(
    sqlite_world: World,
) -> None:
    to_be_called(sqlite_world)
    list(tick.beat(sqlite_world.service))
    now_is(sqlite_world, AttemptState.ANSWERED)
    (row,) = sqlite_world.rows(tables.Attempt)
    assert looked(sqlite_world).not_beyond == row.claimed_at + timekeeper.LONGEST_CALL
    given_up_at = row.claimed_at + timedelta(hours=1)
    talking(sqlite_world, row.id, given_up_at)
    found = looked(sqlite_world)
    assert found.not_beyond is not None
    assert found.not_beyond < given_up_at


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("to", "not_beyond", "minutes"),
    [
        (NOON + timedelta(minutes=20), None, 30),
        (NOON + timedelta(hours=9), None, 540),
        (NOON + timedelta(hours=9), NOON + timedelta(minutes=59), 30),
        (NOON + timedelta(hours=9), NOON + timedelta(minutes=29), 0),
        (NOON + timedelta(hours=9), NOON - timedelta(minutes=29), 0),
    ],
)
def test_the_clock_goes_to_the_half_hour_after_what_is_due_or_as_far_as_it_may(
    to: datetime, not_beyond: datetime | None, minutes: int
) -> None:
    assert timekeeper.move(NOON, to, not_beyond) == timedelta(minutes=minutes)


def to_be_called(world: World) -> None:
    """A worker whose time has come."""
    world.interviewed(Worker(number="+6281200000001"))
    world.at("2026-03-02T18:01:00+07:00")


def talking(world: World, attempt_id: str, given_up_at: datetime) -> None:
    """The talk of an attempt goes on, and would be given up at an instant."""
    written = {"channel": "voice", "line": "", "language": "id", "state": "open"}
    flow = {"flow": "callback", "revision": "1", "session_sealed": b"", "sprint": "1"}
    timer = {"timer_at": given_up_at, "timer_kind": "expire"}
    times = {"started_at": given_up_at, "updated_at": given_up_at}
    with world.service.database.write() as connection:
        connection.execute(
            insert(table(tables.Conversation)).values(
                id="talk", attempt_id=attempt_id, **written, **flow, **timer, **times
            )
        )


def now_is(world: World, state: AttemptState) -> None:
    """All attempts come to a state."""
    with world.service.database.write() as connection:
        connection.execute(update(table(tables.Attempt)).values(state=state))


def looked(world: World) -> timekeeper.View:
    """What a rehearsal sees of this world."""
    with world.service.database.read() as connection:
        return timekeeper.look(connection, world.service.clock.now())

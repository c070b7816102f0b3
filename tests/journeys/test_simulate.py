"""A client's year is rehearsed with a handful of workers, by the command that an operator types."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

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


def test_the_clock_stands_still_for_what_is_to_ring_and_waits_an_hour_at_most_for_those_who_talk(
    sqlite_world: World,
) -> None:
    sqlite_world.interviewed(Worker(number="+6281200000001"))
    sqlite_world.at("2026-03-02T18:01:00+07:00")
    assert looked(sqlite_world).busy
    list(tick.beat(sqlite_world.service))
    assert looked(sqlite_world).busy
    attempt = table(tables.Attempt)
    with sqlite_world.service.database.write() as connection:
        connection.execute(update(attempt).values(state=AttemptState.ANSWERED))
    found = looked(sqlite_world)
    (row,) = sqlite_world.rows(tables.Attempt)
    assert not found.busy
    assert not found.is_over
    assert found.not_beyond == row.claimed_at + timekeeper.LONGEST_TALK


def looked(world: World) -> timekeeper.View:
    """What a rehearsal sees of this world."""
    with world.service.database.read() as connection:
        return timekeeper.look(connection, world.service.clock.now())

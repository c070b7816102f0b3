"""Buckets over all processes: never more than the pace, never less than it in the long run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bot import pace
from bot.clock import wall_time
from bot.storage.database import Database

NOW = wall_time()


def take(database: Database, per_second: float, after: float, most: int = 1000) -> int:
    """What one clock takes so many seconds after the beginning."""
    wall = NOW + timedelta(seconds=after)
    with database.write() as connection:
        room = pace.room(connection, "texts", per_second, wall)
        number = min(room.count, most)
        pace.use(connection, room, number)
        return number


@pytest.fixture
def bucket(database: Database) -> Database:
    """A database with one new bucket."""
    pace.make(database, "texts", NOW)
    return database


@pytest.mark.parametrize("per_second", [0.2, 1, 7, 30, 80])
def test_in_the_long_run_the_pace_is_kept_exactly(bucket: Database, per_second: float) -> None:
    beats = [take(bucket, per_second, beat * 0.5) for beat in range(1, 101)]
    assert abs(sum(beats) - 50 * per_second) <= max(2, per_second + 1)
    assert all(sum(beats[n : n + 2]) <= max(1, 2 * per_second) for n in range(len(beats)))


def test_what_was_not_used_for_long_is_kept_for_a_second_only(bucket: Database) -> None:
    assert take(bucket, 10, 3600) == 10
    assert take(bucket, 10, 3600) == 0


def test_less_than_one_a_second_goes_out_at_all(bucket: Database) -> None:
    assert [take(bucket, 0.25, after) for after in (4, 6, 8)] == [1, 0, 1]


def test_what_is_not_taken_stays_in_the_bucket(bucket: Database) -> None:
    assert take(bucket, 10, 100, most=3) == 3
    assert take(bucket, 10, 100) == 7


def test_a_closed_bucket_gives_nothing_until_its_time_and_then_begins_empty(bucket: Database) -> None:
    with bucket.write() as connection:
        pace.close(connection, "texts", NOW + timedelta(seconds=40))
        pace.close(connection, "texts", NOW + timedelta(seconds=10))
        assert pace.is_closed(connection, "texts", NOW + timedelta(seconds=39))
        assert not pace.is_closed(connection, "texts", NOW + timedelta(seconds=41))
    assert [take(bucket, 10, after) for after in (20, 40, 40.5)] == [0, 0, 5]


def test_a_bucket_that_is_used_up_is_not_closed(bucket: Database) -> None:
    take(bucket, 10, 0)
    with bucket.read() as connection:
        assert not pace.is_closed(connection, "texts", NOW)
        assert not pace.is_closed(connection, "nobody's", NOW)


def test_clocks_that_take_together_take_no_more_than_the_pace(bucket: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: take(bucket, 20, 5, most=7), range(8)))
    assert sum(taken) == 20


def test_a_bucket_is_made_once_whoever_makes_it(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: pace.make(database, "texts", NOW), range(16)))
    assert take(database, 10, 0) == 10

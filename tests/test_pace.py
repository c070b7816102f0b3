"""Buckets over all processes: never more than the pace, never less than it in the long run."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from bot import pace
from bot.clock import wall_time
from bot.storage.database import Database, open_database
from bot.storage.tables import Pace, table

NOW = wall_time()


def take(database: Database, per_second: float, after: float, most: int = 1000) -> int:
    """What one clock takes so many seconds after the beginning."""
    wall = NOW + timedelta(seconds=after)
    with database.write() as connection:
        room = pace.room(connection, "texts", per_second, wall)
        number = min(room.count, most)
        pace.use(connection, room, number)
        return number


def book(database: Database, per_second: float, after: float, within: float = 3) -> float | None:
    """The start that one worker books so many seconds after the beginning, in seconds from there."""
    wall = NOW + timedelta(seconds=after)
    with database.write() as connection:
        start, booked = pace.book(connection, "texts", per_second, timedelta(seconds=within), lambda: wall)
        return (start - NOW).total_seconds() if booked else None


@pytest.fixture
def bucket(database: Database) -> Database:
    """A database with one new bucket."""
    pace.make(database, "texts", NOW)
    return database


@pytest.fixture(scope="module")
def booked_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database whose bucket is made anew for every example."""
    opened = open_database(f"sqlite:///{tmp_path_factory.mktemp('pace')}/pace.db")
    opened.upgrade()
    yield opened
    opened.dispose()


def clear(database: Database) -> None:
    """A new bucket in place of the old one."""
    with database.write() as connection:
        connection.execute(delete(table(Pace)))
    pace.make(database, "texts", NOW)


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


_RATES = st.sampled_from([0.2, 1, 2.5, 4, 50])
_ASKS = st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=30)


@given(per_second=_RATES, asks=_ASKS)
@settings(max_examples=40, deadline=None)
def test_booked_starts_never_crowd_whoever_asks_when(
    booked_bucket: Database, per_second: float, asks: list[float]
) -> None:
    # Hosts' clocks differ, so what is asked for later may bear an earlier time.
    clear(booked_bucket)
    starts = [(ask, start) for ask in asks if (start := book(booked_bucket, per_second, ask)) is not None]
    assert starts
    assert all(ask - 1e-5 <= start <= ask + 3 + 1e-5 for ask, start in starts)
    gaps = [later - earlier for earlier, later in pairwise(sorted(start for _, start in starts))]
    assert all(gap >= 1 / per_second - 1e-5 for gap in gaps)


@given(per_second=_RATES, asks=_ASKS)
@settings(max_examples=40, deadline=None)
def test_taken_never_exceeds_what_flowed_in_and_what_a_second_keeps(
    booked_bucket: Database, per_second: float, asks: list[float]
) -> None:
    clear(booked_bucket)
    taken = [(ask, take(booked_bucket, per_second, ask)) for ask in sorted(asks)]
    for begin, _ in taken:
        for end, _ in taken:
            within = sum(number for ask, number in taken if begin <= ask <= end)
            assert within <= max(1, per_second) + max(0.0, end - begin) * per_second + 1e-3


def test_what_is_booked_by_many_at_once_is_booked_once(bucket: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        starts = list(pool.map(lambda _: book(bucket, 10, 5), range(16)))
    assert sorted(round(start, 3) for start in starts if start is not None) == [
        round(5 + n / 10, 3) for n in range(16)
    ]


def test_a_start_that_is_too_far_off_is_not_booked(bucket: Database) -> None:
    assert [book(bucket, 1, 5, within=1.5) for _ in range(3)] == [5, 6, None]
    assert book(bucket, 1, 6, within=1.5) == 7

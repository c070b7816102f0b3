"""How signing in is slowed down: for names, and for places that try many names."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from bot import throttle
from bot.clock import FrozenClock
from bot.privacy.seal import Sealer
from bot.storage.database import Database
from bot.storage.tables import LoginThrottle, table

OFFICE = "198.51.100.7"
ELSEWHERE = "203.0.113.9"
MINUTE = timedelta(minutes=1)


class Door:
    """The door, at which names are tried from somewhere."""

    def __init__(self, database: Database, sealer: Sealer, clock: FrozenClock) -> None:
        self.database, self.sealer, self.clock = database, sealer, clock

    def fail(self, name: str, source: str | None = OFFICE) -> timedelta | None:
        """A try that fails; what was left of a lock, if nothing was even tried."""
        with self.database.write() as connection:
            return throttle.take_try(connection, throttle.keys(self.sealer, name, source), self.clock.now())

    def succeed(self, name: str, source: str | None = OFFICE) -> bool:
        """A try that is right; False if it was not let near."""
        if self.fail(name, source) is not None:
            return False
        with self.database.write() as connection:
            throttle.forgive(connection, throttle.keys(self.sealer, name, source), self.clock.now())
        return True

    def spray(self, source: str = OFFICE, names: int = throttle.FREE_NAMES) -> None:
        """Somebody tries many names, once each."""
        for n in range(names):
            self.fail(f"guess-{n}", source)

    def stored(self) -> str:
        """Everything that is kept."""
        with self.database.read() as connection:
            return repr(connection.execute(select(table(LoginThrottle))).all())


@pytest.fixture
def door(database: Database, sealer: Sealer, frozen_clock: FrozenClock) -> Door:
    """A door at which nobody has tried anything."""
    return Door(database, sealer, frozen_clock)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The statements are those of signing in, which is tried on both databases."""
    return sqlite_url


def test_one_colleague_who_mistypes_all_day_locks_nobody_else_out(door: Door) -> None:
    for _ in range(12 * 60):
        door.fail("mira")
        door.clock.advance(MINUTE)
    assert door.succeed("siti")
    assert door.fail("somebody new") is None


def test_many_names_from_one_place_lock_the_place_and_no_other(door: Door) -> None:
    door.spray()
    assert door.fail("siti") == MINUTE
    assert door.succeed("siti", ELSEWHERE)
    door.clock.advance(MINUTE)
    assert door.fail("another guess") is None
    assert door.fail("siti") == 2 * MINUTE


def test_who_signed_in_from_a_place_lately_is_not_held_back_by_its_lock(door: Door) -> None:
    assert door.succeed("siti")
    door.clock.advance(timedelta(days=29))
    door.spray()
    assert door.succeed("siti")
    assert not door.succeed("mira")


def test_who_mistypes_and_then_gets_it_right_does_not_count(door: Door) -> None:
    for n in range(3 * throttle.FREE_NAMES):
        door.fail(f"colleague-{n}")
        assert door.succeed(f"colleague-{n}")


@pytest.mark.parametrize("source", [None, "", "127.0.0.1", "::1", "::ffff:127.0.0.1", "not an address"])
def test_a_place_that_is_not_known_is_not_counted(door: Door, source: str | None) -> None:
    for n in range(2 * throttle.FREE_NAMES):
        assert door.fail(f"guess-{n}", source) is None


def test_addresses_of_one_ipv6_network_are_one_place(door: Door) -> None:
    for n in range(throttle.FREE_NAMES):
        door.fail(f"guess-{n}", f"2001:db8:1:2::{n:x}")
    assert door.fail("siti", "2001:db8:1:2:ffff::1") == MINUTE
    assert door.fail("siti", "2001:db8:1:3::1") is None


def test_no_name_and_no_address_is_stored(door: Door) -> None:
    door.spray()
    door.succeed("siti", ELSEWHERE)
    assert not any(word in door.stored() for word in (OFFICE, ELSEWHERE, "guess", "siti"))


def test_failures_are_forgotten_after_a_day_and_regulars_after_a_month(door: Door) -> None:
    door.succeed("siti")
    door.spray(ELSEWHERE)
    door.clock.advance(timedelta(days=1))
    with door.database.write() as connection:
        throttle.forget(connection, door.clock.now())
    assert door.fail("mira", ELSEWHERE) is None
    door.spray()
    assert door.succeed("siti")
    door.clock.advance(throttle.REGULAR_FOR)
    with door.database.write() as connection:
        assert throttle.forget(connection, door.clock.now()) > 0
    door.spray()
    assert door.fail("siti") == MINUTE


def test_digits_that_are_wrong_too_often_shut_their_place_for_a_while(
    database: Database, sealer: Sealer, frozen_clock: FrozenClock
) -> None:
    place, hour = sealer.index("somewhere", "test"), 60 * MINUTE
    with database.write() as connection:
        told = [throttle.note_failure(connection, place, frozen_clock.now(), 3, hour) for _ in range(3)]
        assert told == [False, False, True]
        assert throttle.is_shut(connection, place, frozen_clock.now())
        assert not throttle.is_shut(connection, sealer.index("elsewhere", "test"), frozen_clock.now())
        frozen_clock.advance(hour + MINUTE)
        assert not throttle.is_shut(connection, place, frozen_clock.now())
        assert not throttle.note_failure(connection, place, frozen_clock.now(), 3, hour)

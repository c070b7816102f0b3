"""The steps around the one request to the provider: after the point of no return nothing is asked twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot import pace
from bot.callbacks import dial
from bot.callbacks.claim import Limits, claim_due, waiting_claims
from bot.callbacks.dial import Order
from bot.clock import wall_time
from bot.messages import Reveal
from bot.storage import tables
from tests.journeys.world import Worker, World

WORKER = Worker(number="+6281277788899")


@pytest.fixture
def claimed(world: World) -> str:
    """An attempt that the clock took; gives its id."""
    world.interviewed(WORKER)
    world.at("2026-03-02T18:01:00+07:00")
    limits = Limits(calls_per_second=100, slots=100)
    (attempt,) = claim_due(world.service.database, world.clock.now(), wall_time(), limits)
    return attempt


def begin(world: World, attempt: str) -> Order | None:
    """Pass the point of no return."""
    with world.service.database.write() as connection:
        return dial.begin(connection, world.service.sealer, attempt, world.clock.now(), wall_time())


def state(world: World) -> str:
    """Where the only attempt stands."""
    (row,) = world.rows(tables.Attempt)
    return str(row.state)


def test_an_order_is_given_once(world: World, claimed: str) -> None:
    order = begin(world, claimed)
    assert order is not None
    assert order.to.reveal(Reveal.DIAL) == WORKER.number
    assert "77788899" not in repr(order)
    assert begin(world, claimed) is None
    assert state(world) == "placing"


def test_an_attempt_that_does_not_exist_gives_no_order(world: World, claimed: str) -> None:
    assert begin(world, "0" * 32) is None


def test_calls_start_one_after_the_other_and_who_comes_too_late_is_handed_out_again(
    world: World, claimed: str
) -> None:
    wall = wall_time()
    pace.make(world.service.database, pace.STARTS, wall)
    with world.service.database.write() as connection:
        turns = [dial.turn(connection, claimed, 0.5, lambda: wall) for _ in range(3)]
        assert turns == [wall, wall + timedelta(seconds=2), None]
        assert waiting_claims(connection, wall + timedelta(seconds=3), 10) == []
        assert waiting_claims(connection, wall + timedelta(seconds=5), 10) == [claimed]
        assert dial.turn(connection, claimed, 0.5, lambda: wall + timedelta(seconds=5))
    assert begin(world, claimed)


def test_what_is_not_to_be_dialled_any_more_takes_no_turn(world: World, claimed: str) -> None:
    begin(world, claimed)
    wall = wall_time()
    pace.make(world.service.database, pace.STARTS, wall)
    with world.service.database.write() as connection:
        assert [dial.turn(connection, claimed, 0.01, lambda: wall) for _ in range(3)] == [wall] * 3


def test_a_placing_attempt_becomes_unknown_and_never_claimed_again(world: World, claimed: str) -> None:
    begin(world, claimed)
    with world.service.database.write() as connection:
        assert dial.take_stale(connection, wall_time(), 10) == []
    world.pass_time(dial.ASK_LEASE + timedelta(seconds=1))
    with world.service.database.write() as connection:
        assert dial.take_stale(connection, wall_time(), 10) == [claimed]
        assert dial.take_stale(connection, wall_time(), 10) == []
    assert state(world) == "unknown"
    assert begin(world, claimed) is None


def test_an_unknown_attempt_is_looked_for_and_then_spent(world: World, claimed: str) -> None:
    order = begin(world, claimed)
    assert order is not None
    with world.service.database.write() as connection:
        dial.ambiguous(connection, claimed, wall_time())
        dial.not_found(connection, order, order.asked_at + timedelta(seconds=30), world.clock.now())
    assert state(world) == "unknown"
    with world.service.database.write() as connection:
        dial.not_found(connection, order, order.asked_at + dial.LOOK_UNTIL, world.clock.now())
    assert world.dispositions() == ["unknown"]


def test_what_the_provider_refused_for_the_moment_is_due_again_a_minute_later(
    world: World, claimed: str
) -> None:
    begin(world, claimed)
    with world.service.database.write() as connection:
        dial.put_back(connection, claimed, world.clock.now())
    callback = world.callback()
    assert (callback["state"], world.dispositions()) == ("scheduled", ["released"])
    assert callback["due_at"] == (world.clock.now() + dial.PUT_BACK).isoformat()


def test_a_receipt_that_comes_after_the_call_was_answered_takes_nothing_back(
    world: World, claimed: str
) -> None:
    from bot.callbacks import settle

    begin(world, claimed)
    with world.service.database.write() as connection:
        settle.answered(connection, claimed, "CA1", world.clock.now(), wall_time())
        dial.placed(connection, claimed, "CA1", world.clock.now(), wall_time())
    assert state(world) == "answered"

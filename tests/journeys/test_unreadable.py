"""A callback that this version cannot read, while its window is open: it is settled like any other, and waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from bot import unreadable
from bot.parked import PARK_FOR
from bot.storage import tables
from bot.storage.tables import table
from tests.journeys.test_hotline import write
from tests.journeys.world import Worker, World

LATER = {"steps": [{"keys": "2"}, {"keys": "1"}], "then": "silent"}
"""It is no good time; another one is chosen."""


def spoil(world: World, **values: object) -> None:
    """The callback is one of a later version now, or can be read again."""
    with world.service.database.write() as connection:
        connection.execute(update(table(tables.Callback)).values(**values))


def calls_to(world: World) -> int:
    """How often she was called."""
    return len(world.network.calls(Worker().number))


@pytest.mark.parametrize(
    ("script", "disposition"),
    [("busy", "busy"), ({"steps": [], "then": "hangup"}, "no_input"), (LATER, "later")],
)
def test_an_attempt_of_it_is_settled_and_it_is_planned_when_it_can_be_read(
    sqlite_world: World, script: object, disposition: str
) -> None:
    world = sqlite_world
    world.interviewed(Worker(script=script))
    spoil(world, timezone="Mars/North")
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    (row,) = world.rows(tables.Callback)
    (attempt,) = world.rows(tables.Attempt)
    assert (attempt.state, attempt.disposition, row.state) == ("settled", disposition, "scheduled")
    assert ("unreadable", row.id) in world.incidents()
    assert {hit.status for hit in world.hits if hit.status >= 500} == set()
    world.pass_time(timedelta(hours=1))
    world.rest()
    assert calls_to(world) == 1
    spoil(world, timezone="Asia/Jakarta")
    world.pass_time(unreadable.LOOK_AGAIN + timedelta(seconds=1))
    world.run()
    (row,) = world.rows(tables.Callback)
    assert (row.state, row.due_at > world.clock.now()) == ("scheduled", True)
    assert calls_to(world) == 1


def test_a_call_of_a_client_whose_policy_cannot_be_read_any_more_is_settled(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(script={"steps": [], "then": "hangup"}))
    world.before = spoils_policy(world)
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    (attempt,) = world.rows(tables.Attempt)
    assert (attempt.state, attempt.disposition) == ("settled", "no_input")
    assert calls_to(world) == 1


def spoils_policy(world: World) -> Callable[[str], None]:
    """As soon as the network asks what to say, the client's policy is one of a later version."""

    def spoil_it(path: str) -> None:
        if "/answer/" in path:
            with world.service.database.write() as connection:
                connection.execute(update(table(tables.Client)).values(policy='{"mode": "by_letter"}'))

    return spoil_it


def test_what_its_worker_writes_is_kept_and_taken_when_it_can_be_read(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker())
    spoil(world, timezone="Mars/North")
    world.network.text(Worker().number, "later")
    world.network.idle()
    assert {hit.status for hit in world.hits} == {200}
    (message,) = world.rows(tables.Message)
    assert ("parked", message.id) in world.incidents()
    spoil(world, timezone="Asia/Jakarta")
    world.pass_time(PARK_FOR + timedelta(seconds=1))
    world.run()
    assert "Please write your code." in world.network.texts_to(Worker().number)[-1]
    assert world.incidents() == set()


def test_the_time_that_its_worker_names_is_kept(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker())
    (planned,) = world.rows(tables.Callback)
    assert write(world, "Sunday evening", Worker().pass_word, sender=Worker().number)
    spoil(world, preference="of a later version")
    write(world, "yes", sender=Worker().number)
    assert {hit.status for hit in world.hits if hit.status >= 500} == set()
    world.pass_time(unreadable.LOOK_AGAIN + timedelta(seconds=1))
    world.run()
    (moved,) = world.rows(tables.Callback)
    assert (moved.preference, moved.state) == ("sun_evening", "scheduled")
    assert moved.due_at > planned.due_at

"""What operators see of callbacks: ids and codes, and nothing else."""

from __future__ import annotations

import pytest

from bot.callbacks import overview
from bot.errors import NotFound
from tests.journeys.world import Worker, World

WORKER = Worker(number="+6281277788899", alias="Kestrel", pass_word="40926173", script="busy")


def test_what_is_due_is_listed_longest_waiting_first(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(
        Worker(number="+6281277788801", alias="a", preferred_time="evening"),
        Worker(number="+6281277788802", alias="b", preferred_time="afternoon"),
    )
    world.at("2026-03-02T16:30:00+07:00")
    with world.service.database.read() as connection:
        due = overview.due(connection, world.clock.now(), 10)
        planned = overview.planned(connection, 10)
    assert [each["preference"] for each in due] == ["afternoon"]
    assert [each["preference"] for each in planned] == ["afternoon", "evening"]


def test_attempts_are_told_with_their_standard_codes(sqlite_world: World) -> None:
    sqlite_world.interviewed(WORKER)
    sqlite_world.at("2026-03-02T18:01:00+07:00")
    sqlite_world.rest()
    (attempt,) = sqlite_world.callback()["attempts"]
    assert (attempt["disposition"], attempt["aapor"], attempt["n"]) == ("busy", "3.12", 1)


def test_nothing_of_the_worker_is_in_it(sqlite_world: World) -> None:
    sqlite_world.interviewed(WORKER)
    shown = str(sqlite_world.callbacks())
    for secret in (WORKER.number[3:], WORKER.alias, WORKER.pass_word):
        assert secret not in shown


def test_a_callback_that_is_not_known_is_not_found(sqlite_world: World) -> None:
    with sqlite_world.service.database.read() as connection, pytest.raises(NotFound):
        overview.one(connection, "0" * 32)

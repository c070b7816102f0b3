"""One beat takes what is due, once, whoever beats."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from bot import tick
from bot.storage import tables
from bot.storage.tables import table
from tests.journeys.world import Worker, World
from tests.storage.test_plans import listening

TEXT = "They have not paid us since January and nobody helps us with it"


def test_a_beat_with_nothing_due_asks_for_nothing(world: World) -> None:
    assert list(tick.beat(world.service)) == []


def test_clocks_that_beat_together_share_the_work(world: World) -> None:
    world.interviewed(*(Worker(number=f"+62812000001{n:02}", alias=f"W-{n}") for n in range(10)))
    world.at("2026-03-02T18:01:00+07:00")
    for n in range(5):
        world.network.text(f"+62812000002{n:02}", TEXT)
    world.network.idle()
    world.pass_time(timedelta(seconds=2))
    with ThreadPoolExecutor(4) as pool:
        beats = list(pool.map(lambda _: list(tick.beat(world.service)), range(4)))
    asked = [(work.job, each) for beat in beats for work in beat for each in work.ids]
    assert len(asked) == len(set(asked))
    assert sum(job == "deliver" for job, _ in asked) == 5
    assert sum(job == "place" for job, _ in asked) + len(
        [row for row in world.rows(tables.Callback) if row.state == "scheduled"]
    ) == len(world.rows(tables.Callback))


def test_jobs_carry_opaque_ids_only(world: World) -> None:
    world.network.text("+6281277788899", TEXT)
    world.network.idle()
    for work in tick.beat(world.service):
        assert all(len(each) == 32 and int(each, 16) for each in work.ids)


def test_a_part_that_is_alive_writes_it_once(world: World) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: tick.alive(world.service, "web"), range(8)))
    assert len([row for row in world.rows(tables.Heartbeat) if row.name == "web"]) == 1


def test_a_beat_with_nothing_due_costs_a_handful_of_questions(world: World) -> None:
    list(tick.beat(world.service))
    with listening(world.service.database.engine) as asked:
        assert list(tick.beat(world.service)) == []
    assert len(asked) <= 4, list(asked)


@pytest.mark.parametrize("what", ["missed", "told", "over"])
def test_a_callback_that_cannot_be_read_keeps_nobody_else_waiting(sqlite_world: World, what: str) -> None:
    world = sqlite_world
    world.interviewed(Worker(alias="W-1"), Worker(number="+6281200000002", alias="W-2"))
    callback = table(tables.Callback)
    states: dict[str, dict[str, object]] = {
        "missed": {"window_end": world.clock.now()},
        "told": {"remind_at": world.clock.now()},
        "over": {"state": "given_up", "give_up_reason": "attempts_used"},
    }
    first = world.rows(tables.Callback)[0].id
    with world.service.database.write() as connection:
        change = update(callback).where(callback.c.id == first)
        connection.execute(
            change.values(preference="of a later version", timezone="Mars/North", **states[what])
        )
    world.at("2026-03-02T18:01:00+07:00")
    placed = [each for work in tick.beat(world.service) if work.job == "place" for each in work.ids]
    rows = {row.id: row.callback_id for row in world.rows(tables.Attempt)}
    assert [each for each in placed if rows[each] != first], "the other worker is called"


def test_what_cannot_be_counted_keeps_nobody_from_looking(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker())
    with world.service.database.write() as connection:
        connection.execute(update(table(tables.Callback)).values(state="of_a_later_version"))
    list(tick.beat(world.service))
    assert world.rows(tables.Reading)

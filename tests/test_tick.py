"""One beat takes what is due, once, whoever beats."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from bot import tick, unreadable
from bot.callbacks import rounds
from bot.callbacks.claim import missed_windows
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
    assert ("unreadable", first) in world.incidents()
    (told,) = (row for row in world.rows(tables.Incident) if row.subject == first)
    world.pass_time(timedelta(seconds=10))
    list(tick.beat(world.service))
    assert told in world.rows(tables.Incident), "it is not tried at every beat"


def test_a_callback_that_can_be_read_again_is_no_incident_any_more(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker())
    callback = table(tables.Callback)
    missed = {"window_end": world.clock.now(), "due_at": world.clock.now()}
    with world.service.database.write() as connection:
        connection.execute(update(callback).values(timezone="Mars/North", **missed))
    list(tick.beat(world.service))
    (told,) = world.rows(tables.Incident)
    world.pass_time(unreadable.LOOK_AGAIN)
    list(tick.beat(world.service))
    (still,) = world.rows(tables.Incident)
    assert (still.kind, still.count, still.resolved_at) == ("unreadable", 1, None)
    assert still.last_at > told.last_at
    with world.service.database.write() as connection:
        connection.execute(update(callback).values(timezone="Asia/Jakarta"))
    world.pass_time(unreadable.LOOK_AGAIN + timedelta(seconds=1))
    list(tick.beat(world.service))
    assert world.callback()["due_at"] == "2026-03-02T11:00:00+00:00"
    world.pass_time(unreadable.MENDED)
    list(tick.beat(world.service))
    assert world.incidents() == set()


@pytest.mark.parametrize("what", ["missed", "over"])
def test_callbacks_that_cannot_be_read_do_not_fill_the_places_of_others(
    sqlite_world: World, what: str
) -> None:
    world = sqlite_world
    world.interviewed(*(Worker(number=f"+62812000001{n:02}", alias=f"W-{n}") for n in range(4)))
    callback, now = table(tables.Callback), world.clock.now()
    states: dict[str, dict[str, object]] = {
        "missed": {"window_end": now, "due_at": now},
        "over": {"state": "given_up", "give_up_reason": "attempts_used", "attempts": 1},
    }
    spoilt = {row.id for row in world.rows(tables.Callback)[:3]}
    with world.service.database.write() as connection:
        connection.execute(update(callback).values(**states[what]))
        connection.execute(update(callback).where(callback.c.id.in_(spoilt)).values(timezone="Mars/North"))
        for each in spoilt:
            unreadable.tell(connection, each, now)
    if what == "over":
        assert rounds.follow(world.service.database, now, 1) == 1
    else:
        with world.service.database.read() as connection:
            (found,) = missed_windows(connection, now, 1)
        assert found not in spoilt


def test_what_cannot_be_counted_keeps_nobody_from_looking(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker())
    with world.service.database.write() as connection:
        connection.execute(update(table(tables.Callback)).values(state="of_a_later_version"))
    list(tick.beat(world.service))
    assert world.rows(tables.Reading)

"""A client's policy is kept, and moves what nobody has dialled."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event, text, update

from bot.callbacks import anew, policies
from bot.callbacks.claim import Limits, claim_due
from bot.callbacks.policy import Policy
from bot.clock import wall_time
from bot.errors import InputError
from bot.storage.database import Database
from bot.storage.tables import Callback, table
from tests.journeys.world import Worker, World, Worlds

_callback = table(Callback)
LATER_DAYS = Policy(first_call_day=8, last_call_day=9)


def test_without_a_policy_the_careful_defaults_hold(sqlite_world: World) -> None:
    sqlite_world.interviewed(Worker())
    with sqlite_world.service.database.read() as connection:
        assert policies.of_client(connection, "Brand A") == Policy()


def test_a_new_policy_moves_callbacks_that_nobody_dialled(world: World) -> None:
    world.interviewed(Worker())
    before = world.callback()
    assert policies.set_for_client(world.service, "Brand A", LATER_DAYS) == 1
    after = world.callback()
    assert before["due_at"] < after["due_at"]
    assert after["due_at"].startswith("2026-03-05")


def test_a_dialled_callback_stays_where_it_is(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(script="busy"))
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    before = world.callback()
    assert policies.set_for_client(world.service, "Brand A", LATER_DAYS) == 0
    assert world.callback() == before


def test_a_callback_given_up_for_its_days_comes_back_with_a_longer_period(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(), audit_date="2026-02-01")
    assert world.callback()["state"] == "given_up"
    policies.set_for_client(world.service, "Brand A", Policy(last_call_day=60))
    assert world.callback()["state"] == "scheduled"


def test_another_clients_callbacks_are_left_alone(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker())
    world.interviewed(Worker(number="+6281200000002"), client="Brand B")
    policies.set_for_client(world.service, "Brand B", LATER_DAYS)
    first, second = world.callbacks()
    assert first["due_at"] < second["due_at"]


def two_audits(world: World) -> None:
    world.interviewed(Worker())
    world.interviewed(Worker(number="+6281200000002"), ref="A-2")


def test_others_write_between_two_audits_that_follow_a_new_policy(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = sqlite_world
    two_audits(world)
    go_on, states = anew.go_on, list[list[str]]()

    def one_more(database: Database, client_id: str, now: datetime) -> bool:
        left = go_on(database, client_id, now)
        with database.write():
            states.append([row["due_at"][:10] for row in world.callbacks()])
        return left

    monkeypatch.setattr(anew, "go_on", one_more)
    assert policies.set_for_client(world.service, "Brand A", LATER_DAYS) == 2
    old, new = "2026-03-02", "2026-03-05"
    assert states == [[new, old], [new, new], [new, new]]


def test_the_clock_goes_on_where_a_change_of_policy_was_broken_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_audits(world)
    with monkeypatch.context() as killed:
        killed.setattr(anew, "go_on", lambda *_: False)
        policies.set_for_client(world.service, "Brand A", LATER_DAYS)
    assert {row["due_at"][:10] for row in world.callbacks()} == {"2026-03-02"}
    for _ in range(3):
        world.beat()
    assert {row["due_at"][:10] for row in world.callbacks()} == {"2026-03-05"}
    with world.service.database.read() as connection:
        assert anew.unfinished(connection) == []


def test_a_callback_that_cannot_be_read_keeps_no_other_from_a_new_policy(world: World) -> None:
    two_audits(world)
    first = world.callbacks()[0]["id"]
    with world.service.database.write() as connection:
        this = update(_callback).where(_callback.c.id == first)
        connection.execute(this.values(timezone="Mars/Olympus"))
    policies.set_for_client(world.service, "Brand A", LATER_DAYS)
    assert [row.due_at.day for row in world.rows(Callback)] == [2, 5]
    assert ("unreadable", first) in world.incidents()
    with world.service.database.read() as connection:
        assert anew.unfinished(connection) == []


def test_nobody_dials_a_callback_while_it_follows_a_new_policy(worlds: Worlds, postgres_url: str) -> None:
    world = worlds(postgres_url)
    world.interviewed(Worker())
    world.at("2026-03-02T18:01:00+07:00")
    claimed, met = list[str](), list[str]()

    def meet(_c: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool) -> None:
        if "FOR UPDATE OF callback" in statement and not met:
            met.append(statement)
            limits = Limits(10, 10, ("voice",))
            claimed.extend(claim_due(world.service.database, world.clock.now(), wall_time(), limits))

    event.listen(world.service.database.engine, "after_cursor_execute", meet)
    policies.set_for_client(world.service, "Brand A", LATER_DAYS)
    event.remove(world.service.database.engine, "after_cursor_execute", meet)
    assert met
    assert not claimed
    assert world.callback()["due_at"].startswith("2026-03-05")


def test_callbacks_are_claimed_also_while_a_change_of_policy_waits_for_them(
    worlds: Worlds, postgres_url: str
) -> None:
    world = worlds(postgres_url)
    world.interviewed(Worker())
    policies.set_for_client(world.service, "Brand A", Policy(daily_cap=5))
    later = replace(LATER_DAYS, daily_cap=5)
    world.at("2026-03-02T18:01:00+07:00")
    database, changes = world.service.database, list[Future[int]]()

    def meet(_c: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool) -> None:
        if "FOR UPDATE OF callback SKIP LOCKED" in statement and not changes:
            changes.append(pool.submit(policies.set_for_client, world.service, "Brand A", later))
            _until_somebody_waits(database)

    with ThreadPoolExecutor(1) as pool:
        event.listen(database.engine, "after_cursor_execute", meet)
        claimed = claim_due(database, world.clock.now(), wall_time(), Limits(10, 10, ("voice",)))
        event.remove(database.engine, "after_cursor_execute", meet)
        (change,) = changes
        change.result(60)
    assert len(claimed) == 1
    assert world.callback()["state"] == "dialling"


def _until_somebody_waits(database: Database) -> None:
    waits = text(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with database.read() as connection:
            if connection.execute(waits).first():
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


def test_an_unknown_client_is_told_with_a_suggestion(sqlite_world: World) -> None:
    sqlite_world.interviewed(Worker())
    with pytest.raises(InputError, match="Brand A"):
        policies.set_for_client(sqlite_world.service, "Brand", Policy())

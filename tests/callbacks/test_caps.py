"""No client begins more callbacks in a day than its policy says, however many clocks there are."""

from __future__ import annotations

import threading
from datetime import date, timedelta

import pytest
from sqlalchemy import select, update

from bot.callbacks import policies, settle
from bot.callbacks.claim import Limits, claim_due
from bot.callbacks.policy import Policy
from bot.callbacks.states import Disposition
from bot.clock import wall_time
from bot.storage import tables
from bot.storage.tables import table
from tests.journeys.world import Worker, World

LIMITS = Limits(calls_per_second=100, slots=100)
EVENING = "2026-03-02T18:01:00+07:00"
_callback, _day = table(tables.Callback), table(tables.ClientDay)


def workers(number: int, first: int = 0) -> list[Worker]:
    """Workers who wait for a call in the evening."""
    return [Worker(number=f"+62812000001{first + n:02}", alias=f"W-{first + n}") for n in range(number)]


def cap(world: World, number: int, client: str = "Brand A", **more: object) -> None:
    """Give a client a daily cap."""
    policies.set_for_client(world.service, client, Policy(daily_cap=number, **more))  # type: ignore[arg-type]  # tests name the fields in clear


def claim(world: World) -> list[str]:
    """One clock takes what is due, a second after the last."""
    world.pass_time(timedelta(seconds=2))
    return claim_due(world.service.database, world.clock.now(), wall_time(), LIMITS)


def begun(world: World) -> dict[date, int]:
    """The places taken, by day."""
    return {row.day: row.begun for row in world.rows(tables.ClientDay)}


@pytest.mark.parametrize(("number", "most"), [(9, 4), (6, 1), (3, 5)])
def test_two_clocks_together_keep_to_the_cap(world: World, number: int, most: int) -> None:
    world.interviewed(*workers(number))
    world.interviewed(*workers(3, first=50), client="Brand B")
    cap(world, most)
    world.at(EVENING)
    claimed: list[str] = []
    gate = threading.Barrier(2)
    now, wall = world.clock.now(), wall_time()
    slow = Limits(calls_per_second=3, slots=100)

    def beat() -> None:
        for n in range(6):
            gate.wait()
            claimed.extend(claim_due(world.service.database, now, wall + timedelta(seconds=2 * n), slow))

    clocks = [threading.Thread(target=beat) for _ in range(2)]
    for each in clocks:
        each.start()
    for each in clocks:
        each.join()
    assert len(claimed) == len(set(claimed)) == min(number, most) + 3, "Brand B has no cap and does not wait"
    assert begun(world) == {date(2026, 3, 2): min(number, most)}


def test_who_finds_no_place_is_planned_for_the_next_allowed_instant(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(*(Worker(**vars(each) | {"script": "busy"}) for each in workers(3)))
    cap(world, 1)
    world.at(EVENING)
    world.rest()
    planned = sorted(each["due_at"][:10] for each in world.callbacks())
    assert len(world.network.calls()) == 1
    assert planned == ["2026-03-03"] * 3, "two wait for a place, one for her next attempt"
    world.at("2026-03-03T18:01:00+07:00")
    world.rest()
    assert len(world.network.calls()) == 2


def test_when_the_days_were_full_until_the_period_was_over_that_is_the_reason(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(*workers(2))
    cap(world, 1, first_call_day=5, last_call_day=5)
    world.at(EVENING)
    claim(world)
    world.beat()
    states = sorted((each["state"], each["give_up_reason"]) for each in world.callbacks())
    assert states[1] == ("given_up", "daily_cap")


def test_a_place_that_was_not_used_is_given_back(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(*workers(2))
    cap(world, 1)
    world.at(EVENING)
    (attempt_id,) = claim(world)
    with world.service.database.write() as connection:
        settle.settle(connection, attempt_id, Disposition.RELEASED, world.clock.now())
    assert begun(world) == {date(2026, 3, 2): 0}
    assert len(claim(world)) == 1
    with world.service.database.write() as connection:
        settle.settle(connection, attempt_id, Disposition.RELEASED, world.clock.now())
    assert begun(world) == {date(2026, 3, 2): 1}, "given back once"


def test_who_asked_for_a_call_herself_needs_no_place(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(*workers(2))
    cap(world, 1)
    world.at(EVENING)
    with world.service.database.write() as connection:
        first = connection.execute(select(_callback.c.id).limit(1)).scalar_one()
        connection.execute(update(_callback).where(_callback.c.id == first).values(kind="requested"))
    assert len(claim(world)) == 2
    assert begun(world) == {date(2026, 3, 2): 1}


def test_the_day_is_one_of_the_policys_calendar(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(*workers(1))
    cap(world, 5, calendar="Pacific/Kiritimati")
    world.at(EVENING)
    claim(world)
    assert begun(world) == {date(2026, 3, 3): 1}


def test_a_policy_without_a_cap_counts_nothing(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(*workers(2))
    cap(world, 1)
    policies.set_for_client(world.service, "Brand A", Policy())
    world.at(EVENING)
    assert len(claim(world)) == 2
    assert begun(world) == {}

"""Nobody is called twice, outside her window, or forgotten, whatever the provider, the clock or a worker does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from bot.callbacks import dial
from bot.callbacks.claim import Limits, claim_due
from bot.clock import wall_time
from bot.storage import tables
from bot.tick import Work
from channels import jobs
from tests.journeys.world import Worker, World, Worlds

EVENING = "2026-03-02T18:01:00+07:00"
WORKER = Worker(script="busy")


def many(count: int) -> list[Worker]:
    """Workers with a phone each, all busy."""
    return [Worker(number=f"+62812000001{n:02}", alias=f"W-{n}", script="busy") for n in range(count)]


def claim(world: World) -> list[str]:
    """Take what is due, as the clock does, and run no job."""
    world.pass_time(timedelta(seconds=3))
    limits = Limits(calls_per_second=50, slots=50)
    return claim_due(world.service.database, world.clock.now(), wall_time(), limits) or [
        row.id for row in world.rows(tables.Attempt) if row.state == "claimed"
    ]


# --- clocks and workers that meet -------------------------------------------------------------------


def test_many_clocks_at_once_claim_everybody_exactly_once(world: World) -> None:
    world.interviewed(*many(30))
    world.at(EVENING)
    service = world.service
    limits = Limits(calls_per_second=1000, slots=1000)
    now, wall = world.clock.now(), wall_time()
    with ThreadPoolExecutor(8) as pool:
        takes = pool.map(lambda _: claim_due(service.database, now, wall, limits), range(8))
        claimed = [attempt for take in takes for attempt in take]
    attempts = world.rows(tables.Attempt)
    assert len({attempt.callback_id for attempt in attempts}) == len(attempts) == 30
    assert len(set(claimed)) == len(claimed)


def test_a_job_that_runs_twice_dials_once(world: World) -> None:
    world.interviewed(WORKER)
    world.at(EVENING)
    (attempt,) = claim(world)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: jobs.place(attempt), range(4)))
    jobs.place(attempt)
    world.rest()
    assert len(world.network.calls()) == 1
    assert world.dispositions() == ["busy"]


def test_a_job_that_is_lost_is_handed_out_again(world: World) -> None:
    world.interviewed(WORKER)
    world.at(EVENING)
    claim(world)
    assert world.beat() == []
    world.pass_time(timedelta(seconds=31))
    world.rest()
    assert len(world.network.calls()) == 1
    assert world.dispositions() == ["busy"]


def test_a_worker_that_dies_while_it_dials_leaves_an_attempt_that_is_spent(world: World) -> None:
    world.interviewed(WORKER)
    world.at(EVENING)
    (attempt,) = claim(world)
    with world.service.database.write() as connection:
        # A worker that dies after this never asked the provider, but nobody can know that.
        assert dial.begin(connection, world.service.sealer, attempt, world.clock.now(), wall_time())
    for _ in range(6):
        world.pass_time(timedelta(seconds=40))
        world.run()
    assert world.network.calls() == []
    assert world.dispositions() == ["unknown"]
    assert world.callback()["due_at"] >= "2026-03-03"


def test_calls_are_started_at_the_pace_of_the_provider(world: World) -> None:
    world.interviewed(*many(10))
    world.at(EVENING)
    limits = Limits(calls_per_second=2, slots=50)
    started, wall = [], wall_time()
    for _ in range(8):
        world.clock.advance(timedelta(seconds=1))
        wall += timedelta(seconds=1)
        started.append(len(claim_due(world.service.database, world.clock.now(), wall, limits)))
    assert max(started) <= 3
    assert sum(started) == 10


def test_no_more_calls_are_under_way_than_there_are_slots(world: World) -> None:
    world.interviewed(*many(10))
    world.at(EVENING)
    limits = Limits(calls_per_second=100, slots=3)
    for _ in range(4):
        world.pass_time(timedelta(seconds=1))
        claim_due(world.service.database, world.clock.now(), wall_time(), limits)
    assert len(world.rows(tables.Attempt)) == 3


# --- time -----------------------------------------------------------------------------------------


def test_time_that_jumps_between_claim_and_dial_releases_the_attempt(world: World) -> None:
    world.interviewed(WORKER)
    world.at(EVENING)
    (attempt,) = claim(world)
    world.pass_time(timedelta(hours=8))
    jobs.place(attempt)
    assert world.network.calls() == []
    callback = world.callback()
    assert (callback["state"], world.dispositions()) == ("scheduled", ["released"])
    assert callback["due_at"].startswith("2026-03-03T11:")


def test_a_window_that_nobody_served_is_planned_anew(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(WORKER)
    world.at("2026-03-02T21:30:00+07:00")
    world.rest()
    assert world.network.calls() == []
    assert world.callback()["due_at"].startswith("2026-03-03T11:")


def test_nobody_is_dialled_in_the_last_minute_of_her_window(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(WORKER)
    world.at("2026-03-02T20:59:20+07:00")
    world.rest()
    assert world.network.calls() == []


def test_stop_between_claim_and_dial_keeps_the_phone_silent(world: World) -> None:
    world.interviewed(WORKER)
    world.at(EVENING)
    (attempt,) = claim(world)
    world.network.text(WORKER.number, "stop")
    world.network.idle()
    jobs.place(attempt)
    assert world.network.calls() == []
    assert world.callback()["state"] == "stopped"


@pytest.fixture
def slow_provider(worlds: Worlds, sqlite_url: str) -> World:
    """A provider that starts one call in a quarter of an hour and queues the others."""
    return worlds(sqlite_url, network_changes={"calls_per_second": 0.001, "speed": 1})


def test_a_call_that_still_waits_at_the_provider_when_the_window_ends_is_cancelled(
    slow_provider: World,
) -> None:
    world = slow_provider
    world.interviewed(
        Worker(number="+6281200000001", alias="W-1", script="manual"),
        Worker(number="+6281200000002", alias="W-2", script="manual"),
    )
    world.at("2026-03-02T20:58:00+07:00")
    for _ in range(3):
        world.pass_time(timedelta(seconds=2))
        world.beat()
    assert "queued" in {call["status"] for call in world.network.calls()}
    world.at("2026-03-02T21:00:01+07:00")
    world.beat()
    assert "canceled" in {call["status"] for call in world.network.calls()}
    dispositions = {each["attempts"][0]["disposition"] for each in world.callbacks()}
    assert "expired" in dispositions


def test_a_shared_phone_rings_for_one_worker_at_a_time(slow_provider: World) -> None:
    world = slow_provider
    world.interviewed(Worker(alias="W-1", script="manual"), Worker(alias="W-2", script="manual"))
    world.at(EVENING)
    for _ in range(4):
        world.pass_time(timedelta(seconds=2))
        world.beat()
    assert len(world.network.calls()) == 1


# --- a provider that errs ---------------------------------------------------------------------------


@pytest.mark.parametrize("chaos", ["hang", "error"])
def test_an_answer_that_never_came_is_asked_about_and_not_dialled_again(world: World, chaos: str) -> None:
    world.network.post("/sim/chaos", {chaos: 1.0, "drop": 1.0})
    world.interviewed(WORKER)
    world.at(EVENING)
    world.pass_time(timedelta(seconds=2))
    world.beat()
    world.pass_time(timedelta(seconds=2))
    world.beat()
    assert [row.state for row in world.rows(tables.Attempt)] == ["unknown"]
    world.network.post("/sim/chaos", {})
    world.rest()
    assert len(world.network.calls()) == 1
    assert world.dispositions() == ["busy"]


def test_a_call_that_the_provider_never_took_counts_as_spent_after_two_minutes(world: World) -> None:
    world.network.post("/sim/chaos", {"error_before": 1.0})
    world.interviewed(WORKER)
    world.at(EVENING)
    world.pass_time(timedelta(seconds=2))
    world.beat()
    world.pass_time(timedelta(seconds=2))
    world.beat()
    world.network.post("/sim/chaos", {})
    for _ in range(14):
        world.pass_time(timedelta(seconds=11))
        world.run()
    assert world.network.calls() == []
    assert world.dispositions() == ["unknown"]


def test_too_many_requests_are_tried_again_within_the_window(world: World) -> None:
    world.network.post("/sim/errors", number=WORKER.number, create=20429)
    world.interviewed(WORKER)
    world.at(EVENING)
    world.run()
    assert world.network.calls() == []
    world.network.post("/sim/errors", number=WORKER.number)
    world.pass_time(timedelta(minutes=2))
    world.rest()
    assert len(world.network.calls()) == 1
    assert world.dispositions() == ["released", "busy"]
    assert world.callback()["due_at"].startswith("2026-03-03")


def test_a_number_that_cannot_exist_is_given_up(world: World) -> None:
    world.network.post("/sim/errors", number=WORKER.number, create=21211)
    world.interviewed(WORKER)
    world.at(EVENING)
    world.rest()
    callback = world.callback()
    assert (callback["state"], callback["give_up_reason"]) == ("given_up", "wrong_number")


def test_refused_credentials_are_the_operators_to_mend(world: World) -> None:
    world.network.post("/sim/errors", number=WORKER.number, create=20003)
    world.interviewed(WORKER)
    world.at(EVENING)
    world.run()
    assert ("provider", "voice 20003") in world.incidents()
    assert world.callback()["state"] == "scheduled"
    world.network.post("/sim/errors", number=WORKER.number)
    world.pass_time(timedelta(minutes=2))
    world.rest()
    assert len(world.network.calls()) == 1


def test_lost_reports_are_asked_for(world: World) -> None:
    world.network.post("/sim/chaos", {"drop": 1.0})
    world.interviewed(WORKER)
    world.at(EVENING)
    world.rest()
    assert [row.state for row in world.rows(tables.Attempt)] == ["placed"]
    world.pass_time(timedelta(minutes=3))
    world.rest()
    assert world.dispositions() == ["busy"]


def test_a_released_attempt_keeps_no_call_from_being_made(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(WORKER)
    world.at(EVENING)
    (attempt,) = claim(world)
    world.at("2026-03-02T22:00:00+07:00")
    world.work(Work("place", (attempt,)))
    world.at("2026-03-03T18:01:00+07:00")
    world.rest()
    (call,) = world.network.calls()
    assert datetime.fromisoformat(world.callback()["due_at"]).day == 4
    assert call["status"] == "busy"

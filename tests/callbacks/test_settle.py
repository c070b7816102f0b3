"""An attempt is followed in any order of reports, settled once, and its callback goes on from there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select, update

from bot.callbacks import policies, settle
from bot.callbacks.policy import Policy
from bot.callbacks.states import (
    AAPOR,
    FINAL,
    OF_OUTCOME,
    AttemptState,
    CallbackState,
    CallStatus,
    Disposition,
)
from bot.clock import wall_time
from bot.flow.events import Outcome
from bot.ids import new_id
from bot.storage import tables
from bot.storage.tables import table
from tests.journeys.world import Worker, World

_attempt, _callback = table(tables.Attempt), table(tables.Callback)
Dialled = Callable[[], str]


@pytest.fixture
def dialled(sqlite_world: World) -> Dialled:
    """Makes the callback of one worker be dialled, from nothing; gives the attempt's id."""
    world = sqlite_world
    world.interviewed(Worker(script="manual"))
    world.at("2026-03-02T18:01:00+07:00")
    callback_id = world.callback()["id"]

    def dial() -> str:
        attempt_id = new_id()
        now, wall = world.clock.now(), wall_time()
        with world.service.database.write() as connection:
            connection.execute(delete(_attempt))
            connection.execute(update(_callback).values(state=CallbackState.DIALLING, attempts=1))
            connection.execute(
                insert(_attempt).values(
                    id=attempt_id,
                    callback_id=callback_id,
                    n=1,
                    channel="voice",
                    state=AttemptState.PLACED,
                    provider_rank=-1,
                    window_end=now + timedelta(hours=1),
                    lease_until=wall,
                    claimed_at=now,
                )
            )
        return attempt_id

    return dial


def report(world: World, attempt_id: str, status: CallStatus, **more: str) -> None:
    """The provider tells how far the call came."""
    with world.service.database.write() as connection:
        settle.progress(
            connection,
            attempt_id,
            status,
            world.clock.now(),
            wall_time(),
            call_id="CA1",
            **more,  # type: ignore[arg-type]  # texts
        )


def attempt(world: World) -> tuple[str, str | None]:
    """State and disposition of the only attempt."""
    with world.service.database.read() as connection:
        row = connection.execute(select(_attempt.c.state, _attempt.c.disposition)).one()
    return row.state, row.disposition


@pytest.mark.parametrize("disposition", Disposition)
def test_every_disposition_has_a_code_and_leads_somewhere(
    sqlite_world: World, dialled: Dialled, disposition: Disposition
) -> None:
    world, attempt_id = sqlite_world, dialled()
    assert AAPOR[disposition]
    with world.service.database.write() as connection:
        assert settle.settle(connection, attempt_id, disposition, world.clock.now())
        assert not settle.settle(connection, attempt_id, Disposition.COMPLETED, world.clock.now())
    assert attempt(world) == ("settled", disposition)
    state = world.callback()["state"]
    assert state != "dialling"
    if disposition in FINAL:
        assert state == FINAL[disposition]


def test_every_outcome_of_a_talk_is_a_disposition() -> None:
    # A talk that only opened the door to another one settles nothing.
    assert set(OF_OUTCOME) == set(Outcome) - {Outcome.MOVED}


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(st.lists(st.sampled_from(list(CallStatus)), max_size=8))
def test_no_order_of_reports_moves_anything_backwards(
    sqlite_world: World, dialled: Dialled, reports: list[CallStatus]
) -> None:
    attempt_id = dialled()
    order = list(AttemptState)
    reached = order.index(AttemptState.PLACED)
    first_end = next((status for status in reports if status.terminal), None)
    for status in reports:
        report(sqlite_world, attempt_id, status)
        now = order.index(AttemptState(attempt(sqlite_world)[0]))
        assert now >= reached
        reached = now
    expected = {
        CallStatus.COMPLETED: ("ended", None),
        CallStatus.BUSY: ("settled", "busy"),
        CallStatus.NO_ANSWER: ("settled", "no_answer"),
        CallStatus.FAILED: ("settled", "failed"),
        CallStatus.CANCELED: ("settled", "expired"),
    }
    if first_end is not None:
        assert attempt(sqlite_world) == expected[first_end]


@pytest.mark.parametrize(
    ("code", "disposition"), [("404", "wrong_number"), ("484", "wrong_number"), ("503", "failed")]
)
def test_a_number_that_is_not_in_use_is_told_from_a_failure_that_passes(
    sqlite_world: World, dialled: Dialled, code: str, disposition: str
) -> None:
    report(sqlite_world, dialled(), CallStatus.FAILED, code=code)
    assert attempt(sqlite_world) == ("settled", disposition)


@pytest.mark.parametrize("by", ["machine_start", "machine_end_beep", "fax"])
def test_a_machine_that_is_told_at_the_end_is_a_machine(
    sqlite_world: World, dialled: Dialled, by: str
) -> None:
    report(sqlite_world, dialled(), CallStatus.COMPLETED, answered_by=by)
    assert attempt(sqlite_world) == ("settled", "machine")


@pytest.mark.parametrize("by", [None, "human", "unknown"])
def test_a_human_or_nobody_knows_is_spoken_to(by: str | None) -> None:
    assert not settle.is_machine(by)


def test_a_wish_for_another_time_may_reach_a_week_beyond_the_last_day(
    sqlite_world: World, dialled: Dialled
) -> None:
    world, attempt_id = sqlite_world, dialled()
    with world.service.database.write() as connection:
        settle.conversation_ended(
            connection, attempt_id, Outcome.LATER, world.clock.now(), "2026-03-09 10:00"
        )
    callback = world.callback()
    assert callback["state"] == "scheduled"
    assert datetime.fromisoformat(callback["due_at"]).isoformat() == "2026-03-09T03:00:00+00:00"


def test_another_time_that_was_promised_on_the_last_attempt_is_kept(
    sqlite_world: World, dialled: Dialled
) -> None:
    world, attempt_id = sqlite_world, dialled()
    policies.set_for_client(world.service, "Brand A", Policy(max_attempts=1))
    with world.service.database.write() as connection:
        settle.conversation_ended(
            connection, attempt_id, Outcome.LATER, world.clock.now(), "2026-03-03 20:00"
        )
    callback = world.callback()
    assert (callback["state"], callback["due_at"]) == ("scheduled", "2026-03-03T13:00:00+00:00")


def test_whoever_takes_the_calls_cannot_put_them_off_for_ever(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(script="manual"))
    policies.set_for_client(world.service, "Brand A", Policy(max_attempts=None))
    callback_id, days = world.callback()["id"], 0
    while world.callback()["state"] == "scheduled":
        days += 1
        assert days < 60, "it goes on for ever"
        world.clock.advance(timedelta(days=1))
        later = (world.clock.now() + timedelta(days=2)).date()
        with world.service.database.write() as connection:
            attempt_id = _dialled_again(connection, callback_id, days, world.clock.now())
            settle.conversation_ended(
                connection, attempt_id, Outcome.LATER, world.clock.now(), f"{later} 10:00"
            )
    assert world.callback()["give_up_reason"] == "period_over"


def _dialled_again(connection: Connection, callback_id: str, n: int, now: datetime) -> str:
    attempt_id = new_id()
    connection.execute(update(_callback).values(state=CallbackState.DIALLING, attempts=n))
    connection.execute(
        insert(_attempt).values(
            id=attempt_id,
            callback_id=callback_id,
            n=n,
            channel="voice",
            state=AttemptState.ANSWERED,
            provider_rank=0,
            window_end=now,
            lease_until=wall_time(),
            claimed_at=now,
        )
    )
    return attempt_id


def test_a_ring_is_written_down_only_where_it_tells_something_new(
    sqlite_world: World, dialled: Dialled
) -> None:
    attempt_id = dialled()
    now, wall = sqlite_world.clock.now(), wall_time()
    with sqlite_world.service.database.write() as connection:
        assert settle.is_news(connection, attempt_id, CallStatus.RINGING), "before its dialling was reported"
        settle.progress(connection, attempt_id, CallStatus.DIALLED, now, wall, call_id="CA1")
        assert not settle.is_news(connection, attempt_id, CallStatus.RINGING)
        assert settle.is_news(connection, attempt_id, CallStatus.IN_PROGRESS)
        assert settle.is_news(connection, attempt_id, CallStatus.NO_ANSWER)
        connection.execute(update(_attempt).values(state=AttemptState.UNKNOWN))
        assert settle.is_news(connection, attempt_id, CallStatus.RINGING), (
            "it is known again that it was taken"
        )
        settle.progress(connection, attempt_id, CallStatus.RINGING, now, wall, call_id="CA1")
        settle.progress(connection, attempt_id, CallStatus.BUSY, now, wall, call_id="CA1")
        assert not settle.is_news(connection, attempt_id, CallStatus.RINGING), "a late one"
        assert settle.is_news(connection, attempt_id, CallStatus.BUSY), "an end always counts"
        assert not settle.is_news(connection, new_id(), CallStatus.RINGING)

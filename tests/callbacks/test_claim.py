"""Who is due is taken by one clock alone, and never more than pace and slots allow."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.callbacks import dial, settle
from bot.callbacks.claim import (
    CLAIM_LEASE,
    GOODBYE,
    Limits,
    adopt_returned,
    claim_due,
    free_slots,
    missed_windows,
    waiting_claims,
)
from bot.callbacks.states import CallStatus
from bot.clock import wall_time
from bot.flow.events import Outcome
from bot.storage import tables
from tests.journeys.world import Worker, World

LIMITS = Limits(calls_per_second=100, slots=100)


@pytest.fixture
def due(world: World) -> World:
    """Three workers in their window."""
    world.interviewed(*(Worker(number=f"+62812000001{n:02}", alias=f"W-{n}") for n in range(3)))
    world.at("2026-03-02T18:01:00+07:00")
    return world


def claim(world: World, limits: Limits = LIMITS) -> list[str]:
    """One clock takes what is due."""
    return claim_due(world.service.database, world.clock.now(), wall_time(), limits)


def test_each_is_claimed_once(due: World) -> None:
    assert len(claim(due)) == 3
    due.pass_time(timedelta(seconds=2))
    assert claim(due) == []
    assert {each["state"] for each in due.callbacks()} == {"dialling"}


def test_a_claim_is_leased_and_handed_out_again_after_it(due: World) -> None:
    claimed = set(claim(due))
    with due.service.database.write() as connection:
        assert waiting_claims(connection, wall_time(), 10) == []
    due.pass_time(CLAIM_LEASE + timedelta(seconds=1))
    with due.service.database.write() as connection:
        assert set(waiting_claims(connection, wall_time(), 10)) == claimed
        assert waiting_claims(connection, wall_time(), 10) == []


def test_a_call_takes_its_slot_until_its_goodbye_is_said(due: World) -> None:
    first = claim(due, Limits(calls_per_second=100, slots=1))
    due.pass_time(timedelta(seconds=2))
    with due.service.database.write() as connection:
        now, wall = due.clock.now(), wall_time()
        assert dial.begin(connection, due.service.sealer, first[0], now, wall)
        settle.answered(connection, first[0], "CA1", now, wall)
        settle.conversation_ended(connection, first[0], Outcome.COMPLETED, now, None)
        assert free_slots(connection, 1, now) == 0, "the flow is over, and the call is not"
        assert free_slots(connection, 1, now + GOODBYE) == 1, "the provider never said that it was"
        settle.progress(connection, first[0], CallStatus.COMPLETED, now, wall, call_id="CA1")
        assert free_slots(connection, 1, now) == 1
    assert len(claim(due, Limits(calls_per_second=100, slots=1))) == 1


def test_a_call_that_is_over_takes_no_slot_while_its_agent_writes_it_up(due: World) -> None:
    first = claim(due, Limits(calls_per_second=100, slots=1))
    with due.service.database.write() as connection:
        now, wall = due.clock.now(), wall_time()
        assert dial.begin(connection, due.service.sealer, first[0], now, wall)
        settle.answered(connection, first[0], "CA1", now, wall)
        assert free_slots(connection, 1, now) == 0
        settle.progress(connection, first[0], CallStatus.COMPLETED, now, wall, call_id="CA1")
        assert free_slots(connection, 1, now) == 1


def test_a_returned_call_takes_the_callback_away_from_the_clock(due: World) -> None:
    contact = due.rows(tables.Contact)[0]
    with due.service.database.write() as connection:
        adopted = adopt_returned(connection, contact.id, "CA1", due.clock.now(), wall_time())
        assert adopted is not None
        assert adopt_returned(connection, contact.id, "CA2", due.clock.now(), wall_time()) is None
    assert len(claim(due)) == 2


def test_a_window_that_is_as_good_as_over_is_missed(due: World) -> None:
    with due.service.database.read() as connection:
        assert missed_windows(connection, due.clock.now(), 10) == []
    due.at("2026-03-02T20:59:30+07:00")
    assert claim(due) == []
    with due.service.database.read() as connection:
        assert len(missed_windows(connection, due.clock.now(), 10)) == 3

"""What a policy would do is told before it holds, and comes true."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from bot.callbacks import policies, preview
from bot.callbacks.plan import Planned, Request, plan
from bot.callbacks.policy import Policy, Round
from bot.callbacks.preference import parse
from bot.callbacks.preview import Change, Preview, Registered, Subject, compare, forecast
from bot.storage import tables
from bot.storage.tables import table
from tests.journeys.world import Worker, World

AUDITED = date(2026, 5, 1)
NOW = datetime(2026, 5, 2, 9, tzinfo=UTC)
WISHES = ("evening", "morning;evening", "weekend", "sat_lunch", "2026-05-07 18:30")
ZONES = ("Asia/Jakarta", "Africa/Cairo", "America/New_York")

EXAMPLES = settings(deadline=None, max_examples=60)


@st.composite
def registered(draw: st.DrawFn) -> Registered:
    subjects = [
        Subject(
            f"{n:032x}",
            number,
            AUDITED,
            Request(
                parse(draw(st.sampled_from(WISHES))),
                ZoneInfo(draw(st.sampled_from(ZONES))),
                "ID",
                AUDITED,
                AUDITED,
            ),
            untouched=True,
            comparison_key=draw(st.none() | st.just(f"key-{n}")),
            sure=number == 1,
        )
        for n in range(draw(st.integers(0, 12)))
        for number in (1, 2)
    ]
    return Registered(tuple(subjects), {NOW.date(): draw(st.integers(0, 3))})


POLICIES = st.builds(
    Policy,
    first_call_day=st.integers(0, 5),
    last_call_day=st.integers(5, 12),
    daily_cap=st.none() | st.integers(1, 4),
    comparison=st.sampled_from([0.0, 0.4, 1.0]),
    calendar=st.sampled_from(["UTC", "Asia/Tokyo"]),
    rounds=st.sampled_from([(), (Round(30, 33),)]),
)


@EXAMPLES
@given(registered(), POLICIES)
def test_a_forecast_keeps_the_cap_and_gives_each_worker_the_first_instant_that_is_left(
    known: Registered, policy: Policy
) -> None:
    lines = forecast(known, policy, NOW)
    calls = [(line, line.verdict) for line in lines if isinstance(line.verdict, Planned)]
    assert [call.due_at for _, call in calls] == sorted(call.due_at for _, call in calls)
    days = Counter(policy.day_of(call.due_at) for _, call in calls)
    if policy.daily_cap is not None:
        for day, number in days.items():
            assert number + known.begun.get(day, 0) <= max(policy.daily_cap, known.begun.get(day, 0))
    rounds = {1, 2} if policy.rounds else {1}
    assert {(line.member_id, line.round) for line in lines} == {
        (each.member_id, each.round) for each in known.subjects if each.round in rounds
    }


@EXAMPLES
@given(registered(), POLICIES)
def test_without_a_cap_the_forecast_is_the_plan_of_each(known: Registered, policy: Policy) -> None:
    free = replace(policy, daily_cap=None)
    told = {(line.member_id, line.round): line.verdict for line in forecast(known, free, NOW)}
    for each in known.subjects:
        found = free.round(each.round)
        if found is None or (each.comparison_key and not free.calls_comparison(each.comparison_key)):
            continue
        first_day, last_day = found.days(AUDITED)
        request = replace(each.request, first_day=first_day, last_day=last_day)
        assert told[each.member_id, each.round] == plan(request, free, NOW)


@EXAMPLES
@given(registered(), POLICIES)
def test_a_policy_beside_itself_changes_nothing(known: Registered, policy: Policy) -> None:
    compared = compare(known, policy, policy, NOW)
    assert {each.change for each in compared.lines} <= {Change.SAME}
    assert not compared.gone


@EXAMPLES
@given(registered(), POLICIES, POLICIES)
def test_what_changes_one_way_changes_back_the_other_way(
    known: Registered, first: Policy, second: Policy
) -> None:
    there, back = compare(known, first, second, NOW).changes(), compare(known, second, first, NOW).changes()
    assert there[Change.NEW] == back[Change.GONE]
    assert there[Change.MOVED] == back[Change.MOVED]


# --- what is registered -----------------------------------------------------------------------------


@pytest.fixture
def look(sqlite_world: World) -> Callable[[Policy], Preview]:
    """Previews a policy of the only client."""

    def preview_of(policy: Policy) -> Preview:
        now = sqlite_world.clock.now()
        with sqlite_world.service.database.read() as connection:
            held = policies.held(connection, "Brand A")
            known = preview.read(connection, held.client_id, now)
        return compare(known, held.policy, policy, now)

    return preview_of


def test_these_sixty_one_workers_at_these_instants(
    sqlite_world: World, look: Callable[[Policy], Preview]
) -> None:
    world = sqlite_world
    wishes = ("evening", "lunch", "weekend", "2026-03-05 18:30")
    world.interviewed(
        *(
            Worker(number=f"+6281200001{n:03}", alias=f"W-{n}", preferred_time=wishes[n % 4])
            for n in range(61)
        )
    )
    policy = Policy(first_call_day=6, last_call_day=12, rounds=())
    before = world.rounds()
    told = look(policy)
    assert told.workers() == 61
    assert world.rounds() == before, "nothing was changed"
    policies.set_for_client(world.service, "Brand A", policy)
    planned = sorted(each["due_at"] for each in world.callbacks())
    assert planned == [call.due_at.isoformat() for _, call in told.planned()]
    assert look(policy).changes()[Change.MOVED] == 0


def test_a_preview_holds_neither_number_nor_alias(
    sqlite_world: World, look: Callable[[Policy], Preview]
) -> None:
    worker = Worker()
    sqlite_world.interviewed(worker)
    told = json.dumps(look(Policy()).as_data(Policy()))
    for hidden in (worker.number[1:], worker.alias, worker.pass_word):
        assert hidden not in told


def test_what_was_dialled_and_who_must_not_be_called_stay_out_of_it(
    sqlite_world: World, look: Callable[[Policy], Preview]
) -> None:
    world = sqlite_world
    world.interviewed(*(Worker(number=f"+62812000010{n:02}", alias=f"W-{n}") for n in range(4)))
    first, second, third, _ = (row.id for row in world.rows(tables.Callback))
    callback = table(tables.Callback)
    with world.service.database.write() as connection:
        for callback_id, values in (
            (first, {"attempts": 1, "due_at": world.clock.now() + timedelta(days=1)}),
            (second, {"state": "refused", "attempts": 1, "due_at": None}),
            (third, {"state": "given_up", "give_up_reason": "wrong_number", "attempts": 1}),
        ):
            connection.execute(update(callback).where(callback.c.id == callback_id).values(**values))
    told = look(Policy(first_call_day=7))
    assert Counter(each.line.round for each in told.lines) == {1: 2, 2: 2, 3: 2}
    assert told.changes()[Change.MOVED] == 1, "only the one that nobody has dialled"

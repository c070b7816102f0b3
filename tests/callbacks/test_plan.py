"""When the next call is made, or why there is none."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.callbacks.plan import (
    MARGIN,
    DayCode,
    GivenUp,
    GiveUp,
    Planned,
    Request,
    explain,
    is_public_holiday,
    plan,
)
from bot.callbacks.policy import Policy, Shifts
from bot.callbacks.preference import Preference, parse, windows
from bot.callbacks.shifts import Shift

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
FIRST, LAST = date(2026, 5, 6), date(2026, 5, 11)  # a Wednesday to a Monday
UNHURRIED = Policy()


def hanoi(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 5, day, hour, minute, tzinfo=HANOI)


def request(text: str | None, *attempts: datetime, **changes: object) -> Request:
    preference = None if text is None else parse(text)
    made = Request(preference, HANOI, "VN", FIRST, LAST, attempts=attempts)
    return replace(made, **changes)  # type: ignore[arg-type]  # tests name the fields in clear


def due(made: Request, now: datetime, policy: Policy = UNHURRIED) -> datetime:
    planned = plan(made, policy, now)
    assert isinstance(planned, Planned), planned
    return planned.due_at.astimezone(HANOI)


def given_up(made: Request, now: datetime, policy: Policy = UNHURRIED) -> GiveUp:
    verdict = plan(made, policy, now)
    assert isinstance(verdict, GivenUp), verdict
    return verdict.reason


# --- the worker's window ------------------------------------------------------------------------


def test_the_first_call_is_at_the_start_of_the_first_wanted_window() -> None:
    assert plan(request("evening"), UNHURRIED, hanoi(1, 10)) == Planned(
        hanoi(6, 18).astimezone(UTC), hanoi(6, 21).astimezone(UTC)
    )


def test_inside_a_wanted_window_the_call_is_due_now() -> None:
    assert due(request("evening"), hanoi(7, 19, 17)) == hanoi(7, 19, 17)


def test_no_call_begins_with_less_than_two_minutes_left() -> None:
    assert due(request("evening"), hanoi(6, 20, 58)) == hanoi(6, 20, 58)
    assert due(request("evening"), hanoi(6, 20, 59)) == hanoi(7, 18)


def test_nobody_is_called_before_the_first_day_even_inside_the_window() -> None:
    assert due(request("evening"), hanoi(5, 19)) == hanoi(6, 18)


def test_a_late_import_is_called_in_what_is_left_of_the_period() -> None:
    assert due(request("lunch"), hanoi(10, 14)) == hanoi(11, 12)


def test_an_exact_time_before_the_first_day_falls_on_the_same_hour_of_the_first_day() -> None:
    assert due(request("2026-05-02 18:30"), hanoi(1, 9)) == hanoi(6, 18, 30)


def test_an_exact_time_is_tried_again_at_the_same_hour_of_the_next_day() -> None:
    made = request("2026-05-07 18:30", hanoi(7, 18, 30))
    assert due(made, hanoi(7, 18, 35)) == hanoi(8, 18, 30)


def test_without_a_preference_quiet_hours_are_kept() -> None:
    assert due(request(None), hanoi(6, 23)) == hanoi(7, 7, 30)
    assert due(request(None), hanoi(6, 6)) == hanoi(6, 7, 30)
    night_shift = Policy(quiet_from=time(6), quiet_until=time(14))
    assert due(request(None), hanoi(6, 7), night_shift) == hanoi(6, 14)
    assert due(request(None), hanoi(6, 3), night_shift) == hanoi(6, 3)


def test_a_window_that_the_worker_chose_beats_quiet_hours() -> None:
    assert due(request("night"), hanoi(6, 21, 40)) == hanoi(6, 21, 40)


def test_a_window_over_midnight_ends_with_the_last_day() -> None:
    made = request("2026-05-06 23:45", first_day=LAST)
    planned = plan(made, UNHURRIED, hanoi(11, 23, 50))
    assert planned == Planned(hanoi(11, 23, 50).astimezone(UTC), hanoi(12, 0).astimezone(UTC))
    assert given_up(made, hanoi(11, 23, 59)) is GiveUp.PERIOD_OVER


# --- attempts -----------------------------------------------------------------------------------


def test_attempts_are_spaced_from_the_start_of_the_last_one() -> None:
    daily = Policy(attempts_per_day=5, spacing_hours=2)
    assert due(request("evening", hanoi(6, 18)), hanoi(6, 18, 10), daily) == hanoi(6, 20)
    assert due(request("evening", hanoi(6, 19, 30)), hanoi(6, 19, 40), daily) == hanoi(7, 18)


def test_a_day_has_no_more_attempts_than_the_policy_allows() -> None:
    made = request("morning;evening", hanoi(6, 8))
    assert due(made, hanoi(6, 9), Policy(spacing_hours=0)) == hanoi(7, 8)
    assert due(made, hanoi(6, 9), Policy(spacing_hours=0, attempts_per_day=2)) == hanoi(6, 9)


def test_when_the_attempts_are_used_we_give_up() -> None:
    made = request("evening", hanoi(6, 18), hanoi(7, 18))
    assert given_up(made, hanoi(7, 19), Policy(max_attempts=2)) is GiveUp.ATTEMPTS_USED


def test_a_call_that_was_put_off_is_no_failed_try_but_not_for_ever() -> None:
    tried = [hanoi(6, 18), hanoi(7, 18)]
    twice = Policy(max_attempts=2)
    assert given_up(request("evening", *tried), hanoi(7, 19), twice) is GiveUp.ATTEMPTS_USED
    assert due(request("evening", *tried, put_off=1), hanoi(7, 19), twice) == hanoi(8, 18)
    often = [hanoi(6, hour) for hour in range(8, 14)]
    endless = request("evening", *often, put_off=len(often))
    assert given_up(endless, hanoi(7, 19), twice) is GiveUp.ATTEMPTS_USED


def test_unlimited_attempts_still_end_with_the_last_day() -> None:
    made = request("evening", *(hanoi(day, 18) for day in range(6, 12)))
    assert given_up(made, hanoi(11, 19), Policy(max_attempts=None)) is GiveUp.PERIOD_OVER
    assert due(replace(made, last_day=date(2026, 5, 12)), hanoi(11, 19), Policy(max_attempts=None)) == hanoi(
        12, 18
    )


def test_an_attempt_in_the_future_after_a_clock_step_brings_no_extra_call() -> None:
    assert due(request("evening", hanoi(8, 18)), hanoi(6, 18)) == hanoi(9, 18)


# --- giving up ----------------------------------------------------------------------------------


def test_a_period_that_is_over_is_given_up() -> None:
    assert given_up(request("evening"), hanoi(11, 21)) is GiveUp.PERIOD_OVER
    assert given_up(request("evening"), hanoi(20, 12)) is GiveUp.PERIOD_OVER


def test_a_wish_that_never_falls_in_the_period_is_told_apart() -> None:
    assert given_up(request("tue_evening"), hanoi(6, 8)) is GiveUp.NO_WINDOW_IN_PERIOD
    assert given_up(request("2026-05-20 18:00"), hanoi(6, 8)) is GiveUp.NO_WINDOW_IN_PERIOD


@pytest.mark.parametrize("reason", [GiveUp.STOPPED, GiveUp.UNSAFE, GiveUp.REFUSED, GiveUp.WRONG_NUMBER])
def test_a_worker_who_must_not_be_called_is_not_planned(reason: GiveUp) -> None:
    assert given_up(request("evening", stop=reason), hanoi(6, 19)) is reason


def test_two_strangers_or_two_wrong_pass_words_end_the_calls() -> None:
    assert given_up(request("evening", third_party=2), hanoi(6, 19)) is GiveUp.THIRD_PARTY_LIMIT
    assert given_up(request("evening", unverified=2), hanoi(6, 19)) is GiveUp.UNVERIFIED_LIMIT
    assert due(request("evening", third_party=1, unverified=1), hanoi(6, 19)) == hanoi(6, 19)


# --- holidays -----------------------------------------------------------------------------------


def test_public_holidays_are_skipped_when_the_policy_says_so() -> None:
    made = request("morning", first_day=date(2026, 9, 2), last_day=date(2026, 9, 7))  # Vietnam's National Day
    now = datetime(2026, 9, 2, 9, tzinfo=HANOI)
    assert due(made, now) == now
    assert due(made, now, Policy(skip_public_holidays=True)).date() > date(2026, 9, 2)
    assert explain(made, Policy(skip_public_holidays=True), now).days[0].code is DayCode.PUBLIC_HOLIDAY


def test_holidays_of_a_region_are_known_by_code_and_by_name() -> None:
    new_year = date(2026, 1, 1)  # a holiday in most states of Malaysia, but not in Johor
    assert is_public_holiday(new_year, "MY", "Selangor")
    assert is_public_holiday(new_year, "MY", "MY-10")
    assert not is_public_holiday(new_year, "MY", "Johor")
    assert not is_public_holiday(new_year, "ZZ", "nowhere")


# --- shifts and the cap --------------------------------------------------------------------------

DAY_SHIFT = (Shift(frozenset(range(5)), time(7), time(16)),)


def test_a_window_that_nobody_asked_her_for_is_cut_by_the_shift() -> None:
    assert due(request("afternoon", shifts=DAY_SHIFT), hanoi(1, 9)) == hanoi(6, 13)
    others = request("afternoon", shifts=DAY_SHIFT, chosen=False)
    assert due(others, hanoi(1, 9)) == hanoi(6, 16)
    assert due(request("afternoon", shifts=DAY_SHIFT), hanoi(1, 9), Policy(shifts=Shifts.ALWAYS)) == hanoi(
        6, 16
    )
    assert due(request(None, shifts=DAY_SHIFT), hanoi(6, 9)) == hanoi(6, 16)


def test_a_time_of_one_day_beats_a_shift_on_that_day_only() -> None:
    named = request("2026-05-06 10:00", shifts=DAY_SHIFT)
    assert due(named, hanoi(1, 9)) == hanoi(6, 10)
    assert due(named, hanoi(6, 11)) == hanoi(9, 10), "the next day on which nobody is at work at that hour"
    after = request("2026-05-06 after 14:00", shifts=DAY_SHIFT)
    assert due(after, hanoi(6, 21)) == hanoi(7, 16)


def test_a_day_whose_windows_lie_in_a_shift_is_told() -> None:
    made = request("morning", shifts=DAY_SHIFT, chosen=False)
    told = explain(made, UNHURRIED, hanoi(1, 9))
    codes = [day.code for day in told.days]
    assert codes[:3] == [DayCode.IN_SHIFT] * 3
    assert codes[3] is DayCode.TAKEN, "a Saturday"


def test_a_night_shift_belongs_to_the_day_on_which_it_begins() -> None:
    night = (Shift(frozenset({4}), time(22), time(6)),)  # Friday, 8 May
    made = request(None, shifts=night, first_day=date(2026, 5, 9))
    early = Policy(quiet_from=time(23), quiet_until=time(5))
    assert due(made, hanoi(9, 5, 10), early) == hanoi(9, 6)
    assert due(replace(made, first_day=date(2026, 5, 10)), hanoi(10, 5, 10), early) == hanoi(10, 5, 10)


def test_a_full_day_moves_a_call_to_the_next_allowed_instant() -> None:
    held = request("evening", held_until=hanoi(7, 7))
    assert due(held, hanoi(6, 18, 30)) == hanoi(7, 18)
    assert explain(held, UNHURRIED, hanoi(6, 18, 30)).days[0].code is DayCode.CAP_USED
    assert given_up(replace(held, held_until=hanoi(12, 7)), hanoi(11, 19)) is GiveUp.DAILY_CAP


# --- the explanation ----------------------------------------------------------------------------


def test_the_explanation_says_of_each_day_why() -> None:
    made = request("evening", hanoi(6, 20))
    told = explain(made, Policy(spacing_hours=23), hanoi(6, 20, 59))
    assert [day.code for day in told.days] == [DayCode.PAST, DayCode.TAKEN] + [DayCode.LATER] * 4
    assert told.verdict == Planned(hanoi(7, 19).astimezone(UTC), hanoi(7, 21).astimezone(UTC))
    used = explain(made, Policy(), hanoi(6, 20, 10)).days[0]
    assert used.code is DayCode.TOO_SOON
    assert json.loads(json.dumps(told.as_data()))["days"][1]["code"] == "taken"


# --- promises that hold for every request -------------------------------------------------------

DAYS = ("", "weekday_", "weekend_", "mon_", "fri_", "sun_")
PARTS = ("morning", "lunch", "afternoon", "evening", "night")
PREFERENCES = st.lists(
    st.one_of(
        st.just("weekend"),
        st.tuples(st.sampled_from(DAYS), st.sampled_from(PARTS)).map("".join),
        st.tuples(st.dates(date(2024, 2, 20), date(2027, 3, 1)), st.sampled_from(PARTS)).map(
            lambda pair: f"{pair[0]} {pair[1]}"
        ),
        st.tuples(st.dates(date(2024, 2, 20), date(2027, 3, 1)), st.times()).map(
            lambda pair: f"{pair[0]} {pair[1]:%H:%M}"
        ),
    ),
    min_size=1,
    max_size=4,
).map(lambda texts: parse(";".join(texts)))
ZONES = st.sampled_from(
    [
        "Africa/Cairo",
        "Africa/Casablanca",
        "America/Havana",
        "America/New_York",
        "America/Santiago",
        "Asia/Ho_Chi_Minh",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Europe/Lisbon",
        "Pacific/Kiritimati",
    ]
).map(ZoneInfo)


SHIFTS = st.builds(
    Shift,
    days=st.frozensets(st.integers(0, 6), min_size=1),
    begins=st.sampled_from([time(0), time(6, 30), time(14), time(22)]),
    ends=st.sampled_from([time(1, 30), time(6, 30), time(12), time(16)]),
    valid_until=st.none() | st.dates(date(2024, 3, 1), date(2027, 3, 1)),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    first = draw(st.dates(date(2024, 2, 20), date(2027, 2, 20)))
    start = datetime.combine(first, time(), UTC)
    hours = draw(st.lists(st.integers(-48, 24 * 12), max_size=7, unique=True))
    held = draw(st.none() | st.integers(-24, 24 * 12))
    attempts = [start + timedelta(hours=hour, minutes=draw(st.integers(0, 59))) for hour in hours]
    return Request(
        preference=draw(st.none() | PREFERENCES),
        timezone=draw(ZONES),
        country=draw(st.sampled_from(["VN", "BD", "SA", "MY", "US", "XK"])),
        first_day=first,
        last_day=first + timedelta(draw(st.integers(-1, 12))),
        region=draw(st.none() | st.sampled_from(["Johor", "TX", "?"])),
        attempts=tuple(attempts),
        chosen=draw(st.booleans()),
        shifts=tuple(draw(st.lists(SHIFTS, max_size=3))),
        held_until=None if held is None else start + timedelta(hours=held),
    )


POLICIES = st.builds(
    Policy,
    max_attempts=st.none() | st.integers(1, 8),
    spacing_hours=st.integers(0, 48),
    attempts_per_day=st.integers(1, 3),
    quiet_from=st.times().map(lambda at: at.replace(microsecond=0)),
    quiet_until=st.times().map(lambda at: at.replace(microsecond=0)),
    skip_public_holidays=st.booleans(),
    shifts=st.sampled_from(Shifts),
)


def around(made: Request) -> st.SearchStrategy[datetime]:
    start = datetime.combine(made.first_day, time(), UTC)
    return st.integers(-72 * 60, 16 * 24 * 60).map(lambda minutes: start + timedelta(minutes=minutes))


@given(requests(), POLICIES, st.data())
def test_a_call_is_always_in_a_wanted_window_with_margin_and_by_every_rule(
    made: Request, policy: Policy, data: st.DataObject
) -> None:
    now = data.draw(around(made))
    verdict = plan(made, policy, now)
    if isinstance(verdict, GivenUp):
        return
    local = verdict.due_at.astimezone(made.timezone)
    assert now <= verdict.due_at <= verdict.window_end - MARGIN
    assert made.first_day <= local.date() <= made.last_day
    assert all(verdict.due_at - attempt >= timedelta(hours=policy.spacing_hours) for attempt in made.attempts)
    today = [attempt for attempt in made.attempts if attempt.astimezone(made.timezone).date() == local.date()]
    assert len(today) < policy.attempts_per_day
    assert made.held_until is None or verdict.due_at >= made.held_until
    if made.preference:
        nearby = [local.date() - timedelta(1), local.date()]
        assert any(
            window.start <= verdict.due_at and verdict.window_end <= window.end
            for day in nearby
            for window in windows(made.preference, day, made.timezone, made.country)
        )


@given(requests(), POLICIES, st.data())
def test_as_time_goes_on_a_plan_only_moves_forward(
    made: Request, policy: Policy, data: st.DataObject
) -> None:
    sooner, later = sorted((data.draw(around(made)), data.draw(around(made))))
    first, second = plan(made, policy, sooner), plan(made, policy, later)
    if isinstance(first, GivenUp):
        # While time goes on and the cap does not, its days pass by.
        reasons = {first.reason, GiveUp.PERIOD_OVER} if first.reason is GiveUp.DAILY_CAP else {first.reason}
        assert isinstance(second, GivenUp)
        assert second.reason in reasons
    elif isinstance(second, Planned):
        assert second.due_at == max(first.due_at, second.due_at)
        assert first.due_at < later or second == first


@given(requests(), POLICIES, st.data())
def test_no_call_begins_in_a_shift_unless_the_worker_chose_the_window(
    made: Request, policy: Policy, data: st.DataObject
) -> None:
    verdict = plan(made, policy, data.draw(around(made)))
    chose = made.preference is not None and made.chosen and policy.shifts is Shifts.UNLESS_CHOSEN
    if chose or isinstance(verdict, GivenUp):
        return
    at, ring = verdict.due_at, timedelta(minutes=1)
    for instant in (at, at + ring):
        local = instant.astimezone(made.timezone)
        for shift in made.shifts:
            assert not is_at_work(shift, local), (shift, local)


@given(requests(), POLICIES, st.data())
def test_a_time_of_a_day_that_is_over_calls_nobody_at_work(
    made: Request, policy: Policy, data: st.DataObject
) -> None:
    day = made.first_day - timedelta(data.draw(st.integers(1, 400)))
    at = data.draw(st.times())
    form = data.draw(st.sampled_from([f"{day} {at:%H:%M}", f"{day} after {at:%H:%M}"]))
    verdict = plan(replace(made, preference=parse(form)), policy, data.draw(around(made)))
    if isinstance(verdict, Planned):
        local = verdict.due_at.astimezone(made.timezone)
        assert not any(is_at_work(shift, local) for shift in made.shifts), local


def is_at_work(shift: Shift, local: datetime) -> bool:
    """What the wall clock says, without the reading of the planner."""
    today, clock = local.date(), local.time()
    if shift.begins < shift.ends:
        return shift.on(today) and shift.begins <= clock < shift.ends
    return (shift.on(today) and clock >= shift.begins) or (
        shift.on(today - timedelta(1)) and clock < shift.ends
    )


@given(requests(), POLICIES, st.data())
def test_a_window_that_the_worker_did_not_choose_keeps_the_quiet_hours(
    made: Request, policy: Policy, data: st.DataObject
) -> None:
    verdict = plan(replace(made, chosen=False), policy, data.draw(around(made)))
    if isinstance(verdict, GivenUp) or policy.quiet_from <= policy.quiet_until:
        return
    clock = verdict.due_at.astimezone(made.timezone).time()
    if verdict.due_at.astimezone(made.timezone).utcoffset() == offset_at_noon(verdict.due_at, made.timezone):
        assert policy.quiet_until <= clock < policy.quiet_from


def offset_at_noon(instant: datetime, zone: ZoneInfo) -> timedelta | None:
    return instant.astimezone(zone).replace(hour=12).utcoffset()


@given(requests(), POLICIES, st.data(), st.randoms(use_true_random=False))
def test_the_order_of_attempts_does_not_matter(
    made: Request, policy: Policy, data: st.DataObject, chance: random.Random
) -> None:
    now = data.draw(around(made))
    shuffled = list(made.attempts)
    chance.shuffle(shuffled)
    assert plan(replace(made, attempts=tuple(shuffled)), policy, now) == plan(made, policy, now)


@given(requests(), POLICIES, st.data())
def test_one_more_attempt_never_brings_the_next_call_forward(
    made: Request, policy: Policy, data: st.DataObject
) -> None:
    now = data.draw(around(made))
    before = plan(made, policy, now)
    after = plan(replace(made, attempts=(*made.attempts, now)), policy, now)
    if isinstance(before, GivenUp):
        assert isinstance(after, GivenUp)
    elif isinstance(after, Planned):
        assert after.due_at >= before.due_at


@given(requests(), POLICIES, st.data())
def test_the_explanation_agrees_with_the_plan(made: Request, policy: Policy, data: st.DataObject) -> None:
    now = data.draw(around(made))
    told = explain(made, policy, now)
    assert told.verdict == plan(made, policy, now)
    taken = [day.planned for day in told.days if day.code is DayCode.TAKEN]
    reached_the_days = not isinstance(told.verdict, GivenUp) or told.verdict.reason in {
        GiveUp.PERIOD_OVER,
        GiveUp.NO_WINDOW_IN_PERIOD,
        GiveUp.DAILY_CAP,
    }
    if reached_the_days:
        assert taken == ([told.verdict] if isinstance(told.verdict, Planned) else [])


@given(requests(), POLICIES, st.data())
def test_the_same_instant_in_another_zone_is_the_same_plan(
    made: Request, policy: Policy, data: st.DataObject
) -> None:
    now = data.draw(around(made))
    assert plan(made, policy, now) == plan(made, policy, now.astimezone(HANOI))


@given(requests(), POLICIES, st.data())
def test_a_campaign_in_which_nobody_answers_ends_and_has_no_two_calls_at_once(
    made: Request, policy: Policy, data: st.DataObject
) -> None:
    """A whole campaign: nobody answers, every attempt is made when it is due."""
    policy = replace(policy, spacing_hours=max(policy.spacing_hours, 1))
    now = data.draw(around(made))
    for _ in range(400):
        verdict = plan(made, policy, now)
        if isinstance(verdict, GivenUp):
            break
        made = replace(made, attempts=(*made.attempts, verdict.due_at))
        now = verdict.due_at
    else:
        pytest.fail("the campaign did not end")
    assert len({attempt.astimezone(UTC) for attempt in made.attempts}) == len(made.attempts)


def test_naive_datetimes_are_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        plan(request("evening"), UNHURRIED, datetime(2026, 5, 6, 12))  # noqa: DTZ001 - naive is what is tested
    with pytest.raises(ValueError, match="naive"):
        request("evening", datetime(2026, 5, 6, 12))  # noqa: DTZ001 - naive is what is tested


def test_an_absurd_period_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="period"):
        Request(Preference(()), HANOI, "VN", date(2026, 1, 1), date(9999, 1, 1))

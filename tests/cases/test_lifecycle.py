"""Severities, clocks and states, as they are promised to workers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.cases.lifecycle import (
    CLOSED,
    OPEN,
    WAITING,
    CaseState,
    ClockName,
    Clocks,
    Ground,
    Need,
    Severity,
    clocks,
    raise_severity,
    running,
    severest,
    transitions,
)

MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("severity", "review", "safety", "plan", "close"),
    [
        (Severity.S1, HOUR, 4 * HOUR, DAY, None),
        (Severity.S2, 4 * HOUR, DAY, 7 * DAY, 30 * DAY),
        (Severity.S3, DAY, 3 * DAY, 10 * DAY, 60 * DAY),
        (Severity.S4, 3 * DAY, 7 * DAY, 20 * DAY, 90 * DAY),
    ],
)
def test_every_severity_has_its_clocks(
    severity: Severity, review: timedelta, safety: timedelta, plan: timedelta, close: timedelta | None
) -> None:
    due = clocks(severity, MONDAY)
    assert due == Clocks(MONDAY + review, MONDAY + safety, MONDAY + plan, MONDAY + close if close else None)


def test_five_working_days_follow_the_week_and_the_holidays_of_the_factory() -> None:
    friday = datetime(2026, 3, 6, 2, 0, tzinfo=UTC)
    assert clocks(Severity.S2, friday).plan == friday + 7 * DAY
    # Friday and Saturday are the weekend of Bangladesh; 26 March 2026 is its Independence Day.
    dhaka = ZoneInfo("Asia/Dhaka")
    sunday = datetime(2026, 3, 29, 10, 0, tzinfo=dhaka)
    assert clocks(Severity.S2, sunday, "BD", dhaka).plan == datetime(2026, 4, 5, 10, 0, tzinfo=dhaka)
    before_holiday = datetime(2026, 3, 22, 10, 0, tzinfo=dhaka)
    assert clocks(Severity.S2, before_holiday, "BD", dhaka).plan > before_holiday + 7 * DAY


def test_a_country_without_known_holidays_still_has_a_week() -> None:
    assert clocks(Severity.S2, MONDAY, "XX").plan == MONDAY + 7 * DAY


def test_local_days_count_and_not_those_of_utc() -> None:
    # 22:00 UTC on Friday is Saturday in Jakarta: the first working day is Monday.
    friday_night = datetime(2026, 1, 9, 22, 0, tzinfo=UTC)
    jakarta = ZoneInfo("Asia/Jakarta")
    local = clocks(Severity.S2, friday_night, "SG", jakarta).plan.astimezone(jakarta)
    assert (local.year, local.month, local.day, local.hour) == (2026, 1, 16, 5)


def test_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        clocks(Severity.S1, datetime(2026, 3, 2, 9, 0))  # noqa: DTZ001 - the point of the test


def test_a_ground_raises_one_level_and_never_above_the_gravest() -> None:
    assert raise_severity(Severity.S3, {Ground.MINOR}) is Severity.S2
    assert raise_severity(Severity.S3, set(Ground)) is Severity.S2
    assert raise_severity(Severity.S1, {Ground.MINOR}) is Severity.S1
    assert raise_severity(Severity.S4, ()) is Severity.S4


def test_the_gravest_of_several_is_found() -> None:
    assert severest([Severity.S4, Severity.S2, Severity.S3]) is Severity.S2


def test_only_the_workers_word_leads_to_closed_validated() -> None:
    ways = [
        (state, way)
        for state in CaseState
        for way in transitions(state)
        if way.to is CaseState.CLOSED_VALIDATED
    ]
    assert [(state, way.needs) for state, way in ways] == [(CaseState.WORKER_CHECK, Need.WORKER_CONFIRMS)]


def test_the_employers_word_leads_to_the_worker_or_back_to_work() -> None:
    onward = {way.to for way in transitions(CaseState.EMPLOYER_SAYS_DONE)}
    assert onward == {
        CaseState.WORKER_CHECK,
        CaseState.REMEDY_IN_PROGRESS,
        CaseState.HELD,
        CaseState.WITHDRAWN,
    }


def test_every_state_can_be_reached_and_left() -> None:
    reached, found = {CaseState.RECEIVED}, [CaseState.RECEIVED]
    while found:
        new = {way.to for way in transitions(found.pop())} - reached
        reached |= new
        found += sorted(new)
    assert reached == set(CaseState)
    assert all(transitions(state) for state in CaseState)


def test_every_open_state_can_be_held_or_withdrawn_with_a_reason() -> None:
    for state in OPEN - {CaseState.HELD}:
        needs = {way.to: way.needs for way in transitions(state)}
        assert needs[CaseState.HELD] is needs[CaseState.WITHDRAWN] is Need.NOTE


def test_a_held_case_goes_back_to_where_it_was_held() -> None:
    ways = transitions(CaseState.HELD, held_from=CaseState.REMEDY_IN_PROGRESS)
    assert ways[0].to is CaseState.REMEDY_IN_PROGRESS


def test_every_closed_case_can_be_reopened_with_a_reason() -> None:
    for state in CLOSED:
        assert [(way.to, way.needs) for way in transitions(state)] == [(CaseState.REOPENED, Need.NOTE)]


def test_no_clock_runs_for_a_closed_case_and_only_review_while_it_is_the_workers_turn() -> None:
    due = clocks(Severity.S2, MONDAY)
    for state in CLOSED:
        assert running(state, Severity.S2, False, due) == ()
    for state in WAITING:
        assert [name for name, _ in running(state, Severity.S2, False, due)] == [ClockName.REVIEW]
        assert running(state, Severity.S2, True, due) == ()


def test_a_critical_case_stays_under_review_until_it_is_closed() -> None:
    due = clocks(Severity.S1, MONDAY)
    for state in OPEN:
        assert running(state, Severity.S1, True, due)[0] == (ClockName.REVIEW, due.review)


def test_every_open_case_has_a_clock_unless_it_is_the_workers_turn() -> None:
    for severity in Severity:
        due = clocks(severity, MONDAY)
        for state in OPEN - WAITING:
            assert running(state, severity, True, due)

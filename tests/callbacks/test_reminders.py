"""When a text goes out before a call."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.callbacks import reminders
from bot.callbacks.plan import Request
from bot.callbacks.policy import Policy, from_json, from_mapping, to_json, to_mapping
from bot.callbacks.shifts import Shift
from bot.errors import InputError

JAKARTA = ZoneInfo("Asia/Jakarta")
LONG_BEFORE = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = frozenset(range(7))


def request(*shifts: Shift, zone: ZoneInfo = JAKARTA) -> Request:
    return Request(None, zone, "ID", date(2026, 3, 3), date(2026, 3, 8), shifts=shifts)


def local(text: str, zone: ZoneInfo = JAKARTA) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("2026-03-03 18:00", "2026-03-03 16:00"),
        ("2026-03-03 08:00", "2026-03-03 07:30"),  # at six everybody sleeps
        ("2026-03-03 07:40", "2026-03-02 21:15"),  # ten minutes before is too late, so the evening before
        ("2026-03-03 23:00", "2026-03-03 21:00"),
        ("2026-03-04 00:30", "2026-03-03 21:15"),
    ],
)
def test_text_comes_two_hours_before_and_never_at_night(call: str, told: str) -> None:
    assert reminders.instant(request(), Policy(), local(call), LONG_BEFORE) == local(told)


def test_text_never_comes_in_a_shift() -> None:
    day_shift = Shift(DAYS, time(7), time(17), None, None)
    assert reminders.instant(request(day_shift), Policy(), local("2026-03-03 18:00"), LONG_BEFORE) == local(
        "2026-03-03 17:00"
    )
    assert reminders.instant(request(day_shift), Policy(), local("2026-03-03 12:00"), LONG_BEFORE) == local(
        "2026-03-02 21:15"
    )


def test_no_text_comes_where_there_is_no_good_time_for_a_day() -> None:
    always = Shift(DAYS, time(7), time(22), None, None)
    assert reminders.instant(request(always), Policy(), local("2026-03-03 18:00"), LONG_BEFORE) is None


def test_clock_that_comes_late_still_tells_if_there_is_time() -> None:
    call = local("2026-03-03 18:00")
    for ahead, told in ((timedelta(hours=1), True), (timedelta(minutes=14), False)):
        now = (call - ahead).astimezone(UTC)
        assert reminders.instant(request(), Policy(), call, now) == (now if told else None)


def test_call_that_is_planned_at_short_notice_is_not_told() -> None:
    call = local("2026-03-03 18:00")
    assert reminders.planned(request(), Policy(), call, call - timedelta(hours=2)) is None
    assert reminders.planned(request(), Policy(), call, call - timedelta(hours=3)) == local(
        "2026-03-03 16:00"
    )


def test_night_of_a_change_of_the_clocks_is_a_night_too() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    policy = from_mapping({"reminder_hours": 12})
    found = reminders.instant(request(zone=berlin), policy, local("2026-03-29 12:00", berlin), LONG_BEFORE)
    assert found == local("2026-03-29 07:30", berlin)


def test_policy_may_have_nobody_told() -> None:
    for nothing in (None, "none"):
        policy = from_mapping({"reminder_hours": nothing})
        assert reminders.instant(request(), policy, local("2026-03-03 18:00"), LONG_BEFORE) is None
        assert from_json(to_json(policy)) == policy
        assert to_mapping(policy)["reminder_hours"] is None


@pytest.mark.parametrize("hours", [0, -1, 100, True, "2", []])
def test_policy_refuses_hours_that_make_no_sense(hours: object) -> None:
    with pytest.raises(InputError, match="reminder_hours"):
        from_mapping({"reminder_hours": hours})


def test_machine_of_the_version_before_reads_a_policy_that_says_nothing_of_reminders() -> None:
    assert "reminder_hours" not in to_json(Policy())
    assert '"reminder_hours": 4' in to_json(from_mapping({"reminder_hours": 4}))


def test_key_of_a_newer_version_is_passed_over_where_policies_are_kept() -> None:
    assert from_json('{"daily_cap": 7, "of_tomorrow": 1}') == Policy(daily_cap=7)

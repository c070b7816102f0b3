"""What a worker may ask for, and which instants that means."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.callbacks.preference import (
    After,
    Dated,
    Days,
    Exact,
    Part,
    Preference,
    Recurring,
    Window,
    parse,
    windows,
    wish,
)
from bot.errors import PreferenceError

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
NEW_YORK = ZoneInfo("America/New_York")
LISBON = ZoneInfo("Europe/Lisbon")
DHAKA = ZoneInfo("Asia/Dhaka")
SATURDAY = date(2026, 5, 2)
MONDAY = date(2026, 5, 4)

_PARTS = [part for part in Part if part is not Part.WHOLE]
_DATES = st.dates(date(2024, 1, 1), date(2030, 12, 31))
PREFERENCES = st.lists(
    st.one_of(
        st.builds(Recurring, st.sampled_from(Days), st.sampled_from(_PARTS)),
        st.just(Recurring(Days.WEEKEND, Part.WHOLE)),
        st.builds(Dated, _DATES, st.sampled_from(_PARTS)),
        st.builds(After, _DATES, st.times().map(lambda at: at.replace(second=0, microsecond=0))),
        st.builds(Exact, _DATES, st.times().map(lambda at: at.replace(second=0, microsecond=0))),
    ),
    min_size=1,
    max_size=4,
    unique=True,
).map(lambda alternatives: Preference(tuple(alternatives)))


def local_hours(text: str, day: date, zone: ZoneInfo, country: str = "VN") -> list[tuple[str, str]]:
    return [
        (f"{window.start.astimezone(zone):%a %H:%M}", f"{window.end.astimezone(zone):%a %H:%M}")
        for window in windows(parse(text), day, zone, country)
    ]


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("morning", ("Mon 08:00", "Mon 12:00")),
        ("lunch", ("Mon 12:00", "Mon 13:00")),
        ("afternoon", ("Mon 13:00", "Mon 17:00")),
        ("evening", ("Mon 18:00", "Mon 21:00")),
        ("night", ("Mon 21:00", "Mon 23:00")),
        ("weekday_evening", ("Mon 18:00", "Mon 21:00")),
        ("mon_lunch", ("Mon 12:00", "Mon 13:00")),
        ("2026-05-04 lunch", ("Mon 12:00", "Mon 13:00")),
        ("2026-05-04 18:30", ("Mon 18:30", "Mon 19:00")),
        ("2026-05-04 after 20:00", ("Mon 20:00", "Mon 21:00")),
        ("2026-05-02 after 08:15", ("Mon 08:15", "Mon 21:00")),
        ("2026-05-04 after 21:30", ("Mon 21:30", "Mon 23:00")),
    ],
)
def test_each_form_means_the_hours_that_the_worker_was_told(text: str, hours: tuple[str, str]) -> None:
    assert local_hours(text, MONDAY, HANOI) == [hours]


@pytest.mark.parametrize(
    "text", ["weekend", "weekend_morning", "tue_morning", "2026-05-05 morning", "2026-05-05 08:00"]
)
def test_a_day_that_was_not_asked_for_has_no_window(text: str) -> None:
    assert local_hours(text, MONDAY, HANOI) == []


def test_the_weekend_is_the_weekend_of_the_country() -> None:
    friday = date(2026, 5, 1)
    assert local_hours("weekend", SATURDAY, HANOI) == [("Sat 09:00", "Sat 21:00")]
    assert local_hours("weekend", friday, DHAKA, "BD") == [("Fri 09:00", "Fri 21:00")]
    assert local_hours("weekday_lunch", friday, DHAKA, "BD") == []
    assert local_hours("weekday_lunch", date(2026, 5, 3), DHAKA, "BD") == [("Sun 12:00", "Sun 13:00")]


def test_an_unknown_country_rests_on_saturday_and_sunday() -> None:
    assert local_hours("weekend", SATURDAY, HANOI, "XK") == [("Sat 09:00", "Sat 21:00")]


def test_an_exact_time_comes_again_at_the_same_hour_on_later_days_but_not_before() -> None:
    assert local_hours("2026-05-04 18:30", date(2026, 5, 9), HANOI) == [("Sat 18:30", "Sat 19:00")]
    assert local_hours("2026-05-04 18:30", date(2026, 5, 3), HANOI) == []


def test_a_part_of_a_date_is_for_that_date_only() -> None:
    assert local_hours("2026-05-04 evening", date(2026, 5, 5), HANOI) == []


def test_an_exact_time_late_at_night_ends_after_midnight() -> None:
    assert local_hours("2026-05-04 23:45", MONDAY, HANOI) == [("Mon 23:45", "Tue 00:15")]


def test_a_leap_day_is_a_day_like_any_other() -> None:
    assert local_hours("2028-02-29 12:00", date(2028, 2, 29), HANOI) == [("Tue 12:00", "Tue 12:30")]
    with pytest.raises(PreferenceError, match="no such date"):
        parse("2026-02-29 12:00")


def test_alternatives_that_touch_are_one_window() -> None:
    assert local_hours("afternoon;lunch;morning", MONDAY, HANOI) == [("Mon 08:00", "Mon 17:00")]
    assert local_hours("evening; lunch", MONDAY, HANOI) == [
        ("Mon 12:00", "Mon 13:00"),
        ("Mon 18:00", "Mon 21:00"),
    ]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (" Evening ", "evening"),
        ("WEEKEND;mon_Morning", "weekend;mon_morning"),
        ("2026-05-02  18:30 ;", "2026-05-02 18:30"),
        ("2026-05-02T18:30", "2026-05-02 18:30"),
        ("2026-05-02 Night", "2026-05-02 night"),
        ("evening;evening", "evening"),
    ],
)
def test_case_spaces_and_repetitions_do_not_matter(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


@given(PREFERENCES)
def test_the_canonical_text_means_the_same(preference: Preference) -> None:
    expected = Preference(
        tuple(
            Recurring(Days.WEEKEND, Part.WHOLE) if str(alternative) == "weekend" else alternative
            for alternative in preference.alternatives
        )
    )
    assert parse(str(preference)) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        (" ; ", "empty"),
        ("teatime", "unknown_window"),
        ("weekday", "unknown_window"),
        ("mon", "unknown_window"),
        ("mon_whole", "unknown_window"),
        ("every_morning", "unknown_window"),
        ("2026-05-02 weekend", "unknown_window"),
        ("2026-05-02", "date_without_time"),
        ("2026-13-02 lunch", "bad_date"),
        ("2026-05-02 24:00", "bad_time"),
        ("2026-05-02 6:30", "bad_time"),
        ("02.05.2026 18:30", "unknown_window"),
        ("2026-05-02 18:30-19:00", "bad_time"),
        ("lunch;" * 13, "too_long"),
        ("x" * 100_000, "too_long"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_code(text: str, code: str) -> None:
    with pytest.raises(PreferenceError) as refused:
        parse(text)
    assert refused.value.code == code


@pytest.mark.parametrize("text", ["{}", "mon_{}", "2026-05-02 {}", "{} 18:30", "2026-05-02 18:{}"])
def test_a_refusal_never_repeats_what_was_given(text: str) -> None:
    with pytest.raises(PreferenceError) as refused:
        parse(text.format("81234567"))
    assert "81234567" not in str(refused.value)


# --- the local clock jumps ---------------------------------------------------------------------


def test_a_time_in_the_lost_hour_moves_behind_it() -> None:
    assert local_hours("2026-03-08 02:30", date(2026, 3, 8), NEW_YORK, "US") == [("Sun 03:30", "Sun 04:00")]


def test_a_window_that_runs_into_the_lost_hour_shrinks() -> None:
    assert windows(parse("2026-03-08 01:45"), date(2026, 3, 8), NEW_YORK, "US") == [
        Window(datetime(2026, 3, 8, 6, 45, tzinfo=UTC), datetime(2026, 3, 8, 7, 0, tzinfo=UTC))
    ]


def test_a_time_that_happens_twice_is_one_window() -> None:
    assert windows(parse("2026-11-01 01:30"), date(2026, 11, 1), NEW_YORK, "US") == [
        Window(datetime(2026, 11, 1, 5, 30, tzinfo=UTC), datetime(2026, 11, 1, 6, 0, tzinfo=UTC))
    ]


def test_a_window_cut_by_the_repeated_hour_takes_the_longer_piece() -> None:
    """01:45 is followed by 01:00 again: the second 01:45 has its half hour to itself."""
    assert windows(parse("2026-11-01 01:45"), date(2026, 11, 1), NEW_YORK, "US") == [
        Window(datetime(2026, 11, 1, 6, 45, tzinfo=UTC), datetime(2026, 11, 1, 7, 15, tzinfo=UTC))
    ]


def test_the_hours_follow_summer_time() -> None:
    winter = windows(parse("evening"), date(2026, 3, 28), LISBON, "PT")
    summer = windows(parse("evening"), date(2026, 3, 29), LISBON, "PT")
    assert summer[0].start - winter[0].start == timedelta(hours=23)


def test_a_day_that_a_zone_left_out_has_no_windows() -> None:
    """Samoa went from 29 to 31 December 2011."""
    apia = ZoneInfo("Pacific/Apia")
    assert local_hours("morning;2011-12-01 23:45;night", date(2011, 12, 30), apia, "WS") == []
    assert local_hours("morning", date(2011, 12, 31), apia, "WS") == [("Sat 08:00", "Sat 12:00")]


ZONES = st.sampled_from(
    [
        ZoneInfo(name)
        for name in (
            "America/New_York",
            "Europe/Lisbon",
            "Africa/Casablanca",
            "Africa/Cairo",
            "America/Havana",
            "America/Santiago",
            "Asia/Ho_Chi_Minh",
            "Asia/Kathmandu",
            "Asia/Beirut",
            "Atlantic/Azores",
            "Australia/Lord_Howe",
            "Pacific/Chatham",
            "Pacific/Kiritimati",
            "UTC",
        )
    ]
)


@given(st.times(), st.integers(0, 365 * 3), ZONES)
def test_every_instant_of_a_window_reads_a_wanted_hour_unless_the_hour_was_lost(
    at: time, day_number: int, zone: ZoneInfo
) -> None:
    at = at.replace(second=0, microsecond=0)
    day = date(2026, 1, 1) + timedelta(day_number)
    (window,) = windows(Preference((Exact(day, at),)), day, zone, "US")
    assert timedelta() < window.end - window.start <= timedelta(minutes=30)
    wanted = datetime.combine(day, at)
    lost = wanted.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wanted
    for instant in (window.start, window.end - timedelta(seconds=1)):
        reads = instant.astimezone(zone).replace(tzinfo=None)
        late = timedelta(hours=1) if lost else timedelta()
        assert wanted <= reads < wanted + timedelta(minutes=30) + late


@given(PREFERENCES, _DATES, ZONES)
def test_windows_are_sorted_apart_and_begin_on_their_day(
    preference: Preference, day: date, zone: ZoneInfo
) -> None:
    found = windows(preference, day, zone, "VN")
    assert all(window.start.astimezone(zone).date() == day for window in found)
    assert all(before.end < after.start for before, after in pairwise(found))


def test_as_soon_as_possible_is_half_an_hour_from_now_and_the_same_hour_on_later_days() -> None:
    zone = ZoneInfo("Asia/Jakarta")
    now = datetime(2026, 3, 2, 16, 45, 20, tzinfo=UTC)
    wanted = wish("now", now, zone)
    assert str(wanted) == "2026-03-02 23:45"
    (today,) = windows(wanted, date(2026, 3, 2), zone, "ID")
    assert today.start <= now < today.end
    assert today.end - today.start == timedelta(minutes=30)
    (tomorrow,) = windows(wanted, date(2026, 3, 3), zone, "ID")
    assert tomorrow.start - today.start == timedelta(days=1)


def test_any_other_wish_is_read_as_in_an_upload_which_knows_no_now() -> None:
    assert wish("evening", datetime(2026, 3, 2, tzinfo=UTC), ZoneInfo("UTC")) == parse("evening")
    with pytest.raises(PreferenceError):
        parse("now")

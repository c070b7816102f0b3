"""When a worker wants to be called: the ``preferred_time`` of the audit upload.

    preference  = alternative { ";" alternative }
    alternative = "weekend"
                | [ day "_" ] part
                | YYYY-MM-DD part
                | YYYY-MM-DD HH:MM
                | YYYY-MM-DD "after" HH:MM
    day         = "weekday" | "weekend" | "mon" | "tue" | … | "sun"
    part        = "morning" | "lunch" | "afternoon" | "evening" | "night"

All hours are the worker's local hours. A date with a part of the day means that day only. A date with
an exact time means 30 minutes from that time on, and if the worker is not reached, or the date lies
before the first day on which calls are allowed, the same 30 minutes on later days. "After" a time means
from then to the end of the evening (21 h; of a time after 20:30 h to 23 h), from that day on.

Everything here is pure. Which days are a weekend comes from the ``holidays`` package, by country.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import holidays

from bot.errors import PreferenceError

MAX_LENGTH = 400
MAX_ALTERNATIVES = 12
EXACT_LASTS = timedelta(minutes=30)

_SATURDAY = 5
_EXPECTED = (
    "Use morning, lunch, afternoon, evening or night, alone or after weekday_, weekend_ or mon_ to sun_; "
    "weekend; a date with one of these (2026-05-02 evening); a date and time (2026-05-02 18:30); or a date "
    "and the time from which on (2026-05-02 after 18:30). "
    "Join alternatives with ';'."
)
_DATED = re.compile(r"(\d{4}-\d{2}-\d{2})[ T](AFTER )?(\S+)", re.ASCII)
_DATE_ALONE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"\d{2}:\d{2}", re.ASCII)


class Part(StrEnum):
    """A part of the day, and the whole weekend day."""

    MORNING = "morning"
    LUNCH = "lunch"
    AFTERNOON = "afternoon"
    EVENING = "evening"
    NIGHT = "night"
    WHOLE = "whole"
    """From 9 to 21 h; written ``weekend``, because only weekend days are offered whole."""


class Days(StrEnum):
    """The days of the week on which a window recurs."""

    EVERY = "every"
    WEEKDAY = "weekday"
    WEEKEND = "weekend"
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


_HOURS = {
    Part.MORNING: (8, 12),
    Part.LUNCH: (12, 13),
    Part.AFTERNOON: (13, 17),
    Part.EVENING: (18, 21),
    Part.NIGHT: (21, 23),
    Part.WHOLE: (9, 21),
}
_NAMED_PARTS = {part.value: part for part in Part if part is not Part.WHOLE}
_DAY_PREFIXES = {days.value: days for days in Days if days is not Days.EVERY}
_WEEK = (Days.MON, Days.TUE, Days.WED, Days.THU, Days.FRI, Days.SAT, Days.SUN)


@dataclass(frozen=True, slots=True)
class Recurring:
    """A part of the day on certain days of the week."""

    days: Days
    part: Part

    def __str__(self) -> str:
        if self.part is Part.WHOLE:
            return Days.WEEKEND.value
        return self.part.value if self.days is Days.EVERY else f"{self.days.value}_{self.part.value}"


@dataclass(frozen=True, slots=True)
class Dated:
    """A part of one day."""

    day: date
    part: Part

    def __str__(self) -> str:
        return f"{self.day.isoformat()} {self.part.value}"


@dataclass(frozen=True, slots=True)
class Exact:
    """A time of day, from one day on."""

    day: date
    at: time

    def __str__(self) -> str:
        return f"{self.day.isoformat()} {self.at:%H:%M}"


@dataclass(frozen=True, slots=True)
class After:
    """From a time of day to the end of the evening, from one day on."""

    day: date
    at: time

    def __str__(self) -> str:
        return f"{self.day.isoformat()} after {self.at:%H:%M}"


Alternative = Recurring | Dated | Exact | After


@dataclass(frozen=True, slots=True)
class Preference:
    """One or more alternatives, in the order in which they were given. ``str()`` gives the canonical text."""

    alternatives: tuple[Alternative, ...]

    def __str__(self) -> str:
        return ";".join(str(alternative) for alternative in self.alternatives)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Instants from ``start`` up to, and not including, ``end``; both aware, UTC."""

    start: datetime
    end: datetime


def parse(text: str) -> Preference:
    """The preference that ``text`` states, without regard to case and to spaces around alternatives.

    Raises :class:`PreferenceError` with a code (``empty``, ``too_long``, ``unknown_window``, ``bad_date``,
    ``bad_time``, ``date_without_time``) and a message that says what is expected and never repeats the text.
    """
    if len(text) > MAX_LENGTH:
        raise PreferenceError(f"The preferred time is longer than {MAX_LENGTH} characters.", code="too_long")
    pieces = [" ".join(piece.split()).lower() for piece in text.split(";")]
    pieces = [piece for piece in pieces if piece]
    if not pieces:
        raise PreferenceError(f"The preferred time is empty. {_EXPECTED}", code="empty")
    if len(pieces) > MAX_ALTERNATIVES:
        raise PreferenceError(f"Give at most {MAX_ALTERNATIVES} alternatives.", code="too_long")
    return Preference(tuple(dict.fromkeys(_alternative(piece) for piece in pieces)))


NOW = "now"
"""What a worker says in a talk for "as soon as possible"; no upload can say it."""


def wish(text: str, now: datetime, zone: ZoneInfo) -> Preference:
    """The preference that a worker stated in a talk with us at ``now``, in ``zone``.

    As soon as possible is 30 minutes from now on, and the same 30 minutes on later days. Raises like :func:`parse`.
    """
    if text != NOW:
        return parse(text)
    local = now.astimezone(zone)
    return Preference((Exact(local.date(), local.time().replace(second=0, microsecond=0)),))


def can_be_read(text: str) -> bool:
    """Whether a text is a preference by itself, for whose meaning neither the time nor the place counts."""
    try:
        parse(text)
    except PreferenceError:
        return False
    return True


def _alternative(text: str) -> Alternative:
    if text == Days.WEEKEND:
        return Recurring(Days.WEEKEND, Part.WHOLE)
    if text in _NAMED_PARTS:
        return Recurring(Days.EVERY, _NAMED_PARTS[text])
    if dated := _DATED.fullmatch(text.upper()):
        return _of_a_date(dated[1], dated[3].lower(), after=bool(dated[2]))
    if _DATE_ALONE.fullmatch(text):
        raise PreferenceError(
            "The date needs a time (18:30) or a part of the day (evening) after it.", code="date_without_time"
        )
    prefix, _, part = text.partition("_")
    if prefix in _DAY_PREFIXES and part in _NAMED_PARTS:
        return Recurring(_DAY_PREFIXES[prefix], _NAMED_PARTS[part])
    raise PreferenceError(f"The preferred time is not understood. {_EXPECTED}", code="unknown_window")


def _of_a_date(day_text: str, rest: str, *, after: bool) -> Alternative:
    try:
        day = date.fromisoformat(day_text)
    except ValueError:
        raise PreferenceError("There is no such date; use YYYY-MM-DD.", code="bad_date") from None
    if rest in _NAMED_PARTS and not after:
        return Dated(day, _NAMED_PARTS[rest])
    if rest[:1].isdigit():
        return After(day, _time_of_day(rest)) if after else Exact(day, _time_of_day(rest))
    raise PreferenceError(f"The preferred time is not understood. {_EXPECTED}", code="unknown_window")


def _time_of_day(text: str) -> time:
    if not _TIME.fullmatch(text):
        raise PreferenceError("A time is written HH:MM, for instance 18:30.", code="bad_time")
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise PreferenceError(
            "There is no such time; use HH:MM from 00:00 to 23:59.", code="bad_time"
        ) from None


# --- from local hours to instants -------------------------------------------------------------


def windows(preference: Preference, day: date, zone: ZoneInfo, country: str) -> list[Window]:
    """The windows that begin on the local ``day``, in UTC, in order, overlapping ones joined.

    ``country`` is an ISO 3166 alpha-2 code and decides which days are a weekend. Where the local clock
    jumps, a window holds only instants at which that clock really reads an hour of the window (see
    :func:`local_window`), so a day that a zone leaves out has no windows.
    """
    found = []
    for alternative in preference.alternatives:
        hours = _hours_on(alternative, day, country)
        if hours and (window := local_window(*hours, zone)):
            found.append(window)
    return joined(found)


def _hours_on(alternative: Alternative, day: date, country: str) -> tuple[datetime, datetime] | None:
    """First and last local hour of the alternative on ``day``, on the wall clock, or None."""
    midnight = datetime.combine(day, time())
    if isinstance(alternative, Exact | After):
        start = datetime.combine(day, alternative.at)
        end = start + EXACT_LASTS
        if isinstance(alternative, After):
            end = max(end, midnight + timedelta(hours=_evening_ends(alternative.at)))
        return (start, end) if day >= alternative.day else None
    wanted = (
        day == alternative.day
        if isinstance(alternative, Dated)
        else _falls_on(alternative.days, day, country)
    )
    first, last = _HOURS[alternative.part]
    return (midnight + timedelta(hours=first), midnight + timedelta(hours=last)) if wanted else None


def _evening_ends(at: time) -> int:
    """The hour at which a window ends that begins at ``at`` and has no stated end."""
    evening, night = _HOURS[Part.EVENING][1], _HOURS[Part.NIGHT][1]
    return evening if at <= time(evening - 1, 30) else night


def _falls_on(days: Days, day: date, country: str) -> bool:
    if days is Days.EVERY:
        return True
    if days is Days.WEEKEND:
        return is_weekend(day, country)
    if days is Days.WEEKDAY:
        return not is_weekend(day, country)
    return _WEEK[day.weekday()] is days


def is_weekend(day: date, country: str) -> bool:
    """Whether ``day`` is a weekend day in the country (Saturday and Sunday where the package knows none)."""
    calendar = _calendar(country)
    return day.weekday() >= _SATURDAY if calendar is None else bool(calendar.is_weekend(day))


@lru_cache(maxsize=300)
def _calendar(country: str) -> holidays.HolidayBase | None:
    try:
        return holidays.country_holidays(country)
    except NotImplementedError:
        return None


def joined(found: Iterable[Window]) -> list[Window]:
    """The same instants as sorted windows that neither overlap nor touch."""
    result: list[Window] = []
    for window in sorted(found):
        if result and window.start <= result[-1].end:
            result[-1] = Window(result[-1].start, max(result[-1].end, window.end))
        else:
            result.append(window)
    return result


def common(first: Iterable[Window], second: Iterable[Window]) -> list[Window]:
    """The instants that lie in windows of both."""
    others = list(second)
    return joined(
        Window(max(one.start, other.start), min(one.end, other.end))
        for one in first
        for other in others
        if max(one.start, other.start) < min(one.end, other.end)
    )


def without(wanted: Iterable[Window], busy: Iterable[Window]) -> list[Window]:
    """The instants of the wanted windows that lie in none of the busy ones."""
    left = joined(wanted)
    for taken in busy:
        left = [piece for window in left for piece in _cut(window, taken)]
    return left


def _cut(window: Window, taken: Window) -> list[Window]:
    before = Window(window.start, min(window.end, taken.start))
    after = Window(max(window.start, taken.end), window.end)
    return [piece for piece in (before, after) if piece.start < piece.end]


def named_for(preference: Preference, day: date) -> Preference | None:
    """The alternatives that the worker named for ``day`` itself: what recurs by the week, and what is of that date. A
    time of another date, which is only tried again at the same hour, is left out; None if nothing is left."""
    named = tuple(
        each for each in preference.alternatives if not isinstance(each, Exact | After) or each.day == day
    )
    return Preference(named) if named else None


def repeated(preference: Preference, country: str) -> Preference:
    """What a wish says of a time long after it: a part of one day is read as that part of any day of its kind.

    She named a Saturday evening for a call in May; in June we take weekend evenings. The rest recurs by itself.
    """
    return Preference(
        tuple(dict.fromkeys(_recurring(alternative, country) for alternative in preference.alternatives))
    )


def _recurring(alternative: Alternative, country: str) -> Alternative:
    if not isinstance(alternative, Dated):
        return alternative
    return Recurring(Days.WEEKEND if is_weekend(alternative.day, country) else Days.WEEKDAY, alternative.part)


def local_window(start: datetime, end: datetime, zone: ZoneInfo) -> Window | None:
    """The instants at which the wall clock in ``zone`` reads from ``start`` up to ``end`` (both naive on purpose).

    - Of an hour that happens twice (the clock is set back) only one run of instants counts: the longest,
      and of equal ones the first. So nobody is called twice for one window.
    - Hours that do not happen (the clock is set forward) are left out. A window that lies wholly in them moves
      behind the jump by its length, as RFC 5545 section 3.3.5 reads such times, unless it would
      leave its day: then there is none.
    """
    runs = joined(
        Window(max(low, start.replace(tzinfo=UTC) - offset), min(high, end.replace(tzinfo=UTC) - offset))
        for low, high, offset in _stretches(start, end, zone)
        if max(low, start.replace(tzinfo=UTC) - offset) < min(high, end.replace(tzinfo=UTC) - offset)
    )
    runs = [run for run in runs if run.start.astimezone(zone).date() == start.date()]
    if runs:
        return max(runs, key=lambda run: (run.end - run.start, -run.start.timestamp()))
    moved = start.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moved.astimezone(zone).date() != start.date():
        return None
    return Window(moved, moved + (end - start))


def _stretches(start: datetime, end: datetime, zone: ZoneInfo) -> list[tuple[datetime, datetime, timedelta]]:
    """The time around a local window, cut where the zone's offset changes: from, to, offset."""
    # No zone is further than 15 hours from UTC, and none changes its offset twice within two days.
    low = start.replace(tzinfo=UTC) - timedelta(hours=15)
    high = end.replace(tzinfo=UTC) + timedelta(hours=15)
    edges = (
        [low, high] if _offset(low, zone) == _offset(high, zone) else [low, _change(low, high, zone), high]
    )
    return [(a, b, _offset(a, zone)) for a, b in pairwise(edges)]


def _change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first second after ``low`` at which the offset is the one that holds at ``high``."""
    after = _offset(high, zone)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        low, high = (low, middle) if _offset(middle, zone) == after else (middle, high)
    return high


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    # A ZoneInfo always knows its offset; the type of utcoffset() cannot say so.
    return offset if offset is not None else timedelta()

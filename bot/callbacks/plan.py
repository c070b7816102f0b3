"""When to call next, or that we give up, and why. Pure: no clock of its own, no I/O, no chance.

A call may begin at an instant that

- lies in the worker's period (local calendar days, both ends included),
- lies in a wanted window, with at least two minutes of it left,
- lies in no shift of the factory, unless the worker chose the window herself,
- is not on a public holiday, if the policy skips them,
- is at least the policy's spacing after the start of the last attempt, whenever that was,
- is on a local day with fewer attempts than the policy allows in a day,
- is not before the day on which the client's daily cap has places again.

A window that the worker chose beats the policy's quiet hours, and its shifts too if the policy says so. A window
that she did not choose (there is none, or somebody else stated it) beats neither.

The plan is the first such instant that is not before now. The set does not depend on now, so as time
goes on a plan only ever moves forward, and a clock that is set back brings no extra call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

from bot.callbacks.policy import Policy, Shifts
from bot.callbacks.preference import (
    Preference,
    Window,
    common,
    joined,
    local_window,
    named_for,
    windows,
    without,
)
from bot.callbacks.shifts import Shift, at_work

MARGIN = timedelta(minutes=2)
"""What must be left of a window for a call to begin in it."""
LONGEST_PERIOD = timedelta(days=400)
MOST_PUT_OFF = 4
"""So often a callback may be put off by whoever takes its calls, without proof of who that is: as many as the wrong
codes that are taken from one address. After that its calls count and its days stay, so that nobody puts it off for
ever."""


class GiveUp(StrEnum):
    """Why no further call is made."""

    STOPPED = "stopped"
    """The worker said stop."""
    UNSAFE = "unsafe"
    REFUSED = "refused"
    WRONG_NUMBER = "wrong_number"
    REACHED = "reached"
    """There is nothing left to call for."""
    THIRD_PARTY_LIMIT = "third_party_limit"
    UNVERIFIED_LIMIT = "unverified_limit"
    ATTEMPTS_USED = "attempts_used"
    NOT_IN_SAMPLE = "not_in_sample"
    """She was not interviewed, and is not of the share of those who are called too."""
    DAILY_CAP = "daily_cap"
    """The client's days were full until the period was over."""
    NO_WINDOW_IN_PERIOD = "no_window_in_period"
    """No wanted window lies in the period, whatever the time is now."""
    PERIOD_OVER = "period_over"
    """No window of the period is left."""


@dataclass(frozen=True, slots=True)
class Request:
    """One callback, as far as its timing goes. Raises ValueError for naive datetimes and absurd periods.

    ``preference`` is None if the worker can be called at any time; then the policy's quiet hours hold.
    ``country`` is an ISO 3166 alpha-2 code. ``attempts`` are the starts of spent attempts, in any order.
    ``stop`` is a reason, known already, not to call again.
    """

    preference: Preference | None
    timezone: ZoneInfo
    country: str
    first_day: date
    last_day: date
    region: str | None = None
    attempts: tuple[datetime, ...] = ()
    third_party: int = 0
    """Attempts that somebody else answered."""
    unverified: int = 0
    """Attempts that ended with a wrong pass-word."""
    put_off: int = 0
    """Attempts in which whoever answered asked for another time, without proof of who that was. What was promised then
    is no failed try: the first :data:`MOST_PUT_OFF` of them do not count among the attempts of the policy."""
    put_off_by_her: int = 0
    """Attempts in which the worker asked for another time after she had given her code: none of them counts."""
    stop: GiveUp | None = None
    chosen: bool = True
    """Whether the worker chose the windows of ``preference`` herself."""
    shifts: tuple[Shift, ...] = ()
    """The hours of work at her factory, on her wall clock."""
    held_until: datetime | None = None
    """When the client's daily cap has places again, if it has none now."""

    def __post_init__(self) -> None:
        _refuse_naive(*self.attempts, *([self.held_until] if self.held_until else []))
        if self.last_day - self.first_day > LONGEST_PERIOD:
            raise ValueError(f"a period lasts at most {LONGEST_PERIOD.days} days")


@dataclass(frozen=True, slots=True)
class Planned:
    """Call at ``due_at`` and not after ``window_end``; both aware, UTC."""

    due_at: datetime
    window_end: datetime


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Do not call again."""

    reason: GiveUp


Verdict = Planned | GivenUp


class DayCode(StrEnum):
    """What became of a candidate day."""

    TAKEN = "taken"
    LATER = "later"
    """It would do, but an earlier day was taken."""
    NO_WINDOW = "no_window"
    """The worker did not ask for this day, or the day does not exist in the zone."""
    PUBLIC_HOLIDAY = "public_holiday"
    DAY_USED = "day_used"
    """The day has had its attempts."""
    IN_SHIFT = "in_shift"
    """Its windows lie within shifts of the factory."""
    CAP_USED = "cap_used"
    """Its windows end before the client's daily cap has places again."""
    TOO_SOON = "too_soon"
    """Its windows end before the spacing since the last attempt is over."""
    PAST = "past"
    """Its windows are over, or less than two minutes are left."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A candidate day and why it was taken or not. The windows are in UTC."""

    day: date
    code: DayCode
    windows: tuple[Window, ...] = ()
    planned: Planned | None = None

    def as_data(self) -> dict[str, object]:
        """Plain data for JSON; instants in ISO 8601, UTC."""
        return {
            "day": self.day.isoformat(),
            "code": self.code.value,
            "windows": [[window.start.isoformat(), window.end.isoformat()] for window in self.windows],
            "due_at": self.planned.due_at.isoformat() if self.planned else None,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict with everything that led to it."""

    verdict: Verdict
    days: tuple[Considered, ...]
    earliest: datetime | None
    """When the spacing since the last attempt is over, UTC; None without attempts."""

    def as_data(self) -> dict[str, object]:
        """Plain data for JSON; instants in ISO 8601, UTC."""
        planned = self.verdict if isinstance(self.verdict, Planned) else None
        return {
            "due_at": planned.due_at.isoformat() if planned else None,
            "window_end": planned.window_end.isoformat() if planned else None,
            "give_up_reason": None if isinstance(self.verdict, Planned) else self.verdict.reason.value,
            "spacing_over_at": self.earliest.isoformat() if self.earliest else None,
            "days": [day.as_data() for day in self.days],
        }


def plan(request: Request, policy: Policy, now: datetime) -> Verdict:
    """The next call: never before ``now``, always within a wanted window, or the reason to give up.

    ``now`` must be aware (ValueError). If ``now`` itself will do, that is the plan.
    """
    _refuse_naive(now)
    if reason := _finished(request, policy):
        return GivenUp(reason)
    wanted = held = False
    for considered in _consider(request, policy, now.astimezone(UTC)):
        if considered.planned:
            return considered.planned
        wanted = wanted or bool(considered.windows)
        held = held or considered.code is DayCode.CAP_USED
    if held:
        return GivenUp(GiveUp.DAILY_CAP)
    return GivenUp(GiveUp.PERIOD_OVER if wanted else GiveUp.NO_WINDOW_IN_PERIOD)


def explain(request: Request, policy: Policy, now: datetime) -> Explanation:
    """The same verdict as :func:`plan`, with every day of the period and what became of it."""
    verdict = plan(request, policy, now)
    days: list[Considered] = []
    for considered in _consider(request, policy, now.astimezone(UTC)):
        if considered.planned and considered.planned != verdict:
            days.append(replace(considered, code=DayCode.LATER, planned=None))
        else:
            days.append(considered)
    return Explanation(verdict, tuple(days), _spacing_over(request, policy))


def _finished(request: Request, policy: Policy) -> GiveUp | None:
    """A reason to give up that has nothing to do with the time."""
    if request.stop:
        return request.stop
    if request.third_party >= policy.third_party_limit:
        return GiveUp.THIRD_PARTY_LIMIT
    if request.unverified >= policy.unverified_limit:
        return GiveUp.UNVERIFIED_LIMIT
    spent = len(request.attempts) - request.put_off_by_her - min(request.put_off, MOST_PUT_OFF)
    if policy.max_attempts is not None and spent >= policy.max_attempts:
        return GiveUp.ATTEMPTS_USED
    return None


@dataclass(frozen=True, slots=True)
class _Limits:
    """What a window must respect, worked out once."""

    zone: ZoneInfo
    earliest: datetime
    """Not before now, and not before the spacing is over."""
    now: datetime
    held_until: datetime
    """Not before the client's daily cap has places."""
    full_days: frozenset[date]
    """Local days that have had their attempts."""


def _consider(request: Request, policy: Policy, now: datetime) -> Iterator[Considered]:
    """Each day of the period, with the first allowed instant on it, if any."""
    limits = _limits(request, policy, now)
    for number in range((request.last_day - request.first_day).days + 1):
        day = request.first_day + timedelta(number)
        if policy.skip_public_holidays and is_public_holiday(day, request.country, request.region):
            yield Considered(day, DayCode.PUBLIC_HOLIDAY)
            continue
        wanted = tuple(_wanted(request, policy, day))
        free = tuple(_outside_shifts(wanted, request, policy, day))
        if wanted and not free:
            yield Considered(day, DayCode.IN_SHIFT)
            continue
        wanted = free
        planned, code = _on_day(wanted, limits)
        yield Considered(day, code, wanted, planned)


def _limits(request: Request, policy: Policy, now: datetime) -> _Limits:
    used = [attempt.astimezone(request.timezone).date() for attempt in request.attempts]
    full = frozenset(day for day in used if used.count(day) >= policy.attempts_per_day)
    earliest = max(now, _spacing_over(request, policy) or now)
    return _Limits(request.timezone, earliest, now, (request.held_until or now).astimezone(UTC), full)


def _on_day(wanted: tuple[Window, ...], limits: _Limits) -> tuple[Planned | None, DayCode]:
    """The first allowed instant within a day's windows, or what stands against the last of them."""
    code = DayCode.NO_WINDOW
    for window in wanted:
        due_at, code = _in_window(window, limits)
        if due_at:
            return Planned(due_at, window.end), code
    return None, code


def _in_window(window: Window, limits: _Limits) -> tuple[datetime | None, DayCode]:
    latest = window.end - MARGIN
    if max(limits.now, window.start) > latest:
        return None, DayCode.PAST
    due_at = max(limits.earliest, window.start)
    if due_at > latest:
        return None, DayCode.TOO_SOON
    due_at = max(due_at, limits.held_until)
    if due_at > latest:
        return None, DayCode.CAP_USED
    day = due_at.astimezone(limits.zone).date()
    if day in limits.full_days:
        # A window that reaches over midnight may go on into a day that still has an attempt.
        due_at, day = _midnight(day + timedelta(1), limits.zone), day + timedelta(1)
        if due_at > latest or day in limits.full_days:
            return None, DayCode.DAY_USED
    return due_at, DayCode.TAKEN


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _spacing_over(request: Request, policy: Policy) -> datetime | None:
    if not request.attempts:
        return None
    return max(request.attempts).astimezone(UTC) + timedelta(hours=policy.spacing_hours)


def _wanted(request: Request, policy: Policy, day: date) -> list[Window]:
    """The day's windows, none of which reaches beyond the last day of the period."""
    if request.preference is None:
        return outside_quiet_hours(policy, day, request.timezone)
    found = windows(request.preference, day, request.timezone, request.country)
    if not request.chosen:
        found = common(found, outside_quiet_hours(policy, day, request.timezone))
    if day < request.last_day:
        return found
    end = _midnight(day + timedelta(1), request.timezone)
    return [Window(window.start, min(window.end, end)) for window in found]


def outside_quiet_hours(policy: Policy, day: date, zone: ZoneInfo) -> list[Window]:
    """The hours of a local day in which the policy has nobody disturbed who chose no window."""
    midnight = datetime.combine(day, time())
    next_midnight = midnight + timedelta(1)
    loud_from = datetime.combine(day, policy.quiet_until)
    loud_until = datetime.combine(day, policy.quiet_from)
    spans = (
        [(loud_from, loud_until)]
        if policy.quiet_from > policy.quiet_until
        else [(midnight, loud_until), (loud_from, next_midnight)]
    )
    return joined(
        window for start, end in spans if start < end and (window := local_window(start, end, zone))
    )


def _outside_shifts(wanted: tuple[Window, ...], request: Request, policy: Policy, day: date) -> list[Window]:
    """The windows of a day without the shifts that count for them; what is too short for a call is left out.

    A window that she named beats a shift, but a time of one day that comes again on later ones was not named for
    those: on the Sunday that she named she may be free at an hour at which she is at work on a Monday.
    """
    if not request.shifts:
        return list(wanted)
    busy = at_work(request.shifts, day, request.timezone)
    if request.preference is not None and request.chosen and policy.shifts is Shifts.UNLESS_CHOSEN:
        named = named_for(request.preference, day)
        busy = without(busy, windows(named, day, request.timezone, request.country) if named else ())
    return [window for window in without(wanted, busy) if window.end - window.start >= MARGIN]


def is_public_holiday(day: date, country: str, region: str | None = None) -> bool:
    """Whether ``day`` is a public holiday of the country, and of the region where the package knows it."""
    return day in _public_holidays(country, region, day.year)


@lru_cache(maxsize=3000)
def _public_holidays(country: str, region: str | None, year: int) -> frozenset[date]:
    try:
        return frozenset(holidays.country_holidays(country, subdiv=_subdivision(country, region), years=year))
    except NotImplementedError:
        return frozenset()


def _subdivision(country: str, region: str | None) -> str | None:
    """The package's own code of a region, from its code (with or without the country) or its name."""
    if region is None:
        return None
    national = holidays.country_holidays(country)
    wanted = region.strip().casefold().removeprefix(f"{country.casefold()}-")
    codes = {code.casefold(): code for code in national.subdivisions}
    codes |= {name.casefold(): code for name, code in national.subdivisions_aliases.items()}
    found = codes.get(wanted)
    return str(found) if found is not None else None


def _refuse_naive(*instants: datetime) -> None:
    if any(instant.utcoffset() is None for instant in instants):
        raise ValueError("naive datetimes are an error")

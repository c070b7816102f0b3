"""The hours of work at a factory, in which nobody there is called.

As a mapping (a YAML file) a calendar of shifts is a list, every key but the hours optional:

    - {days: [mon, tue, wed, thu, fri], from: "07:00", until: "16:00"}
    - {days: sat, from: "07:00", until: "12:00", valid_from: 2026-03-01, valid_until: 2026-06-30}
    - {from: "22:00", until: "06:00"}          # every night; it belongs to the day on which it begins

Hours are those of the wall clock there. Everything here is pure; :mod:`bot.audits.factories` keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.callbacks.policy import read_time
from bot.callbacks.preference import Window, joined
from bot.errors import InputError

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST = 50
"""Shifts of one factory."""
KEYS = ("days", "from", "until", "valid_from", "valid_until")
"""What is said of a shift."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Hours of work that begin on certain days. ``ends`` not after ``begins`` means: on the next day."""

    days: frozenset[int]
    """0 is Monday."""
    begins: time
    ends: time
    valid_from: date | None = None
    valid_until: date | None = None
    """The last day on which it begins."""

    def words(self) -> str:
        """How people read it: ``Mon Tue 07:00-16:00, from 2026-03-01``."""
        days = (
            "Every day"
            if len(self.days) == len(WEEK)
            else " ".join(WEEK[day].title() for day in sorted(self.days))
        )
        since = f", from {self.valid_from}" if self.valid_from else ""
        until = f", until {self.valid_until}" if self.valid_until else ""
        return f"{days} {self.begins:%H:%M}-{self.ends:%H:%M}{since}{until}"

    def on(self, day: date) -> bool:
        """Whether it begins on a day."""
        return (
            day.weekday() in self.days
            and (self.valid_from is None or self.valid_from <= day)
            and (self.valid_until is None or day <= self.valid_until)
        )


def at_work(shifts: Iterable[Shift], day: date, zone: ZoneInfo) -> list[Window]:
    """When the shifts of a local day last, in UTC; those of the neighbouring days as well, because nights reach over.

    An hour that happens twice is worked twice: here the longer reading is the careful one.
    """
    days = [day + timedelta(number) for number in (-1, 0, 1)]
    found = (_lasting(shift, each, zone) for shift in shifts for each in days if shift.on(each))
    return joined(window for window in found if window.start < window.end)


def _lasting(shift: Shift, day: date, zone: ZoneInfo) -> Window:
    last = day if shift.ends > shift.begins else day + timedelta(1)
    begins = datetime.combine(day, shift.begins, zone).replace(fold=0).astimezone(UTC)
    ends = datetime.combine(last, shift.ends, zone).replace(fold=1).astimezone(UTC)
    return Window(begins, ends)


# --- as data ------------------------------------------------------------------------------------


def from_list(entries: object) -> tuple[Shift, ...]:
    """The shifts that a list states (see the head of this module).

    Raises :class:`InputError` that names the entry by its number, its key and what is expected.
    """
    if not isinstance(entries, list) or len(entries) > MOST:
        raise InputError(f"shifts are a list of at most {MOST} entries.", code="shifts")
    return tuple(_shift_of(number, entry) for number, entry in enumerate(entries, 1))


def to_list(shifts: Iterable[Shift]) -> list[dict[str, object]]:
    """The shifts as plain data, such that :func:`from_list` gives them back."""
    return [_entry(shift) for shift in shifts]


def _entry(shift: Shift) -> dict[str, object]:
    entry: dict[str, object] = {
        "days": [WEEK[day] for day in sorted(shift.days)],
        "from": f"{shift.begins:%H:%M}",
        "until": f"{shift.ends:%H:%M}",
    }
    valid = {"valid_from": shift.valid_from, "valid_until": shift.valid_until}
    return entry | {key: day for key, day in valid.items() if day is not None}


def _shift_of(number: int, entry: object) -> Shift:
    within = f"shift {number}: "
    if not isinstance(entry, Mapping) or not {"from", "until"} <= entry.keys():
        raise InputError(f"{within}it needs from and until.", code="shifts")
    for key in entry:
        if key not in KEYS:
            raise InputError(
                f"{within}'{str(key)[:40]}' is not known; known are {', '.join(KEYS)}.", code="shifts"
            )
    first, last = (_date(within, key, entry.get(key)) for key in ("valid_from", "valid_until"))
    if first and last and last < first:
        raise InputError(f"{within}valid_until must not lie before valid_from.", code="shifts")
    begins, ends = (read_time(f"{within}{key}", entry[key]) for key in ("from", "until"))
    return Shift(_days(within, entry.get("days", list(WEEK))), begins, ends, first, last)


def _days(within: str, value: object) -> frozenset[int]:
    named = [value] if isinstance(value, str) else value
    if not isinstance(named, list) or not named or any(day not in WEEK for day in named):
        raise InputError(f"{within}days must be a list of {', '.join(WEEK)}.", code="shifts")
    return frozenset(WEEK.index(day) for day in named)


def _date(within: str, key: str, value: object) -> date | None:
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise InputError(f"{within}{key} must be a date such as 2026-03-01.", code="shifts") from None

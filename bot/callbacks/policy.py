"""A client's rules for callbacks: which days, how often, how far apart, and when to give up.

As a mapping (a YAML file, a JSON column) a policy is written like this, every key optional:

    first_call_day: 5            # days after the audit day, on the worker's calendar
    last_call_day: 10
    attempts: {max: 6}           # or: unlimited, which still ends with the last day
    attempts_per_day: 1
    spacing_hours: 20            # from the start of one attempt to the start of the next
    quiet_from: "21:30"          # the worker's local time; only where the worker chose no window
    quiet_until: "07:30"
    skip_public_holidays: false
    third_party_limit: 2         # answers by somebody else, and failed pass-words, after which we stop
    unverified_limit: 2
    mode: automatic              # or: agent
    rounds:                      # later rounds of calls
      - {first_call_day: 30, last_call_day: 35}
      - {first_call_day: 90, last_call_day: 95}

The defaults are careful ones: at most six attempts, one a day, twenty hours apart.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, time, timedelta
from enum import StrEnum
from typing import Any

from bot.errors import InputError

LAST_POSSIBLE_DAY = 730
"""Days after the audit beyond which no round may reach, because numbers are destroyed long before."""
_TIME = re.compile(r"([01]?\d|2[0-3]):[0-5]\d", re.ASCII)


class Mode(StrEnum):
    """Who calls."""

    AUTOMATIC = "automatic"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Round:
    """A period of calls, in whole days after the audit day, both ends included."""

    first_call_day: int
    last_call_day: int

    def __post_init__(self) -> None:
        _whole("first_call_day", self.first_call_day, 0, LAST_POSSIBLE_DAY)
        _whole("last_call_day", self.last_call_day, 0, LAST_POSSIBLE_DAY)
        if self.last_call_day < self.first_call_day:
            raise InputError("last_call_day must not lie before first_call_day.", code="period")

    def days(self, audit_date: date) -> tuple[date, date]:
        """First and last day of the round, as local calendar days of the worker."""
        return audit_date + timedelta(self.first_call_day), audit_date + timedelta(self.last_call_day)


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one client. Raises :class:`InputError` for a value that makes no sense."""

    first_call_day: int = 5
    last_call_day: int = 10
    max_attempts: int | None = 6
    """None means unlimited, which ends with the last day."""
    spacing_hours: float = 20
    attempts_per_day: int = 1
    quiet_from: time = time(21, 30)
    quiet_until: time = time(7, 30)
    skip_public_holidays: bool = False
    third_party_limit: int = 2
    unverified_limit: int = 2
    mode: Mode = Mode.AUTOMATIC
    rounds: tuple[Round, ...] = ()
    """Rounds after the first."""

    def __post_init__(self) -> None:
        first = Round(self.first_call_day, self.last_call_day)
        if self.max_attempts is not None:
            _whole("attempts", self.max_attempts, 1, 1000)
        _whole("attempts_per_day", self.attempts_per_day, 1, 24)
        _whole("third_party_limit", self.third_party_limit, 1, 100)
        _whole("unverified_limit", self.unverified_limit, 1, 100)
        if isinstance(self.spacing_hours, bool) or not 0 <= self.spacing_hours <= 24 * 31:
            raise InputError("spacing_hours must be a number of hours from 0 to 744.", code="value")
        for before, after in zip((first, *self.rounds), self.rounds, strict=False):
            if after.first_call_day <= before.last_call_day:
                raise InputError(
                    "rounds: each round must begin after the last day of the one before it.", code="period"
                )

    def all_rounds(self) -> tuple[Round, ...]:
        """The first round and the later ones, in order."""
        return Round(self.first_call_day, self.last_call_day), *self.rounds


def from_mapping(mapping: Mapping[str, object]) -> Policy:
    """The policy that a mapping states (see the head of this module); what it leaves out keeps its default.

    Raises :class:`InputError` that names the key and says what is expected; for a key that does not exist
    it suggests the closest one.
    """
    if not isinstance(mapping, Mapping):
        raise InputError("A policy is a list of 'key: value' lines.", code="policy")
    _refuse_unknown(mapping, _READERS)
    if "attempts" in mapping and "max_attempts" in mapping:
        raise InputError("Give either attempts or max_attempts, not both.", code="value")
    values: dict[str, Any] = {
        _FIELD_OF.get(key, key): _READERS[key](key, value) for key, value in mapping.items()
    }
    return Policy(**values)


def to_mapping(policy: Policy) -> dict[str, object]:
    """The policy as plain data with every key, such that ``from_mapping`` gives it back."""
    plain: dict[str, object] = {field.name: getattr(policy, field.name) for field in fields(policy)}
    del plain["max_attempts"]
    return plain | {
        "attempts": "unlimited" if policy.max_attempts is None else {"max": policy.max_attempts},
        "quiet_from": f"{policy.quiet_from:%H:%M}",
        "quiet_until": f"{policy.quiet_until:%H:%M}",
        "mode": policy.mode.value,
        "rounds": [
            {"first_call_day": later.first_call_day, "last_call_day": later.last_call_day}
            for later in policy.rounds
        ],
    }


# --- reading single values --------------------------------------------------------------------


def _refuse_unknown(mapping: Mapping[str, object], known: Iterable[str], within: str = "") -> None:
    names = sorted(known)
    for key in mapping:
        if key in names:
            continue
        close = difflib.get_close_matches(str(key).lower(), names, n=1, cutoff=0.5)
        hint = f"Did you mean '{close[0]}'?" if close else f"Known are: {', '.join(names)}."
        raise InputError(
            f"{within}'{str(key)[:40]}' is not a setting of a policy. {hint}", code="unknown_key"
        )


def _whole(key: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputError(f"{key} must be a whole number from {least} to {most}.", code="value")
    return value


def _integer(key: str, value: object) -> int:
    # The range of each number is checked by the policy itself.
    return _whole(key, value, 0, 10_000)


def _hours(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{key} must be a number of hours.", code="value")
    return value


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{key} must be true or false.", code="value")
    return value


def _time(key: str, value: object) -> time:
    # YAML 1.1 reads an unquoted 21:30 as the number 21 * 60 + 30 (yaml.org/type/int, sexagesimal).
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return time(value // 60, value % 60)
    if isinstance(value, str) and _TIME.fullmatch(value.strip()):
        return time.fromisoformat(value.strip().zfill(5))
    raise InputError(f'{key} must be a local time such as "21:30".', code="value")


def _mode(key: str, value: object) -> Mode:
    try:
        return Mode(str(value))
    except ValueError:
        raise InputError(f"{key} must be automatic or agent.", code="value") from None


def _attempts(key: str, value: object) -> int | None:
    if value is None or value == "unlimited":
        return None
    if isinstance(value, Mapping):
        _refuse_unknown(value, ("max",), f"{key}: ")
        value = value.get("max")
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{key} must be 'unlimited' or {{max: n}}.", code="value")
    return value


def _rounds(key: str, value: object) -> tuple[Round, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(f"{key} must be a list of rounds.", code="value")
    return tuple(_round(key, entry) for entry in value)


def _round(key: str, entry: object) -> Round:
    days = ("first_call_day", "last_call_day")
    if not isinstance(entry, Mapping) or not set(days) <= entry.keys():
        raise InputError(f"{key}: each round needs first_call_day and last_call_day.", code="value")
    _refuse_unknown(entry, days, f"{key}: ")
    return Round(*(_integer(day, entry[day]) for day in days))


_READERS: dict[str, Callable[[str, object], object]] = {
    "first_call_day": _integer,
    "last_call_day": _integer,
    "attempts": _attempts,
    "max_attempts": _attempts,
    "spacing_hours": _hours,
    "attempts_per_day": _integer,
    "quiet_from": _time,
    "quiet_until": _time,
    "skip_public_holidays": _flag,
    "third_party_limit": _integer,
    "unverified_limit": _integer,
    "mode": _mode,
    "rounds": _rounds,
}
_FIELD_OF = {"attempts": "max_attempts"}

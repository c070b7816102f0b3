"""A client's rules for callbacks: which days, how often, how far apart, and when to give up.

As a mapping (a YAML file, a JSON column) a policy is written like this, every key optional:

    first_call_day: 5            # days after the audit day, on the worker's calendar
    last_call_day: 10
    attempts: {max: 6}           # or: unlimited, which still ends with the last day
    attempts_per_day: 1
    spacing_hours: 20            # from the start of one attempt to the start of the next
    quiet_from: "21:30"          # the worker's local time; only where the worker chose no window
    quiet_until: "07:30"
    reminder_hours: 2            # a short text so long before the call, to who agreed to it; null for none
    skip_public_holidays: false
    shifts: unless_chosen        # or: always, which keeps out of the factory's shifts even if the worker chose them
    third_party_limit: 2         # answers by somebody else, and failed pass-words, after which we stop
    unverified_limit: 2
    daily_cap: null              # most callbacks of this client that are begun in a day; null is as many as are due
    calendar: UTC                # the zone whose midnight begins that day
    comparison: all              # workers who were not interviewed: none, all, or a share such as 0.25
    caller_id: {}                # country: one of our numbers, where the settings' own is not wanted
    channels_when_failing: []    # such as [sms, whatsapp]: one neutral opening there when calls have failed
    voicemail: never             # the only value: a machine hears silence
    mode: automatic              # or: agent, or agent_first (the system, where no agent was free in time)
    rounds:                      # later rounds of calls; [] for none
      - {first_call_day: 30, last_call_day: 35}
      - {first_call_day: 90, last_call_day: 95}

The defaults are careful ones: at most six attempts, one a day, twenty hours apart; and they look again after
30 and 90 days, because retaliation often comes late. Where ``rounds`` is left out, those of the default rounds
hold that begin after the last day of the first.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from bot.errors import InputError
from bot.messages import Channel

LAST_POSSIBLE_DAY = 730
"""Days after the audit beyond which no round may reach, because numbers are destroyed long before."""
_TIME = re.compile(r"([01]?\d|2[0-3]):[0-5]\d", re.ASCII)


_NUMBER = re.compile(r"\+[1-9]\d{3,15}", re.ASCII)
_NO_VOICEMAIL = (
    "voicemail can only be never: nobody knows who listens to it, and a message cannot be taken back. "
    "An answering machine hears silence."
)


def _whole(key: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputError(f"{key} must be a whole number from {least} to {most}.", code="value")
    return value


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


class Mode(StrEnum):
    """Who calls."""

    AUTOMATIC = "automatic"
    AGENT = "agent"
    """An agent, who is rung before the worker is. Without one the worker is not called."""
    AGENT_FIRST = "agent_first"
    """The same; but the system calls by itself when the window is nearly over (:mod:`bot.callbacks.modes`)."""


class Shifts(StrEnum):
    """When the shifts of a factory keep calls away."""

    UNLESS_CHOSEN = "unless_chosen"
    """A window that the worker chose herself beats the shift; any other is cut by it."""
    ALWAYS = "always"


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


DEFAULT_ROUNDS = (Round(30, 35), Round(90, 95))
"""The later rounds of a policy that names none (domain practice: T+5 to 10, T+30, T+90)."""
MOST_ROUNDS = 12
"""Rounds of one policy, the first one included."""
REST_OF_THE_WORLD = "*"
"""In ``caller_id``, the countries that are not named."""


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
    reminder_hours: float | None = 2
    """How long before a call a worker who agreed to it gets a short text; None is never."""
    skip_public_holidays: bool = False
    shifts: Shifts = Shifts.UNLESS_CHOSEN
    third_party_limit: int = 2
    unverified_limit: int = 2
    daily_cap: int | None = None
    """The most callbacks that are begun in a day; None is as many as are due."""
    calendar: str = "UTC"
    """The IANA zone whose midnight begins the day of the cap."""
    comparison: float = 1.0
    """The share of the workers who were not interviewed that is called too."""
    caller_id: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Country (or ``*``) and the number of ours that calls it."""
    channels_when_failing: tuple[Channel, ...] = ()
    """Where one neutral opening goes in writing when calls have failed, in this order of preference."""
    mode: Mode = Mode.AUTOMATIC
    rounds: tuple[Round, ...] = DEFAULT_ROUNDS
    """Rounds after the first."""

    def __post_init__(self) -> None:
        first = Round(self.first_call_day, self.last_call_day)
        if self.rounds is DEFAULT_ROUNDS:
            fitting = tuple(each for each in DEFAULT_ROUNDS if each.first_call_day > self.last_call_day)
            object.__setattr__(self, "rounds", fitting)
        if self.daily_cap is not None:
            _whole("daily_cap", self.daily_cap, 1, 1_000_000)
        if not 0 <= self.comparison <= 1:
            raise InputError("comparison must be none, all, or a share from 0 to 1.", code="value")
        if self.reminder_hours is not None and not _is_number(self.reminder_hours, 0.5, 72):
            raise InputError(
                "reminder_hours must be a number of hours from 0.5 to 72, or null.", code="value"
            )
        if self.max_attempts is not None:
            _whole("attempts", self.max_attempts, 1, 1000)
        _whole("attempts_per_day", self.attempts_per_day, 1, 24)
        _whole("third_party_limit", self.third_party_limit, 1, 100)
        _whole("unverified_limit", self.unverified_limit, 1, 100)
        if isinstance(self.spacing_hours, bool) or not 0 <= self.spacing_hours <= 24 * 31:
            raise InputError("spacing_hours must be a number of hours from 0 to 744.", code="value")
        if len(self.rounds) >= MOST_ROUNDS:
            raise InputError(f"rounds: at most {MOST_ROUNDS - 1} later rounds.", code="value")
        for before, after in zip((first, *self.rounds), self.rounds, strict=False):
            if after.first_call_day <= before.last_call_day:
                raise InputError(
                    "rounds: each round must begin after the last day of the one before it.", code="period"
                )

    def all_rounds(self) -> tuple[Round, ...]:
        """The first round and the later ones, in order."""
        return Round(self.first_call_day, self.last_call_day), *self.rounds

    def round(self, number: int) -> Round | None:
        """The round of a number, counted from 1; None if the policy has none."""
        rounds = self.all_rounds()
        return rounds[number - 1] if 1 <= number <= len(rounds) else None

    def calls_comparison(self, key: str) -> bool:
        """Whether a worker who was not interviewed is called. ``key`` names her, whatever else is uploaded: the
        choice is the same each time, and a greater share only ever adds workers.
        """
        drawn = int.from_bytes(hashlib.sha256(key.encode()).digest()[:6]) / (1 << 48)
        return drawn < self.comparison

    def number_for(self, country: str) -> str | None:
        """The number of ours that calls a country, if the policy names one."""
        numbers = dict(self.caller_id)
        return numbers.get(country) or numbers.get(REST_OF_THE_WORLD)

    def day_of(self, instant: datetime) -> date:
        """The day of the cap on which an instant falls."""
        return instant.astimezone(ZoneInfo(self.calendar)).date()

    def day_after(self, instant: datetime) -> datetime:
        """The instant at which the next day of the cap begins, in UTC."""
        tomorrow = self.day_of(instant) + timedelta(1)
        return datetime.combine(tomorrow, time(), ZoneInfo(self.calendar)).astimezone(UTC)


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
        _FIELD_OF.get(key, key): _READERS[key](key, value)
        for key, value in mapping.items()
        if key != "voicemail" or _never(value)
    }
    return Policy(**values)


def to_mapping(policy: Policy) -> dict[str, object]:
    """The policy as plain data with every key, such that ``from_mapping`` gives it back."""
    plain: dict[str, object] = {each.name: getattr(policy, each.name) for each in fields(policy)}
    del plain["max_attempts"]
    return plain | {
        "attempts": "unlimited" if policy.max_attempts is None else {"max": policy.max_attempts},
        "quiet_from": f"{policy.quiet_from:%H:%M}",
        "quiet_until": f"{policy.quiet_until:%H:%M}",
        "shifts": policy.shifts.value,
        "comparison": {0.0: "none", 1.0: "all"}.get(policy.comparison, policy.comparison),
        "caller_id": dict(policy.caller_id),
        "channels_when_failing": [channel.value for channel in policy.channels_when_failing],
        "voicemail": "never",
        "mode": policy.mode.value,
        "rounds": [
            {"first_call_day": later.first_call_day, "last_call_day": later.last_call_day}
            for later in policy.rounds
        ],
    }


def from_json(text: str | None) -> Policy:
    """The policy that a client's row holds; the defaults if it holds none."""
    return _parsed(text) if text else Policy()


@lru_cache(maxsize=256)
def _parsed(text: str) -> Policy:
    # While machines are renewed one after the other, a newer one may have kept a key that this one does not know.
    return from_mapping({key: value for key, value in json.loads(text).items() if key in _READERS})


def to_json(policy: Policy) -> str:
    """The policy as a client's row holds it."""
    standard = to_mapping(Policy())
    kept = {
        key: value for key, value in to_mapping(policy).items() if key not in _YOUNG or value != standard[key]
    }
    return json.dumps(kept, sort_keys=True)


_YOUNG = frozenset({"reminder_hours"})
"""Keys that machines of the version before refuse: they are kept only where they say anything."""


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


def _integer(key: str, value: object) -> int:
    # The range of each number is checked by the policy itself.
    return _whole(key, value, 0, 10_000)


def _reminder_hours(key: str, value: object) -> float | None:
    return None if value is None or value == "none" else _hours(key, value)


def _hours(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{key} must be a number of hours.", code="value")
    return value


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{key} must be true or false.", code="value")
    return value


def read_time(key: str, value: object) -> time:
    """A local time of day as a file states it. Raises :class:`InputError` that names the key."""
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
        raise InputError(f"{key} must be automatic, agent or agent_first.", code="value") from None


def _shifts(key: str, value: object) -> Shifts:
    try:
        return Shifts(str(value))
    except ValueError:
        raise InputError(f"{key} must be unless_chosen or always.", code="value") from None


def _cap(key: str, value: object) -> int | None:
    return None if value is None or value == "none" else _whole(key, value, 1, 1_000_000)


def _zone(key: str, value: object) -> str:
    if not isinstance(value, str) or value not in available_timezones():
        raise InputError(f"{key} must be a time zone such as Europe/Berlin, or UTC.", code="value")
    return value


def _share(key: str, value: object) -> float:
    named = {"none": 0.0, "all": 1.0}.get(value) if isinstance(value, str) else value
    if isinstance(named, bool) or not isinstance(named, int | float) or not 0 <= named <= 1:
        raise InputError(f"{key} must be none, all, or a share from 0 to 1 such as 0.25.", code="value")
    return float(named)


def _caller_id(key: str, value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping):
        raise InputError(f"{key} must be a list of 'country: \"+number\"'.", code="value")
    return tuple(sorted(_number_of_ours(key, country, number) for country, number in value.items()))


def _number_of_ours(key: str, country: object, number: object) -> tuple[str, str]:
    # YAML 1.1 reads an unquoted NO, for Norway, as false.
    known = "NO" if country is False else str(country).strip().upper()
    if known != REST_OF_THE_WORLD and not (len(known) == 2 and known.isascii() and known.isalpha()):
        raise InputError(f"{key}: a country is written by its two letters, or * for the rest.", code="value")
    plain = re.sub(r"[ ()./-]", "", number) if isinstance(number, str) else ""
    if not _NUMBER.fullmatch(plain):
        # An unquoted number loses its plus on the way through YAML, and with it what it means.
        raise InputError(f'{key}: the number for {known} must be quoted and begin with "+".', code="value")
    return known, plain


def _written(key: str, value: object) -> tuple[Channel, ...]:
    written = {channel.value: channel for channel in Channel if channel is not Channel.VOICE}
    if not isinstance(value, list | tuple) or any(str(each) not in written for each in value):
        raise InputError(f"{key} must be a list of these: {', '.join(written)}.", code="value")
    return tuple(dict.fromkeys(written[str(each)] for each in value))


def _never(value: object) -> bool:
    """False, so that it is not kept: there is nothing to choose."""
    if value != "never":
        raise InputError(_NO_VOICEMAIL, code="value")
    return False


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
    "quiet_from": read_time,
    "quiet_until": read_time,
    "reminder_hours": _reminder_hours,
    "skip_public_holidays": _flag,
    "third_party_limit": _integer,
    "unverified_limit": _integer,
    "shifts": _shifts,
    "daily_cap": _cap,
    "calendar": _zone,
    "comparison": _share,
    "caller_id": _caller_id,
    "channels_when_failing": _written,
    "voicemail": lambda _key, value: _never(value),
    "mode": _mode,
    "rounds": _rounds,
}
_FIELD_OF = {"attempts": "max_attempts"}

"""Who is audited, interviewed and called in a rehearsal, and what each of them does. Pure: a seed makes it all.

The figures are those of one client's year: 33,760 workers of 552 factories, of whom 244 report something, 14 of
them that a child works there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

WORKERS = 33_760
FACTORIES = 552
DAYS = 365
CLIENT = "Rehearsal"

_REPORTS = 244 / WORKERS
_UNDER_AGE = 14 / WORKERS
_MOST_CALLS = 6
"""Attempts of the default policy."""
_STOPS = 0.005
"""Workers who write STOP some days after the visit."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A country as a rehearsal needs it: the form of its mobile numbers, and who works there."""

    country: str
    numbers: str
    first: int
    timezone: str
    languages: tuple[str, ...]
    weight: int


PLACES = (
    Place("CN", "+86138%08d", 20_000_000, "Asia/Shanghai", ("zh-Hans",), 26),
    Place("VN", "+8490%07d", 2_000_000, "Asia/Ho_Chi_Minh", ("vi",), 14),
    Place("IN", "+9198%08d", 20_000_000, "Asia/Kolkata", ("hi", "ta", "kn", "mr"), 13),
    Place("BD", "+88017%08d", 20_000_000, "Asia/Dhaka", ("bn",), 12),
    Place("ID", "+62812%08d", 20_000_000, "Asia/Jakarta", ("id",), 11),
    Place("KH", "+85512%06d", 200_000, "Asia/Phnom_Penh", ("km",), 5),
    Place("MM", "+959450%06d", 200_000, "Asia/Yangon", ("my",), 4),
    Place("TH", "+6681%07d", 2_000_000, "Asia/Bangkok", ("th", "my"), 3),
    Place("MY", "+6012%07d", 2_000_000, "Asia/Kuala_Lumpur", ("ms", "ne", "bn"), 3),
    Place("LK", "+9477%07d", 2_000_000, "Asia/Colombo", ("si", "ta"), 2),
    Place("PK", "+92300%07d", 2_000_000, "Asia/Karachi", ("ur",), 2),
    Place("PH", "+63917%07d", 2_000_000, "Asia/Manila", ("fil",), 2),
    Place("BR", "+55119%08d", 20_000_000, "America/Sao_Paulo", ("pt",), 1),
    Place("MX", "+5255%08d", 20_000_000, "America/Mexico_City", ("es",), 1),
    Place("JP", "+8190%08d", 20_000_000, "Asia/Tokyo", ("ja", "vi"), 1),
)

_TIMES: Mapping[str, int] = {
    "evening": 34,
    "weekday_evening": 12,
    "weekend": 14,
    "lunch": 10,
    "night": 8,
    "sun_morning;evening": 7,
    "morning;evening": 6,
    "afternoon": 5,
    "exact": 4,
}
_UNANSWERED: Mapping[str, float] = {
    "no-answer": 0.33,
    "machine": 0.10,
    "busy": 0.08,
    "failed": 0.02,
    "not-now": 0.03,
    "hangs-up": 0.01,
}
"""What becomes of one call that does not reach the worker; the rest of all calls does."""


class Fate(StrEnum):
    """What a worker does once a call reaches her."""

    COMPLETES = "completes"
    REPORTS = "reports"
    REFUSES = "refuses"
    SOMEBODY_ELSE = "somebody_else"
    UNSAFE = "unsafe"
    WRONG_NUMBER = "wrong_number"
    NEVER = "never"
    """No call reaches her."""


_FATES: Mapping[Fate, float] = {
    Fate.COMPLETES: 0.88,
    Fate.REFUSES: 0.06,
    Fate.SOMEBODY_ELSE: 0.03,
    Fate.UNSAFE: 0.007,
    Fate.WRONG_NUMBER: 0.023,
}

NOT_NOW: Json = {"steps": [{"keys": "2"}, {"keys": "4"}]}
"""Asks to be called in the evening."""

# --- what is pressed: the questions stand in flows/callback.yaml, in this order -----------------------------

_BEGIN = ("1", "{pass_word}#", "1")
"""A good time, the pass-word, and it is safe."""
_CONSENTS = ("1", "1", "2", "2")
"""Call again if cut off, take part, do not record, send no texts."""
_NOTHING: Mapping[str, tuple[str, ...]] = {
    "coaching": ("2",),
    "papers": ("2",),
    "disclosure": ("2",),
    "job": ("1", "1"),
    "discipline": ("2",),
    "pay": ("2",),
    "hours": ("2", "1"),
    "threat": ("2",),
    "else": ("2",),
}
_STORIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "coaching": ("coaching", ("1", "1", "2", "4")),
    "papers": ("papers", ("1", "2", "1")),
    "disclosure": ("disclosure", ("1", "1", "2", "1")),
    "discipline": ("discipline", ("1", "1", "2", "2")),
    "pay": ("pay", ("1", "1", "1", "2", "2")),
    "hours": ("hours", ("1", "1", "2", "1")),
    "threat": ("threat", ("1", "3", "2")),
}
"""A question, and what is pressed there instead of a no."""
_DISMISSED = ("2", "2", "2", "1", "2", "4", "1")
"""Not there any more, since the week after, not by choice, because of the visit, no pay owed, papers and housing not
kept, still safe."""
_KEEP = ("1", "1")
_PUT_RIGHT = ("3", "1", "2", "1")
"""Try to have it put right, tell the buyer, not the employer, contact again."""
_UNDER_AGE_TOLD = ("2", "1", "2", "3", "2", "1", "1")
"""Not coached, false papers, not forced, about an age; no person now, safe at this moment, contact again."""


@dataclass(frozen=True, slots=True)
class Person:
    """A made-up worker, with what her handset does."""

    number: str = field(repr=False)
    alias: str
    language: str
    preferred_time: str
    pass_word: str = field(repr=False)
    fate: Fate
    script: Json = field(repr=False)
    stops_after: int | None
    """Days after the audit on which she writes STOP."""


@dataclass(frozen=True, slots=True)
class Visit:
    """An audit of one factory, with those who were interviewed."""

    ref: str
    factory: str
    place: Place
    day: date
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is rehearsed. The audits lie within ``days`` from the first one on."""

    workers: int = WORKERS
    factories: int = FACTORIES
    days: int = DAYS


def population(size: Size, seed: int, first_day: date) -> list[Visit]:
    """The audits of a rehearsal, the earliest first. The same arguments give the same audits.

    Raises ValueError unless there is a worker for each factory.
    """
    if not 1 <= size.factories <= size.workers:
        raise ValueError("there must be a factory, and a worker for each factory")
    chance = random.Random(seed)  # noqa: S311 - nothing here is a secret
    fates = _fates(chance, size.workers)
    days = sorted(chance.randrange(size.days) for _ in range(size.factories))
    made: dict[str, int] = {}
    visits = []
    for number, (day, staff) in enumerate(zip(days, _spread(size), strict=True), 1):
        place = chance.choices(PLACES, [each.weight for each in PLACES])[0]
        on = first_day + timedelta(day)
        people = tuple(
            _person(chance, place, _next(made, place.country), next(fates), on) for _ in range(staff)
        )
        visits.append(Visit(f"R-{number}", f"Factory {number}", place, on, people))
    return visits


def _spread(size: Size) -> list[int]:
    """How many were interviewed in each factory: as even as can be."""
    each, more = divmod(size.workers, size.factories)
    return [each + (number < more) for number in range(size.factories)]


def _next(made: dict[str, int], key: str) -> int:
    made[key] = made.get(key, -1) + 1
    return made[key]


def _fates(chance: random.Random, workers: int) -> Iterator[tuple[Fate, str]]:
    """Fates in the shares of a year, with one report at least; a report comes with its story."""
    reports = max(1, round(_REPORTS * workers))
    under_age = round(_UNDER_AGE * workers)
    told = ["under_age"] * under_age + [
        chance.choice([*_STORIES, "dismissal"]) for _ in range(reports - under_age)
    ]
    fates = [(Fate.REPORTS, story) for story in told]
    fates += [(fate, "") for fate in chance.choices(list(_FATES), list(_FATES.values()), k=workers - reports)]
    chance.shuffle(fates)
    return iter(fates)


def _person(
    chance: random.Random, place: Place, place_number: int, fate: tuple[Fate, str], day: date
) -> Person:
    kind, story = fate
    missed = _missed(chance, kind)
    if len(missed) >= _MOST_CALLS and kind is not Fate.REPORTS:
        kind = Fate.NEVER
    return Person(
        number=place.numbers % (place.first + place_number),
        alias=f"{place.country}-{place_number}",
        language=chance.choice(place.languages),
        preferred_time=_time(chance, day),
        pass_word=f"{chance.randrange(10_000, 99_999)}",
        fate=kind,
        script=_script(kind, story) | {"before": missed},
        stops_after=chance.randrange(5, 10) if chance.random() < _STOPS else None,
    )


def _time(chance: random.Random, day: date) -> str:
    wanted = chance.choices(list(_TIMES), list(_TIMES.values()))[0]
    if wanted != "exact":
        return wanted
    return f"{(day + timedelta(6)).isoformat()} {chance.randrange(9, 20):02}:30"


def _missed(chance: random.Random, fate: Fate) -> list[object]:
    """The calls before the one that reaches her. Those who report something are reached in time."""
    most = 1 if fate in (Fate.REPORTS, Fate.WRONG_NUMBER) else _MOST_CALLS
    missed: list[object] = []
    while len(missed) < most and (kind := _of_a_call(chance)):
        missed.append(NOT_NOW if kind == "not-now" else kind)
    return missed


def _of_a_call(chance: random.Random) -> str | None:
    drawn = chance.random()
    for kind, share in _UNANSWERED.items():
        drawn -= share
        if drawn < 0:
            return kind
    return None


def _script(fate: Fate, story: str) -> Json:
    if fate is Fate.NEVER:
        return {"answer": "no-answer"}
    if fate is Fate.WRONG_NUMBER:
        return {"answer": "failed", "sip": 404}
    if fate is Fate.SOMEBODY_ELSE:
        return _pressing("1", "0000#", "0000#")
    if fate is Fate.UNSAFE:
        return _pressing(*_BEGIN, "*")
    if fate is Fate.REFUSES:
        return _pressing(*_BEGIN, "1", "2")
    return _pressing(*_BEGIN, *_CONSENTS, *_answers(story))


def _answers(story: str) -> Sequence[str]:
    if story == "under_age":
        return _UNDER_AGE_TOLD
    told = dict(_NOTHING)
    if story == "dismissal":
        # Who has left is not asked what happened at work since.
        for question in ("discipline", "pay", "hours"):
            told[question] = ()
        told["job"] = _DISMISSED
    elif story:
        question, keys = _STORIES[story]
        told[question] = keys
    pressed = [key for keys in told.values() for key in keys]
    return [*pressed, *(_PUT_RIGHT if story else _KEEP)]


def _pressing(*keys: str) -> Json:
    return {"steps": [{"keys": key} for key in keys]}

"""When a worker wants to be contacted, in her own words: "tomorrow after 8", "Sunday", "kal shaam 7 baje".

Pure. The names of weekdays and months come from CLDR (by Babel), other words from ``flows/times.yaml``. What is
read becomes a :class:`~bot.callbacks.preference.Preference`; what is not read for sure becomes nothing, so that
the worker is asked with numbered answers. Whoever uses it says back what was understood (:func:`said`).

An hour that may be of the morning or of the evening ("at 8") is the next one between 7 and 22 h. "After 8" is the
evening wherever it can be: who is called later than she meant is at least not called at work.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_skeleton

from bot.callbacks.preference import (
    After,
    Alternative,
    Dated,
    Days,
    Exact,
    Part,
    Preference,
    Recurring,
    is_weekend,
    parse,
    windows,
)
from bot.errors import PreferenceError
from bot.flow.words import normal, split_words

LONGEST: Final = 80
"""Characters of a text that is read as a time; who writes more has something else to say."""
MOST_AHEAD: Final = timedelta(days=14)
"""How far ahead a day may lie that is named by its date."""

_WEEK: Final = (Days.MON, Days.TUE, Days.WED, Days.THU, Days.FRI, Days.SAT, Days.SUN)
_WEEKDAYS: Final = {day.value: n for n, day in enumerate(_WEEK)}
_PARTS: Final = {
    part.value: part for part in (Part.MORNING, Part.LUNCH, Part.AFTERNOON, Part.EVENING, Part.NIGHT)
}
_ENDS: Final = {Part.MORNING: 12, Part.LUNCH: 13, Part.AFTERNOON: 17, Part.EVENING: 21, Part.NIGHT: 23}
_DAYTIME: Final = range(7, 22)
_DAY_BEGINS: Final = time(9)
_WHOLE_DAY: Final = (Part.MORNING, Part.LUNCH, Part.AFTERNOON, Part.EVENING)
_UNKNOWN: Final = "?"
"""Stands for a letter of a word that is not known."""
_AROUND_AN_HOUR: Final = 8
"""Letters of unknown words ("at", "o'clock") that a number may have around it to be an hour."""
_BESIDE_A_TIME: Final = 3
"""Letters of unknown words ("on", "at", "the") beside a time, with which a text still says nothing else."""
_LAST_ENOUGH: Final = timedelta(minutes=15)
"""What must be left of a window of today."""
_UNREADABLE: Final = frozenset(("empty", "unknown_window"))
"""Codes of what is no time at all."""
_OFFSETS: Final = {"today": 0, "tonight": 0, "tomorrow": 1, "day_after": 2}
KEYS: Final = (
    *_OFFSETS,
    *(day.value for day in _WEEK),
    *_PARTS,
    *("weekend", "next_week", "after", "before", "not", "am", "pm", "half", "half_to", "numbers"),
)
"""What ``flows/times.yaml`` may list for a language."""

_UNSPACED: Final = ("THAI", "LAO", "KHMER", "MYANMAR", "CJK", "HIRAGANA", "KATAKANA", "HANGUL")
_BOUND_ON_BOTH: Final = ("LATIN", "ARABIC")
_ISO: Final = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)")
_WRITTEN_DATE: Final = re.compile(
    r"(\d{1,2})(?:/(\d{1,2})(?:/(\d{4}|\d{2}))?|[.-](\d{1,2})[.-](\d{4}))(?!\d)"
)
_CLOCK: Final = re.compile(
    r"(\d{1,2})(?::|\.|h| ?[時时点點시] ?| giờ )(\d{2})(?!\d)|(\d{2})(\d{2})(?!\d)|(\d{1,2})(?!\d)"
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of one language, by their first letter, the longest first: (word, meaning)."""

    language: str
    words: Mapping[str, tuple[tuple[str, str], ...]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Number:
    """A number of a text: an hour, a day of the month, or a time with minutes. ``plain`` has no minutes."""

    hour: int
    minute: int
    plain: bool
    leading: bool
    """Written with a zero before it, as in 08:30: of 24 hours."""


_Token = str | _Number | date


@dataclass(slots=True)
class _Said:
    """What was found in a text."""

    names: list[str]
    numbers: list[_Number]
    days: list[date]
    weekdays: list[int]
    parts: list[Part]


def vocabulary(language: str, listed: Mapping[str, str]) -> Vocabulary:
    """The words of a language (BCP-47 code): its lists in ``flows/times.yaml`` and the names that CLDR knows."""
    meanings: dict[str, str] = {}
    for key, words in listed.items():
        for n, word in enumerate(split_words(words), 1):
            meanings.setdefault(word, f"hour:{(n - 1) % 12 + 1}" if key == "numbers" else key)
    for word, meaning in _of_cldr(language):
        meanings.setdefault(word, meaning)
    letters: dict[str, list[tuple[str, str]]] = {}
    for word, meaning in sorted(meanings.items(), key=lambda item: -len(item[0])):
        letters.setdefault(word[0], []).append((word, meaning))
    return Vocabulary(language, {letter: tuple(words) for letter, words in letters.items()})


def _of_cldr(language: str) -> Iterator[tuple[str, str]]:
    locale = _locale(language)
    for context in ("format", "stand-alone"):
        for width in ("wide", "abbreviated"):
            days, months = locale.days[context][width], locale.months[context][width]
            named = [(str(days[n]), _WEEK[n].value) for n in range(7)]
            named += [(str(months[n]), f"month:{n}") for n in range(1, 13)]
            for name, meaning in named:
                word = normal(name)
                # A short name of a script without spaces is a part of many other words.
                if len(word) > 1 and (width == "wide" or not _is(word[0], _UNSPACED)):
                    yield word, meaning


@cache
def _locale(language: str) -> Locale:
    try:
        return Locale.parse(language, sep="-")
    except (ValueError, UnknownLocaleError):
        return Locale("en")


def understand(text: str, words: Vocabulary, now: datetime, country: str) -> Preference | None:
    """When the worker wants to be contacted, or None if that is not sure.

    ``now`` is aware and in her zone; ``country`` (ISO 3166) decides which days are a weekend. The preference begins
    after ``now``, at most 14 days ahead, and is written in the grammar of :mod:`bot.callbacks.preference`.
    """
    plain = normal(text)
    if not plain or len(plain) > LONGEST:
        return None
    tokens = list(_tokens(plain, words))
    known = [token for token in tokens if token != _UNKNOWN]
    if len(known) == 1 and isinstance(known[0], _Number) and len(tokens) - 1 > _AROUND_AN_HOUR:
        # A lone number among words of another language, or of another matter, is no hour.
        return None
    said = _gather(known, now.date())
    if said is None or {"not", "before"} & set(said.names):
        return None
    alternatives = _with_time(said, now, country) if said.numbers else _without_time(said, now)
    return Preference(tuple(dict.fromkeys(alternatives))) if alternatives else None


def understand_in_any(
    text: str, vocabularies: Iterable[Vocabulary], now: datetime, country: str
) -> Preference | None:
    """What :func:`understand` makes of a text in the first of several languages in which it is understood."""
    found = (understand(text, words, now, country) for words in vocabularies)
    return next((each for each in found if each is not None), None)


def typed(text: str, vocabularies: Iterable[Vocabulary], now: datetime, country: str) -> Preference:
    """A time that one of us typed for a worker: in words, as :func:`understand_in_any` reads them, or in the grammar of
    :mod:`bot.callbacks.preference`. ``now`` is aware and in her zone.

    Raises :class:`PreferenceError` for what is neither, and for a time that is over or too far ahead (``bad_date``).
    """
    found = understand_in_any(text, vocabularies, now, country) or _parsed(text)
    if not said(found, now, country, "en") or any(_is_over(each, now) for each in found.alternatives):
        raise PreferenceError("The time lies in the past, or too far ahead.", code="bad_date")
    return found


def _is_over(alternative: Alternative, now: datetime) -> bool:
    """Whether a time of one day lies behind, also where its hour would come again on later days: a slip of the pen."""
    if isinstance(alternative, Recurring):
        return False
    if alternative.day != now.date():
        return alternative.day < now.date()
    hours = windows(Preference((alternative,)), alternative.day, _zone_of(now), "")
    return all(window.end <= now for window in hours)


def _parsed(text: str) -> Preference:
    try:
        return parse(text)
    except PreferenceError as error:
        if error.code not in _UNREADABLE:
            raise
        raise PreferenceError(
            'That was not understood. Write one day, one part of the day or one hour, such as "tomorrow after 8", '
            '"Sunday evening" or "2026-03-07 18:30".',
            code=error.code,
        ) from None


def is_only_time(text: str, words: Vocabulary) -> bool:
    """Whether a text that nobody asked for says when, and nothing else: "they beat me on Sunday" is a report.

    Digits alone are none either: they may be a code, or the answer to a question of long ago.
    """
    plain = normal(text)
    if len(plain) > LONGEST or not any(char.isalpha() or char == ":" for char in plain):
        return False
    return sum(token == _UNKNOWN for token in _tokens(plain, words)) <= _BESIDE_A_TIME


# --- finding words ----------------------------------------------------------------------------


def _tokens(text: str, words: Vocabulary) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _word_at(text, at, words) or (_digits_at(text, at) if text[at].isdigit() else None)
        if found is None:
            if text[at].isalpha():
                yield _UNKNOWN
            at += 1
            continue
        token, length = found
        yield token
        at += length


def _word_at(text: str, at: int, words: Vocabulary) -> tuple[_Token, int] | None:
    for word, meaning in words.words.get(text[at], ()):
        if text.startswith(word, at) and _stands_alone(text, at, word):
            if meaning.startswith("hour:"):
                return _Number(int(meaning[5:]), 0, True, False), len(word)
            return meaning, len(word)
    return None


def _stands_alone(text: str, at: int, word: str) -> bool:
    """Whether a word is not just a part of another. Scripts without spaces cannot tell; languages of India and
    around it put endings to their words, so that only a short one must end there."""
    before, after = text[at - 1 : at], text[at + len(word) : at + len(word) + 1]
    if word[0].isdigit() and before.isdigit():
        return False
    if word[-1].isdigit() and after.isdigit():
        return False
    if _is(word[0], _UNSPACED):
        return True
    free_end = not _is(word[-1], _BOUND_ON_BOTH) and len(word) > 2
    return not _in_word(before, word[0]) and (free_end or not _in_word(after, word[-1]))


def _in_word(char: str, beside: str) -> bool:
    """Whether a neighbour belongs to the same word. A digit does not: "8pm" are two words."""
    return bool(char) and not beside.isdigit() and unicodedata.category(char)[0] in "LM"


@cache
def _is(char: str, scripts: tuple[str, ...]) -> bool:
    return unicodedata.name(char, "").startswith(scripts)


def _digits_at(text: str, at: int) -> tuple[_Token, int] | None:
    if found := _ISO.match(text, at):
        year, month, day = (int(group) for group in found.groups())
        return _date(year, month, day), found.end() - at
    if found := _WRITTEN_DATE.match(text, at):
        day, month = int(found[1]), int(found[2] or found[4])
        given = int(found[3] or found[5] or 0)
        return _date(given + 2000 if 0 < given < 100 else given, month, day), found.end() - at
    if found := _CLOCK.match(text, at):
        hour, minute = found[1] or found[3] or found[5], found[2] or found[4]
        return _Number(int(hour), int(minute or 0), minute is None, hour.startswith("0")), found.end() - at
    # A longer number is none of ours, and makes the whole text something else.
    return "not", len(text) - at


def _date(year: int, month: int, day: int) -> _Token:
    """The date, of the year 1 if the text has none; a date that there is not makes the text not understood."""
    try:
        # Years of the Buddhist era (Thailand, Laos) are 543 ahead.
        return date(year - 543 if year > 2400 else max(year, 1), month, day)
    except ValueError:
        return "not"


def _gather(tokens: list[_Token], today: date) -> _Said | None:
    said = _Said([], [], [], [], [])
    tokens = _with_dates(tokens)
    for token in tokens:
        if isinstance(token, _Number):
            said.numbers.append(token)
        elif isinstance(token, date):
            said.days.append(_coming(token, today))
        elif token in _PARTS:
            said.parts.append(_PARTS[token])
        elif token in _WEEKDAYS:
            said.weekdays.append(_WEEKDAYS[token])
        else:
            said.names.append(token)
    said.days += [today + timedelta(days=_OFFSETS[name]) for name in said.names if name in _OFFSETS]
    return said if _is_clear(said, today) else None


def _is_clear(said: _Said, today: date) -> bool:
    """Whether all that was said fits together."""
    days, numbers = set(said.days), set(said.numbers)
    said.days, said.numbers = sorted(days), list(numbers)
    ahead = all(today <= day <= today + MOST_AHEAD for day in days)
    return ahead and len(days) <= 1 and len(numbers) <= 1 and len(set(said.parts)) <= 2


def _with_dates(tokens: list[_Token]) -> list[_Token]:
    """The same, where the name of a month and the number beside it became a date."""
    result: list[_Token] = []
    waiting = 0
    for token in tokens:
        if isinstance(token, str) and token.startswith("month:"):
            month = int(token[6:])
            if result and isinstance(result[-1], _Number) and result[-1].plain:
                result[-1] = _date(0, month, result[-1].hour)
            else:
                waiting = month
        elif waiting and isinstance(token, _Number) and token.plain:
            result.append(_date(0, waiting, token.hour))
            waiting = 0
        else:
            result.append(token)
    return result


def _coming(day: date, today: date) -> date:
    """A date without a year is the next of its kind."""
    if day.year > 1:
        return day
    try:
        this_year = day.replace(year=today.year)
        return this_year if this_year >= today else day.replace(year=today.year + 1)
    except ValueError:
        # The 29th of February, in a year that has none: further ahead than anything we promise.
        return today + MOST_AHEAD + timedelta(days=1)


# --- from words to a preference ---------------------------------------------------------------


def _with_time(said: _Said, now: datetime, country: str) -> list[Alternative]:
    """An hour was named: that half hour of the day that was named, or all after it."""
    after = "after" in said.names
    if len(set(said.weekdays)) > 1:
        return []
    hours = _hours(said, after=after)
    found: list[Alternative] = []
    for day in _days(said, now.date(), country):
        for at in hours:
            until = datetime.combine(day, time(20, 30)) if after else datetime.combine(day, at)
            if max(until, datetime.combine(day, at)) > now.replace(tzinfo=None):
                found.append(After(day, at) if after else Exact(day, at))
        if found:
            break
    return found[:1]


def _days(said: _Said, today: date, country: str) -> list[date]:
    """The days on which a named hour can be, the nearest first."""
    if said.weekdays and said.days:
        return [day for day in said.days if day.weekday() == said.weekdays[0]]
    if said.weekdays:
        first = today + timedelta(days=(said.weekdays[0] - today.weekday()) % 7)
        if "next_week" in said.names:
            monday = today + timedelta(days=7 - today.weekday())
            return [monday + timedelta(days=said.weekdays[0])]
        return [first, first + timedelta(days=7)]
    if "next_week" in said.names:
        return []
    if said.days:
        return said.days
    days = [today + timedelta(days=n) for n in range(8)]
    return [day for day in days if is_weekend(day, country)] if "weekend" in said.names else days[:2]


def _hours(said: _Said, *, after: bool) -> list[time]:
    """What a named hour may be on a clock of 24 hours, the best first."""
    number = said.numbers[0]
    minute = number.minute
    if "half_to" in said.names:
        number = _Number((number.hour - 2) % 12 + 1, 30, False, False)
        minute = 30
    elif "half" in said.names and number.plain:
        minute = 30
    hours = _on_the_clock(number, said, after=after)
    return [time(hour, minute) for hour in hours if 0 <= hour < 24 and minute < 60]


def _on_the_clock(number: _Number, said: _Said, *, after: bool) -> list[int]:
    hour = number.hour
    if number.leading or not 1 <= hour <= 12:
        return [hour]
    half = {"am", "pm"} & set(said.names)
    if half:
        return [hour % 12 + (12 if half == {"pm"} else 0)] if len(half) == 1 else []
    parts = said.parts or ([Part.EVENING] if "tonight" in said.names else [])
    if parts:
        return _in_part(hour, parts[0])
    if hour == 12:
        return [12]
    daytime = [each for each in (hour, hour + 12) if each in _DAYTIME]
    return daytime[::-1] if after else daytime


def _in_part(hour: int, part: Part) -> list[int]:
    """An hour of 1 to 12 in a part of the day, if it can be one of it."""
    if part is Part.MORNING:
        return [hour] if hour < 12 else []
    if part is Part.LUNCH:
        return [hour] if hour >= 10 else [hour + 12]
    if part is Part.AFTERNOON:
        return [12] if hour == 12 else [hour + 12]
    # At night before 6 is the next day to some and this day to others.
    return [hour + 12] if (hour < 12 and (part is Part.EVENING or hour >= 6)) else []


def _without_time(said: _Said, now: datetime) -> list[Alternative]:
    """No hour was named: parts of the day, and days."""
    names, parts, today = set(said.names), said.parts, now.date()
    if "tonight" in names and not parts:
        parts = [Part.EVENING if now.hour < 20 else Part.NIGHT]
    if "after" in names:
        parts = [Part.AFTERNOON] if parts == [Part.LUNCH] else []
        if not parts:
            return []
    if "next_week" in names:
        return _on_date(_days(said, today, "")[0], parts, now) if said.weekdays else []
    if said.weekdays and said.days:
        return []
    if said.weekdays:
        return [
            Recurring(_WEEK[day], part)
            for day in dict.fromkeys(said.weekdays)
            for part in (parts or _WHOLE_DAY)
        ]
    if said.days:
        return _on_date(said.days[0], parts, now)
    if "weekend" in names:
        return [Recurring(Days.WEEKEND, part) for part in (parts or (Part.WHOLE,))]
    return [Recurring(Days.EVERY, part) for part in parts]


def _on_date(day: date, parts: list[Part], now: datetime) -> list[Alternative]:
    """A day that was named by its date. A part of a near day recurs a week later if she is not reached; without a
    part it is all of the day, and later ones."""
    left = now.replace(tzinfo=None) + _LAST_ENOUGH
    if not parts:
        begins = max(left, datetime.combine(day, _DAY_BEGINS)).replace(second=0, microsecond=0)
        ends = datetime.combine(day, time(_ENDS[Part.EVENING]))
        return [After(day, begins.time())] if begins + _LAST_ENOUGH <= ends else []
    open_parts = [part for part in parts if datetime.combine(day, time(_ENDS[part])) > left]
    near = (day - now.date()).days < 7
    return [Recurring(_WEEK[day.weekday()], part) if near else Dated(day, part) for part in open_parts]


# --- saying it back ---------------------------------------------------------------------------


def said(preference: Preference, now: datetime, country: str, language: str) -> str:
    """The first day on which a preference holds after ``now`` (aware, in the worker's zone), and its hours:
    "Sun, Mar 22, 20:00–21:00" as her language writes a date. Empty if there is none within four weeks."""
    zone = _zone_of(now)
    for ahead in range(28):
        day = now.date() + timedelta(days=ahead)
        open_ones = [each for each in windows(preference, day, zone, country) if each.end > now]
        if open_ones:
            hours = [f"{_hour(each.start, zone)}–{_hour(each.end, zone)}" for each in open_ones]
            return ", ".join((_day(day, language), *hours))
    return ""


def _zone_of(now: datetime) -> ZoneInfo:
    if not isinstance(now.tzinfo, ZoneInfo):
        raise ValueError("the worker's zone must be known by its name")
    return now.tzinfo


def moment(instant: datetime, zone: ZoneInfo, language: str) -> str:
    """An instant on the wall clock of a zone, as a language writes it: "Sun, Mar 22, 20:00"."""
    return f"{_day(instant.astimezone(zone).date(), language)}, {_hour(instant, zone)}"


def _hour(instant: datetime, zone: ZoneInfo) -> str:
    return f"{instant.astimezone(zone):%H:%M}"


def _day(day: date, language: str) -> str:
    return str(format_skeleton("MMMEd", datetime.combine(day, time()), locale=_locale(language)))

"""Reading what a worker did as the answer to a question. Pure: no state, no events."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from bot.flow import phrases
from bot.flow.catalog import Tongue
from bot.flow.model import Ask, Choice, Kind
from bot.flow.words import digits, normal, split_words
from bot.language import find
from bot.messages import Button, Input, Keys, Media, Option, Recording, Text

SKIP: Final = "skip"
SAID: Final = "said"
IN_WORDS: Final = "in_words"
"""Code of a time that was told in words, where a question offers times."""

_DATE: Final = re.compile(r"(\d{1,2})[\s./-]+(\d{1,2})[\s./-]+(\d{4})|(\d{2})(\d{2})(\d{4})")
_ISO_DATE: Final = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_TIME: Final = re.compile(r"(\d{1,2})(?:[:.h\s]\s*(\d{2}))?\s*(am|pm|a\.m\.?|p\.m\.?)?|(\d{2})(\d{2})")
_BUDDHIST_FROM: Final = 2400
"""Years above this are of the Buddhist era (Thailand, Laos), 543 years ahead."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that fits the question: its canonical code, and what was said where words were asked for."""

    code: str
    text: str | None = field(default=None, repr=False)
    recording: str | None = None
    media: tuple[str, ...] = ()


def options(
    ask: Ask, tongue: Tongue, languages: tuple[tuple[str, str], ...], keypad: bool
) -> tuple[Option, ...]:
    """The options that a question offers, translated, each with its key. ``languages`` are (code, own name)."""
    if ask.kind is Kind.YES_NO:
        return _yes_no_options(ask, tongue)
    if ask.kind is Kind.LANGUAGE:
        choices = [Choice(code, name) for code, name in languages]
    elif ask.kind is Kind.CHOICE:
        choices = [Choice(choice.code, tongue.text(choice.label), key=choice.key) for choice in ask.choices]
    else:
        return ()
    found = [Option(choice.code, choice.label, choice.key or str(n)) for n, choice in enumerate(choices, 1)]
    if ask.skip:
        key = "8" if keypad or len(found) < 8 else str(len(found) + 1)
        found.append(Option(SKIP, tongue.text(phrases.SKIP), key))
    return tuple(found)


def _yes_no_options(ask: Ask, tongue: Tongue) -> tuple[Option, ...]:
    found = [Option("yes", tongue.text(phrases.YES), "1"), Option("no", tongue.text(phrases.NO), "2")]
    if ask.not_sure:
        found.append(Option("not_sure", tongue.text(phrases.NOT_SURE), "3"))
    if ask.skip:
        found.append(Option(SKIP, tongue.text(phrases.SKIP), "4"))
    return tuple(found)


def word_table(ask: Ask, tongue: Tongue, offered: tuple[Option, ...]) -> dict[str, str]:
    """Code by normal form of everything that can be written as an answer, in one language."""
    table = {option.key: option.code for option in offered}
    for option in offered:
        table.setdefault(normal(option.label), option.code)
    lists: list[tuple[str, str]] = []
    if ask.kind is Kind.YES_NO:
        lists = [("yes", phrases.YES_WORDS), ("no", phrases.NO_WORDS)]
        lists += [("not_sure", phrases.NOT_SURE_WORDS)] if ask.not_sure else []
    elif ask.kind is Kind.CHOICE:
        lists = [(choice.code, choice.words) for choice in ask.choices if choice.words]
    elif ask.kind is Kind.LANGUAGE:
        lists = [(option.code, option.code) for option in offered]
    elif ask.kind in (Kind.OPEN, Kind.MEDIA) and ask.skip:
        # A bare "no" to "do you want to add anything?" is no report; it is kept, and counted as skipped.
        lists = [(SKIP, phrases.NO_WORDS)]
    for code, listed in lists:
        for word in split_words(tongue.text(listed, "words")):
            table.setdefault(word, code)
    return table


def read(ask: Ask, given: Input, table: dict[str, str], now: datetime) -> Answer | None:
    """The answer that ``given`` is, or None. ``table`` is of :func:`word_table`; ``now`` bounds dates."""
    if ask.kind in (Kind.YES_NO, Kind.CHOICE, Kind.LANGUAGE):
        answer = _read_listed(given, table)
        if answer is None and ask.kind is Kind.LANGUAGE and isinstance(given, Text):
            return _read_language(given.text, table)
        return answer
    if ask.kind in (Kind.OPEN, Kind.MEDIA):
        if isinstance(given, Text) and table.get(normal(given.text)) == SKIP:
            return Answer(SKIP, text=given.text)
        return read_open(given)
    text = _written(given)
    if text is None:
        return None
    if ask.kind is Kind.NUMBER:
        return _read_number(ask, text)
    if ask.kind is Kind.DATE:
        return _read_date(ask, text, now)
    if ask.kind is Kind.TIME:
        return _read_time(text)
    return None


def _read_listed(given: Input, table: dict[str, str]) -> Answer | None:
    if isinstance(given, Text):
        code = table.get(given.text) or table.get(normal(given.text))
    elif isinstance(given, Keys):
        code = table.get(given.digits)
    elif isinstance(given, Button):
        code = given.code if given.code in table.values() else None
    else:
        return None
    return Answer(code) if code else None


def _read_language(text: str, table: dict[str, str]) -> Answer | None:
    """A language by any of the names that people have for it."""
    code = find(text)
    return Answer(code) if code is not None and code in table.values() else None


def read_open(given: Input) -> Answer | None:
    """Words, speech or pictures, whatever was asked; None if there is nothing in them."""
    if isinstance(given, Text):
        return Answer(SAID, text=given.text) if given.text.strip() else None
    if isinstance(given, Recording):
        return Answer(SAID, recording=given.ref) if given.seconds > 0 else None
    if isinstance(given, Media) and given.items:
        return Answer(SAID, text=given.caption or None, media=tuple(item.ref for item in given.items))
    return None


def _written(given: Input) -> str | None:
    if isinstance(given, Keys):
        return given.digits
    if isinstance(given, Text):
        return normal(given.text)
    return None


def _read_number(ask: Ask, text: str) -> Answer | None:
    compact = text.replace(" ", "")
    if not compact.isdecimal() or len(compact) > 15:
        return None
    number = int(digits(compact))
    if (ask.minimum is not None and number < ask.minimum) or (
        ask.maximum is not None and number > ask.maximum
    ):
        return None
    return Answer(str(number))


def _read_date(ask: Ask, text: str, now: datetime) -> Answer | None:
    if found := _ISO_DATE.fullmatch(text):
        year, month, day = (int(part) for part in found.groups())
    elif found := _DATE.fullmatch(text):
        day, month, year = (int(part) for part in found.groups() if part is not None)
    else:
        return None
    try:
        value = date(year - 543 if year > _BUDDHIST_FROM else year, month, day)
    except ValueError:
        return None
    # The worker's own day may be a day ahead of or behind UTC, so one day of grace is given.
    today, grace = now.date(), timedelta(days=1)
    if (ask.period == "past" and value > today + grace) or (ask.period == "future" and value < today - grace):
        return None
    return Answer(value.isoformat())


def _read_time(text: str) -> Answer | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute = int(found[1] or found[4]), int(found[2] or found[5] or 0)
    half = (found[3] or "")[:1]
    if half and not 1 <= hour <= 12:
        return None
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    if hour > 23 or minute > 59:
        return None
    return Answer(f"{hour:02d}:{minute:02d}")

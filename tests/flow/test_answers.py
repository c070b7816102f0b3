"""Whatever way a worker writes an answer, it is read as what it means, or not at all."""

from __future__ import annotations

import pytest

from bot.flow.answers import read
from bot.flow.model import Ask, Kind, Wording
from bot.flow.words import normal, split_words
from bot.messages import Keys, Text
from tests.flow.conversation import NOW

ANY = Wording("?", "?")


def code(ask: Ask, text: str) -> str | None:
    answer = read(ask, Text(text), {}, NOW)
    return answer.code if answer else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.3.2026", "2026-03-05"),
        ("05/03/2026", "2026-03-05"),
        ("05 03 2026", "2026-03-05"),
        ("05032026", "2026-03-05"),
        ("2026-03-05", "2026-03-05"),
        ("5-3-2569", "2026-03-05"),
        ("๕/๓/๒๕๖๙", "2026-03-05"),
        ("০৫.০৩.২০২৬", "2026-03-05"),
        ("29.02.2024", "2024-02-29"),
        ("29.02.2026", None),
        ("31.04.2026", None),
        ("5.3.26", None),
        ("tomorrow", None),
        ("00000000", None),
    ],
)
def test_dates(text: str, expected: str | None) -> None:
    assert code(Ask(Kind.DATE, ANY), text) == expected


@pytest.mark.parametrize(
    ("period", "text", "expected"),
    [
        ("past", "01.03.2026", "2026-03-01"),
        ("past", "03.03.2026", "2026-03-03"),
        ("past", "04.03.2026", None),
        ("future", "01.03.2026", "2026-03-01"),
        ("future", "28.02.2026", None),
    ],
)
def test_dates_are_bounded_with_a_day_of_grace(period: str, text: str, expected: str | None) -> None:
    assert code(Ask(Kind.DATE, ANY, period=period), text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18:30", "18:30"),
        ("18.30", "18:30"),
        ("1830", "18:30"),
        ("6:30 pm", "18:30"),
        ("6pm", "18:00"),
        ("12 am", "00:00"),
        ("12pm", "12:00"),
        ("၁၈:၃၀", "18:30"),
        ("9", "09:00"),
        ("24:00", None),
        ("18:61", None),
        ("13 pm", None),
        ("soon", None),
    ],
)
def test_times(text: str, expected: str | None) -> None:
    assert code(Ask(Kind.TIME, ANY), text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", "7"), (" 007 ", "7"), ("७", "7"), ("4", None), ("11", None), ("-7", "7"), ("x", None)],
)
def test_numbers_are_bounded(text: str, expected: str | None) -> None:
    assert code(Ask(Kind.NUMBER, ANY, minimum=5, maximum=10), text) == expected


def test_number_of_absurd_length_is_refused() -> None:
    assert read(Ask(Kind.NUMBER, ANY), Keys("9" * 16), {}, NOW) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Yes!! ", "yes"),
        ("ＹＥＳ", "yes"),
        ("(1)", "1"),
        ("၁", "1"),
        ("ဟုတ်ကဲ့။", "ဟုတ်ကဲ့"),
        ("ใช่ค่ะ", "ใช่ค่ะ"),
        ("हाँ।", "हाँ"),
        ("call\u200b later", "call later"),
        ("👍", "👍"),
        ("*", "*"),
        ("?!", "?!"),
        ("   ", ""),
        ("STRASSE", normal("straße")),
    ],
)
def test_normal_form(text: str, expected: str) -> None:
    assert normal(text) == expected


def test_lists_part_at_the_commas_of_every_script() -> None:
    assert split_words("yes, Y ,နှစ်、三،four，") == ["yes", "y", "နှစ်", "三", "four"]

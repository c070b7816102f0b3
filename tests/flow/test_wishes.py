"""A worker says in her own words when she wants to be called, and hears what was understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.flow.catalog import Catalogs
from bot.flow.events import Answered, CallbackRequested, Outcome
from bot.flow.library import Library
from bot.flow.model import Kind
from bot.messages import Text, Timeout
from tests.flow.conversation import CALLBACK_FACTS, PASS_WORD, SMS, Conversation

ROOT = Path(__file__).parents[2]
LATE_SUNDAY = "2026-03-08 after 20:00"


@pytest.fixture(scope="module")
def content() -> tuple[Library, Catalogs]:
    return Library.open(ROOT / "flows"), Catalogs.open(ROOT / "locales")


def asked_when(content: tuple[Library, Catalogs], language: str = "en") -> Conversation:
    """A callback in writing at its question for a better time, on Monday, 2 March 2026, at 10 h."""
    talk = Conversation(*content, capabilities=SMS).begin("callback", CALLBACK_FACTS | {"language": language})
    return talk.take("2")


def promised(talk: Conversation) -> list[str]:
    return [event.preference for event in talk.events if isinstance(event, CallbackRequested)]


def test_a_time_in_words_is_said_back_and_counts_once_it_is_right(content: tuple[Library, Catalogs]) -> None:
    talk = asked_when(content).take("Sunday after 8")
    assert "Sun, Mar 8, 20:00–21:00" in talk.said
    assert "Is this time right?" in talk.said
    assert promised(talk) == []
    assert promised(talk.take("1")) == [LATE_SUNDAY]
    assert talk.outcome is Outcome.LATER


def test_a_time_in_words_is_an_answer_that_can_be_counted(content: tuple[Library, Catalogs]) -> None:
    talk = asked_when(content).take("Saturday or Sunday").take("1")
    (wish,) = promised(talk)
    (answer,) = [event for event in talk.events if isinstance(event, Answered) and event.question == "better"]
    assert (answer.code, answer.text) == ("in_words", wish)


@pytest.mark.parametrize(
    ("language", "text", "meaning"),
    [("id", "Minggu setelah jam 8", LATE_SUNDAY), ("my", "တနင်္ဂနွေ ၈ နာရီ နောက်ပိုင်း", LATE_SUNDAY)],
)
def test_the_example_in_the_question_is_understood(
    content: tuple[Library, Catalogs], language: str, text: str, meaning: str
) -> None:
    talk = asked_when(content, language)
    assert text in talk.said
    assert promised(talk.take(text, "1")) == [meaning]


def test_a_wrong_time_is_changed_by_no_or_by_another_time(content: tuple[Library, Catalogs]) -> None:
    talk = asked_when(content).take("Sunday", "2")
    assert "When is a better time?" in talk.said
    assert promised(talk.take("evening")) == ["evening"]
    talk = asked_when(content).take("Sunday", "no, friday at 7 pm", "Friday at 7 pm")
    assert promised(talk.take("yes")) == ["2026-03-06 19:00"]


def test_who_does_not_contradict_need_not_write_again(content: tuple[Library, Catalogs]) -> None:
    talk = asked_when(content).take("Sunday after 8")
    (timer,) = talk.sprint.timers
    assert timer.seconds == 1800
    talk.take(Timeout(timer.sprint, timer.kind))
    assert promised(talk) == [LATE_SUNDAY]
    assert talk.said == ""


def test_what_is_not_understood_gets_the_numbered_options(content: tuple[Library, Catalogs]) -> None:
    talk = asked_when(content).take("when the moon is full")
    assert [option.code for option in talk.prompt.options][:2] == ["morning", "lunch"]
    assert promised(talk.take("4")) == ["evening"]


def test_later_in_the_middle_takes_words_too(content: tuple[Library, Catalogs]) -> None:
    talk = Conversation(*content, capabilities=SMS).begin("callback", CALLBACK_FACTS)
    talk.take("yes", PASS_WORD, "yes", "later", "tomorrow after 8", "yes")
    assert promised(talk) == ["2026-03-03 after 20:00"]
    assert talk.outcome is Outcome.LATER


def test_a_code_is_asked_before_a_time_in_words_is_promised(content: tuple[Library, Catalogs]) -> None:
    facts = {"trigger": "message", "language_known": "yes"}
    talk = Conversation(*content, capabilities=SMS).begin("hotline", facts, first=Text("hello"))
    talk.take("later", "Sunday", "yes")
    assert promised(talk) == []
    assert talk.prompt.expects == Kind.PASS_WORD.expects
    assert promised(talk.take("48213")) == ["sun_morning;sun_lunch;sun_afternoon;sun_evening"]

"""The callback-safety protocol, run against the real content in every served language."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from bot.flow import phrases
from bot.flow.catalog import Catalogs
from bot.flow.check import before_gate, telling_words
from bot.flow.events import Verified
from bot.flow.library import Library
from bot.flow.trial import WRITTEN, capabilities_of
from bot.messages import Input, Keys, Silence
from tests.flow.conversation import CALLBACK_FACTS, PASS_WORD, Conversation

LANGUAGES = Catalogs.open(Path(__file__).parents[2] / "locales").languages


def _telling(library: Library, catalogs: Catalogs, language: str, text: str, *, verified: bool) -> list[str]:
    tongue = catalogs.tongue(language)
    lists = [library.telling.before_safety] + ([] if verified else [library.telling.before_pass_word])
    return [word for listed in lists for word in telling_words(text, tongue.text(listed, "telling"))]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_before_the_gate_tells_what_it_is_about(
    library: Library, catalogs: Catalogs, language: str
) -> None:
    tongue = catalogs.tongue(language)
    for name in library.names():
        for early in before_gate(library.get(name)):
            for text in (early.wording.voice, early.wording.text):
                heard = tongue.text(text)
                assert _telling(library, catalogs, language, heard, verified=early.verified) == [], heard


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_own_text_of_the_engine_tells_what_it_is_about(
    library: Library, catalogs: Catalogs, language: str
) -> None:
    for text in phrases.BEFORE_GATE:
        heard = catalogs.tongue(language).text(text)
        assert _telling(library, catalogs, language, heard, verified=False) == [], heard


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("trigger", ["callback", "returned"])
def test_stranger_never_hears_a_telling_word_whatever_is_pressed(
    library: Library, catalogs: Catalogs, language: str, trigger: str
) -> None:
    known = {**CALLBACK_FACTS, "trigger": trigger, "language": language}
    pressed: tuple[Input, ...] = (Silence(), Keys(""), Keys("4321"), *(Keys(key) for key in "012789*"))
    ways: deque[tuple[Input, ...]] = deque([()])
    seen: set[tuple[str, ...]] = set()
    while ways:
        way = ways.popleft()
        talk = Conversation(library, catalogs).begin("callback", known).take(*way)
        assert not talk.of(Verified)
        for text in talk.prompt.texts:
            assert _telling(library, catalogs, language, text, verified=False) == [], text
        session = talk.sprint.session
        state = (session.step, session.mode, str(session.tries), str(session.flags))
        if not talk.sprint.ended and state not in seen:
            seen.add(state)
            ways.extend((*way, given) for given in pressed)
    assert len(seen) > 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_whoever_answers_a_returned_missed_call_hears_nothing_telling(
    library: Library, catalogs: Catalogs, language: str
) -> None:
    known = {"trigger": "missed", "language": language, "language_known": "yes"}
    pressed: tuple[Input, ...] = (Silence(), *(Keys(key) for key in "01289*"))
    ways: deque[tuple[Input, ...]] = deque([()])
    seen: set[tuple[str, ...]] = set()
    while ways:
        way = ways.popleft()
        talk = Conversation(library, catalogs).begin("hotline", known).take(*way)
        session = talk.sprint.session
        if session.safe:
            continue
        for text in talk.prompt.texts:
            own = talk.prompt.language
            assert _telling(library, catalogs, own, text, verified=True) == [], text
        state = (session.step, session.mode, str(session.tries))
        if not talk.sprint.ended and state not in seen:
            seen.add(state)
            ways.extend((*way, given) for given in pressed)
    assert len(seen) > 4


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("channel", ["voice", "sms"])
def test_stranger_to_whom_a_talk_comes_hears_no_telling_word(
    library: Library, catalogs: Catalogs, language: str, channel: str
) -> None:
    """Before somebody says that it is a good time, nothing secretive is heard either."""
    for given in ("2", "5", "0", "9", "*", "", "stop", "help", "later", "person", "language"):
        talk = Conversation(library, catalogs, WRITTEN["whatsapp"])
        talk.begin("hotline", {"language": language, "language_known": "yes"}).take("1", "1")
        talk.move(capabilities_of(channel), proven=False)
        heard = list(talk.prompt.texts)
        talk.take(given, given)
        heard += talk.prompt.texts
        for text in heard:
            own = talk.prompt.language
            assert _telling(library, catalogs, own, text, verified=False) == [], text


@pytest.mark.parametrize("language", LANGUAGES)
def test_between_code_and_safety_nothing_names_the_matter(
    library: Library, catalogs: Catalogs, language: str
) -> None:
    talk = Conversation(library, catalogs).begin("callback", {**CALLBACK_FACTS, "language": language})
    talk.take("1", PASS_WORD)
    for text in talk.prompt.texts:
        assert _telling(library, catalogs, language, text, verified=True) == [], text


@pytest.mark.parametrize(
    "end", [("1", "0"), ("1", "1111", "2222"), ("1", PASS_WORD, "2"), ("9", "9"), ("7", "7", "7")]
)
def test_every_end_before_the_gate_is_neutral(
    library: Library, catalogs: Catalogs, end: tuple[str, ...]
) -> None:
    talk = Conversation(library, catalogs).begin("callback", CALLBACK_FACTS).take(*end)
    assert talk.sprint.ended
    assert talk.said in ("Sorry, wrong time. We will try later. Goodbye.", "Thank you. Goodbye.", "")


@pytest.mark.parametrize("word", ["illegal", "anonymous"])
def test_some_words_are_never_used(library: Library, catalogs: Catalogs, word: str) -> None:
    texts = [text for name in library.names() for text in [library.source(name)]]
    texts += [*phrases.SPOKEN, *phrases.WRITTEN]
    assert not any(word in text.casefold() for text in texts)

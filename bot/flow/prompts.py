"""Making the prompt of a question: statements, the question, what to press, and the options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, cast

from bot.flow import answers, phrases
from bot.flow.catalog import Catalogs, Tongue
from bot.flow.model import Ask, Kind
from bot.messages import Expects, Option, Prompt

LANGUAGES_PER_PAGE: Final = 7
_ONE_KEY: Final = frozenset((Kind.YES_NO, Kind.CHOICE, Kind.LANGUAGE, Kind.PERSON))
MORE: Final = "more"
"""Code of the option that turns the page."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question in one language on one kind of channel, ready to be said and to be answered."""

    ask: Ask
    prompt: Prompt
    table: dict[str, str]
    """Code by everything that can be written as an answer, in the conversation's language."""
    english: dict[str, str]
    """The same in English."""


def question(
    ask: Ask,
    key: tuple[str, ...],
    catalogs: Catalogs,
    tongue: Tongue,
    keypad: bool,
    page: int = 0,
    menu: tuple[str, ...] = (),
) -> Question:
    """The question named by ``key``, made once per language and kind of channel. ``menu`` is the order in which
    languages are offered, where not that of the catalogs; ``page`` turns it, because a keypad can offer seven
    at a time."""
    order = (menu or catalogs.languages) if ask.kind is Kind.LANGUAGE else ()
    cache_key = ("question", keypad, key, page, order)
    made = cast("Question | None", tongue.cache.get(cache_key))
    if made is None:
        made = tongue.cache[cache_key] = _make(ask, catalogs, tongue, keypad, page, order)
    return made


def with_statements(prompt: Prompt, statements: tuple[str, ...]) -> Prompt:
    """The same prompt with statements said before it."""
    if not statements:
        return prompt
    languages = (prompt.language,) * len(statements) + prompt.languages if prompt.languages else ()
    return replace(prompt, texts=statements + prompt.texts, languages=languages)


def _make(
    ask: Ask, catalogs: Catalogs, tongue: Tongue, keypad: bool, page: int, order: tuple[str, ...]
) -> Question:
    names = tuple((code, catalogs.tongue(code).autonym) for code in order)
    if keypad and ask.kind is Kind.LANGUAGE and len(names) > LANGUAGES_PER_PAGE:
        names = _page(names, page, tongue)
    offered = answers.options(ask, tongue, names, keypad)
    texts = (tongue.text(ask.wording.on(keypad)), *_hints(ask, tongue, offered, keypad))
    if not keypad:
        # One text, so that a channel that shows the options under the last one shows them under the question.
        texts = ("\n".join(texts),)
    languages: tuple[str, ...] = ()
    if keypad and ask.kind is Kind.LANGUAGE:
        texts, languages = _menu_of_languages(texts[0], offered, catalogs, tongue)
    prompt = Prompt(
        texts=texts,
        languages=languages,
        language=tongue.language,
        expects=ask.kind.expects,
        options=offered,
        timeout=ask.timeout,
        max_digits=1 if keypad and ask.kind in _ONE_KEY else None,
    )
    english = catalogs.tongue("en")
    return Question(
        ask,
        prompt,
        answers.word_table(ask, tongue, offered),
        answers.word_table(ask, english, answers.options(ask, english, names, keypad)),
    )


def _page(names: tuple[tuple[str, str], ...], page: int, tongue: Tongue) -> tuple[tuple[str, str], ...]:
    pages = -(-len(names) // LANGUAGES_PER_PAGE)
    first = page % pages * LANGUAGES_PER_PAGE
    return (*names[first : first + LANGUAGES_PER_PAGE], (MORE, tongue.text(phrases.OTHER_LANGUAGES)))


def _hints(ask: Ask, tongue: Tongue, offered: tuple[Option, ...], keypad: bool) -> tuple[str, ...]:
    """What follows the question: on a keypad the menu, in writing how a date or a time is written."""
    if not keypad:
        written = {Kind.DATE: phrases.WRITE_DATE, Kind.TIME: phrases.WRITE_TIME}
        if ask.kind is Kind.PASS_WORD and ask.choose:
            return (tongue.text(phrases.WRITE_PASS_WORD),)
        if ask.wish:
            return (tongue.text(phrases.WRITE_WISH),)
        return (tongue.text(written[ask.kind]),) if ask.kind in written else ()
    if ask.kind is Kind.YES_NO:
        return (tongue.text(phrases.PRESS_YES_NO[(ask.not_sure, ask.skip)]),)
    if offered:
        return _menu(offered, tongue)
    spoken = {
        Kind.NUMBER: phrases.ENTER_NUMBER,
        Kind.DATE: phrases.ENTER_DATE,
        Kind.TIME: phrases.ENTER_TIME,
        Kind.OPEN: phrases.SPEAK,
    }
    if ask.kind is Kind.PASS_WORD and ask.choose:
        return (tongue.text(phrases.ENTER_PASS_WORD),)
    return (tongue.text(spoken[ask.kind]),) if ask.kind in spoken else ()


def _menu(offered: tuple[Option, ...], tongue: Tongue) -> tuple[str, ...]:
    texts: list[str] = []
    for option in offered:
        if option.code == answers.SKIP and option.key == "8":
            texts.append(tongue.text(phrases.TO_SKIP))
        elif option.key in phrases.PRESS:
            texts += [option.label, tongue.text(phrases.PRESS[option.key])]
    return tuple(texts)


def _menu_of_languages(
    wording: str, offered: tuple[Option, ...], catalogs: Catalogs, tongue: Tongue
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Texts and their languages: each language is offered in itself, for who understands no other."""
    texts, languages = [wording], [tongue.language]
    for option in offered:
        own = catalogs.tongue(option.code) if option.code in catalogs.languages else tongue
        for text in _menu((option,), own):
            texts.append(text)
            languages.append(own.language)
    return tuple(texts), tuple(languages)


def ending(texts: tuple[str, ...], language: str) -> Prompt:
    """The prompt of a conversation that is over: it waits for nothing."""
    return Prompt(texts=texts, language=language, expects=Expects.NOTHING)

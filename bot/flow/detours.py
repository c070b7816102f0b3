"""The engine's own questions, asked from any step: cover questions, another time, language, a person.

Each is a mode of the session. Its answer is no answer of the flow's; afterwards the conversation ends or
comes back to the step from which it made the detour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from bot.flow import phrases
from bot.flow import session as flags
from bot.flow.answers import SKIP, Answer
from bot.flow.events import (
    CallbackRequested,
    ConsentGiven,
    ConsentScope,
    HandoffRequested,
    LanguageChosen,
    Outcome,
    TextInvited,
)
from bot.flow.model import Kind
from bot.flow.talk import Talk
from bot.flow.walk import leave

COVER: Final = frozenset(("cover_first", "cover_second"))


def accept(talk: Talk, code: str) -> None:
    """Take the answer to the own question of the moment."""
    _ACCEPT[talk.mode](talk, code)


def give_up(talk: Talk) -> None:
    """Go on without an answer to the own question of the moment."""
    _GIVE_UP[talk.mode](talk)


def go_on_covering(talk: Talk) -> None:
    """The next harmless question, whatever was done at the last one, and then a goodbye."""
    if talk.mode == "cover_first":
        talk.ask_own("cover_second")
    else:
        talk.end(Outcome.UNSAFE, phrases.GOODBYE)


def speak(talk: Talk, language: str) -> None:
    """Go on in another language."""
    talk.tongue = talk.context.catalogs.tongue(language)
    talk.events.append(LanguageChosen(language))


def _early(talk: Talk, code: str) -> None:
    talk.events.append(ConsentGiven(ConsentScope.CONTACT_AGAIN, code == "yes"))
    talk.end(Outcome.ENDED_EARLY, phrases.GOODBYE)


def _later(talk: Talk, code: str) -> None:
    reason = "later" if talk.has(flags.CALLBACK) else "requested"
    talk.events.append(CallbackRequested(code, reason))
    talk.end(Outcome.LATER, phrases.CALL_LATER)


def _language(talk: Talk, code: str) -> None:
    speak(talk, code)
    _ask_again(talk)


def _offer(talk: Talk, code: str) -> None:
    if code == "person":
        talk.hand_off("not_understood")
    elif code == "later":
        talk.ask_own("later")
    else:
        _go_on(talk)


def _go_on(talk: Talk) -> None:
    """Leave out the question that was not understood if it can be left out, else ask it once more."""
    talk.wait(talk.step)
    if talk.ask.skip and talk.ask.kind is not Kind.PASS_WORD:
        leave(talk, Answer(SKIP))


def _ask_again(talk: Talk) -> None:
    """Back to the step's own question, or to the offer that stands for it where nothing is recorded."""
    arrive_at = talk.step
    talk.wait(arrive_at)
    if talk.ask.kind is Kind.OPEN and talk.keypad and not talk.has(flags.RECORD):
        talk.ask_own("unrecorded_no_text" if talk.has(flags.NO_TEXT) else "unrecorded")


def _unrecorded(talk: Talk, code: str) -> None:
    step = talk.step
    talk.wait(step)
    if code == "person":
        talk.events.append(HandoffRequested("open_question"))
        talk.phrase(phrases.PERSON_WILL_CALL)
    elif code == "text":
        talk.events.append(TextInvited(step.id))
        talk.phrase(phrases.TEXT_WILL_COME)
    leave(talk, Answer(code))


def _leave_out(talk: Talk) -> None:
    _unrecorded(talk, SKIP)


def _end_early_unasked(talk: Talk) -> None:
    talk.end(Outcome.ENDED_EARLY, phrases.GOODBYE)


def _end_later_unasked(talk: Talk) -> None:
    talk.end(Outcome.LATER, phrases.GOODBYE)


_ACCEPT: Final[Mapping[str, Callable[[Talk, str], None]]] = MappingProxyType(
    {
        "early": _early,
        "later": _later,
        "language": _language,
        "offer": _offer,
        "unrecorded": _unrecorded,
        "unrecorded_no_text": _unrecorded,
    }
)
_GIVE_UP: Final[Mapping[str, Callable[[Talk], None]]] = MappingProxyType(
    {
        "early": _end_early_unasked,
        "later": _end_later_unasked,
        "language": _ask_again,
        "offer": _go_on,
        "unrecorded": _leave_out,
        "unrecorded_no_text": _leave_out,
    }
)

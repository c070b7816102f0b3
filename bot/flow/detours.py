"""The engine's own questions, asked from any step: cover questions, another time, language, a person.

Each is a mode of the session. Its answer is no answer of the flow's; afterwards the conversation ends or
comes back to the step from which it made the detour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from bot.callbacks import wishes
from bot.callbacks.preference import parse
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
from bot.flow.walk import arrive, has_person, leave, leave_to_person, to_person, unrecorded

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


def ask_later(talk: Talk) -> None:
    """Ask for a better time. Who called with a hidden number cannot be called, and is promised nothing; nor
    may somebody who came from elsewhere and is not known yet choose when and by which code she is called."""
    if talk.has(flags.CARRIED) and not talk.has(flags.SAFE):
        talk.end(Outcome.LATER, phrases.GOODBYE)
    elif talk.values.get("reachable") == "no":
        talk.end(Outcome.LATER, phrases.PERSON_UNREACHABLE)
    elif _must_prove(talk):
        talk.phrase(phrases.PLEASE_FIRST)
    else:
        talk.ask_own("later" if talk.has(flags.CALLBACK) else "later_or_now")


def _must_prove(talk: Talk) -> bool:
    """Whether somebody came to us about a callback and has not shown yet that it is hers: nobody else moves it."""
    came = talk.values.get("trigger") == "returned" and talk.has(flags.HAS_CODE)
    return came and not talk.has(flags.VERIFIED)


def ask_safe(talk: Talk, *, proven: bool) -> None:
    """Ask whether it is safe here, first of all: after a neutral opening if nobody proved who is there."""
    talk.ask_own("safe_here" if proven else "good_time")


def speak(talk: Talk, language: str) -> None:
    """Go on in another language."""
    talk.tongue = talk.context.catalogs.tongue(language)
    talk.events.append(LanguageChosen(language))


def _early(talk: Talk, code: str) -> None:
    talk.events.append(ConsentGiven(ConsentScope.CONTACT_AGAIN, code == "yes"))
    talk.end(Outcome.ENDED_EARLY, phrases.GOODBYE)


def _later(talk: Talk, code: str) -> None:
    if _needs_code(talk):
        talk.values[flags.PREFERENCE] = code
        talk.ask_own("code")
    else:
        _promise(talk, code)


def confirm_time(talk: Talk, preference: str) -> None:
    """Say back the time that was understood, and ask if it is right. What is written next may be yet another."""
    if talk.mode != "confirm_time":
        talk.values[flags.WISH_AT] = talk.mode
    talk.values[flags.WISH] = preference
    talk.texts.append(_said(talk, preference))
    talk.ask_own("confirm_time")


def can_say(talk: Talk, preference: str) -> bool:
    """Whether a time that she named earlier still lies ahead."""
    return bool(_said(talk, preference))


def _said(talk: Talk, preference: str) -> str:
    place = talk.context.place()
    now = talk.context.now.astimezone(place.zone)
    return wishes.said(parse(preference), now, place.country, talk.tongue.language)


def _confirm_time(talk: Talk, code: str) -> None:
    preference = talk.values.pop(flags.WISH, "")
    asked = talk.values.pop(flags.WISH_AT, "")
    if code != "yes" or not preference:
        talk.wait(talk.step, asked)
    elif asked:
        talk.wait(talk.step, asked)
        _ACCEPT[asked](talk, preference)
    else:
        talk.wait(talk.step)
        leave(talk, Answer(preference))


def _ask_time_again(talk: Talk) -> None:
    _confirm_time(talk, "no")


def _needs_code(talk: Talk) -> bool:
    """Whether the call that is promised could reach nobody, because nothing proves who picks up."""
    known = talk.has(flags.CALLBACK) or talk.has(flags.HAS_CODE)
    return not known and talk.values.get("callback_medium") != "text"


def _promise(talk: Talk, preference: str) -> None:
    again = talk.has(flags.CALLBACK)
    talk.events.append(CallbackRequested(preference, "later" if again else "requested"))
    written = not talk.keypad and (again or talk.values.get("callback_medium") == "text")
    talk.end(Outcome.LATER, phrases.WRITE_LATER if written else phrases.CALL_LATER)


def _code(talk: Talk, code: str) -> None:
    preference = talk.values.pop(flags.PREFERENCE, None)
    if code == "chosen" and preference is not None:
        _promise(talk, preference)
    else:
        talk.end(Outcome.LATER, phrases.PERSON_UNREACHABLE if talk.keypad else phrases.WRITE_ANY_TIME)


def _code_unchosen(talk: Talk) -> None:
    _code(talk, "none")


def _good_time(talk: Talk, code: str) -> None:
    if code == "yes":
        talk.ask_own("safe_here")
    else:
        _end_unsafe(talk)


def _safe_here(talk: Talk, code: str) -> None:
    if code == "yes":
        talk.set(flags.SAFE)
        go_on_here(talk)
    else:
        _end_unsafe(talk)


def _end_unsafe(talk: Talk) -> None:
    talk.end(Outcome.NOT_SAFE_NOW, phrases.WRONG_TIME)


def go_on_here(talk: Talk) -> None:
    """Ask the question of the moment in the form of this channel. On a telephone she is first asked once
    whether her voice may be recorded, which nobody asked where she came from."""
    if talk.keypad and not talk.has(flags.RECORD_ASKED) and _has_open_question(talk):
        talk.ask_own("may_record")
    else:
        arrive(talk, talk.step.id)


def _has_open_question(talk: Talk) -> bool:
    return any(step.ask is not None and step.ask.kind is Kind.OPEN for step in talk.flow.steps.values())


def _may_record(talk: Talk, code: str) -> None:
    given = code == "yes"
    talk.events.append(ConsentGiven(ConsentScope.RECORD, given))
    talk.set(flags.RECORD, given)
    talk.set(flags.RECORD_ASKED)
    talk.values["consent_record"] = code
    arrive(talk, talk.step.id)


def _go_on_unrecorded(talk: Talk) -> None:
    talk.set(flags.RECORD_ASKED)
    arrive(talk, talk.step.id)


def _language(talk: Talk, code: str) -> None:
    speak(talk, code)
    _ask_again(talk)


def _offer(talk: Talk, code: str) -> None:
    # Who cannot be understood is not sent round in a circle to a person whom there is not.
    in_vain = talk.has(flags.NOBODY_CAME) and not talk.context.person_there(talk.tongue.language)
    if code == "person" and not in_vain:
        to_person(talk, "not_understood")
    elif code in ("person", "later"):
        ask_later(talk)
    else:
        _go_on(talk)


def _go_on(talk: Talk) -> None:
    """Leave out the question that was not understood if it can be left out, else ask it once more."""
    talk.wait(talk.step)
    if talk.ask.skip and talk.ask.kind is not Kind.PASS_WORD:
        leave(talk, Answer(SKIP))


def _ask_again(talk: Talk) -> None:
    """Back to the step's own question, or to the one that stands for it: whether it is safe here, where that
    is still to be known, or the offer where nothing is recorded."""
    if talk.has(flags.CARRIED) and not talk.has(flags.SAFE):
        ask_safe(talk, proven=talk.has(flags.VERIFIED))
        return
    arrive_at = talk.step
    talk.wait(arrive_at)
    if talk.ask.kind is Kind.OPEN and talk.keypad and not talk.has(flags.RECORD):
        talk.ask_own(unrecorded(talk))


def _unrecorded(talk: Talk, code: str) -> None:
    step = talk.step
    talk.wait(step)
    if code == "person" and has_person(talk):
        leave_to_person(talk)
        return
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
        "later_or_now": _later,
        "confirm_time": _confirm_time,
        "code": _code,
        "good_time": _good_time,
        "safe_here": _safe_here,
        "may_record": _may_record,
        "language": _language,
        "offer": _offer,
        "unrecorded": _unrecorded,
        "unrecorded_no_text": _unrecorded,
        "unrecorded_live": _unrecorded,
        "unrecorded_live_no_text": _unrecorded,
    }
)
_GIVE_UP: Final[Mapping[str, Callable[[Talk], None]]] = MappingProxyType(
    {
        "early": _end_early_unasked,
        "later": _end_later_unasked,
        "later_or_now": _end_later_unasked,
        "confirm_time": _ask_time_again,
        "code": _code_unchosen,
        "good_time": _end_unsafe,
        "safe_here": _end_unsafe,
        "may_record": _go_on_unrecorded,
        "language": _ask_again,
        "offer": _go_on,
        "unrecorded": _leave_out,
        "unrecorded_no_text": _leave_out,
        "unrecorded_live": _leave_out,
        "unrecorded_live_no_text": _leave_out,
    }
)

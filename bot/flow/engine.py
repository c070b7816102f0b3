"""The flow engine: ``start`` and ``resume``. Near-pure: it sends, saves and looks up nothing.

An input goes to the question of the moment: one of the flow's, or one of the engine's own (cover
questions, "may we call again", a better time, language, a person). What the worker did becomes events,
and the walk goes on to the next question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from bot.callbacks.wishes import understand
from bot.errors import EngineError
from bot.flow import answers, detours, phrases
from bot.flow import session as flags
from bot.flow.answers import SKIP, Answer
from bot.flow.commands import command_in, is_open_to, obey
from bot.flow.context import Context, Sprint
from bot.flow.events import (
    Answered,
    Ended,
    Outcome,
    PassWordChosen,
    Verified,
)
from bot.flow.model import Flow, Grievance, Kind
from bot.flow.prompts import MORE, ending
from bot.flow.session import Session
from bot.flow.talk import Talk
from bot.flow.walk import arrive, go_on, leave, to_person
from bot.flow.words import digits, normal
from bot.messages import (
    Button,
    HangUp,
    Input,
    Keys,
    Media,
    Recording,
    Silence,
    Text,
    Timeout,
    Transferred,
)

_PASS_WORD_FAILURES: Final = 2
_WE_CALL: Final = frozenset(("callback", "returned", "proved", "missed"))
"""Beginnings of a conversation that belongs to a callback of ours."""
_UNKNOWN_BEFORE_OFFER: Final = 3
_LISTED: Final = frozenset((Kind.YES_NO, Kind.CHOICE, Kind.LANGUAGE))
_TIMED: Final = frozenset((Kind.DATE, Kind.TIME))
_SHORT: Final = frozenset((*_LISTED, *_TIMED, Kind.NUMBER))
"""Questions whose answer is a word or a number, so that it fits in the first line of a mail."""
_LONGEST_CLOSING: Final = 80
"""Characters of "Best regards" and a name under a mail."""


def start(
    flow: Flow,
    context: Context,
    facts: Mapping[str, str],
    first: Input | None = None,
    *,
    wish: str | None = None,
) -> Sprint:
    """Begin a conversation.

    ``facts`` are known values (``language`` is the worker's BCP-47 code, the others are listed in
    :data:`bot.flow.model.FACTS`). ``first`` is what the worker opened the conversation with, if anything:
    a global word in it is obeyed, other words are kept at the step marked ``first_words``. ``wish`` is a time
    that was understood in it (:mod:`bot.callbacks.preference`): it is said back where the flow asks when.
    """
    talk = Talk(context, _blank(flow, context, facts))
    if wish is not None:
        talk.values[flags.FIRST_WISH] = wish
    word = _first_word(talk, first)
    if isinstance(first, HangUp):
        talk.end(Outcome.NO_INPUT)
    elif word == "danger":
        talk.duress()
    elif word in ("stop", "hide", "human", "later"):
        obey(talk, word)
    elif word == "quiet":
        obey(talk, word)
        talk.end(Outcome.ENDED_EARLY)
    else:
        if word == "start":
            obey(talk, word)
        _keep_first_words(talk, first)
        arrive(talk, flow.first)
        if word in ("language", "help") and not talk.ended:
            obey(talk, word)
    _say_back_first_wish(talk)
    return talk.sprint()


def resume(session: Session, given: Input, context: Context) -> Sprint:
    """Go on with a conversation. Never raises for what a worker does; :class:`EngineError` when the
    session's flow cannot be had or never waits. An input to a conversation that is over, and a timer of
    an earlier sprint, change nothing."""
    if session.ended or (isinstance(given, Timeout) and given.sprint != session.sprint):
        return Sprint(session, (), ending((), session.language), False, (), session.ended)
    talk = Talk(context, session)
    if isinstance(given, Button) and given.sprint is not None and not _is_of(given.sprint, session):
        # A tap on an old button answers nothing; the question of the moment is asked again.
        return talk.sprint()
    if isinstance(given, Timeout):
        _time_out(talk, given.kind)
    elif isinstance(given, HangUp):
        _hang_up(talk)
    elif isinstance(given, Silence):
        _silence(talk)
    elif isinstance(given, Transferred):
        _transferred(talk, given)
    else:
        talk.set(flags.SILENT, False)
        _take(talk, given)
    _say_back_first_wish(talk)
    return talk.sprint()


def carry_on(
    session: Session,
    context: Context,
    facts: Mapping[str, str] | None = None,
    *,
    proven: bool,
    safe: bool = False,
) -> Sprint:
    """Go on with a conversation on the channel of ``context``: same flow, revision and answers; the question of
    the moment is asked again in the form of that channel, or the next one that exists there.

    ``facts`` are those that are different there (``reachable``, ``text_allowed``, ``country``). ``proven`` says
    that a code or a pass-word showed who is there; without it a neutral opening comes before the question
    whether it is safe. ``safe`` says that she answered that just now in this very call, so that it is not asked
    again. Raises :class:`EngineError` for a conversation that is over for good.
    """
    if session.ended and not is_unfinished(session):
        raise EngineError("a conversation that is over cannot be carried on")
    talk = Talk(context, session)
    _settle_in(talk, facts or {}, proven=proven, safe=safe)
    if safe:
        detours.go_on_here(talk)
    else:
        detours.ask_safe(talk, proven=proven)
    return talk.sprint()


def learn(session: Session, facts: Mapping[str, str]) -> Session:
    """The same conversation, in which something became known that no question asked for: facts of
    :data:`bot.flow.model.FACTS`, of which the flow's conditions and the engine take notice from now on."""
    return replace(session, values={**session.values, **facts})


def is_unfinished(session: Session) -> bool:
    """Whether a conversation that is over for now stopped in the middle, so that it can be carried on."""
    return session.ended and bool(session.flags & flags.UNFINISHED)


def _settle_in(talk: Talk, facts: Mapping[str, str], *, proven: bool, safe: bool) -> None:
    """What is different on the channel to which a conversation came."""
    talk.values |= facts
    talk.values["medium"] = "voice" if talk.keypad else "text"
    talk.values.pop(flags.PREFERENCE, None)
    if "text_allowed" in facts:
        talk.set(flags.NO_TEXT, facts["text_allowed"] == "no")
    for flag in (flags.ENDED, flags.UNFINISHED, flags.REMINDED, flags.SILENT, flags.PRESSED):
        talk.set(flag, False)
    talk.set(flags.CARRIED)
    talk.set(flags.VERIFIED, proven)
    talk.set(flags.SAFE, safe)
    if safe and talk.keypad:
        talk.set(flags.PRESSED)


def _is_of(sprint: str, session: Session) -> bool:
    """Whether a button's sprint, or the beginning of it that the button could hold, is the present one."""
    return bool(sprint) and session.sprint.startswith(sprint)


def overhear(session: Session, given: Input, context: Context) -> Sprint | None:
    """Look at what a worker wrote before the question of the moment was shown to her.

    A global word, the sign of danger and, past the gate, a sentence or a picture mean what they always mean:
    None is given, and :func:`resume` takes them. Anything else only says that she is there, and answers
    nothing: the sprint given changes and says nothing.
    """
    talk = Talk(context, session)
    if isinstance(given, Text):
        speaks = normal(given.text) == "*" or command_in(talk, given) is not None
        speaks = speaks or (not talk.guarded and _is_sentence(given.text))
    else:
        speaks = isinstance(given, Media) and not talk.guarded
    if speaks:
        return None
    redact = talk.ask.kind is Kind.PASS_WORD
    return Sprint(session, (), ending((), session.language), redact, (), session.ended)


# --- beginning ------------------------------------------------------------------------------


def _blank(flow: Flow, context: Context, facts: Mapping[str, str]) -> Session:
    values = {name: value for name, value in facts.items() if name != "language"}
    values |= {"medium": "voice" if context.capabilities.keypad else "text", "severity": "none"}
    values |= {"first_words": "no", "consent_record": "no", "consent_take_part": "no"}
    marks = 0 if flow.gated else flags.SAFE
    marks |= flags.CALLBACK if facts.get("trigger") in _WE_CALL else 0
    marks |= flags.VERIFIED if facts.get("trigger") == "proved" else 0
    marks |= flags.HAS_CODE if facts.get("has_pass_word") == "yes" else 0
    marks |= flags.NO_TEXT if facts.get("text_allowed") == "no" else 0
    language = context.catalogs.tongue(facts.get("language", "en")).language
    return Session(flow.name, flow.revision, "", "", language, "", 0, marks, values, {})


def _say_back_first_wish(talk: Talk) -> None:
    """Where a flow asks when, and she said it before anything was asked: ask if that was understood."""
    if talk.ended or talk.mode or talk.step.ask is None or not talk.ask.wish:
        return
    wish = talk.values.pop(flags.FIRST_WISH, None)
    if wish is not None and detours.can_say(talk, wish):
        detours.confirm_time(talk, wish)


def _first_word(talk: Talk, first: Input | None) -> str | None:
    """The global word that opened the conversation, ``danger`` for its sign, or None."""
    if isinstance(first, Keys):
        return "danger" if "*" in first.digits else None
    if not isinstance(first, Text):
        return None
    if normal(first.text) == "*":
        return "danger"
    command = talk.context.library.words.command(first.text, talk.tongue, talk.context.catalogs)
    return command if command and is_open_to(talk, command) else None


def _keep_first_words(talk: Talk, first: Input | None) -> None:
    """Store the words or pictures that opened the conversation at the step that is marked for them."""
    step = next((step for step in talk.flow.steps.values() if step.first_words), None)
    if step is None or first is None or not _says_something(talk, first):
        return
    answer = answers.read_open(first)
    if answer is None:
        return
    talk.wait(step)
    talk.values["first_words"] = "yes"
    talk.events.append(Answered(step.id, Kind.OPEN.value, None, answer.text, answer.recording, answer.media))
    for grievance in step.grievances:
        if grievance.when is None:
            talk.report(grievance)


def _says_something(talk: Talk, first: Input) -> bool:
    if not isinstance(first, Text):
        return isinstance(first, Media)
    command = talk.context.library.words.command(first.text, talk.tongue, talk.context.catalogs)
    return command is None and sum(char.isalpha() for char in first.text) >= 3


# --- one input ------------------------------------------------------------------------------


def _take(talk: Talk, given: Text | Keys | Button | Media | Recording) -> None:
    """Take anything that the worker did: the sign of danger first, then keys, words and answers."""
    if isinstance(given, Keys):
        talk.set(flags.PRESSED)
        if "*" in given.digits:
            _sign_of_danger(talk)
        elif not _global_key(talk, given.digits):
            _answer(talk, given)
    elif isinstance(given, Text) and normal(given.text) == "*":
        _sign_of_danger(talk)
    else:
        if isinstance(given, Recording):
            talk.set(flags.PRESSED)
        _answer(talk, given)


def _sign_of_danger(talk: Talk) -> None:
    if talk.mode in detours.COVER:
        detours.go_on_covering(talk)
    else:
        talk.duress()


def _global_key(talk: Talk, keys: str) -> bool:
    """Obey the keys that mean the same at every question; False if the keys are an answer."""
    kind = talk.ask.kind
    if talk.mode in detours.COVER or (kind is Kind.PASS_WORD and keys == "0"):
        return False
    if keys in ("", "#") or (keys == "0" and talk.waits_for_person):
        talk.redact = kind is Kind.PASS_WORD
        return True
    if kind is Kind.NUMBER or len(keys) > 1:
        return False
    if keys == "9":
        _end_early(talk)
        return True
    if keys == "0" and not talk.guarded:
        to_person(talk, "key")
        return True
    return False


def _end_early(talk: Talk) -> None:
    if talk.guarded:
        talk.end(Outcome.LATER, phrases.GOODBYE)
    elif talk.mode == "early":
        talk.end(Outcome.ENDED_EARLY, phrases.GOODBYE)
    else:
        talk.ask_own("early")


def _answer(talk: Talk, given: Input) -> None:
    """Find out what an input means at the question of the moment."""
    ask = talk.ask
    if ask.kind is Kind.PASS_WORD:
        _pass_word(talk, given)
        return
    if talk.waits_for_person:
        _in_line(talk, given)
        return
    if talk.mode in detours.COVER:
        detours.go_on_covering(talk)
        return
    if ask.kind in (Kind.OPEN, Kind.MEDIA) and isinstance(given, Text) and " " not in normal(given.text):
        command = command_in(talk, given)
        if command is not None:
            obey(talk, command)
            return
    answer = _read(talk, given)
    if answer is None and isinstance(given, Text) and (parted := _first_line(given.text)):
        answer = _read(talk, Text(parted[0])) if ask.kind in _SHORT else None
        if answer is not None and not talk.mode and not talk.guarded:
            _keep_aside(talk, Text(parted[1]))
    if answer is None and ask.skip and isinstance(given, Keys) and given.digits in _skip_keys(ask.kind):
        answer = Answer(SKIP)
    if answer is not None:
        _accept(talk, answer)
        return
    command = _command(talk, given) if isinstance(given, Text) else None
    if command is not None:
        obey(talk, command)
    else:
        _not_understood(talk, given)


def _in_line(talk: Talk, given: Input) -> None:
    """While she waits for a person, one key leaves the line for a message; any other changes nothing."""
    if isinstance(given, Keys) and given.digits == "1":
        leave(talk, Answer("message"))


def _transferred(talk: Talk, given: Transferred) -> None:
    """The wait for a person is over. What comes when she no longer waits is late, and changes nothing."""
    if not talk.waits_for_person:
        return
    if given is Transferred.TALKED:
        talk.set(flags.TALKED)
        talk.set(flags.PRESSED)
    leave(talk, Answer(given.value))


def _read(talk: Talk, given: Input) -> Answer | None:
    """The answer that an input is, in the language of the talk, and where answers are listed in English too."""
    question, now = talk.question(), talk.context.now
    answer = answers.read(talk.ask, given, question.table, now)
    if answer is None and isinstance(given, Text) and talk.ask.kind in _LISTED:
        answer = answers.read(talk.ask, given, question.english, now)
    if answer is None and isinstance(given, Text) and _asks_when(talk):
        answer = _read_wish(talk, given.text)
    return answer


def _asks_when(talk: Talk) -> bool:
    """Whether a time in words is an answer: to a question when, and to the one if we understood it."""
    return talk.ask.wish or talk.mode == "confirm_time"


def _read_wish(talk: Talk, text: str) -> Answer | None:
    """A day and a time in the words of the talk's language, or in English ones."""
    place = talk.context.place()
    now = talk.context.now.astimezone(place.zone)
    for language in dict.fromkeys((talk.tongue.language, "en")):
        wish = understand(text, talk.context.library.times_in(language), now, place.country)
        if wish is not None:
            return Answer(str(wish))
    return None


def _command(talk: Talk, given: Text) -> str | None:
    """The global word that a text is, also above a closing and a name."""
    return command_in(talk, given) or command_in(talk, Text(above_closing(given.text)))


def _first_line(text: str) -> tuple[str, str] | None:
    """The first line of several, and what stands below it. None for a single line."""
    head, _, rest = text.strip().partition("\n")
    return (head.strip(), rest.strip()) if rest else None


def above_closing(text: str) -> str:
    """A text without what people put under a mail: an empty line, "best regards" and a name."""
    head, line, rest = text.strip().partition("\n")
    return head if line and rest.startswith("\n") and len(rest) <= _LONGEST_CLOSING else text


def _skip_keys(kind: Kind) -> frozenset[str]:
    """Keys that leave out a question whose keys are not listed: 4 and 8 cannot begin an answer of speech,
    and a lone 8 is neither a date nor a time of four digits."""
    if kind is Kind.OPEN:
        return frozenset("48")
    return frozenset("8") if kind in _TIMED else frozenset()


def _accept(talk: Talk, answer: Answer) -> None:
    if _asks_when(talk) and answer.code not in (*talk.ask.codes(), SKIP):
        detours.confirm_time(talk, answer.code)
    elif talk.ask.kind is Kind.LANGUAGE and answer.code == MORE:
        talk.flags += flags.PAGE
        talk.tries = 0
    elif talk.mode:
        detours.accept(talk, answer.code)
    elif talk.ask.kind is Kind.LANGUAGE and answer.code != SKIP:
        detours.speak(talk, answer.code)
        leave(talk, answer)
    else:
        leave(talk, answer)


def _pass_word(talk: Talk, given: Input) -> None:
    """A pass-word is compared and forgotten; whatever was given is masked, right or wrong."""
    talk.redact = True
    step, ask = talk.step, talk.ask
    command = command_in(talk, given) if isinstance(given, Text) else None
    if command is not None:
        talk.redact = False
        obey(talk, command)
        return
    entry = given.digits if isinstance(given, Keys) else ""
    if isinstance(given, Text):
        entry = digits(normal(above_closing(given.text))).replace(" ", "")
    well_formed = entry.isascii() and entry.isdigit() and 4 <= len(entry) <= 8
    if ask.choose:
        _choose_pass_word(talk, entry, well_formed)
    elif entry == "0":
        arrive(talk, ask.third_party)
    elif well_formed and talk.context.check_pass_word(entry):
        talk.set(flags.VERIFIED)
        talk.events.append(Verified())
        go_on(talk, step, "verified")
    else:
        talk.tries += 1
        if talk.tries >= _PASS_WORD_FAILURES:
            arrive(talk, ask.failed)
        else:
            talk.phrase(phrases.NOT_UNDERSTOOD)


def _choose_pass_word(talk: Talk, entry: str, well_formed: bool) -> None:
    if well_formed:
        talk.events.append(PassWordChosen(entry))
        talk.set(flags.HAS_CODE)
        _chose(talk, "chosen")
    elif entry == "0" and talk.ask.skip:
        _chose(talk, "none")
    else:
        _not_understood(talk, Silence())


def _chose(talk: Talk, code: str) -> None:
    if talk.mode:
        detours.accept(talk, code)
    else:
        go_on(talk, talk.step, code)


# --- what was not understood ----------------------------------------------------------------


def _not_understood(talk: Talk, given: Input) -> None:
    """Ask again, kindly, twice; then offer a person, another time, or to go on."""
    kept = not talk.mode and not talk.guarded and _keep_aside(talk, given)
    talk.tries += 1
    if talk.tries < _UNKNOWN_BEFORE_OFFER:
        talk.phrase(phrases.KEPT if kept else phrases.NOT_UNDERSTOOD)
    elif talk.mode:
        detours.give_up(talk)
    elif talk.guarded:
        talk.end(Outcome.UNVERIFIED, phrases.WRONG_TIME)
    else:
        talk.ask_own("offer")


def _keep_aside(talk: Talk, given: Input) -> bool:
    """Words or pictures that no question asked for are kept, so that nothing a worker says is lost."""
    if not (isinstance(given, Media) or (isinstance(given, Text) and _is_sentence(given.text))):
        return False
    answer = answers.read_open(given)
    if answer is None:
        return False
    talk.events.append(Answered(talk.step.id, "aside", None, answer.text, None, answer.media))
    category = talk.context.library.taxonomy.categories.get(talk.flow.unasked or "")
    if category is not None:
        talk.report(Grievance(category.code, category.severity, category.ilo, None))
    return True


def _is_sentence(text: str) -> bool:
    """Whether a text says more than a mistyped answer: two words, or four letters of a script that does
    not part words with spaces."""
    words = normal(text).split()
    letters = [char for word in words for char in word if char.isalpha()]
    unspaced = sum(char.lower() == char.upper() for char in letters)
    return unspaced >= 4 or (len(words) >= 2 and len(letters) >= 6)


# --- silence, the end of a call, time -------------------------------------------------------


def _silence(talk: Talk) -> None:
    """Repeat once; then nobody is there, or the worker cannot go on."""
    if talk.mode in detours.COVER:
        detours.go_on_covering(talk)
    elif talk.waits_for_person:
        return
    elif not talk.has(flags.SILENT):
        talk.set(flags.SILENT)
    elif talk.mode == "early":
        talk.end(Outcome.ENDED_EARLY, phrases.GOODBYE)
    else:
        _break_off(talk)
        talk.phrase(phrases.GOODBYE)


def _hang_up(talk: Talk) -> None:
    if talk.mode in detours.COVER:
        talk.end(Outcome.UNSAFE)
    elif talk.mode == "early":
        talk.end(Outcome.ENDED_EARLY)
    else:
        _break_off(talk)
    talk.texts.clear()


def _break_off(talk: Talk) -> None:
    """The call is over without a proper end. A human is someone who pressed a key: without one, nobody
    was reached."""
    if not talk.has(flags.PRESSED):
        talk.end(Outcome.NO_INPUT)
    else:
        _pass_through(talk, Outcome.HANDED_OFF if talk.has(flags.TALKED) else Outcome.CUT_OFF)


def _time_out(talk: Talk, kind: str) -> None:
    if kind == "remind":
        talk.set(flags.REMINDED)
    elif talk.mode in detours.COVER:
        talk.end(Outcome.UNSAFE)
    elif talk.mode == "confirm_time":
        # Who finds the right time on her screen need not write again.
        detours.accept(talk, "yes")
        talk.texts.clear()
    else:
        _pass_through(talk, Outcome.EXPIRED)
        talk.texts.clear()


def _pass_through(talk: Talk, outcome: Outcome) -> None:
    """Go through the steps that the flow has for such an end. They are heard by nobody: a question among
    them ends the walk."""
    if talk.stack:
        name, revision, _ = talk.stack[0]
        talk.flow, talk.stack = talk.context.library.get(name, revision), ()
    target = talk.flow.expired if outcome is Outcome.EXPIRED else talk.flow.hung_up
    if target is not None:
        arrive(talk, target)
        talk.texts.clear()
    if not talk.ended:
        talk.end(outcome)
    elif target is not None and talk.events[-1] == Ended(Outcome.COMPLETED) and talk.step.end is None:
        talk.events[-1] = Ended(outcome)

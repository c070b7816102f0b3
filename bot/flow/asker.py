"""A person of ours asks the questions of a flow and enters what the worker answered.

That happens past the gate of a call that an agent leads (the fact ``led`` is ``agent``): the worker presses no
keys then, and what is typed is hers, word for word, so that no word in it is an order to the engine. Pure like
:mod:`bot.flow.engine`.
"""

from __future__ import annotations

from typing import Final

from bot.errors import InputError
from bot.flow import answers, phrases
from bot.flow.answers import SKIP, Answer
from bot.flow.context import Context, Sprint
from bot.flow.events import CallbackRequested, ConsentGiven, ConsentScope, Outcome, UnsafeFlagged
from bot.flow.session import Session
from bot.flow.talk import Talk
from bot.flow.walk import arrive, leave
from bot.messages import Button, Text

LED: Final = "led"
AGENT: Final = "agent"
SYSTEM: Final = "system"
ENDS: Final = (
    Outcome.LATER,
    Outcome.NOT_SAFE_NOW,
    Outcome.CUT_OFF,
    Outcome.HANDED_OFF,
    Outcome.REFUSED,
    Outcome.STOPPED,
    Outcome.UNSAFE,
)
"""How a person of ours can end a talk before its last question."""


def is_led(session: Session) -> bool:
    """Whether a person of ours asks the questions of a conversation, or will once the gate is passed."""
    return session.values.get(LED) == AGENT


def enter(session: Session, given: Button | Text, context: Context) -> Sprint:
    """Take the worker's answer to the question of the moment from the person who asked it.

    Raises :class:`InputError` (``not_an_answer``) for what does not answer that question.
    """
    talk = Talk(context, session)
    answer = _read(talk, given)
    if answer is None:
        raise InputError("that does not answer this question", code="not_an_answer")
    leave(talk, answer)
    return talk.sprint()


def conclude(session: Session, outcome: Outcome, context: Context, preference: str | None = None) -> Sprint:
    """End the talk as the person of ours says. ``preference`` is the other time that was asked for (``later``).

    Raises :class:`InputError` (``no_time``) if that is missing.
    """
    talk = Talk(context, session)
    if outcome is Outcome.LATER:
        if preference is None:
            raise InputError("say when the worker wants to be called", code="no_time")
        talk.events.append(CallbackRequested(preference, "later"))
    if outcome is Outcome.UNSAFE:
        talk.events.append(UnsafeFlagged(threat=True))
    if outcome is Outcome.REFUSED:
        talk.events.append(ConsentGiven(ConsentScope.TAKE_PART, False))
    if outcome is Outcome.STOPPED:
        talk.stop()
    else:
        talk.end(outcome)
    talk.texts.clear()
    return talk.sprint()


def without(session: Session, context: Context) -> Sprint:
    """The person who was to ask has gone before the two met: the question of the moment is asked by the system."""
    talk = Talk(context, session)
    talk.values[LED] = SYSTEM
    arrive(talk, talk.step.id)
    return talk.sprint()


def farewell(outcome: str | None) -> str:
    """What the worker hears, in English, when a talk with a person is over: nothing that tells what it was about."""
    return phrases.WRONG_TIME if outcome == Outcome.NOT_SAFE_NOW else phrases.GOODBYE


def _read(talk: Talk, given: Button | Text) -> Answer | None:
    if isinstance(given, Button) and given.code == SKIP:
        return Answer(SKIP) if talk.ask.skip else None
    if isinstance(given, Text) and not given.text.strip():
        return None
    return answers.read(talk.ask, given, talk.question().table, talk.context.now)

"""The words that work at any step of a written conversation."""

from __future__ import annotations

from bot.flow import phrases
from bot.flow import session as flags
from bot.flow.answers import SKIP, Answer
from bot.flow.detours import accept, ask_later
from bot.flow.events import (
    ConsentGiven,
    ConsentScope,
    HideRequested,
    LinkRequested,
    Outcome,
    StartRequested,
)
from bot.flow.model import Kind
from bot.flow.talk import Talk
from bot.flow.walk import go_on, leave, to_person
from bot.messages import Text


def command_in(talk: Talk, given: Text) -> str | None:
    """The global word that a whole message is, if it can be obeyed at the question of the moment."""
    command = talk.context.library.words.command(given.text, talk.tongue, talk.context.catalogs)
    if command == "skip":
        return command if talk.ask.skip and talk.mode in ("", "code") else None
    return command if command and command != "greeting" and is_open_to(talk, command) else None


def is_open_to(talk: Talk, command: str) -> bool:
    """Before the gate nobody is known, so neither a person nor a way in from elsewhere can be asked for."""
    if command == "link":
        known = talk.has(flags.SAFE) or not (talk.flow.gated or talk.has(flags.CARRIED))
        return known and not talk.guarded and not talk.keypad
    return command != "human" or not talk.guarded


def obey(talk: Talk, command: str) -> None:
    """Do what a global word asks for."""
    if command == "stop":
        talk.stop()
    elif command == "hide":
        talk.events.append(HideRequested())
        talk.end(Outcome.ENDED_EARLY, phrases.HIDDEN)
    elif command == "human":
        to_person(talk, "word")
    elif command == "later":
        ask_later(talk)
    elif command == "link":
        talk.events.append(LinkRequested())
    elif command == "quiet":
        talk.events.append(ConsentGiven(ConsentScope.REMIND, given=False))
        talk.phrase(phrases.NO_TEXT_BEFORE_CALLS)
    elif command == "language":
        talk.ask_own("language")
    elif command == "help":
        talk.phrase(phrases.NEUTRAL_HELP if talk.guarded else phrases.HELP)
    elif command == "start":
        talk.events.append(StartRequested())
        talk.phrase(phrases.STARTED)
    elif command == "skip" and talk.mode:
        accept(talk, "none")
    elif command == "skip" and talk.ask.kind is Kind.PASS_WORD:
        go_on(talk, talk.step, "none")
    else:
        leave(talk, Answer(SKIP))

"""The working state of one sprint: what the engine fills in between a session and the next one."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bot.flow import phrases
from bot.flow import session as flags
from bot.flow.context import Context, Sprint, Timer
from bot.flow.events import (
    Ended,
    Event,
    GrievanceRaised,
    HandoffRequested,
    Outcome,
    StopRequested,
    UnsafeFlagged,
)
from bot.flow.menu import in_order
from bot.flow.model import Ask, Flow, Grievance, Kind, Step, Wording
from bot.flow.prompts import Question, ending, question, with_statements
from bot.flow.session import Session
from bot.messages import Prompt

_CALL_EXPIRES: Final = 3600
"""Seconds after which a telephone conversation is over even if the provider never tells of the end."""
_LINE_EXPIRES: Final = 4 * 3600
"""The same while a person is waited for or talked with: the longest that a provider lets a call last."""
_UNCONTRADICTED: Final = 1800
"""Seconds after which a time that was said back to the worker counts as right."""
_RESUMABLE: Final = frozenset((Outcome.NOT_SAFE_NOW, Outcome.NO_INPUT, Outcome.CUT_OFF, Outcome.EXPIRED))
"""Ends after which a conversation that came from another channel goes on, there or here."""

_OWN_FACTS: Final = frozenset((("reachable", "no"), ("callback_medium", "text"), ("led", "agent")))
"""Facts that the engine itself asks for at any time, where they are not as usual."""


class Talk:
    """One sprint in the making. Only the engine's own modules touch it."""

    __slots__ = (
        "back",
        "context",
        "ended",
        "events",
        "flags",
        "flow",
        "keypad",
        "mode",
        "raised",
        "redact",
        "stack",
        "step",
        "texts",
        "tongue",
        "tries",
        "values",
    )

    def __init__(self, context: Context, session: Session) -> None:
        self.context = context
        self.flow: Flow = context.library.get(session.flow, session.revision)
        self.step: Step = self.flow.steps[session.step or self.flow.first]
        self.mode = session.mode
        self.tongue = context.catalogs.tongue(session.language)
        self.tries = session.tries
        self.flags = session.flags
        self.values = dict(session.values)
        self.raised = dict(session.raised)
        self.stack = session.stack
        self.back = session.back
        self.keypad = context.capabilities.keypad
        self.events: list[Event] = []
        self.texts: list[str] = []
        self.redact = False
        self.ended = False

    # --- what is known ----------------------------------------------------------------------

    def has(self, flag: int) -> bool:
        """Whether a flag of the session is set."""
        return bool(self.flags & flag)

    def set(self, flag: int, on: bool = True) -> None:
        """Set a flag of the session, or clear it."""
        self.flags = self.flags | flag if on else self.flags & ~flag

    @property
    def guarded(self) -> bool:
        """Whether it is still unknown who is there, so that nothing may be said or done that tells."""
        return (self.flow.guarded or self.has(flags.CARRIED)) and not self.has(flags.SAFE)

    @property
    def led(self) -> bool:
        """Whether a person of ours asks the questions now: past the gate of a call that an agent leads."""
        return self.keypad and self.values.get("led") == "agent" and self.has(flags.SAFE)

    @property
    def waits_for_person(self) -> bool:
        """Whether the question of the moment is the wait for a person."""
        return not self.mode and self.ask.kind is Kind.PERSON

    @property
    def ask(self) -> Ask:
        """The question of the moment: an own one of the engine, or the step's."""
        if self.mode:
            return phrases.OWN_QUESTIONS[self.mode]
        if self.step.ask is None:
            raise AssertionError("a conversation waits at a question")
        return self.step.ask

    def question(self) -> Question:
        """The question of the moment in the conversation's language."""
        key = ("own", self.mode) if self.mode else (self.flow.name, self.flow.revision, self.step.id)
        menu = self._menu() if self.ask.kind is Kind.LANGUAGE else ()
        page = self.flags // flags.PAGE
        return question(self.ask, key, self.context.catalogs, self.tongue, self.keypad, page, menu)

    def _menu(self) -> tuple[str, ...]:
        """The served languages in the order in which they are offered in her country."""
        country, served = self.values.get("country"), self.context.catalogs.languages
        return in_order(served, country, self.context.library.spoken_in(country))

    # --- what happens -----------------------------------------------------------------------

    def say(self, wording: Wording) -> None:
        """Say a text of the flow before whatever comes next."""
        self.texts.append(self.tongue.text(wording.on(self.keypad)))

    def phrase(self, text: str) -> None:
        """Say one of the engine's own texts before whatever comes next."""
        self.texts.append(self.tongue.text(text))

    def wait(self, step: Step, mode: str = "") -> None:
        """Wait at a step, or at an own question of the engine asked from that step."""
        self.step, self.mode, self.tries = step, mode, 0
        self.flags %= flags.PAGE

    def ask_own(self, mode: str) -> None:
        """Ask one of the engine's own questions and come back to the same step."""
        self.wait(self.step, mode)

    def end(self, outcome: Outcome, *texts: str) -> None:
        """End the conversation with some last own texts."""
        for text in texts:
            self.phrase(text)
        self.mode = ""
        self.ended = True
        self.set(flags.ENDED)
        self.set(flags.UNFINISHED, self._can_go_on(outcome))
        self.events.append(Ended(outcome))

    def _can_go_on(self, outcome: Outcome) -> bool:
        """Whether a conversation that ends so can be carried on later. One that the flow itself ended cannot."""
        if self.step.end is not None or self.step.carries:
            return False
        return outcome is Outcome.LATER or (self.has(flags.CARRIED) and outcome in _RESUMABLE)

    def report(self, grievance: Grievance) -> None:
        """Raise a grievance unless the same category was already raised at this level or above."""
        known = self.raised.get(grievance.category)
        if (known is not None and known <= grievance.severity) or (
            grievance.only_if_nothing_else and self.raised
        ):
            return
        self.raised[grievance.category] = grievance.severity
        self.events.append(
            GrievanceRaised(self.step.id, grievance.category, grievance.severity, grievance.indicators)
        )
        self.values["severity"] = min(self.raised.values())

    def hand_off(self, reason: str) -> None:
        """Give the conversation to a person: that ends it for the engine."""
        self.events.append(HandoffRequested(reason))
        spoken = phrases.PERSON_UNREACHABLE if self.values.get("reachable") == "no" else phrases.PERSON_VOICE
        self.end(Outcome.HANDED_OFF, spoken if self.keypad else phrases.PERSON_TEXT)

    def stop(self) -> None:
        """The worker wants no more contact: nothing is asked any more, one neutral text confirms it."""
        self.events.append(StopRequested())
        self.end(Outcome.STOPPED, phrases.STOPPED if not self.keypad else phrases.GOODBYE)

    def duress(self) -> None:
        """The sign for danger. In the middle of the questions somebody may be standing beside the worker,
        so a supervisor looks at once; before them it is only a warning not to call again."""
        self.events.append(UnsafeFlagged(threat=self.has(flags.SAFE)))
        if self.led:
            self.end(Outcome.UNSAFE, phrases.GOODBYE)
        elif self.keypad:
            self.ask_own("cover_first")
        else:
            self.end(Outcome.UNSAFE, phrases.HIDDEN)

    # --- what comes out ---------------------------------------------------------------------

    def sprint(self) -> Sprint:
        """The finished sprint, with a new sprint id."""
        session = self._session(self.context.new_id())
        texts = tuple(self.texts)
        prompt: Prompt
        if self.ended:
            prompt = ending(texts, self.tongue.language)
        elif self.led:
            # She hears a person and presses no key, so there is nothing to say of keys.
            wording = self.tongue.text(self.ask.wording.on(self.keypad))
            prompt = replace(self.question().prompt, texts=(*texts, wording), languages=())
        else:
            if self.mode.startswith("unrecorded") and self.tries == 0:
                texts += (self.tongue.text(self.step.ask.wording.on(self.keypad)),) if self.step.ask else ()
            prompt = with_statements(self.question().prompt, texts)
        return Sprint(session, tuple(self.events), prompt, self.redact, self._timers(session), self.ended)

    def _session(self, sprint: str) -> Session:
        forgets = self.ended and not self.has(flags.UNFINISHED)
        return Session(
            self.flow.name,
            self.flow.revision,
            self.step.id,
            self.mode,
            self.tongue.language,
            sprint,
            self.tries,
            self.flags,
            {} if forgets else self._kept_values(),
            {} if forgets else self.raised,
            () if forgets else self.stack,
            "" if forgets else self.back,
        )

    def _kept_values(self) -> dict[str, str]:
        known = self.flow.known
        if known is None:
            return self.values
        return {
            name: value
            for name, value in self.values.items()
            if name in known
            or (name, value) in _OWN_FACTS
            or name == "country"
            or name.startswith(flags.ASIDE)
        }

    def _timers(self, session: Session) -> tuple[Timer, ...]:
        if self.ended:
            return ()
        if self.context.capabilities.synchronous:
            lasts = _LINE_EXPIRES if self.waits_for_person or self.led else _CALL_EXPIRES
            return (Timer(session.sprint, "expire", lasts),)
        if self.mode == "confirm_time":
            return (Timer(session.sprint, "expire", _UNCONTRADICTED),)
        remind, expire = self.flow.remind, self.flow.expire
        if remind is None:
            return (Timer(session.sprint, "expire", expire),)
        if self.has(flags.REMINDED):
            return (Timer(session.sprint, "expire", max(60, expire - remind)),)
        return (Timer(session.sprint, "remind", remind), Timer(session.sprint, "expire", expire))

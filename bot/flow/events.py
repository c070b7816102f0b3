"""What happened in a sprint of the flow engine. The heart turns events into rows (``bot/intake.py``).

Events are plain facts: the engine sends, saves and looks up nothing. Fields that may hold a worker's
words or pass-word are kept out of ``repr``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """How a conversation ended."""

    COMPLETED = "completed"
    CRITICAL = "critical"
    """Left the questionnaire early because of a critical report."""
    REFUSED = "refused"
    LATER = "later"
    """The worker, or whoever answered, asked for another time."""
    NOT_SAFE_NOW = "not_safe_now"
    UNSAFE = "unsafe"
    """The duress sign was given: no retry, alert."""
    UNVERIFIED = "unverified"
    THIRD_PARTY = "third_party"
    NO_INPUT = "no_input"
    """A call was answered and nobody pressed a key."""
    CUT_OFF = "cut_off"
    ENDED_EARLY = "ended_early"
    """The worker chose to end before the last question."""
    STOPPED = "stopped"
    HANDED_OFF = "handed_off"
    EXPIRED = "expired"
    MOVED = "moved"
    """Goes on in another conversation: this one only opened the door to it."""


class ConsentScope(StrEnum):
    """What a worker is asked for, each on its own (domain: separate consents)."""

    TAKE_PART = "take_part"
    RECORD = "record"
    TRANSCRIBE = "transcribe"
    SHARE_CLIENT = "share_client"
    SHARE_EMPLOYER = "share_employer"
    CONTACT_AGAIN = "contact_again"
    TEXT = "text"
    """We may write to this phone."""
    CALL_IF_CUT_OFF = "call_if_cut_off"
    REMIND = "remind"
    """A short text may come to the telephone that we will call, some hours before."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A question was answered. ``code`` is canonical and countable; ``text`` is what was said."""

    question: str
    kind: str
    code: str | None = None
    text: str | None = field(default=None, repr=False)
    recording: str | None = None
    """Provider's recording id, for a spoken answer."""
    media: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class GrievanceRaised:
    """Something was reported. ``severity`` is S1 (critical) to S4."""

    question: str
    category: str
    severity: str
    indicators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConsentGiven:
    """The worker answered one question of consent."""

    scope: ConsentScope
    given: bool


@dataclass(frozen=True, slots=True)
class Verified:
    """The pass-word was right."""


@dataclass(frozen=True, slots=True)
class LanguageChosen:
    """The worker chose a language (BCP-47 code)."""

    language: str


@dataclass(frozen=True, slots=True)
class PassWordChosen:
    """The worker chose a pass-word for a later callback."""

    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallbackRequested:
    """The worker asks to be called. ``preference`` is in the grammar of ``preferred_time``."""

    preference: str
    reason: str  # "requested" by a hotline worker, "later" in a callback


@dataclass(frozen=True, slots=True)
class HandoffRequested:
    """The worker wants a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class TextInvited:
    """Speech may not be recorded: the worker asked for a text message to write the answer instead."""

    question: str


@dataclass(frozen=True, slots=True)
class UnsafeFlagged:
    """The duress sign. ``threat`` means that a supervisor must look within the hour."""

    threat: bool


@dataclass(frozen=True, slots=True)
class HideRequested:
    """The quick exit: nothing telling may stay on the screen."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Never contact this address again."""


@dataclass(frozen=True, slots=True)
class StartRequested:
    """The worker's own explicit word lifts an earlier stop."""


@dataclass(frozen=True, slots=True)
class ContinueRequested:
    """The worker is there, proven and safe: the conversation for which she asked to be called goes on now."""


@dataclass(frozen=True, slots=True)
class LinkRequested:
    """The worker wants to go on from another phone or app, and needs a code for that."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The conversation is over."""

    outcome: Outcome


Event = (
    Answered
    | GrievanceRaised
    | ConsentGiven
    | Verified
    | LanguageChosen
    | PassWordChosen
    | CallbackRequested
    | HandoffRequested
    | TextInvited
    | UnsafeFlagged
    | HideRequested
    | StopRequested
    | StartRequested
    | ContinueRequested
    | LinkRequested
    | Ended
)

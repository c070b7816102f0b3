"""The states of callbacks and attempts, and what each disposition means. No transition stands elsewhere.

    callback:  scheduled ⇄ dialling → reached | refused | given_up | stopped | unsafe
    attempt:   claimed → placing → placed → answered → ended → settled
                            └──→ unknown ──┘ (found at the provider) or → settled

Every state may be settled directly; nothing leaves ``settled``. Statements that move a row name the
states that it may come from, so a late, repeated or reordered report changes nothing.
"""

from __future__ import annotations

from enum import StrEnum

from bot.flow.events import Outcome

AUDIT = "audit"
"""The kind of the callbacks that an upload promises, in the first round or a later one."""


class CallbackState(StrEnum):
    """Where a promise to call back stands."""

    SCHEDULED = "scheduled"
    DIALLING = "dialling"
    REACHED = "reached"
    REFUSED = "refused"
    GIVEN_UP = "given_up"
    STOPPED = "stopped"
    UNSAFE = "unsafe"


class AttemptState(StrEnum):
    """Where one dial stands."""

    CLAIMED = "claimed"
    """The clock took it; nothing was asked of the provider."""
    PLACING = "placing"
    """The provider is being asked; a crash from here on leaves it unknown."""
    UNKNOWN = "unknown"
    """The provider may have taken it: it is asked before anything else happens."""
    PLACED = "placed"
    ANSWERED = "answered"
    ENDED = "ended"
    """The call is over; a last reordered turn may still come before it is settled."""
    SETTLED = "settled"


class Disposition(StrEnum):
    """How an attempt came out."""

    COMPLETED = "completed"
    CRITICAL = "critical"
    ENDED_EARLY = "ended_early"
    CUT_OFF = "cut_off"
    REFUSED = "refused"
    LATER = "later"
    NOT_SAFE_NOW = "not_safe_now"
    UNSAFE = "unsafe"
    UNVERIFIED = "unverified"
    THIRD_PARTY = "third_party"
    NO_INPUT = "no_input"
    STOPPED = "stopped"
    HANDED_OFF = "handed_off"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    MACHINE = "machine"
    FAILED = "failed"
    WRONG_NUMBER = "wrong_number"
    EXPIRED = "expired"
    """Still in the provider's queue when the window ended; cancelled by us."""
    UNKNOWN = "unknown"
    """Nobody can say whether it rang: it counts as spent."""
    RELEASED = "released"
    """Never asked of the provider: not spent."""


AAPOR = {
    Disposition.COMPLETED: "1.1",
    Disposition.CRITICAL: "1.1",
    Disposition.HANDED_OFF: "1.2",
    Disposition.ENDED_EARLY: "1.2",
    Disposition.CUT_OFF: "2.12",
    Disposition.REFUSED: "2.11",
    Disposition.STOPPED: "2.11",
    Disposition.LATER: "2.20",
    Disposition.NOT_SAFE_NOW: "2.20",
    Disposition.NO_INPUT: "2.20",
    Disposition.MACHINE: "2.22",
    Disposition.UNSAFE: "2.30",
    Disposition.THIRD_PARTY: "2.30",
    Disposition.UNVERIFIED: "2.30",
    Disposition.BUSY: "3.12",
    Disposition.NO_ANSWER: "3.13",
    Disposition.EXPIRED: "3.11",
    Disposition.RELEASED: "3.11",
    Disposition.UNKNOWN: "3.90",
    Disposition.FAILED: "4.30",
    Disposition.WRONG_NUMBER: "4.30",
}
"""AAPOR Standard Definitions, telephone: 1.x interview, 2.x eligible without one, 3.x unknown, 4.x not eligible."""

OF_OUTCOME = {
    Outcome.COMPLETED: Disposition.COMPLETED,
    Outcome.CRITICAL: Disposition.CRITICAL,
    Outcome.REFUSED: Disposition.REFUSED,
    Outcome.LATER: Disposition.LATER,
    Outcome.NOT_SAFE_NOW: Disposition.NOT_SAFE_NOW,
    Outcome.UNSAFE: Disposition.UNSAFE,
    Outcome.UNVERIFIED: Disposition.UNVERIFIED,
    Outcome.THIRD_PARTY: Disposition.THIRD_PARTY,
    Outcome.NO_INPUT: Disposition.NO_INPUT,
    Outcome.CUT_OFF: Disposition.CUT_OFF,
    Outcome.ENDED_EARLY: Disposition.ENDED_EARLY,
    Outcome.STOPPED: Disposition.STOPPED,
    Outcome.HANDED_OFF: Disposition.HANDED_OFF,
    Outcome.EXPIRED: Disposition.CUT_OFF,
}

FINAL = {
    Disposition.COMPLETED: CallbackState.REACHED,
    Disposition.CRITICAL: CallbackState.REACHED,
    Disposition.HANDED_OFF: CallbackState.REACHED,
    Disposition.REFUSED: CallbackState.REFUSED,
    Disposition.STOPPED: CallbackState.STOPPED,
    Disposition.UNSAFE: CallbackState.UNSAFE,
}
"""Dispositions after which nobody calls again; any other is planned anew."""


class CallStatus(StrEnum):
    """How far a call came, as any provider can tell it."""

    QUEUED = "queued"
    DIALLED = "dialled"
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def rank(self) -> int:
        """Reports only ever go up in rank; the five terminal ones share the highest."""
        return _CALL_RANK[self]

    @property
    def terminal(self) -> bool:
        """Whether the call is over."""
        return _CALL_RANK[self] == _OVER


_OVER = 4
_CALL_RANK = {
    CallStatus.QUEUED: 0,
    CallStatus.DIALLED: 1,
    CallStatus.RINGING: 2,
    CallStatus.IN_PROGRESS: 3,
    CallStatus.COMPLETED: _OVER,
    CallStatus.BUSY: _OVER,
    CallStatus.NO_ANSWER: _OVER,
    CallStatus.FAILED: _OVER,
    CallStatus.CANCELED: _OVER,
}

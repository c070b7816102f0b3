"""Rates of callbacks, as survey research defines them: pure arithmetic over counts.

Source: AAPOR, Standard Definitions. Classes of cases: I complete, P partial, R refusal or break-off, NC nobody was
reached, O other (unsafe, third party, not verified), U unknown whether there is such a worker at this number.
T = I + P + R + NC + O + U. Numbers that do not exist (NE) are known to be nobody's and no part of T. A rate whose
denominator is zero is None.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bot.callbacks.states import AAPOR, CallbackState, Disposition


class Outcome(StrEnum):
    """The class of a callback that is over."""

    COMPLETE = "I"
    PARTIAL = "P"
    REFUSAL = "R"
    OTHER = "O"
    NON_CONTACT = "NC"
    NOT_ELIGIBLE = "NE"
    UNKNOWN = "U"


_BY_CODE: Final = {
    "1.1": Outcome.COMPLETE,
    "1.2": Outcome.PARTIAL,
    "2.11": Outcome.REFUSAL,
    "2.12": Outcome.REFUSAL,
    "2.20": Outcome.NON_CONTACT,
    "2.22": Outcome.NON_CONTACT,
    "2.30": Outcome.OTHER,
}
"""Classes by AAPOR's codes; whatever begins with 3 is unknown."""
_OF_STATE: Final = {
    CallbackState.REFUSED: Outcome.REFUSAL,
    CallbackState.STOPPED: Outcome.REFUSAL,
    CallbackState.UNSAFE: Outcome.OTHER,
}


def class_of(disposition: Disposition) -> Outcome:
    """The class of one attempt. A call that failed says nothing about the number; only a wrong number does."""
    if disposition is Disposition.WRONG_NUMBER:
        return Outcome.NOT_ELIGIBLE
    return _BY_CODE.get(AAPOR[disposition], Outcome.UNKNOWN)


def outcome_of(state: CallbackState, dispositions: Collection[Disposition]) -> Outcome:
    """The class of a callback: what it ended as, else the best that its attempts came to (AAPOR: the most contact
    counts). One that was never tried is unknown."""
    if state in _OF_STATE:
        return _OF_STATE[state]
    reached = {class_of(disposition) for disposition in dispositions}
    return next((outcome for outcome in Outcome if outcome in reached), Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Cases:
    """How many callbacks came to each class."""

    complete: int = 0
    partial: int = 0
    refusal: int = 0
    non_contact: int = 0
    other: int = 0
    unknown: int = 0
    not_eligible: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Cases:
        """From numbers by the values of :class:`Outcome`."""
        return cls(**{outcome.name.lower(): counts.get(outcome, 0) for outcome in Outcome})

    @property
    def total(self) -> int:
        """T."""
        return self._known + self.unknown

    @property
    def _known(self) -> int:
        return self.complete + self.partial + self.refusal + self.non_contact + self.other

    @property
    def rr1(self) -> float | None:
        """Minimum response rate: I / T."""
        return ratio(self.complete, self.total)

    @property
    def rr2(self) -> float | None:
        """Response rate with partial talks: (I + P) / T."""
        return ratio(self.complete + self.partial, self.total)

    @property
    def eligible_share(self) -> float | None:
        """e: the share of eligible ones among the cases of which it is known."""
        return ratio(self._known, self._known + self.not_eligible)

    @property
    def rr3(self) -> float | None:
        """Response rate with an estimate of the unknown: I / (I + P + R + NC + O + eU)."""
        share = self.eligible_share
        return None if share is None else ratio(self.complete, self._known + share * self.unknown)

    @property
    def con1(self) -> float | None:
        """Contact rate: (I + P + R + O) / T."""
        return ratio(self._contacts, self.total)

    @property
    def coop1(self) -> float | None:
        """Cooperation rate: I / (I + P + R + O)."""
        return ratio(self.complete, self._contacts)

    @property
    def ref1(self) -> float | None:
        """Refusal rate: R / T."""
        return ratio(self.refusal, self.total)

    @property
    def _contacts(self) -> int:
        return self.complete + self.partial + self.refusal + self.other


def ratio(part: float, whole: float) -> float | None:
    """A share, or None where there is nothing to have a share of."""
    return part / whole if whole else None

"""The life of a case, pure: severities and their clocks, states and the ways between them.

    received → safety_screen → acknowledged → triaged → sharing_consent → investigating
        → substantiated | partly → remedy_agreed → remedy_in_progress → employer_says_done
        → worker_check → closed_validated | disputed → reopened | closed_unreached
        → unsubstantiated | inconclusive | referred

A case can be held or withdrawn at the worker's request from every open state, and every closed case
can be reopened. Only the worker's own word leads to ``closed_validated``: no text of an employer and
no click of ours does. Severities, spans and states are those of the project's case protocol, which
follows the clocks of amfori's zero-tolerance procedure and of EU Directive 2019/1937.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

import holidays

UNDO: Final = timedelta(minutes=10)
"""How long the last change of state can be taken back."""
DAILY: Final = timedelta(days=1)
"""A critical case is looked at again every day until it is closed."""


class Severity(StrEnum):
    """How grave a case is, S1 being the gravest."""

    S1 = "S1"
    S2 = "S2"
    S3 = "S3"
    S4 = "S4"


class Ground(StrEnum):
    """Circumstances that raise a severity by one level."""

    MINOR = "minor"
    MIGRANT = "migrant"
    PREGNANT = "pregnant"
    DORMITORY = "dormitory"
    REPEAT = "repeat"
    """Three or more reports of one site within 30 days."""
    SUPERVISOR_ACCUSED = "supervisor_accused"


def severest(severities: Iterable[Severity]) -> Severity:
    """The gravest of some severities. Raises ValueError for none."""
    return Severity(min(severities))


def raise_severity(severity: Severity, grounds: Collection[Ground]) -> Severity:
    """One level graver if there is any ground, however many there are; S1 stays S1."""
    if not grounds or severity is Severity.S1:
        return severity
    levels = list(Severity)
    return levels[levels.index(severity) - 1]


# --- clocks -----------------------------------------------------------------------------------


class ClockName(StrEnum):
    """What must have happened when a clock runs out."""

    REVIEW = "review"
    """A person has read the case."""
    SAFETY = "safety"
    """The worker was asked whether they are safe."""
    PLAN = "plan"
    """There is a plan for the remedy."""
    CLOSE = "close"
    """The case is closed."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """When each clock runs out, UTC. ``close`` is None for S1: closed by risk, reviewed every day."""

    review: datetime
    safety: datetime
    plan: datetime
    close: datetime | None


@dataclass(frozen=True, slots=True)
class _Spans:
    review: timedelta
    safety: timedelta
    plan: timedelta
    plan_in_working_days: bool
    close: timedelta | None


_SPANS: Final[Mapping[Severity, _Spans]] = MappingProxyType(
    {
        Severity.S1: _Spans(timedelta(hours=1), timedelta(hours=4), timedelta(hours=24), False, None),
        Severity.S2: _Spans(
            timedelta(hours=4), timedelta(hours=24), timedelta(days=5), True, timedelta(days=30)
        ),
        Severity.S3: _Spans(
            timedelta(days=1), timedelta(days=3), timedelta(days=10), False, timedelta(days=60)
        ),
        Severity.S4: _Spans(
            timedelta(days=3), timedelta(days=7), timedelta(days=20), False, timedelta(days=90)
        ),
    }
)


def clocks(
    severity: Severity, received_at: datetime, country: str | None = None, zone: tzinfo | None = None
) -> Clocks:
    """When the clocks of a case run out, UTC. Raises ValueError for a naive ``received_at``.

    Spans are calendar time, except the five working days of S2's plan. These are counted on the local
    calendar of the factory: ``country`` (ISO 3166 alpha-2) gives weekends and public holidays, ``zone``
    its local days. Without a country a week works from Monday to Friday; without a zone days are UTC.
    """
    if received_at.tzinfo is None:
        raise ValueError("naive datetimes are an error")
    spans = _SPANS[severity]
    received = received_at.astimezone(ZoneInfo("UTC"))
    plan = received + spans.plan
    if spans.plan_in_working_days:
        plan = _after_working_days(received, spans.plan.days, country, zone or ZoneInfo("UTC"))
    close = received + spans.close if spans.close is not None else None
    return Clocks(received + spans.review, received + spans.safety, plan, close)


def _after_working_days(instant: datetime, days: int, country: str | None, zone: tzinfo) -> datetime:
    """The same local hour, ``days`` working days later."""
    try:
        calendar = holidays.country_holidays(country) if country else holidays.HolidayBase()
    except NotImplementedError:
        # A country whose holidays nobody has written down still has a week.
        calendar = holidays.HolidayBase()
    local = instant.astimezone(zone)
    day = calendar.get_nth_working_day(local.date(), days)
    moved: datetime = local.replace(year=day.year, month=day.month, day=day.day)
    return moved.astimezone(ZoneInfo("UTC"))


# --- states -----------------------------------------------------------------------------------


class CaseState(StrEnum):
    """Where a case stands."""

    RECEIVED = "received"
    SAFETY_SCREEN = "safety_screen"
    ACKNOWLEDGED = "acknowledged"
    TRIAGED = "triaged"
    SHARING_CONSENT = "sharing_consent"
    INVESTIGATING = "investigating"
    SUBSTANTIATED = "substantiated"
    PARTLY = "partly"
    UNSUBSTANTIATED = "unsubstantiated"
    INCONCLUSIVE = "inconclusive"
    REFERRED = "referred"
    """Handed to those who can help, or outside of what we can do."""
    REMEDY_AGREED = "remedy_agreed"
    REMEDY_IN_PROGRESS = "remedy_in_progress"
    EMPLOYER_SAYS_DONE = "employer_says_done"
    WORKER_CHECK = "worker_check"
    CLOSED_VALIDATED = "closed_validated"
    """The worker said that it was really put right."""
    CLOSED_UNREACHED = "closed_unreached"
    DISPUTED = "disputed"
    """The worker said that it was not put right."""
    REOPENED = "reopened"
    WITHDRAWN = "withdrawn"
    HELD = "held_at_worker_request"


CLOSED: Final = frozenset(
    {
        CaseState.CLOSED_VALIDATED,
        CaseState.CLOSED_UNREACHED,
        CaseState.UNSUBSTANTIATED,
        CaseState.INCONCLUSIVE,
        CaseState.REFERRED,
        CaseState.WITHDRAWN,
    }
)
"""Nothing is left to do; each way of closing is counted apart."""
OPEN: Final = frozenset(CaseState) - CLOSED
WAITING: Final = frozenset({CaseState.SHARING_CONSENT, CaseState.WORKER_CHECK, CaseState.HELD})
"""The worker's turn: the clocks of plan and closing stand still."""
BEFORE_CONTACT: Final = frozenset({CaseState.RECEIVED, CaseState.SAFETY_SCREEN})
"""The safety clock runs."""
BEFORE_PLAN: Final = BEFORE_CONTACT | {
    CaseState.ACKNOWLEDGED,
    CaseState.TRIAGED,
    CaseState.INVESTIGATING,
    CaseState.SUBSTANTIATED,
    CaseState.PARTLY,
    CaseState.DISPUTED,
    CaseState.REOPENED,
}
"""The clock of the plan runs."""


class Need(StrEnum):
    """What a way between two states asks for besides the decision."""

    NOTHING = "nothing"
    NOTE = "note"
    """A written reason."""
    WORKER_CONFIRMS = "worker_confirms"
    """The worker's own recorded answer that it was put right."""
    WORKER_DENIES = "worker_denies"
    """The worker's own recorded answer that it was not."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One allowed way."""

    to: CaseState
    needs: Need = Need.NOTHING


_S = CaseState
_ONWARD: Final[Mapping[CaseState, tuple[Transition, ...]]] = MappingProxyType(
    {
        _S.RECEIVED: (Transition(_S.SAFETY_SCREEN),),
        _S.SAFETY_SCREEN: (Transition(_S.ACKNOWLEDGED),),
        _S.ACKNOWLEDGED: (Transition(_S.TRIAGED),),
        _S.TRIAGED: (Transition(_S.SHARING_CONSENT), Transition(_S.REFERRED, Need.NOTE)),
        _S.SHARING_CONSENT: (Transition(_S.INVESTIGATING), Transition(_S.REFERRED, Need.NOTE)),
        _S.INVESTIGATING: (
            Transition(_S.SUBSTANTIATED),
            Transition(_S.PARTLY),
            Transition(_S.UNSUBSTANTIATED, Need.NOTE),
            Transition(_S.INCONCLUSIVE, Need.NOTE),
            Transition(_S.REFERRED, Need.NOTE),
        ),
        _S.SUBSTANTIATED: (Transition(_S.REMEDY_AGREED),),
        _S.PARTLY: (Transition(_S.REMEDY_AGREED),),
        _S.REMEDY_AGREED: (Transition(_S.REMEDY_IN_PROGRESS),),
        _S.REMEDY_IN_PROGRESS: (Transition(_S.EMPLOYER_SAYS_DONE),),
        _S.EMPLOYER_SAYS_DONE: (
            Transition(_S.WORKER_CHECK),
            Transition(_S.REMEDY_IN_PROGRESS, Need.NOTE),
        ),
        _S.WORKER_CHECK: (
            Transition(_S.CLOSED_VALIDATED, Need.WORKER_CONFIRMS),
            Transition(_S.DISPUTED, Need.WORKER_DENIES),
            Transition(_S.CLOSED_UNREACHED, Need.NOTE),
        ),
        _S.DISPUTED: (Transition(_S.REOPENED),),
        _S.REOPENED: (
            Transition(_S.TRIAGED),
            Transition(_S.INVESTIGATING),
            Transition(_S.REMEDY_AGREED),
            Transition(_S.REMEDY_IN_PROGRESS),
        ),
    }
)
_ASIDE: Final = (Transition(_S.HELD, Need.NOTE), Transition(_S.WITHDRAWN, Need.NOTE))


def transitions(state: CaseState, held_from: CaseState | None = None) -> tuple[Transition, ...]:
    """Every allowed way out of a state. A held case goes back to where it was held (``held_from``)."""
    if state in CLOSED:
        return (Transition(_S.REOPENED, Need.NOTE),)
    if state is _S.HELD:
        return (Transition(held_from or _S.TRIAGED), Transition(_S.WITHDRAWN, Need.NOTE))
    return _ONWARD[state] + _ASIDE


def running(
    state: CaseState, severity: Severity, reviewed: bool, due: Clocks
) -> tuple[tuple[ClockName, datetime], ...]:
    """The clocks that run in a state, with their ends, most urgent kind first.

    Nothing runs for a closed case. While it is the worker's turn only the review runs. A critical case
    is reviewed again and again: its review never stops running while it is open.
    """
    if state in CLOSED:
        return ()
    found: list[tuple[ClockName, datetime]] = []
    if not reviewed or severity is Severity.S1:
        found.append((ClockName.REVIEW, due.review))
    if state in BEFORE_CONTACT:
        found.append((ClockName.SAFETY, due.safety))
    if state in BEFORE_PLAN:
        found.append((ClockName.PLAN, due.plan))
    if state not in WAITING and due.close is not None:
        found.append((ClockName.CLOSE, due.close))
    return tuple(found)

"""What a policy would do: these workers, these instants. Nothing is changed.

:func:`forecast` is pure: from what is registered, a policy and an instant it gives each worker's next call of
each round, or why there is none, daily cap included. :func:`read` collects what is registered; :func:`compare`
sets the forecast of another policy beside that of the present one. Workers are told apart by opaque ids.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from bot.callbacks import caps, reminders, requests, rounds
from bot.callbacks.anew import may_come_back
from bot.callbacks.plan import GiveUp, Planned, Request, Verdict, plan
from bot.callbacks.policy import LAST_POSSIBLE_DAY, MOST_ROUNDS, Policy, from_json
from bot.callbacks.preference import repeated
from bot.callbacks.states import AUDIT, CallbackState
from bot.storage.tables import Attempt, Audit, Callback, table
from bot.storage.types import AnyRow

_attempt = table(Attempt)
_audit = table(Audit)
_callback = table(Callback)

_AT_ONCE = 500


class Change(StrEnum):
    """What another policy changes for a worker in a round."""

    SAME = "same"
    MOVED = "moved"
    NEW = "new"
    """She would be called, and is not now."""
    GONE = "gone"
    """She would not be called any more."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One round of one worker, as far as it can still be planned."""

    member_id: str
    round: int
    audit_date: date
    request: Request
    """As of the latest callback; its period is that of the round that the policy says."""
    untouched: bool
    """Nobody has dialled it, so it follows the policy. What was dialled keeps its days."""
    comparison_key: str | None
    """What draws a worker who was not interviewed; None for one who was."""
    sure: bool = True
    """It has a callback. A later round that may come has none yet."""
    own_wish: bool = False
    """She named another time since she was registered: its days stay."""
    is_told: bool = False
    """She agreed to a text before the call, and nothing speaks against it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One worker in one round: when she is called next, or why not."""

    member_id: str
    round: int
    verdict: Verdict
    zone: str
    sure: bool
    """False for a later round that takes place only if nothing speaks against it by then."""
    remind_at: datetime | None = None
    """When she gets a text before the call."""

    def as_data(self) -> dict[str, object]:
        """Plain data for JSON; instants in ISO 8601, UTC."""
        planned = self.verdict if isinstance(self.verdict, Planned) else None
        return {
            "worker": self.member_id,
            "round": self.round,
            "due_at": planned.due_at.isoformat() if planned else None,
            "remind_at": self.remind_at.isoformat() if self.remind_at else None,
            "timezone": self.zone,
            "give_up_reason": None if isinstance(self.verdict, Planned) else self.verdict.reason.value,
            "if_nothing_speaks_against_it": not self.sure,
        }


@dataclass(frozen=True, slots=True)
class Registered:
    """Everything of a client that a policy can still move, and the days whose places are taken."""

    subjects: tuple[Subject, ...]
    begun: Mapping[date, int]
    most_reached: bool = False
    """There are more workers than were read."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A line under another policy beside the one under the present."""

    line: Line
    present: Line | None
    change: Change


@dataclass(frozen=True, slots=True)
class Preview:
    """The forecast of a policy beside that of the present one, soonest first; those given up last."""

    lines: tuple[Compared, ...]
    gone: tuple[Line, ...]
    """Rounds that the present policy has and the other has not."""
    complete: bool

    def planned(self) -> list[tuple[Compared, Planned]]:
        """The calls, soonest first."""
        return [(each, each.line.verdict) for each in self.lines if isinstance(each.line.verdict, Planned)]

    def workers(self) -> int:
        """How many workers would be called."""
        return len({each.line.member_id for each, _ in self.planned()})

    def days(self, policy: Policy) -> dict[date, int]:
        """Calls by day of the policy's calendar."""
        return dict(sorted(Counter(policy.day_of(planned.due_at) for _, planned in self.planned()).items()))

    def given_up(self) -> dict[str, int]:
        """How many would not be called, by reason."""
        found = (each.line.verdict for each in self.lines if not isinstance(each.line.verdict, Planned))
        return dict(Counter(verdict.reason.value for verdict in found).most_common())

    def changes(self) -> dict[Change, int]:
        """How many lines differ from the present plan, and in what."""
        found = Counter(each.change for each in self.lines)
        found[Change.GONE] += sum(isinstance(line.verdict, Planned) for line in self.gone)
        return {change: found[change] for change in Change}

    def as_data(self, policy: Policy) -> dict[str, object]:
        """Plain data for JSON."""
        return {
            "workers": self.workers(),
            "calls": len(self.planned()),
            "days": {day.isoformat(): number for day, number in self.days(policy).items()},
            "given_up": self.given_up(),
            "changes": {change.value: number for change, number in self.changes().items()},
            "complete": self.complete,
            "lines": [each.line.as_data() | {"change": each.change.value} for each in self.lines],
            "gone": [line.as_data() for line in self.gone],
        }


# --- pure -----------------------------------------------------------------------------------------


def forecast(registered: Registered, policy: Policy, now: datetime) -> list[Line]:
    """The next call of each worker in each round under a policy, soonest first; those given up last.

    The daily cap is kept as the clock keeps it: who is due first has the place, the others wait for their next
    allowed instant on another day.
    """
    begun = Counter(registered.begun)
    waiting: list[tuple[datetime, str, int, Planned, Request, Subject]] = []
    called: list[Line] = []
    given_up: list[Line] = []

    def consider(subject: Subject, request: Request) -> None:
        verdict = plan(request, policy, now)
        if isinstance(verdict, Planned):
            place = (verdict.due_at, subject.member_id, subject.round)
            heapq.heappush(waiting, (*place, verdict, request, subject))
        else:
            given_up.append(_line(subject, verdict, None))

    for subject in registered.subjects:
        if (request := _under(subject, policy, now)) is not None:
            consider(subject, request)
    while waiting:
        due_at, _, _, verdict, request, subject = heapq.heappop(waiting)
        day = policy.day_of(due_at)
        if policy.daily_cap is not None and begun[day] >= policy.daily_cap:
            consider(subject, replace(request, held_until=policy.day_after(due_at)))
            continue
        begun[day] += 1
        told = reminders.planned(request, policy, due_at, now) if subject.is_told else None
        called.append(_line(subject, verdict, told))
    return called + given_up


def compare(registered: Registered, present: Policy, other: Policy, now: datetime) -> Preview:
    """What another policy does, beside what the present one does."""
    before = {(line.member_id, line.round): line for line in forecast(registered, present, now)}
    lines = tuple(
        _compared(line, before.pop((line.member_id, line.round), None))
        for line in forecast(registered, other, now)
    )
    return Preview(lines, tuple(before.values()), not registered.most_reached)


def _compared(line: Line, present: Line | None) -> Compared:
    is_called = isinstance(line.verdict, Planned)
    was_called = present is not None and isinstance(present.verdict, Planned)
    if is_called != was_called:
        change = Change.NEW if is_called else Change.GONE
    elif is_called and present is not None and present.verdict != line.verdict:
        change = Change.MOVED
    else:
        change = Change.SAME
    return Compared(line, present, change)


def _line(subject: Subject, verdict: Verdict, remind_at: datetime | None) -> Line:
    zone = subject.request.timezone.key
    return Line(subject.member_id, subject.round, verdict, zone, subject.sure, remind_at)


def _under(subject: Subject, policy: Policy, now: datetime) -> Request | None:
    """The request of a subject under a policy; None if the policy has no such round, or it can no longer come."""
    if not subject.untouched:
        return subject.request
    found = policy.round(subject.round)
    if found is None:
        return None
    first_day, last_day = requests.days_under(
        found, subject.audit_date, subject.request, own_wish=subject.own_wish
    )
    if not subject.sure and last_day < now.astimezone(subject.request.timezone).date():
        return None
    drawn = subject.comparison_key is None or policy.calls_comparison(subject.comparison_key)
    stop = None if drawn else GiveUp.NOT_IN_SAMPLE
    return replace(subject.request, first_day=first_day, last_day=last_day, stop=stop)


# --- what is registered -----------------------------------------------------------------------------


def read(connection: Connection, client_id: str, now: datetime, most: int | None = None) -> Registered:
    """Everything of a client that a policy can still move; of at most ``most`` callbacks, those of the newest audits."""
    # A day more, because in the east and in the west of us it is another date.
    since = now.date() - timedelta(days=LAST_POSSIBLE_DAY + 1)
    query = (
        requests.columns()
        .where(_audit.c.client_id == client_id, _audit.c.audit_date >= since, _callback.c.kind == AUDIT)
        .order_by(_audit.c.audit_date.desc(), _callback.c.id.desc())
    )
    rows = list(connection.execute(query if most is None else query.limit(most + 1)))
    kept = rows if most is None else rows[:most]
    latest: dict[str, int] = {}
    for row in kept:
        latest[row.cohort_member_id] = max(row.round, latest.get(row.cohort_member_id, 0))
    subjects: list[Subject] = []
    pieces = iter(kept)
    while batch := list(islice(pieces, _AT_ONCE)):
        subjects += _subjects(connection, batch, latest)
    return Registered(tuple(subjects), _begun(connection, client_id, kept, now), len(kept) < len(rows))


def _begun(connection: Connection, client_id: str, rows: list[AnyRow], now: datetime) -> dict[date, int]:
    if not rows:
        return {}
    today = from_json(rows[0].policy).day_of(now)
    return {today: caps.begun_on(connection, client_id, today)}


def _subjects(connection: Connection, rows: list[AnyRow], latest: Mapping[str, int]) -> Iterator[Subject]:
    tried: dict[str, list[AnyRow]] = {}
    for attempt in connection.execute(
        requests.tries().where(_attempt.c.callback_id.in_([row.id for row in rows]))
    ):
        tried.setdefault(attempt.callback_id, []).append(attempt)
    shifts = requests.shifts_of(connection, {row.factory_id for row in rows})
    newest = [row for row in rows if latest[row.cohort_member_id] == row.round]
    to_follow = rounds.to_follow(connection, newest) | {row.id for row in newest if row.state in _UNDER_WAY}
    told = reminders.wanted(connection, rows)
    for row in rows:
        policy = requests.policy_for(row, from_json(row.policy))
        request = requests.build(row, policy, tried.get(row.id, []), shifts.get(row.factory_id, ()))
        yield from _of_row(row, request, followed=row.id in to_follow, is_told=row.id in told)


_UNDER_WAY: Final = (CallbackState.SCHEDULED, CallbackState.DIALLING)


def _of_row(row: AnyRow, request: Request, *, followed: bool, is_told: bool) -> Iterator[Subject]:
    """A callback as far as it can still be planned, and the later rounds if she is ``followed``."""
    key = row.row_key if row.role == requests.COMPARISON else None
    untouched = row.attempts == 0
    scheduled = row.state == CallbackState.SCHEDULED
    if scheduled or (untouched and row.state == CallbackState.GIVEN_UP and may_come_back(row.give_up_reason)):
        yield Subject(
            row.cohort_member_id,
            row.round,
            row.audit_date,
            request,
            untouched,
            key,
            own_wish=requests.is_own_wish(row),
            is_told=is_told,
        )
    if followed:
        yield from _later(row, request, key, is_told)


def _later(row: AnyRow, request: Request, key: str | None, is_told: bool) -> Iterable[Subject]:
    """Rounds that may come, as many as any policy can have."""
    wish = request.preference and repeated(request.preference, row.country)
    fresh = replace(
        request, preference=wish, attempts=(), third_party=0, unverified=0, stop=None, held_until=None
    )
    for number in range(row.round + 1, MOST_ROUNDS + 1):
        yield Subject(
            row.cohort_member_id,
            number,
            row.audit_date,
            fresh,
            True,
            key,
            sure=False,
            is_told=is_told,
        )

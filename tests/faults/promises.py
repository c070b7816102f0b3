"""What must hold whatever went wrong: nobody twice, nobody outside her window, nothing lost, everything due done.

What the make-believe provider saw is set beside what our database says.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from bot.storage import tables
from bot.storage.tables import table
from tests.journeys.world import Place

ON_ITS_WAY = timedelta(seconds=5)
"""So long a dial may be on its way from the last look at the clock to the provider."""
FINAL = {"sent", "failed", "cancelled"}
"""States of an outgoing message that nobody has to do anything about."""
FINISHED = {"reached", "refused", "given_up", "stopped", "unsafe"}


@dataclass(frozen=True)
class Hours:
    """When a worker may be called: minutes of her day, the last one not included."""

    start: int
    end: int

    def hold(self, instant: datetime, zone: ZoneInfo) -> bool:
        """Whether an instant lies in them."""
        local = instant.astimezone(zone)
        return self.start <= local.hour * 60 + local.minute < self.end


@dataclass(frozen=True)
class Dial:
    """One outbound call, as the provider saw it."""

    attempt_id: str
    to: str
    created: datetime
    ended: datetime | None


@dataclass(frozen=True)
class Evidence:
    """What is known after a campaign."""

    dials: Sequence[Dial]
    texts: Sequence[str]
    """The provider's ids of all texts that workers wrote."""
    acknowledged: frozenset[str]
    """Those whose webhook was answered with 2xx."""
    attempts: Mapping[str, Any]
    callbacks: Sequence[Any]
    stored: Counter[str]
    """How often each event of the provider stands in our database."""
    outbox: Counter[str]
    parked: int
    answers: Counter[tuple[str, int]]
    moves: Sequence[tuple[datetime, timedelta]]
    """Since when (wall time) the service's clock was ahead by how much."""
    now: datetime
    hours: Mapping[str, Hours]
    """When each number may be called."""
    zone: ZoneInfo


def dials_of(at: Place) -> list[Dial]:
    """All calls to workers that we asked the provider for."""
    return [
        Dial(
            urlsplit(call["request"]["Url"][0]).path.rpartition("/")[2],
            call["to"],
            datetime.fromisoformat(call["created"]),
            datetime.fromisoformat(call["ended"]) if call["ended"] else None,
        )
        for call in at.network.calls()
        if call["direction"] == "outbound-api" and "/voice/agent/" not in call["request"]["Url"][0]
    ]


def gather(
    at: Place,
    texts: Sequence[str],
    moves: Sequence[tuple[datetime, timedelta]],
    hours: Mapping[str, Hours],
    zone: ZoneInfo,
) -> Evidence:
    """Ask the provider and the database."""
    webhooks = at.network.get("/sim/state", parts="webhooks")["webhooks"]
    message, attempt, callback = table(tables.Message), table(tables.Attempt), table(tables.Callback)
    outbox, answer = table(tables.Outbox), table(tables.Answer)
    with at.service.database.read() as connection:
        events = connection.execute(select(message.c.event_id).where(message.c.event_id.is_not(None)))
        parked = select(func.count()).select_from(message).where(message.c.retry_at.is_not(None))
        given = connection.execute(select(answer.c.conversation_id, answer.c.n)).all()
        return Evidence(
            dials=dials_of(at),
            texts=texts,
            acknowledged=frozenset(
                line["about"] for line in webhooks if line["kind"] == "sms" and line["status"] == 200
            ),
            attempts={row.id: row for row in connection.execute(select(attempt)).all()},
            callbacks=connection.execute(select(callback)).all(),
            stored=Counter(events.scalars()),
            outbox=Counter(connection.execute(select(outbox.c.state)).scalars()),
            parked=connection.execute(parked).scalar_one(),
            answers=Counter((row.conversation_id, row.n) for row in given),
            moves=moves,
            now=at.service.clock.now(),
            hours=hours,
            zone=zone,
        )


def broken(seen: Evidence) -> list[str]:
    """The promises that were not kept, each with the ids concerned; none if all is well."""
    return [*_twice(seen), *_outside(seen), *_lost(seen), *undone(seen)]


def _twice(seen: Evidence) -> Iterator[str]:
    for attempt, count in Counter(dial.attempt_id for dial in seen.dials).items():
        if count > 1:
            yield f"attempt {attempt} was dialled {count} times"
    for dial in seen.dials:
        if dial.attempt_id not in seen.attempts:
            yield f"attempt {dial.attempt_id} was dialled and is not known"
        elif seen.attempts[dial.attempt_id].disposition == "released":
            yield f"attempt {dial.attempt_id} counts as never asked, and was dialled"
    by_number = defaultdict(list)
    for dial in seen.dials:
        by_number[dial.to].append(dial)
    for dials in by_number.values():
        for first, second in pairwise(sorted(dials, key=lambda each: each.created)):
            if first.ended is None or second.created < first.ended:
                yield f"attempts {first.attempt_id} and {second.attempt_id} rang at the same time"
    for key, count in seen.answers.items():
        if count > 1:
            yield f"answer {key[1]} of conversation {key[0]} stands there {count} times"


def _outside(seen: Evidence) -> Iterator[str]:
    for dial in seen.dials:
        hours = seen.hours[dial.to]
        row = seen.attempts.get(dial.attempt_id)
        if row is not None and not hours.hold(row.claimed_at, seen.zone):
            yield f"attempt {dial.attempt_id} was begun outside its window"
        if not any(hours.hold(dial.created + ahead, seen.zone) for ahead in _ahead(seen, dial.created)):
            yield f"attempt {dial.attempt_id} reached the provider outside its window"


def _ahead(seen: Evidence, at: datetime) -> list[timedelta]:
    """By how much the service's clock was ahead at an instant, and in the moments in which the dial was on its way."""
    before = [ahead for since, ahead in seen.moves if since <= at - ON_ITS_WAY][-1:]
    return before + [ahead for since, ahead in seen.moves if at - ON_ITS_WAY < since <= at]


def _lost(seen: Evidence) -> Iterator[str]:
    for text in seen.texts:
        if seen.stored[text] != 1:
            acknowledged = "acknowledged" if text in seen.acknowledged else "never acknowledged"
            yield f"text {text} ({acknowledged}) is stored {seen.stored[text]} times"
    unknown = seen.acknowledged - set(seen.texts)
    if unknown:
        yield f"{len(unknown)} acknowledged texts that nobody wrote"
    if seen.parked:
        yield f"{seen.parked} messages are parked"


def undone(seen: Evidence) -> Iterator[str]:
    """What is left to do although it is time."""
    for row in seen.attempts.values():
        if row.state != "settled" or not row.disposition:
            yield f"attempt {row.id} is still {row.state}"
    for row in seen.callbacks:
        if row.state in FINISHED:
            if row.state == "given_up" and not row.give_up_reason:
                yield f"callback {row.id} was given up without a reason"
        elif row.state != "scheduled" or row.due_at is None:
            yield f"callback {row.id} is still {row.state}"
        elif row.due_at <= seen.now:
            yield f"callback {row.id} is due and was not dialled"
    for state, count in seen.outbox.items():
        if state not in FINAL:
            yield f"{count} outgoing messages are still {state}"

"""One beat of the clock: take what is due in SQL and say which jobs should run for it.

Any number of clocks may beat at once: each row is leased to one of them. If the jobs that a beat asks
for are lost on the way, their leases run out and a later beat asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from bot import (
    alerts,
    folding,
    leads,
    leftovers,
    links,
    media,
    outbox,
    pace,
    staff,
    transfers,
    troubles,
    unreadable,
    watch,
)
from bot.callbacks import anew, caps, dial, reminders, rounds, settle
from bot.callbacks.claim import Limits, claim_due, missed_windows, waiting_claims
from bot.clock import wall_time
from bot.glance import Glance, glance
from bot.privacy import access
from bot.service import Service
from bot.settings import Settings
from bot.storage.tables import Conversation, Heartbeat, Message, table
from bot.unreadable import apart

_conversation = table(Conversation)
_message = table(Message)
_heartbeat = table(Heartbeat)

BATCH = 200
"""Rows of one kind that one beat takes at most."""
MOST_FORGOTTEN = 10
MOST_FOLLOWED = 50
"""Callbacks that are over and whose next round is looked for at one beat: they share one transaction."""
MOST_REMINDED = 50
"""Texts before calls that are put into the outbox at one beat, in one transaction."""
JOB_LEASE = timedelta(seconds=60)
CLOCK = "clock"
WATCH_EVERY = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Work:
    """Jobs to enqueue: the name of a function of ``channels.jobs`` and the ids it gets."""

    job: str
    ids: tuple[str, ...]


def beat(service: Service) -> Iterator[Work]:
    """Take what is due now. Each step is a transaction of its own, so what was yielded is leased already."""
    now, wall = service.clock.now(), wall_time()
    seen = glance(service.database, now, wall)
    if seen.anew:
        _follow_policies(service, now)
    if seen.due:
        _replan(service, now)
    if seen.over:
        with apart("follow"):
            rounds.follow(service.database, now, MOST_FOLLOWED)
    if seen.reminders:
        with apart("remind"):
            reminders.put_in(service, now, MOST_REMINDED)
    if _is_to_poll(service, wall):
        yield Work("poll", ())
    for there, job, size, step in _steps(service, seen, now, wall):
        ids = step() if there else []
        for start in range(0, len(ids), size):
            yield Work(job, tuple(ids[start : start + size]))
    if pace.turn(service.database, "watch", WATCH_EVERY, wall):
        _watch(service, now, wall)


def _watch(service: Service, now: datetime, wall: datetime) -> None:
    """Count what has happened, take a reading and look whether to raise an alarm: one clock does, after what is due was handed out."""
    with apart("fold"):
        folding.fold(service)
    with service.database.read() as connection:
        found = watch.read(connection, now)
    with service.database.write() as connection:
        watch.note(connection, found, now)
        alerts.review(connection, service.settings, found, now, wall)
        troubles.forget(connection, now)
        unreadable.forget(connection, now)


def _follow_policies(service: Service, now: datetime) -> None:
    """One more audit of each client whose policy was changed: whoever changed it may have been killed meanwhile."""
    with service.database.read() as connection:
        clients = anew.unfinished(connection)
    for client_id in clients:
        with apart("follow_policy", client_id):
            anew.go_on(service.database, client_id, now)


def _is_to_poll(service: Service, wall: datetime) -> bool:
    """Whether the providers are to be asked for lost messages, by this clock and no other."""
    minutes = service.settings.poll_minutes
    return bool(minutes) and pace.turn(service.database, "poll", timedelta(minutes=minutes), wall)


def alive(service: Service, name: str, at: datetime | None = None) -> None:
    """Write that a part of the service is alive, or was so at an instant of wall time."""
    wall = at or wall_time()
    with service.database.write() as connection:
        found = connection.execute(update(_heartbeat).where(_heartbeat.c.name == name).values(at=wall))
        if found.rowcount:
            return
    try:
        with service.database.write() as connection:
            connection.execute(insert(_heartbeat).values(name=name, at=wall, value=0.0))
    except IntegrityError:
        # Another process with the same name was quicker; it is as alive as we are.
        return


def tidy(service: Service) -> None:
    """Chain the access log, and forget sessions, throttles and codes that are over."""
    with service.database.write() as connection:
        access.seal_batch(connection)
        links.forget(connection, service.clock.now())
    staff.forget_old(service.database)


def _steps(
    service: Service, seen: Glance, now: datetime, wall: datetime
) -> list[tuple[bool, str, int, Callable[[], list[str]]]]:
    """Whether there may be anything, job, ids per job, and what finds the ids. Calls go one by one, so that workers
    dial side by side."""
    settings = service.settings
    limits = Limits(
        settings.twilio_calls_per_second, settings.twilio_call_slots, tuple(settings.channels_on())
    )

    def write(take: Callable[[Connection], list[str]]) -> Callable[[], list[str]]:
        def step() -> list[str]:
            with service.database.write() as connection:
                return take(connection)

        return step

    return [
        (seen.due, "place", 1, lambda: claim_due(service.database, now, wall, limits)),
        (seen.stale, "place", 1, write(lambda c: waiting_claims(c, wall, BATCH))),
        (seen.stale, "look_after", 5, write(lambda c: dial.take_stale(c, wall, BATCH))),
        (seen.late, "cancel", 5, write(lambda c: dial.past_window(c, now, BATCH))),
        (
            seen.line,
            "ring_agent",
            1,
            lambda: transfers.match(service.database, now, wall, settings.agent_wait),
        ),
        # Callers are on the line now; callbacks can wait a little longer for an agent.
        (seen.due, "ring_agent", 1, lambda: leads.match(service.database, now, wall, limits)),
        (seen.line, "place", 1, lambda: leads.dial(service.database, now, wall, limits)),
        (seen.line, "lead_caller", 1, lambda: transfers.to_lead(service.database, wall)),
        (seen.line, "let_agent_go", 1, lambda: transfers.to_part(service.database, wall)),
        (seen.line, "look_after_talk", 5, lambda: transfers.to_look_after(service.database, now, wall)),
        (seen.letters, "deliver", 10, lambda: outbox.claim_notices(service.database, now, wall, BATCH)),
        *(
            (
                seen.letters,
                "deliver",
                10,
                partial(outbox.claim, service.database, channel, rate, now, wall, BATCH),
            )
            for channel, rate in settings.rates().items()
        ),
        (seen.doubtful, "inquire", 5, write(lambda c: outbox.release_stale(c, now, wall, BATCH))),
        (seen.timers, "wake", 10, write(lambda c: _timers(c, now, wall))),
        (seen.recordings, "fetch", 2, write(lambda c: media.claim(c, media.RECORDINGS, wall, BATCH))),
        (seen.files, "collect", 2, write(lambda c: media.claim(c, media.FILES, wall, BATCH))),
        (seen.left, "forget", 5, write(lambda c: _leftovers(c, settings, wall))),
        (seen.parked, "retry", 5, write(lambda c: _parked(c, now))),
    ]


def _replan(service: Service, now: datetime) -> None:
    """Plan anew what was not dialled within its window, or found no place in its client's day."""
    with service.database.read() as connection:
        missed = missed_windows(connection, now, BATCH) + caps.held_back(connection, now, BATCH)
    for callback_id in dict.fromkeys(missed):
        tell = partial(unreadable.tell_in, service.database, callback_id, now)
        with apart("replan", callback_id, tell), service.database.write() as connection:
            settle.replan(connection, callback_id, now)


def _timers(connection: Connection, now: datetime, wall: datetime) -> list[str]:
    due = (
        select(_conversation.c.id)
        .where(
            _conversation.c.timer_at <= now,
            or_(_conversation.c.timer_lease.is_(None), _conversation.c.timer_lease < wall),
        )
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(due).scalars())
    if ids:
        connection.execute(
            update(_conversation).where(_conversation.c.id.in_(ids)).values(timer_lease=wall + JOB_LEASE)
        )
    return ids


def _leftovers(connection: Connection, settings: Settings, wall: datetime) -> list[str]:
    """What is to be deleted at the providers, a little at each beat: nobody waits for it."""
    if settings.delete_at_provider:
        return leftovers.claim(connection, wall, MOST_FORGOTTEN)
    leftovers.let_stay(connection)
    return []


def _parked(connection: Connection, now: datetime) -> list[str]:
    due = (
        select(_message.c.id).where(_message.c.retry_at <= now).limit(BATCH).with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(due).scalars())
    if ids:
        connection.execute(
            update(_message).where(_message.c.id.in_(ids)).values(retry_at=now + timedelta(minutes=10))
        )
    return ids

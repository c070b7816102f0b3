"""How fast the outbox empties, beside bare RQ jobs that do nothing, in the same number and the same workers.

Texts to as many workers are put into the outbox and become due at one moment; from then on it is measured
until the provider took the last of them and it is written down. The bare jobs are enqueued one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from rq import Queue
from rq.registry import StartedJobRegistry
from sqlalchemy import func, insert, select, update

from benchmarks import report, whole
from benchmarks.databases import prepared
from benchmarks.inbound import OPENING, STEP
from benchmarks.whole import Spent
from benchmarks.workers import placed
from bot import queue
from bot.clock import wall_time
from bot.ids import new_id
from bot.outbox import queue_row
from bot.queue import EmbeddedRedis
from bot.storage.tables import Conversation, Message, Outbox, table
from bot.transcript import Thread, message_row
from tests.faults.station import Station

_outbox = table(Outbox)
_message = table(Message)
_conversation = table(Conversation)

TEXT = "Thank you. What happened? You may write as much as you like."
NOTHING = "builtins.len"
"""The bare job: it takes an opaque id like ours, and does nothing with it."""
_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Round:
    """So many in so many seconds, and what was spent on it."""

    count: int
    seconds: float
    spent: Spent

    @property
    def per_second(self) -> float:
        """How many in a second."""
        return self.count / self.seconds

    @property
    def service_micros(self) -> float:
        """CPU of the service's processes for one, in microseconds."""
        return self.spent.service / self.count * 1e6

    @property
    def provider_micros(self) -> float:
        """CPU of the make-believe provider for one, in microseconds."""
        return self.spent.providers / self.count * 1e6


@dataclass(frozen=True, slots=True)
class Drain:
    """The rounds of texts and those of bare jobs."""

    texts: list[Round]
    jobs: list[Round]


def measure(kind: str, count: int, rounds: int) -> Drain:
    """Measure on one kind of database. Raises AssertionError if a text did not reach the provider, or twice."""
    with prepared(kind) as ground, whole.running(ground) as at:
        return measure_at(at, ground.version, count, rounds)


def measure_at(at: Station, version: str, count: int, rounds: int) -> Drain:
    """The same with a service that runs already."""
    found = Drain([], [])
    report.progress(f"{version}: {count} workers in the middle of a conversation")
    placed(at.service, OPENING, STEP, 0, count)
    wait_for(lambda: _open(at) == 0)
    redis = EmbeddedRedis.attach(at.folder / "var" / "redis")
    try:
        jobs = queue.queue(redis.connection)
        nothing(at, jobs, count)
        for number in range(rounds):
            turns: list[Callable[[], None]] = [
                lambda: found.texts.append(_texts(at)),
                lambda: found.jobs.append(nothing(at, jobs, count)),
            ]
            for turn in turns[number % 2 :] + turns[: number % 2]:
                turn()
            report.progress(
                f"{version}: round {number + 1} of {rounds}: texts "
                f"{found.texts[-1].per_second:,.0f}/s, bare jobs {found.jobs[-1].per_second:,.0f}/s"
            )
    finally:
        redis.stop()
    return found


def show(kind: str, found: Drain) -> None:
    """Print one table."""
    texts = [each.per_second for each in found.texts]
    share = report.ratio(texts, [each.per_second for each in found.jobs])
    rows = []
    for name, each in (("Texts, due to taken", found.texts), ("Bare RQ jobs", found.jobs)):
        is_text = each is found.texts
        rows.append(
            [
                name,
                f"{median(one.per_second for one in each):,.0f}",
                f"{median(one.service_micros for one in each):,.0f}",
                f"{median(one.provider_micros for one in each):,.0f}" if is_text else "",
                "" if is_text else f"{share[0]:.2f} ({share[1]:.2f} to {share[2]:.2f})",
            ]
        )
    report.show(
        f"Outbox, {kind}, {found.texts[0].count} at once, two workers, medians of {len(texts)} rounds",
        ["", "per second", "service CPU µs", "provider CPU µs", "texts / it"],
        rows,
        ["The provider is make-believe and takes its CPU from the same cores."],
    )


# --- one round --------------------------------------------------------------------------------


def _texts(at: Station) -> Round:
    count = _put_in(at)
    before, began = whole.spent(at), time.perf_counter()
    with at.service.database.write() as connection:
        connection.execute(update(_outbox).where(_outbox.c.state == "queued").values(due_at=wall_time()))
    wait_for(lambda: _open(at) == 0)
    done = Round(count, time.perf_counter() - began, whole.spent(at).since(before))
    _check(at, count)
    return done


def _put_in(at: Station) -> int:
    """One text for each open conversation, not due yet; gives how many."""
    later, sealer = wall_time() + timedelta(hours=1), at.service.sealer
    messages, letters = [], []
    with at.service.database.write() as connection:
        open_ones = select(_conversation.c.id, _conversation.c.address_id).where(
            _conversation.c.state == "open", _conversation.c.channel == "sms"
        )
        for row in connection.execute(open_ones):
            thread = Thread(row.id, row.address_id, "sms")
            message = message_row(sealer, thread, "out", f"{TEXT} {new_id()}", wall_time())
            messages.append(message)
            letters.append(queue_row(str(message["id"]), row.address_id, "sms", later))
        connection.execute(insert(_message), messages)
        connection.execute(insert(_outbox), letters)
    return len(letters)


def _check(at: Station, count: int) -> None:
    with at.service.database.read() as connection:
        ours = select(_message.c.provider_id).where(_message.c.direction == "out")
        newest = ours.order_by(_message.c.id.desc()).limit(count)
        taken = list(connection.execute(newest).scalars())
    assert None not in taken, "a text did not reach the provider"
    assert len(set(taken)) == count, "a text went out twice"


def nothing(at: Station, jobs: Queue, count: int) -> Round:
    """So many bare RQ jobs, from the first one enqueued until the last one done."""
    started = StartedJobRegistry(queue=jobs)
    before, began = whole.spent(at), time.perf_counter()
    for _ in range(count):
        queue.enqueue(jobs, NOTHING, new_id(), timeout=60)
    wait_for(lambda: jobs.count == 0 and started.count == 0, count)
    return Round(count, time.perf_counter() - began, whole.spent(at).since(before))


def _open(at: Station) -> int:
    with at.service.database.read() as connection:
        states = ("queued", "leased", "sending", "unknown")
        count = select(func.count()).select_from(_outbox).where(_outbox.c.state.in_(states))
        return int(connection.execute(count).scalar_one())


def wait_for(condition: Callable[[], bool], count: int = 0) -> None:
    """Look again and again until it is so. Raises AssertionError after a minute, and a second more for each of ``count``."""
    deadline = time.monotonic() + _PATIENCE_SECONDS + count
    while not condition():
        assert time.monotonic() < deadline, "it did not come to an end"
        time.sleep(_LOOK_SECONDS)

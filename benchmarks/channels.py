"""From a worker's message to our answer on her screen, on each channel, beside the way by SMS.

As many workers as there are to be write at once, through the make-believe providers: their webhooks come to the
real web server, the answers go through the real outbox, clock and workers, and over HTTP or SMTP back to the
provider. It is measured until the provider has delivered the last answer (Telegram and e-mail: has taken it).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

from sqlalchemy import func, select

from benchmarks import report, whole
from benchmarks.databases import prepared
from benchmarks.whole import Spent
from bot.messages import Channel
from bot.storage.tables import Message, Outbox, table
from tests.faults.station import Station
from tests.journeys.world import HOTLINE

_outbox = table(Outbox)
_message = table(Message)

CHANNELS = (Channel.SMS, Channel.WHATSAPP, Channel.TELEGRAM, Channel.EMAIL)
WORDS = "Hello, may I tell you about my work in the factory?"
_FIRST = 6281300000000
_WRITERS = 16
_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Round:
    """So many workers, who wrote and got their first answer in so many seconds."""

    workers: int
    messages: int
    """Ours; an answer may be more than one."""
    seconds: float
    spent: Spent

    @property
    def per_second(self) -> float:
        """Workers who were answered in a second."""
        return self.workers / self.seconds

    @property
    def service_micros(self) -> float:
        """CPU of the service's processes for one worker, in microseconds."""
        return self.spent.service / self.workers * 1e6

    @property
    def provider_micros(self) -> float:
        """CPU of the make-believe providers for one worker, in microseconds."""
        return self.spent.providers / self.workers * 1e6


Found = dict[Channel, list[Round]]


def measure(kind: str, workers: int, rounds: int) -> Found:
    """Measure on one kind of database. Raises AssertionError if a worker is not answered."""
    with prepared(kind) as ground, whole.running(ground) as at:
        return measure_at(at, ground.version, workers, rounds)


def measure_at(at: Station, version: str, workers: int, rounds: int) -> Found:
    """The same with a service that runs already."""
    found: Found = {channel: [] for channel in CHANNELS}
    used = 0
    for channel in CHANNELS:
        _run(at, channel, used, min(workers, _WRITERS))
        used += _WRITERS
    for number in range(rounds):
        # Each round begins with another channel, so that none always has the quieter moment.
        for channel in CHANNELS[number % 4 :] + CHANNELS[: number % 4]:
            found[channel].append(_run(at, channel, used, workers))
            used += workers
        told = ", ".join(f"{channel} {each[-1].per_second:,.0f}/s" for channel, each in found.items())
        report.progress(f"{version}: round {number + 1} of {rounds}: {told}")
    return found


def show(kind: str, found: Found) -> None:
    """Print one table."""
    sms = [each.per_second for each in found[Channel.SMS]]
    rows = []
    for channel, each in found.items():
        share = report.ratio([one.per_second for one in each], sms)
        rows.append(
            [
                channel.value,
                f"{median(one.per_second for one in each):,.0f}",
                f"{median(one.messages / one.workers for one in each):.1f}",
                f"{median(one.service_micros for one in each):,.0f}",
                f"{median(one.provider_micros for one in each):,.0f}",
                "" if channel is Channel.SMS else f"{share[0]:.2f} ({share[1]:.2f} to {share[2]:.2f})",
            ]
        )
    report.show(
        f"Message to answer, {kind}, {found[Channel.SMS][0].workers} workers at once, "
        f"medians of {len(sms)} rounds",
        ["", "per second", "texts each", "service CPU µs", "provider CPU µs", "it / SMS"],
        rows,
        ["No pace is kept. The providers are make-believe and take their CPU from the same cores."],
    )


# --- one round --------------------------------------------------------------------------------


def _run(at: Station, channel: Channel, first: int, workers: int) -> Round:
    write = _writer(at, channel)
    before, began = whole.spent(at), time.perf_counter()
    already = _counts(at, channel)
    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(lambda place: write(f"+{_FIRST + first + place}"), range(workers)))
    deadline = time.monotonic() + _PATIENCE_SECONDS
    now = _counts(at, channel)
    while now.came < already.came + workers or now.delivered < now.ours or now.waiting:
        assert time.monotonic() < deadline, f"not every worker was answered on {channel}"
        time.sleep(_LOOK_SECONDS)
        now = _counts(at, channel)
    seconds, spent = time.perf_counter() - began, whole.spent(at).since(before)
    assert now.ours - already.ours >= workers, f"a worker got no answer on {channel}"
    return Round(workers, now.ours - already.ours, seconds, spent)


def _writer(at: Station, channel: Channel) -> Callable[[str], object]:
    """What lets the owner of a number write on a channel."""
    network = at.network
    if channel is Channel.TELEGRAM:
        return lambda number: network.post(f"/sim/telegram/people/{number}/start", {})
    if channel is Channel.EMAIL:
        return lambda number: network.post(f"/sim/mail/{number}/write", {"text": WORDS, "anew": True})
    prefix = "whatsapp:" if channel is Channel.WHATSAPP else ""
    return lambda number: network.text(prefix + number, WORDS, prefix + HOTLINE)


@dataclass(frozen=True, slots=True)
class _Counts:
    """Of one channel: what came, what we said, how much of that was delivered, and what is not sent yet."""

    came: int
    ours: int
    delivered: int
    waiting: int


def _counts(at: Station, channel: Channel) -> _Counts:
    reports = channel in (Channel.SMS, Channel.WHATSAPP)
    done = _message.c.status == ("delivered" if reports else "sent")
    out = _message.c.direction == "out"
    with at.service.database.read() as connection:
        came, ours, delivered = connection.execute(
            select(
                func.count().filter(_message.c.direction == "in"),
                func.count().filter(out),
                func.count().filter(out, done),
            ).where(_message.c.channel == channel)
        ).one()
        unsent = select(func.count()).where(_outbox.c.channel == channel, _outbox.c.state != "sent")
        return _Counts(came, ours, delivered, int(connection.execute(unsent).scalar_one()))

"""Durable inbound texts per second through the real server, beside plain Flask routes on the same settings.

(a) a route that does nothing; (b) the same route with as many bare Core inserts, committed in one
transaction, as our path writes rows for such a message. The rounds are interleaved, every contender is
driven by the same generator over the same connections, and a ratio is taken within each round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from sqlalchemy import func, select
from sqlmodel import SQLModel

from benchmarks import contender, report, texting
from benchmarks.databases import Ground, prepared
from benchmarks.load import Load, drive, drive_apart
from benchmarks.serving import CONTENDER, OURS, ROOT, Server, serving
from benchmarks.workers import placed, service_of, settings_of
from bot.processes import cpu_seconds
from bot.service import Service
from bot.storage.database import open_database
from bot.storage.tables import Conversation, Message, table

OPENING = ("Hello, may I tell you about my work in the factory?", "1", "7", "skip", "skip")
"""What every worker has said before: first words, it is safe, something else, no more words, no picture."""
STEP = "danger"
"""Where that leads."""
ANSWERS = ("no", "Gate 4, dyeing hall", "1", "2", "1")
"""What is measured: nobody in danger, the place, told the office, a promise, keep it. Each is one answer."""
CONNECTIONS = 32
_COUNTED = 100
_MOST_PER_SECOND = 4000
_AIM = 0.5

_message = table(Message)
_conversation = table(Conversation)


@dataclass(frozen=True, slots=True)
class Round:
    """One run of one contender. CPU is microseconds per request, of the web server and of the database."""

    load: Load
    cpu: float
    database_cpu: float


@dataclass(frozen=True, slots=True)
class Inbound:
    """What was measured on one database: the rounds of ours, of (a) and of (b), and the rows of a message."""

    rows: int
    ours: list[Round]
    nothing: list[Round]
    inserts: list[Round]
    shared: list[Round]
    """As (b), but through our own way to commit; measured on SQLite, where that way differs."""


def measure(kind: str, seconds: float, rounds: int) -> Inbound:
    """Measure on one kind of database. Raises AssertionError if a message was acknowledged and not kept."""
    with prepared(kind) as ground:
        settings = settings_of(ground, ROOT / "flows")
        service = service_of(settings)
        pool = _Pool(service)
        try:
            with serving(OURS, settings, ground.folder) as ours:
                report.progress(f"{ground.version}: counting the rows of a message")
                rows = _rows_of_a_message(service, pool, ours)
                _make_plain(ground)
                settings[contender.ROWS] = str(rows)
                with serving(CONTENDER, settings, ground.folder) as plain:
                    return _rounds(_Run(service, pool, ground, ours, plain), rows, seconds, rounds)
        finally:
            service.database.dispose()


def show(kind: str, found: Inbound) -> None:
    """Print one table: what each contender did, and our share of it."""
    contenders = [
        ("Voiceback, POST /channels/sms", found.ours),
        ("(a) Flask route that does nothing", found.nothing),
        (f"(b) the same, {found.rows} inserts committed", found.inserts),
    ]
    if found.shared:
        contenders.append(("(c) as (b), in our shared commits", found.shared))
    ours = [each.load.per_second for each in found.ours]
    rows = []
    for name, each in contenders:
        share = report.ratio(ours, [one.load.per_second for one in each])
        rows.append(
            [
                name,
                f"{median(one.load.per_second for one in each):,.0f}",
                f"{median(one.load.quantile(0.5) for one in each):.1f}",
                f"{median(one.load.quantile(0.99) for one in each):.0f}",
                f"{median(one.cpu for one in each):,.0f}",
                f"{median(one.database_cpu for one in each):,.0f}",
                "" if each is found.ours else f"{share[0]:.2f} ({share[1]:.2f} to {share[2]:.2f})",
            ]
        )
    report.show(
        f"Inbound texts, {kind}, {CONNECTIONS} connections, medians of {len(ours)} rounds",
        ["", "per second", "p50 ms", "p99 ms", "server CPU µs", "database CPU µs", "ours / it"],
        rows,
        [
            f"A message writes {found.rows} rows (counted in SQL). Aim: ours / (b) at least {_AIM}.",
            f"CPU alone, ours / (b): {_cpu_share(found):.2f} (work per message, whoever else uses the cores)",
        ],
    )


def _cpu_share(found: Inbound) -> float:
    ours = median(one.cpu + one.database_cpu for one in found.ours)
    return median(one.cpu + one.database_cpu for one in found.inserts) / max(ours, 1e-9)


# --- one run ----------------------------------------------------------------------------------


class _Pool:
    """Requests that were not sent yet, in the order of the questions: a worker's next one comes much later."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._used = 0

    def requests(self, count: int) -> list[bytes]:
        """At least ``count`` requests of workers of their own."""
        people = max(-(-count // len(ANSWERS)), 2 * CONNECTIONS)
        senders = placed(self._service, OPENING, STEP, self._used, people)
        self._used += people
        return [
            texting.post(texting.Words(texting.sid(), sender, answer))
            for answer in ANSWERS
            for sender in senders
        ]


@dataclass(frozen=True, slots=True)
class _Run:
    service: Service
    pool: _Pool
    ground: Ground
    ours: Server
    plain: Server


def _rounds(run: _Run, rows: int, seconds: float, rounds: int) -> Inbound:
    found = Inbound(rows, [], [], [], [])
    report.progress(f"{run.ground.version}: warming up")
    warm_up = min(1.0, seconds)
    expected = _ours(run, warm_up, int(2000 * warm_up)).load.per_second
    _plain(run, contender.NOTHING, warm_up)
    _plain(run, contender.INSERTS, warm_up)
    for number in range(rounds):
        # Each round begins with another contender, so that none always has the quieter moment.
        turns: list[Callable[[], None]] = [
            lambda: found.ours.append(_ours(run, seconds, int(1.5 * expected * seconds))),
            lambda: found.nothing.append(_plain(run, contender.NOTHING, seconds)),
            lambda: found.inserts.append(_plain(run, contender.INSERTS, seconds)),
        ]
        if run.ground.kind == "sqlite":
            turns.append(lambda: found.shared.append(_plain(run, contender.SHARED, seconds)))
        for turn in turns[number % 3 :] + turns[: number % 3]:
            turn()
        report.progress(
            f"{run.ground.version}: round {number + 1} of {rounds}: ours "
            f"{found.ours[-1].load.per_second:,.0f}/s, (a) {found.nothing[-1].load.per_second:,.0f}/s, "
            f"(b) {found.inserts[-1].load.per_second:,.0f}/s"
        )
    return found


def _ours(run: _Run, seconds: float, count: int) -> Round:
    requests = run.pool.requests(min(count, int(_MOST_PER_SECOND * seconds)))
    before = _kept(run.service)
    done = _driven(run, run.ours, requests, seconds, repeat=False)
    taken = sum(status == 200 for status in done.load.statuses)
    assert taken == len(done.load.statuses), "a text was not acknowledged"
    assert _kept(run.service) - before == taken, "what was acknowledged and what was kept differ"
    return done


def _plain(run: _Run, path: str, seconds: float) -> Round:
    sender = "+6281100000000"
    requests = [texting.post(texting.Words(texting.sid(), sender, "1"), path) for _ in range(500)]
    return _driven(run, run.plain, requests, seconds, repeat=True)


def _driven(run: _Run, server: Server, requests: list[bytes], seconds: float, *, repeat: bool) -> Round:
    spent, database = server.cpu_seconds(), _database_cpu(run.ground)
    load = drive_apart(server.port, requests, CONNECTIONS, seconds, repeat=repeat)
    each = 1e6 / len(load.statuses)
    return Round(load, (server.cpu_seconds() - spent) * each, (_database_cpu(run.ground) - database) * each)


def _database_cpu(ground: Ground) -> float:
    return cpu_seconds(ground.process_id) if ground.process_id else 0.0


# --- counting ---------------------------------------------------------------------------------


def _rows_of_a_message(service: Service, pool: _Pool, ours: Server) -> int:
    """How many rows one text inserts or updates: all tables are counted before and after some texts."""
    requests = pool.requests(_COUNTED)
    before = _written(service)
    load = drive(ours.port, requests, CONNECTIONS)
    return round((_written(service) - before) / len(load.statuses))


def _written(service: Service) -> int:
    """Rows of all tables, and how often a conversation was moved on since it began."""
    with service.database.read() as connection:
        counts = [select(func.count()).select_from(each) for each in SQLModel.metadata.sorted_tables]
        rows = sum(connection.execute(count).scalar_one() for count in counts)
        moves = connection.execute(select(func.sum(_conversation.c.version))).scalar_one()
        return int(rows) + int(moves or 0)


def _kept(service: Service) -> int:
    with service.database.read() as connection:
        count = select(func.count()).select_from(_message).where(_message.c.event_id.is_not(None))
        return int(connection.execute(count).scalar_one())


def _make_plain(ground: Ground) -> None:
    database = open_database(ground.url)
    contender.metadata.create_all(database.engine)
    database.dispose()

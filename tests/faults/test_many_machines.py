"""Several machines over one database and one Redis: updated one by one while everything flows, and keeping to one
pace and one number of calls.
"""

from __future__ import annotations

import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from alembic import command
from alembic.config import Config
from sqlalchemy import exists, func, inspect, select
from sqlalchemy.exc import OperationalError

import bot.storage
from bot.clock import wall_time
from bot.storage import tables
from bot.storage.database import Database
from bot.storage.tables import table
from tests.faults import promises
from tests.faults.balancer import balancing
from tests.faults.promises import FINAL, Dial, Hours
from tests.faults.station import SOON, Station, eventually, station, waking_zone
from tests.journeys.world import Worker
from tests.ports import free_port

MOST_BROKEN = 4
JOBS = "worker.py jobs"
BATCH = 8
ON_THE_WAY = 2.5
"""Seconds by which the first of some requests may be slower than the last."""
PACE = 2
SLOTS = 2
WORKERS = 6
SENDERS = 8
OFTEN = 0.5
"""Seconds between two texts."""
LONG = "They have not paid us since January and nobody helps us here"
NEXT = """
from alembic import op
import sqlalchemy as sa

revision = "next"
down_revision = "{head}"
branch_labels = depends_on = None


def upgrade():
    for name in ("message", "conversation", "outbox", "callback", "attempt"):
        op.add_column(name, sa.Column("later", sa.Integer(), nullable=True))
        op.add_column(name, sa.Column("flag", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("message_later", "message", ["later"])
    op.create_table("future", sa.Column("id", sa.String(32), primary_key=True))
"""
"""A migration such as the next version could bring."""


def test_a_rolling_update_under_load_loses_nothing_and_calls_nobody_twice(
    tmp_path: Path, postgres_url: str
) -> None:
    ports = {"serve": free_port(), "serve-2": free_port()}
    settings = {"TWILIO_CALLS_PER_SECOND": PACE, "TWILIO_CALL_SLOTS": SLOTS, "WORK_PROCESSES": 1}
    with (
        balancing(list(ports.values())) as balancer,
        station(
            tmp_path,
            postgres_url,
            parts=("serve", "serve-2", "work", "work-2"),
            front=balancer.port,
            ports=ports,
            more=lambda _network: {name: str(value) for name, value in settings.items()},
            speed=16,
        ) as at,
    ):
        eventually(lambda: all(map(at.answers, ports)), "both web servers are there")
        balancer.nobody = 0
        began, numbers = wall_time(), [f"+62812000002{n:02}" for n in range(WORKERS)]
        at.interviewed(*(Worker(number=number, alias=number[-3:], script="human-no") for number in numbers))
        with writing(at) as texts:
            update_one_by_one(at, tmp_path)
        eventually(lambda: is_done(at), "everything due is done")
        at.network.idle()
        hours = dict.fromkeys(numbers, Hours(0, 24 * 60))
        seen = promises.gather(at, texts, [(began, timedelta())], hours, ZoneInfo(waking_zone()))
        assert promises.broken(seen) == [], (failures(at), balancer)
        assert Counter(dial.to for dial in seen.dials) == dict.fromkeys(numbers, 1)
        assert most_at_once(seen.dials) <= SLOTS
        assert len(texts) > SENDERS
        assert {status // 100 for status in balancer.answers} == {2}
        assert balancer.nobody == 0
        # What a server had taken from the line and not yet read when it was told to end: the provider asked again.
        assert balancer.broken <= MOST_BROKEN


def test_calls_keep_their_pace_and_their_number_when_a_batch_is_handed_out_at_once(
    tmp_path: Path, sqlite_url: str
) -> None:
    settings = {"TWILIO_CALLS_PER_SECOND": PACE, "TWILIO_CALL_SLOTS": BATCH, "WORK_PROCESSES": 2}
    with station(
        tmp_path,
        sqlite_url,
        more=lambda _network: {name: str(value) for name, value in settings.items()},
        speed=40,
    ) as at:
        at.start("work-2")
        eventually(lambda: len(at.pids(JOBS)) == 4, "all workers are there")
        # Nobody does what both clocks hand out, until every slot is taken; then all of it is handed out at once.
        at.kill(JOBS, signal.SIGSTOP)
        numbers = [f"+6281200003{n:03}" for n in range(BATCH + SLOTS)]
        at.interviewed(*(Worker(number=number, alias=number[-3:], script="human-no") for number in numbers))
        eventually(lambda: open_attempts(at) == BATCH, "every slot is taken")
        at.kill(JOBS)
        at.age()
        eventually(lambda: is_done(at), "everything due is done")
        at.network.idle()
        dials = promises.dials_of(at)
        assert Counter(dial.to for dial in dials) == dict.fromkeys(numbers, 1)
        assert most_at_once(dials) <= BATCH
        # Those that were handed out at once: the others had to wait for a slot, and would make the span long.
        first = sorted(dials, key=lambda dial: dial.created)[:BATCH]
        assert len(first) - 1 <= PACE * (span_of(first) + ON_THE_WAY)


@contextmanager
def writing(at: Station) -> Iterator[list[str]]:
    """Workers write to the hotline for the length of the block; gives the provider's ids of what they wrote."""
    texts: list[str] = []
    over = threading.Event()

    def write() -> None:
        while not over.wait(OFTEN):
            texts.append(at.network.text(f"+628199000{len(texts) % SENDERS:04}", LONG))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield texts
    finally:
        over.set()
        thread.join()


def update_one_by_one(at: Station, folder: Path) -> None:
    """As docs/operators.md says: first the schema, then each web server, then each `work`."""
    migrate(at.service.database, folder)
    at.service.database.check_schema()
    for part in ("serve", "serve-2", "work", "work-2"):
        process = at.running[part]
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 0, part
        at.start(part)
        eventually(partial(at.answers, part), f"{part} is back")


def failures(at: Station) -> Counter[tuple[str, str]]:
    """What went wrong with requests of the provider, by kind."""
    lines = at.network.get("/sim/state", parts="webhooks")["webhooks"]
    return Counter((line["kind"], line["failure"]) for line in lines if line["failure"])


def is_done(at: Station) -> bool:
    """Whether nothing is under way or due."""
    attempt, callback, outbox = table(tables.Attempt), table(tables.Callback), table(tables.Outbox)
    with at.service.database.read() as connection:
        return not any(
            connection.execute(select(query)).scalar()
            for query in (
                exists().where(attempt.c.state != "settled"),
                exists().where(callback.c.state == "dialling"),
                exists().where(callback.c.state == "scheduled", callback.c.due_at <= at.service.clock.now()),
                exists().where(outbox.c.state.not_in(FINAL)),
            )
        )


def open_attempts(at: Station) -> int:
    """How many dials were taken and are not over."""
    attempt = table(tables.Attempt)
    with at.service.database.read() as connection:
        query = select(func.count()).select_from(attempt).where(attempt.c.state != "settled")
        return int(connection.execute(query).scalar_one())


def migrate(database: Database, folder: Path) -> None:
    """What `voiceback db upgrade` of the next version does to a database in use."""
    scripts = folder / "migrations"
    shutil.copytree(Path(bot.storage.__file__).parent / "migrations", scripts)
    with database.read() as connection:
        head = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    (scripts / "versions" / "next.py").write_text(NEXT.format(head=head), encoding="utf-8")
    config = Config()
    config.set_main_option("script_location", str(scripts))

    def upgraded() -> bool:
        try:
            with database.engine.connect() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
        except OperationalError:
            # The server ended it because of a deadlock; nothing was changed, and the operator runs it again.
            return False
        return True

    eventually(upgraded, "the schema is the next one")
    with database.read() as connection:
        assert "future" in inspect(connection).get_table_names()


def most_at_once(dials: Sequence[Dial]) -> int:
    """How many calls were under way at the same time, as the provider saw it."""
    moments = [(dial.created, 1) for dial in dials]
    moments += [(dial.ended or datetime.max.replace(tzinfo=dial.created.tzinfo), -1) for dial in dials]
    under_way, most = 0, 0
    for _, change in sorted(moments):
        under_way += change
        most = max(most, under_way)
    return most


def span_of(dials: Sequence[Dial]) -> float:
    """Seconds from the first call's beginning to the last one's, as the provider saw it."""
    moments = [dial.created for dial in dials]
    return (max(moments) - min(moments)).total_seconds()

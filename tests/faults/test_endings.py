"""Parts that are told to end: they finish what they began, wait for nothing else, and are gone in seconds."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from bot.processes import children
from bot.storage import tables
from bot.storage.tables import table
from server import QUIET_SECONDS
from tests.faults.station import SOON, Station, eventually, station
from tests.journeys.world import Worker

WORKER = "+6281200000009"
HALVES = (
    b"POST /channels/sms HTTP/1.1\r\nHost: half",
    b"POST /channels/sms HTTP/1.1\r\nHost: half\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 500\r\n\r\nMessageSid=SM",
)


def test_the_web_answers_what_is_under_way_and_waits_for_no_half_request(
    tmp_path: Path, postgres_url: str
) -> None:
    with station(tmp_path, postgres_url) as at, halves(at):
        at.end("work")
        serve = at.running["serve"]
        with locked(postgres_url) as is_waited_for:
            text = at.network.text(WORKER, "They have not paid us since January and nobody helps us here")
            eventually(is_waited_for, "a request is under way")
            serve.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                serve.wait(QUIET_SECONDS + 1)
        assert serve.wait(SOON) == 0
        at.network.idle()
        webhooks = at.network.get("/sim/state", parts="webhooks")["webhooks"]
        assert [line["status"] for line in webhooks if line["about"] == text] == [200]
        assert stored(at, text) == 1


def test_a_web_server_that_is_told_to_end_while_it_starts_does_not_go_on(
    tmp_path: Path, postgres_url: str
) -> None:
    with station(tmp_path, postgres_url, parts=()) as at:
        at.start("serve")
        serve = at.running["serve"]
        eventually(lambda: bool(children(serve.pid)), "its processes load the application")
        serve.send_signal(signal.SIGTERM)
        assert serve.wait(SOON) == 0


def test_work_finishes_its_job_and_the_next_one_goes_on_from_there(tmp_path: Path, sqlite_url: str) -> None:
    with station(tmp_path, sqlite_url, speed=20, hang_seconds=100) as at:
        # The provider takes the call and says nothing for five seconds: the job is told to end in between.
        at.network.post("/sim/chaos", {"hang": 1.0})
        at.interviewed(Worker(number="+6281200000201"))
        eventually(lambda: bool(at.network.calls()), "a call")
        assert not asked(at), "the provider has not answered"
        work = at.running["work"]
        work.terminate()
        assert work.wait(SOON) == 0
        assert asked(at), "the job came to its end"
        at.network.post("/sim/chaos", {})
        at.start("work")
        at.age()
        eventually(lambda: states(at) == ["settled"], "the call is over")
        at.network.idle()
        assert len(at.network.calls()) == 1


@contextmanager
def halves(at: Station) -> Iterator[None]:
    """Connections over which half a request came, for the length of the block."""
    connections = [socket.create_connection(("127.0.0.1", at.port)) for _ in HALVES * 2]
    try:
        for connection, half in zip(connections, HALVES * 2, strict=True):
            connection.sendall(half)
        yield
    finally:
        for connection in connections:
            with suppress(OSError):
                connection.close()


@contextmanager
def locked(url: str) -> Iterator[Callable[[], bool]]:
    """Nobody can write a message for the length of the block; gives whether somebody waits to."""
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as looker:
        holder.execute("LOCK TABLE message IN ACCESS EXCLUSIVE MODE")

        def is_waited_for() -> bool:
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'message'::regclass"
            row = looker.execute(waits).fetchone()
            return bool(row and row[0])

        yield is_waited_for


def stored(at: Station, event_id: str) -> int:
    """How often an event of the provider stands in our database."""
    message = table(tables.Message)
    with at.service.database.read() as connection:
        return len(connection.execute(select(message.c.id).where(message.c.event_id == event_id)).all())


def asked(at: Station) -> bool:
    """Whether a job has written what came of asking the provider for a call."""
    words = (at.folder / "work.log").read_text(encoding="utf-8")
    return '"call_placed"' in words or '"call_not_placed"' in words


def states(at: Station) -> list[str]:
    """The states of all attempts."""
    with at.service.database.read() as connection:
        return list(connection.execute(select(table(tables.Attempt).c.state)).scalars())

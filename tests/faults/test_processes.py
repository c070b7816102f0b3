"""Parts that are killed in the middle: nobody is called twice, nothing is lost, everything due is done."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from sqlalchemy import select

from bot.callbacks import overview
from bot.storage import tables
from bot.storage.tables import table
from tests.faults.station import SOON, Station, eventually, station
from tests.journeys.world import REPORTS_DISMISSAL, Json, Worker

WORKERS = 8


def interviewed(at: Station, script: object = REPORTS_DISMISSAL, count: int = WORKERS) -> None:
    """Several workers who may be called now."""
    at.interviewed(
        *(Worker(number=f"+62812000002{n:02}", alias=f"W-{n}", script=script) for n in range(count))
    )


def callbacks(at: Station) -> list[Json]:
    """All callbacks of the first round with their attempts; a later round is weeks away."""
    with at.service.database.read() as connection:
        return [each for each in overview.newest(connection, 1000) if each["round"] == 1]


def is_served(at: Station) -> bool:
    """Whether nobody waits any more: each was tried, and no attempt is under way."""
    return all(
        each["attempts"] and all(attempt["state"] == "settled" for attempt in each["attempts"])
        for each in callbacks(at)
    )


def wait_until_served(at: Station) -> None:
    """Wait until everybody was tried; what a dead process held is let go of meanwhile."""

    def served() -> bool:
        if is_served(at):
            return True
        at.age(40)
        time.sleep(1.0)
        return is_served(at)

    eventually(served, "everybody is served")


def assert_nobody_was_called_twice(at: Station) -> None:
    """At most one call for each attempt that was not released."""
    at.network.idle()
    calls = Counter(call["to"] for call in at.network.calls())
    dialled = sum(
        attempt["disposition"] != "released" for each in callbacks(at) for attempt in each["attempts"]
    )
    assert max(calls.values(), default=0) <= 1
    assert sum(calls.values()) <= dialled


@pytest.fixture
def sqlite_station(tmp_path: Path, sqlite_url: str) -> Iterator[Station]:
    """A station on SQLite."""
    with station(tmp_path, sqlite_url) as running:
        yield running


@pytest.fixture
def slow_station(tmp_path: Path, postgres_url: str) -> Iterator[Station]:
    """A station on PostgreSQL whose calls take some seconds, so that they can be met in the middle."""
    with station(tmp_path, postgres_url, speed=20, hang_seconds=40) as running:
        yield running


def test_killed_workers_dial_nobody_twice(slow_station: Station) -> None:
    at = slow_station
    # The provider takes each call and never answers: the workers are killed while they wait.
    at.network.post("/sim/chaos", {"hang": 1.0})
    interviewed(at)
    eventually(lambda: len(at.network.calls()) >= 1, "a call")
    assert at.kill("worker.py jobs")
    at.network.post("/sim/chaos", {})
    wait_until_served(at)
    assert_nobody_was_called_twice(at)
    assert {each["state"] for each in callbacks(at)} <= {"reached", "scheduled"}
    assert any(each["state"] == "reached" for each in callbacks(at))


def test_a_killed_clock_and_a_killed_redis_lose_nobody(sqlite_station: Station) -> None:
    at = sqlite_station
    assert at.kill("worker.py clock")
    interviewed(at)
    eventually(lambda: len(at.network.calls()) >= 2, "calls")
    assert at.kill("valkey") or at.kill("redis")
    wait_until_served(at)
    assert_nobody_was_called_twice(at)
    assert len(at.network.calls()) == WORKERS
    assert {each["state"] for each in callbacks(at)} == {"reached"}


def test_a_flushed_redis_loses_nothing(sqlite_station: Station) -> None:
    from bot.queue import EmbeddedRedis

    at = sqlite_station
    with EmbeddedRedis.attach(at.folder / "var" / "redis").connection as redis:
        interviewed(at)
        for _ in range(20):
            redis.flushall()
            time.sleep(0.05)
    wait_until_served(at)
    assert_nobody_was_called_twice(at)
    assert {each["state"] for each in callbacks(at)} == {"reached"}


def test_a_web_server_killed_in_the_middle_of_calls_repeats_none(slow_station: Station) -> None:
    at = slow_station
    interviewed(at)
    eventually(lambda: any(call["status"] == "in-progress" for call in at.network.calls()), "a talk")
    for process in at.kill("cli.py serve"):
        assert process
    at.running["serve"].wait()
    at.start("serve")
    wait_until_served(at)
    assert_nobody_was_called_twice(at)
    asked = Counter(_answers(at))
    assert max(asked.values(), default=1) == 1


def _answers(at: Station) -> list[tuple[str, str]]:
    answer = table(tables.Answer)
    with at.service.database.read() as connection:
        rows = connection.execute(select(answer.c.conversation_id, answer.c.question)).all()
    return [(row.conversation_id, row.question) for row in rows]


def test_everything_stops_in_seconds_and_goes_on_where_it_was(sqlite_station: Station) -> None:
    at = sqlite_station
    at.network.text("+6281200000009", "They have not paid us since January and nobody helps us here")
    at.network.idle()
    started = time.monotonic()
    for process in at.running.values():
        process.send_signal(signal.SIGINT)
    codes = {part: process.wait(2 * SOON) for part, process in at.running.items()}
    assert time.monotonic() - started < SOON
    assert codes["work"] == 0
    assert codes["serve"] in {0, 130}
    with pytest.raises(requests.ConnectionError):
        requests.get(at.url + "/healthz", timeout=60)
    at.start("serve")
    at.start("work")
    at.wait_until_ready()
    at.age()
    eventually(lambda: bool(at.network.texts_to("+6281200000009")), "the answer")
    at.network.idle()
    assert len(at.network.texts_to("+6281200000009")) == 1

"""What is counted: once, by day and client, and without reading the history again."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from bot import folding, metrics, tally, tick, watch
from bot.callbacks.claim import UNSETTLED
from bot.cases import counted as counted_cases
from bot.ids import new_id
from bot.service import Service
from bot.storage import tables
from bot.storage.tables import table
from bot.tally import NO_CLIENT, What
from tests.journeys.world import REPORTS_DISMISSAL, Worker, World

EVENING = "2026-03-02T18:01:00+07:00"


def sums(world: World, what: What) -> dict[str, int]:
    """The sums over all days, by code."""
    found: Counter[str] = Counter()
    with world.service.database.read() as connection:
        for each in tally.of_all_days(connection):
            if each.what == what:
                found[each.code] += each.number
    return dict(found)


def counted(world: World) -> None:
    """Let the clock come round to counting."""
    world.pass_time(timedelta(seconds=31))
    world.beat()


def test_a_callback_that_is_made_is_counted_once_with_all_that_became_of_it(world: World) -> None:
    world.interviewed(Worker(script=REPORTS_DISMISSAL))
    world.at(EVENING)
    world.rest()
    for _ in range(3):
        counted(world)
    assert sums(world, What.ATTEMPT) == {"completed": 1}
    assert sums(world, What.ENDED) == {"reached": 1}
    assert sums(world, What.OUTCOME) == {"I": 1}
    assert sums(world, What.DIALLED) == {"inside": 1}
    assert sums(world, What.HEARD) == {"answered": 1, "safe": 1, "began": 1, "finished": 1}
    assert sums(world, What.MISSED) == {}
    assert sums(world, What.WORKER) == {"called": 1, "completed": 1, "retaliation": 1}
    assert sums(world, What.GRIEVANCE)["callback"] >= 1
    assert sums(world, What.CASE) == {}
    told = metrics.text(world.service).decode()
    (client,) = world.rows(tables.Client)
    assert f'voiceback_attempts_total{{client="{client.id}",disposition="completed"}} 1.0' in told
    assert f'voiceback_dials_total{{client="{client.id}",window="inside"}} 1.0' in told
    assert f'voiceback_workers_total{{client="{client.id}",stage="completed"}} 1.0' in told
    assert "retaliation" not in told
    assert "Brand A" not in told
    world.pass_time(timedelta(minutes=11))
    counted(world)
    assert sums(world, What.CASE) == {"opened": 1}


def test_a_window_that_goes_by_without_a_ring_is_a_broken_promise_and_is_counted_once(world: World) -> None:
    world.interviewed(Worker(), Worker(number="+6281200000002", alias="W-2"))
    world.at("2026-03-02T21:30:00+07:00")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: list(tick.beat(world.service)), range(3)))
    counted(world)
    assert sums(world, What.MISSED) == {"window": 2}
    assert sums(world, What.DIALLED) == {}
    (client,) = world.rows(tables.Client)
    today = [each for each in world.rows(tables.Tally) if each.day == world.clock.now().date()]
    assert [(each.client_id, each.what, each.number) for each in today] == [(client.id, "missed", 2)]


def test_clocks_that_count_together_count_once(world: World) -> None:
    planted(world.service, 40)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: folding.fold(world.service), range(4)))
    assert sums(world, What.ATTEMPT) == {"no_answer": 40}
    assert sums(world, What.DIALLED) == {"inside": 40}
    assert sums(world, What.WORKER) == {"called": 1}
    assert {each.client_id for each in world.rows(tables.Tally)} == {NO_CLIENT}


def test_what_an_operator_sees_does_not_tell_who_is_in_danger(sqlite_world: World) -> None:
    callback_id = planted(sqlite_world.service, 3)
    attempt = table(tables.Attempt)
    with sqlite_world.service.database.write() as connection:
        for n, disposition in ((1, "unsafe"), (2, "critical"), (3, "not_safe_now")):
            connection.execute(
                update(attempt)
                .where(attempt.c.callback_id == callback_id, attempt.c.n == n)
                .values(disposition=disposition)
            )
    folding.fold(sqlite_world.service)
    told = metrics.text(sqlite_world.service).decode()
    assert 'disposition="other"} 1.0' in told
    assert 'disposition="completed"} 1.0' in told
    assert not any(word in told for word in ("unsafe", "critical", "not_safe_now"))


def planted(service: Service, attempts: int) -> str:
    """A callback that was asked for, with attempts that nobody answered. Gives its id."""
    now = service.clock.now()
    contact, address, callback = new_id(), new_id(), new_id()
    with service.database.write() as connection:
        connection.execute(insert(table(tables.Contact)).values(id=contact, created_at=now))
        connection.execute(
            insert(table(tables.AddressRow)).values(
                id=address, kind="phone", index=address, stop_index=address, sealed=b"x", created_at=now
            )
        )
        connection.execute(
            insert(table(tables.Callback)).values(
                id=callback,
                contact_id=contact,
                address_id=address,
                kind="requested",
                round=1,
                channel="voice",
                language="en",
                timezone="Asia/Jakarta",
                country="ID",
                preference="evening",
                state="scheduled",
                attempts=attempts,
                first_day=now.date(),
                last_day=now.date(),
                created_at=now,
                updated_at=now,
                due_at=now + timedelta(days=1),
                window_end=now + timedelta(days=1, hours=3),
            )
        )
        rows = [
            {
                "id": new_id(),
                "callback_id": callback,
                "n": n,
                "channel": "voice",
                "state": "settled",
                "disposition": "no_answer",
                "provider_rank": 4,
                "due_at": now,
                "claimed_at": now,
                "asked_at": now,
                "window_end": now + timedelta(hours=3),
                "lease_until": now,
                "settled_at": now,
            }
            for n in range(1, attempts + 1)
        ]
        connection.execute(insert(table(tables.Attempt)), rows)
    return callback


# --- the line and the cases -----------------------------------------------------------------------


def waited(service: Service, *, wait: float, talk: float | None, wrap: float | None, outcome: str) -> None:
    """A caller who was in the line, and is not any more. Times are seconds."""
    now, conversation = service.clock.now(), new_id()
    ended = now + timedelta(seconds=wait + (talk or 0))
    with service.database.write() as connection:
        connection.execute(
            insert(table(tables.Conversation)).values(
                id=conversation,
                channel="voice",
                line="+15005550006",
                flow="hotline",
                revision="r1",
                language="en",
                state="ended",
                session_sealed=b"x",
                sprint=new_id(),
                started_at=now,
                updated_at=now,
            )
        )
        connection.execute(
            insert(table(tables.Transfer)).values(
                id=new_id(),
                conversation_id=conversation,
                language="en",
                state="ended",
                outcome=outcome,
                ring=1,
                lease_until=now,
                waiting_since=now,
                answered_at=None if talk is None else now + timedelta(seconds=wait),
                ended_at=ended,
                wrapped_up_at=None if wrap is None else ended + timedelta(seconds=wrap),
            )
        )


def test_callers_of_the_line_are_counted_once_when_nothing_more_will_be_known(world: World) -> None:
    waited(world.service, wait=12, talk=100, wrap=30, outcome="talked")
    waited(world.service, wait=25, talk=50, wrap=None, outcome="gone")
    waited(world.service, wait=3, talk=None, wrap=None, outcome="gone")
    waited(world.service, wait=60, talk=None, wrap=None, outcome="gone")
    waited(world.service, wait=0, talk=None, wrap=None, outcome="nobody")
    world.pass_time(timedelta(minutes=5))
    for _ in range(2):
        folding.fold(world.service)
    assert sums(world, What.LINE) == {"talked": 1, "wrapped": 1, "gone": 1, "gone_at_once": 1, "nobody": 1}
    # The talk that nobody wrapped up is counted when nobody can any more.
    world.pass_time(timedelta(hours=9))
    for _ in range(2):
        folding.fold(world.service)
    assert sums(world, What.LINE)["talked"] == 2
    assert sums(world, What.LINE_WAIT) == {"20": 1, "30": 1}
    assert sums(world, What.LINE_SECONDS) == {"wait": 37, "talk": 150, "wrap": 30}
    told = metrics.text(world.service).decode()
    assert 'voiceback_line_callers_total{outcome="talked"} 2.0' in told
    assert 'voiceback_line_wait_seconds_bucket{le="20.0"} 1.0' in told
    assert "voiceback_line_talk_seconds_total 150.0" in told


def test_cases_are_told_in_fives_and_of_days_that_are_over(sqlite_world: World) -> None:
    today = sqlite_world.clock.now().date()
    yesterday = today - timedelta(days=1)
    counts = {
        (yesterday, "one", What.CASE.value, "opened"): 4,
        (yesterday, "two", What.CASE.value, "opened"): 3,
        (today, "two", What.CASE.value, "opened"): 90,
        (yesterday, "one", What.CASE.value, "withdrawn"): 50,
        (yesterday, "one", What.CASE_REVIEW.value, "3600"): 5,
        (yesterday, "one", What.CASE_REPLY.value, "3600"): 4,
        (yesterday, "one", What.CASE_CLOCK.value, "review kept"): 9,
    }
    with sqlite_world.service.database.write() as connection:
        tally.add(connection, Counter(counts))
    told = metrics.text(sqlite_world.service).decode()
    assert 'voiceback_cases_total{event="opened"} 5.0' in told
    assert 'voiceback_case_clocks_total{clock="review",end="kept"} 5.0' in told
    assert 'voiceback_case_seconds{quantile="0.5",to="review"} 3600.0' in told
    assert 'to="reply"' not in told
    assert "withdrawn" not in told


# --- plans of the database ---------------------------------------------------------------------------


def plan(connection: Connection, statement: str) -> str:
    """How the database would find the rows."""
    words = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    return " ".join(str(row[-1]) for row in connection.execute(text(words + statement)))


@pytest.mark.parametrize(
    ("of", "where", "index"),
    [
        ("attempt", folding._ATTEMPTS, "attempt_untallied"),
        ("callback", folding._CALLBACKS, "callback_untallied"),
        ("trouble", folding._TROUBLES, "trouble_untallied"),
        ("transfer", folding._TRANSFERS, "transfer_untallied"),
        ("case_event", counted_cases.ripe(datetime(2026, 3, 2, tzinfo=UTC)), "case_event_untallied"),
        ("grievance", counted_cases.GRIEVANCES, "grievance_untallied"),
        ("callback", watch._SCHEDULED, "callback_due"),
        ("attempt", UNSETTLED, "attempt_open"),
        ("recording", watch._to_fetch(table(tables.RecordingRow)), "recording_due"),
        ("media", watch._to_fetch(table(tables.Media)), "media_due"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_number_needs_a_scan_of_history(world: World, of: str, where: object, index: str) -> None:
    dialects = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}  # type: ignore[no-untyped-call]  # untyped there
    which = select(tables.metadata.tables[of].c.id).where(where)  # type: ignore[arg-type]  # a condition
    with world.service.database.read() as connection:
        compiled = which.compile(
            dialect=dialects[connection.dialect.name], compile_kwargs={"literal_binds": True}
        )
        if connection.dialect.name == "postgresql":
            # Tables of a test are so small that reading all of them costs less.
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        assert index in plan(connection, str(compiled))


def test_sums_of_a_week_are_found_by_their_days(world: World) -> None:
    with world.service.database.read() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        told = plan(connection, "SELECT * FROM tally WHERE day >= '2026-03-01' AND day <= '2026-03-07'")
    assert any(word in told for word in ("tally_pkey", "sqlite_autoindex_tally_1"))


def test_readings_are_kept_for_a_day(sqlite_world: World) -> None:
    started = sqlite_world.clock.now()
    for _ in range(3):
        sqlite_world.pass_time(timedelta(hours=12))
        sqlite_world.beat()
    with sqlite_world.service.database.read() as connection:
        found = watch.history(connection, "due", datetime(2020, 1, 1, tzinfo=UTC))
    assert [at - started for at, _ in found] == [timedelta(hours=12 * n) for n in (1, 2, 3)]

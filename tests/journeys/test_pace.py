"""Texts keep the pace of their provider, and one channel's trouble is no other's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from bot import outbox, pace, tick
from bot.clock import wall_time
from bot.messages import Channel
from bot.storage import tables
from bot.storage.database import Database
from channels import jobs
from channels.telegram import Telegram
from tests.channels.telegram import PATH, SECRET, Chat
from tests.journeys.world import BOT_TOKEN, HOTLINE, NOTICE, World, Worlds

LONG = "They have not paid us since January and nobody in the office wants to talk with us about it"


@pytest.fixture
def busy(worlds: Worlds, sqlite_url: str) -> World:
    """A world with three channels, of which SMS takes two texts a second."""
    world = worlds(
        sqlite_url,
        sms_per_second=2,
        twilio_whatsapp_from=HOTLINE,
        twilio_whatsapp_templates=NOTICE,
        telegram_bot_token=BOT_TOKEN,
        telegram_webhook_secret=SECRET,
    )
    Telegram(world.service.settings).set_webhook(world.url + PATH)
    return world


def worker(n: int) -> str:
    """The number of a made-up worker."""
    return f"+62812000000{n:02}"


def write(world: World, count: int, prefix: str = "") -> None:
    """So many workers write, and their answers wait in the outbox."""
    for n in range(count):
        world.network.text(prefix + worker(n), LONG, prefix + HOTLINE)
    world.network.idle()


def delivered(world: World) -> int:
    """Texts that one beat of the clock has sent."""
    return sum(len(work.ids) for work in world.beat() if work.job == "deliver")


def test_texts_go_out_at_the_pace_of_their_channel_and_all_go_out(busy: World) -> None:
    write(busy, 9)
    beats = []
    for _ in range(5):
        beats.append(delivered(busy))
        busy.pass_time(timedelta(seconds=1))
    assert beats == [2, 2, 2, 2, 1]
    assert all(busy.network.texts_to(worker(n)) for n in range(9))


def test_a_flood_on_one_channel_keeps_no_other_waiting(busy: World) -> None:
    write(busy, 9)
    write(busy, 1, "whatsapp:")
    busy.beat()
    assert busy.network.texts_to(f"whatsapp:{worker(0)}")
    waiting = [row for row in busy.rows(tables.Outbox) if (row.channel, row.state) == ("sms", "queued")]
    assert len(waiting) == 7


def test_a_provider_that_has_had_too_much_is_left_alone_by_the_whole_channel(busy: World) -> None:
    busy.network.post("/sim/errors", number=worker(0), create=20429)
    write(busy, 1)
    assert delivered(busy) == 1
    write(busy, 2)
    busy.pass_time(timedelta(seconds=3))
    assert delivered(busy) == 0
    write(busy, 1, "whatsapp:")
    assert delivered(busy) == 1
    busy.network.post("/sim/errors", number=worker(0))
    busy.pass_time(timedelta(seconds=3))
    busy.run()
    assert all(row.state == "sent" for row in busy.rows(tables.Outbox))


def test_telegrams_flood_wait_stops_all_its_chats_for_as_long_as_it_says(busy: World) -> None:
    first, second = Chat(busy, worker(0)), Chat(busy, worker(1))
    first.order(code=429, retry_after=40)
    first.does("start")
    busy.beat()
    second.does("start")
    for _ in range(3):
        busy.pass_time(timedelta(seconds=10))
        assert delivered(busy) == 0
    busy.pass_time(timedelta(seconds=12))
    busy.run()
    assert first.heard()
    assert second.heard()


def test_two_messages_to_one_telegram_chat_are_a_second_apart(busy: World) -> None:
    chat = Chat(busy, worker(0))
    chat.does("start")
    chat.does("text", text="help")
    assert len([row for row in busy.rows(tables.Outbox) if row.state == "queued"]) >= 2
    assert delivered(busy) == 1
    assert delivered(busy) == 0
    busy.pass_time(timedelta(seconds=1))
    assert delivered(busy) == 1


def test_what_was_leased_when_its_channel_closed_waits_and_is_not_counted_as_a_try(busy: World) -> None:
    write(busy, 1)
    now, wall = busy.clock.now(), wall_time()
    ids = outbox.claim(busy.service.database, Channel.SMS, 2, now, wall, 10)
    with busy.service.database.write() as connection:
        pace.close(connection, Channel.SMS, wall + timedelta(seconds=30))
    jobs.deliver(*ids)
    (row,) = busy.rows(tables.Outbox)
    assert (row.state, row.tries) == ("queued", 0)
    busy.pass_time(timedelta(seconds=31))
    busy.run()
    assert len(busy.network.texts_to(worker(0))) == 1


def test_no_more_is_under_way_on_a_channel_than_goes_out_in_a_moment(busy: World) -> None:
    write(busy, 30)
    taken = 0
    for _ in range(30):
        taken += sum(len(work.ids) for work in _asked(busy))
        busy.pass_time(timedelta(seconds=1))
    assert taken == 10


def _asked(world: World) -> list[Any]:
    return [work for work in tick.beat(world.service) if work.job == "deliver"]


def test_a_job_of_many_texts_sends_each_once_and_writes_each_down(busy: World) -> None:
    write(busy, 10)
    now, wall = busy.clock.now(), wall_time()
    pace.make(busy.service.database, Channel.SMS, wall)
    ids = outbox.claim(busy.service.database, Channel.SMS, 100, now, wall, 10)
    jobs.deliver(*ids)
    jobs.deliver(*ids)
    busy.network.idle()
    assert [len(busy.network.texts_to(worker(n))) for n in range(10)] == [1] * 10
    assert {row.state for row in busy.rows(tables.Outbox)} == {"sent"}
    ours = [row.provider_id for row in busy.rows(tables.Message) if row.direction == "out"]
    assert len(set(ours)) == 10


def test_one_text_that_fails_takes_no_other_with_it(busy: World) -> None:
    busy.network.post("/sim/errors", number=worker(3), create=21211)
    write(busy, 8)
    now, wall = busy.clock.now(), wall_time()
    ids = outbox.claim(busy.service.database, Channel.SMS, 100, now, wall, 10)
    jobs.deliver(*ids)
    states = [row.state for row in busy.rows(tables.Outbox)]
    assert sorted(states) == ["failed", *["sent"] * 7]


def test_claiming_reads_what_is_open_and_never_the_history(database: Database) -> None:
    asked: list[tuple[str, Any]] = []

    def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM outbox" in statement or statement.startswith("UPDATE outbox"):
            asked.append((statement, parameters))

    wall = wall_time()
    with database.write() as connection:
        connection.execute(
            tables.table(tables.Outbox).insert(),
            [
                outbox.queue_row("", "", channel, wall) | {"message_id": None, "address_id": None}
                for channel in ("sms", "email")
            ],
        )
    event.listen(database.engine, "before_cursor_execute", keep)
    outbox.claim(database, Channel.SMS, 100, wall, wall, 10)
    outbox.claim_notices(database, wall, wall, 10)
    event.remove(database.engine, "before_cursor_execute", keep)
    assert asked
    plans = [_plan(database, statement, parameters) for statement, parameters in asked]
    assert all("outbox_" in plan for plan in plans), plans


def _plan(database: Database, statement: str, parameters: Any) -> str:
    """How the database would go about a statement, if it had more rows than it is worth to read all of."""
    with database.read() as connection:
        if database.dialect == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            explain = "EXPLAIN "
        else:
            explain = "EXPLAIN QUERY PLAN "
        rows = connection.exec_driver_sql(explain + statement, parameters).all()
    return "\n".join(" ".join(map(str, row)) for row in rows)

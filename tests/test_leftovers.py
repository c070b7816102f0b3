"""What still lies with a provider is found when its time has come, once, and let go of in the end; on each database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from bot import leftovers, media
from bot.backoff import delay
from bot.clock import FrozenClock, wall_time
from bot.errors import SendError, SendOutcome
from bot.ids import new_id
from bot.leftovers import Kind
from bot.messages import Channel, MediaRef
from bot.privacy.seal import Sealer
from bot.settings import Settings
from bot.storage.database import Database
from bot.storage.tables import Leftover, Media, Message, table
from bot.storage.types import AnyRow

HOUR = timedelta(hours=1)
REFUSED = SendError(SendOutcome.PERMANENT, "20009")


def say(database: Database, sealer: Sealer, **values: object) -> str:
    """A message whose time at the provider is over; gives its id."""
    row_id = new_id()
    row = {
        "id": row_id,
        "channel": "sms",
        "direction": "in",
        "event_id": f"SM{row_id}",
        "body_sealed": sealer.seal_text(f"message.body_sealed:{row_id}", "hello"),
        "status_rank": -1,
        "forget_at": wall_time() - HOUR,
        "created_at": wall_time(),
    }
    with database.write() as connection:
        connection.execute(insert(table(Message)).values(row | values))
    return row_id


def claim(database: Database, after: timedelta = timedelta()) -> list[str]:
    """What is due now, or after some time."""
    with database.write() as connection:
        return leftovers.claim(connection, wall_time() + after, 10)


def rows(database: Database) -> list[AnyRow]:
    """All leftovers."""
    with database.read() as connection:
        return list(connection.execute(select(table(Leftover)).order_by(table(Leftover).c.id)).all())


def test_messages_of_both_directions_are_found_once(database: Database, sealer: Sealer) -> None:
    came = say(database, sealer)
    say(database, sealer, direction="out", event_id=None, provider_id="SMsent")
    say(database, sealer, direction="out", event_id=None)
    say(database, sealer, forget_at=wall_time() + HOUR)
    assert len(claim(database)) == 2
    assert claim(database) == []
    assert {row.provider_id for row in rows(database)} == {f"SM{came}", "SMsent"}
    again = claim(database, leftovers.LEASE + HOUR / 60)
    assert len(again) == 2, "a job that is lost comes again when its lease is over"


def test_a_message_waits_until_its_files_are_home(database: Database, sealer: Sealer) -> None:
    message_id = say(database, sealer)
    with database.write() as connection:
        media.expect(connection, sealer, message_id, Channel.SMS, [MediaRef("x", "image/png")], wall_time())
    assert claim(database) == []
    with database.write() as connection:
        connection.execute(table(Media).update().values(state="kept"))
    assert len(claim(database)) == 1


def test_files_are_leased_one_by_one(database: Database, sealer: Sealer) -> None:
    message_id = say(database, sealer)
    with database.write() as connection:
        files = [MediaRef("x", "image/png"), MediaRef("y", "image/png")]
        media.expect(connection, sealer, message_id, Channel.SMS, files, wall_time())
    wall = wall_time() + HOUR
    with database.write() as connection:
        assert len(media.claim(connection, media.FILES, wall, 1)) == 1
        assert len(media.claim(connection, media.FILES, wall, 9)) == 1
        assert media.claim(connection, media.FILES, wall, 9) == []
        assert len(media.claim(connection, media.FILES, wall + media.LEASE, 9)) == 2


def test_a_call_is_noted_once_and_not_at_all_where_nothing_is_deleted(database: Database) -> None:
    with database.write() as connection:
        for _ in range(2):
            leftovers.note_call(connection, Settings.model_validate({}), "CA1")
        leftovers.note_call(connection, Settings.model_validate({"delete_at_provider": False}), "CA2")
    (row,) = rows(database)
    assert (row.kind, row.channel, row.provider_id) == (Kind.CALL, "voice", "CA1")
    assert timedelta(hours=23) < row.due_at - wall_time() <= timedelta(hours=24)
    assert claim(database) == []
    (found,) = claim(database, timedelta(hours=25))
    with database.write() as connection:
        left = leftovers.load(connection, found)
        assert left is not None
        leftovers.gone(connection, left)
    assert rows(database) == []


def test_what_is_not_complete_is_left_alone_for_a_minute(
    database: Database, sealer: Sealer, frozen_clock: FrozenClock
) -> None:
    say(database, sealer)
    (found,) = claim(database)
    wall = wall_time()
    _fail(database, found, frozen_clock)
    assert rows(database)[0].due_at >= wall + leftovers.TWILIOS_PATIENCE
    with database.write() as connection:
        connection.execute(table(Leftover).update().values(tries=media.MOST_TRIES))
    _fail(database, found, frozen_clock)
    assert rows(database) == []


def _fail(database: Database, leftover_id: str, clock: FrozenClock) -> None:
    with database.write() as connection:
        left = leftovers.load(connection, leftover_id)
        assert left is not None
        leftovers.not_deleted(connection, left, REFUSED, wall_time(), clock.now())


def test_it_is_tried_for_two_weeks() -> None:
    waits = (max(leftovers.TWILIOS_PATIENCE, delay(tries)) for tries in range(1, media.MOST_TRIES))
    assert timedelta(days=13) < sum(waits, timedelta()) < timedelta(days=15)
    missing = sum((delay(tries) for tries in range(1, media.MISSING_TRIES)), timedelta())
    assert timedelta(hours=6) < missing < timedelta(hours=8)


def test_where_nothing_is_to_be_deleted_what_was_noted_is_let_be(database: Database, sealer: Sealer) -> None:
    say(database, sealer)
    with database.write() as connection:
        leftovers.note_call(connection, Settings.model_validate({}), "CA1")
        leftovers.let_stay(connection)
    assert rows(database) == []
    assert claim(database) == []


@pytest.mark.parametrize("hours", [1.0, 24.0, 336.0])
def test_the_operator_says_how_long_the_provider_keeps_things(hours: float) -> None:
    settings = Settings.model_validate({"provider_keeps_hours": hours})
    now = wall_time()
    assert settings.forget_at(now) == now + timedelta(hours=hours)

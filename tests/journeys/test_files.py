"""Pictures, voice notes and files that workers send are brought home, sealed, and deleted at the provider."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests
from pydantic import SecretStr
from sqlalchemy import update

from bot import media, parked
from bot.incidents import IncidentKind
from bot.messages import Address, AddressKind, Channel, Inbound, Media, MediaRef
from bot.storage import tables
from bot.storage.tables import table
from channels import jobs, twilio_store
from channels.base import registry
from simulator.attachments import sample
from tests.journeys.test_handoff import ASKED
from tests.journeys.test_hotline import write
from tests.journeys.world import ACCOUNT, BOT_TOKEN, HOTLINE, TOKEN, World, Worlds

WORKER = "+6281200000031"
PICTURE, VOICE = sample("picture")[2], sample("voice")[2]
HOUR = timedelta(hours=1)
DAY = timedelta(hours=25)
"""Longer than the provider keeps anything."""


@pytest.fixture
def world(sqlite_world: World) -> World:
    """Nothing here depends on the database, but for what is told to run on both."""
    return sqlite_world


def there(world: World, path: str) -> Any:
    """What Twilio's API has under a path of the account."""
    url = f"{world.network.url}/2010-04-01/Accounts/{ACCOUNT}/{path}"
    return requests.get(url, auth=(ACCOUNT, TOKEN), timeout=10).json()


def messages_there(world: World) -> set[str]:
    """The ids of the messages that Twilio has."""
    return {each["sid"] for each in there(world, "Messages.json")["messages"]}


def kept(world: World) -> list[tuple[str, bytes]]:
    """Type and content of all files that are kept, opened."""
    opened = world.service.sealer.open_bytes
    return [
        (row.content_type, opened(f"attachment.content_sealed:{row.id}", row.content_sealed))
        for row in world.rows(tables.Attachment)
    ]


def states(world: World) -> list[str]:
    """The states of the files that lay with the provider."""
    return [row.state for row in world.rows(tables.Media)]


def pass_days(world: World, span: timedelta = DAY) -> None:
    """Let the time pass for which the provider keeps messages, and what is due then be done."""
    world.pass_time(span)
    world.run()


# --- in -------------------------------------------------------------------------------------------


def test_a_picture_is_sealed_here_and_then_deleted_there(world: World) -> None:
    sid = world.network.text(WORKER, "our dormitory", media=["picture"])
    world.network.idle()
    assert there(world, f"Messages/{sid}/Media.json")["media_list"]
    world.run()
    assert kept(world) == [("image/jpeg", PICTURE)]
    (row,) = world.rows(tables.Media)
    assert (row.state, row.ref_sealed) == ("kept", None)
    assert there(world, f"Messages/{sid}/Media.json")["media_list"] == []
    assert world.transcript()[0] == ("in", "our dormitory\n[image/jpeg] 1")


def test_several_files_of_one_message_are_kept_in_their_order(world: World) -> None:
    world.network.text(WORKER, "", media=["picture", "voice"])
    world.network.idle()
    world.run()
    assert kept(world) == [("image/jpeg", PICTURE), ("audio/ogg", VOICE)]


def test_a_file_that_comes_again_with_its_message_is_kept_once(world: World) -> None:
    sid = world.network.text(WORKER, "look", media=["picture"])
    world.network.idle()
    world.network.post("/sim/sms", repeat=sid)
    world.network.idle()
    world.run()
    assert kept(world) == [("image/jpeg", PICTURE)]


def test_what_calls_itself_a_picture_and_is_a_page_is_kept_as_something_unknown(world: World) -> None:
    page = {"name": "a.png", "content_type": "image/png", "data": "PHNjcmlwdD4="}
    world.network.text(WORKER, "look", media=[page])
    world.network.idle()
    world.run()
    assert kept(world) == [("application/octet-stream", b"<script>")]


def test_a_file_reaches_the_person_who_answers(world: World) -> None:
    write(world, *ASKED, sender=WORKER)
    world.network.text(WORKER, "look", media=["picture"])
    world.network.idle()
    world.run()
    assert kept(world) == [("image/jpeg", PICTURE)]


def test_a_file_of_a_parked_message_is_fetched_when_the_message_is_taken_again(world: World) -> None:
    file = MediaRef(
        f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages/MM1234/Media/ME1234", "image/png"
    )
    sender = Address(AddressKind.PHONE, WORKER)
    now = world.clock.now()
    inbound = Inbound(Channel.SMS, "MM1234", sender, HOTLINE, Media((file,), "x"), now, forget_at=now)
    assert parked.park(world.service, inbound)
    assert world.rows(tables.Media) == []
    world.pass_time(2 * HOUR)
    world.run()
    (row,) = world.rows(tables.Media)
    opened = world.service.sealer.open_text(f"media.ref_sealed:{row.id}", row.ref_sealed)
    assert (opened, row.content_type) == (file.ref, "image/png")


# --- when the provider fails ----------------------------------------------------------------------


def test_nothing_is_lost_while_the_provider_fails(world: World) -> None:
    for misfortune in ("error_before", "error", "hang"):
        world.network.post("/sim/chaos", {misfortune: 1.0})
        if not states(world):
            world.network.text(WORKER, "look", media=["picture"])
            world.network.idle()
        world.beat()
        assert states(world) == ["due"], misfortune
        world.pass_time(HOUR)
    world.network.post("/sim/chaos", {})
    world.run()
    assert (states(world), kept(world)) == (["kept"], [("image/jpeg", PICTURE)])


def test_a_wrong_password_is_the_operators_to_mend_and_then_the_file_comes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = world.service.settings.model_copy(update={"twilio_auth_token": SecretStr("wrong")})
    monkeypatch.setattr(jobs, "doors", lambda: registry(wrong))
    world.network.text(WORKER, "look", media=["picture"])
    world.network.idle()
    world.beat()
    assert ("provider", "sms 401") in world.incidents()
    assert states(world) == ["due"]
    monkeypatch.undo()
    monkeypatch.setattr(jobs, "service", lambda: world.service)
    pass_days(world, HOUR)
    assert states(world) == ["kept"]


def test_what_the_provider_has_not_is_asked_for_again_and_then_given_up(world: World) -> None:
    sid = world.network.text(WORKER, "look", media=["picture"])
    world.network.idle()
    (file,) = there(world, f"Messages/{sid}/Media.json")["media_list"]
    gone = f"{world.network.url}{file['uri']}"
    assert requests.delete(gone, auth=(ACCOUNT, TOKEN), timeout=10).status_code == 204
    waited = []
    for _ in range(media.MISSING_TRIES):
        world.beat()
        (row,) = world.rows(tables.Media)
        waited.append(row.state)
        world.pass_time(2 * HOUR)
    assert waited == ["due"] * (media.MISSING_TRIES - 1) + ["absent"]
    assert world.incidents() == {(IncidentKind.FILE, row.id)}


def test_a_file_that_is_too_large_is_refused_and_the_operator_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio_store, "MOST_MEDIA_BYTES", len(PICTURE) - 1)
    world.network.text(WORKER, "look", media=["picture"])
    world.network.idle()
    world.run()
    assert (states(world), kept(world)) == (["refused"], [])
    assert {kind for kind, _ in world.incidents()} == {IncidentKind.FILE}


def test_a_worker_process_that_died_between_sealing_and_deleting_is_made_good(world: World) -> None:
    sid = world.network.text(WORKER, "look", media=["picture"])
    world.network.idle()
    with world.service.database.read() as connection:
        item = media.file(connection, world.service.sealer, world.rows(tables.Media)[0].id)
    assert item is not None
    with world.service.database.write() as connection:
        brought = jobs.doors()[Channel.SMS].fetch(item.ref)  # type: ignore[attr-defined]  # of Carrying, as SMS is
        media.store(connection, world.service.sealer, item, brought, world.clock.now())
    world.run()
    assert (states(world), kept(world)) == (["kept"], [("image/jpeg", PICTURE)])
    assert there(world, f"Messages/{sid}/Media.json")["media_list"] == []


# --- on other channels ----------------------------------------------------------------------------


@pytest.fixture
def telegram(worlds: Worlds, sqlite_url: str) -> World:
    """A world with Telegram."""
    return worlds(
        sqlite_url,
        telegram_bot_token=BOT_TOKEN,
        telegram_webhook_secret="a-make-believe-webhook-secret",
    )


@pytest.fixture
def hoarding(worlds: Worlds, sqlite_url: str) -> World:
    """A world in which nothing is deleted at the provider."""
    return worlds(sqlite_url, delete_at_provider=False)


def _post_update(world: World) -> None:
    hook = {"url": f"{world.url}/channels/telegram", "secret_token": "a-make-believe-webhook-secret"}
    url = f"{world.network.url}/bot{BOT_TOKEN}/setWebhook"
    assert requests.post(url, data=hook, timeout=10).ok
    world.network.post(f"/sim/telegram/people/{WORKER}/start", {})


def test_a_voice_note_by_telegram_is_sealed_and_no_token_is_told(
    telegram: World, caplog: pytest.LogCaptureFixture
) -> None:
    _post_update(telegram)
    caplog.set_level("DEBUG")
    telegram.network.post(f"/sim/telegram/people/{WORKER}/voice", {})
    telegram.network.idle()
    telegram.run()
    assert kept(telegram) == [("audio/ogg", VOICE)]
    assert states(telegram) == ["kept"]
    assert BOT_TOKEN not in caplog.text


def test_a_file_by_telegram_that_bots_may_not_have_is_refused(telegram: World) -> None:
    _post_update(telegram)
    telegram.network.post(
        "/sim/telegram/errors",
        {"method": "getFile", "code": 400, "description": "Bad Request: file is too big"},
    )
    telegram.network.post(f"/sim/telegram/people/{WORKER}/photo", {"caption": "look"})
    telegram.network.idle()
    telegram.run()
    assert states(telegram) == ["refused"]


def test_a_flood_at_telegram_loses_no_file(telegram: World) -> None:
    _post_update(telegram)
    telegram.network.post("/sim/telegram/errors", {"method": "getFile", "code": 429, "retry_after": 20})
    telegram.network.post(f"/sim/telegram/people/{WORKER}/photo", {"caption": "look"})
    telegram.network.idle()
    telegram.beat()
    assert states(telegram) == ["due"]
    pass_days(telegram, HOUR)
    assert kept(telegram) == [("image/jpeg", PICTURE)]


# --- deleting at the provider ---------------------------------------------------------------------


def test_messages_are_deleted_at_the_provider_after_a_day_and_stay_here(world: World) -> None:
    write(world, "hello", "1", sender=WORKER)
    said, first = world.transcript(), messages_there(world)
    assert len(said) == len(first) == 4
    pass_days(world, timedelta(hours=23))
    assert first < messages_there(world), "they are there still, and a reminder with them"
    pass_days(world, 2 * HOUR)
    assert not first & messages_there(world)
    assert world.transcript()[: len(said)] == said
    assert world.rows(tables.Leftover) == []


def test_a_message_that_comes_again_after_it_was_deleted_changes_nothing(world: World) -> None:
    write(world, "hello", sender=WORKER)
    (hit,) = world.hits_at("/channels/sms")[:1]
    pass_days(world)
    before = world.counts()
    assert world.again(hit).ok
    assert world.counts() == before


def test_every_sending_of_a_text_is_deleted_also_those_that_failed(world: World) -> None:
    world.network.post("/sim/errors", number=WORKER, message=30003)
    write(world, "hello", sender=WORKER)
    assert len(messages_there(world)) == 2
    world.network.post("/sim/errors", number=WORKER)
    pass_days(world, 3 * HOUR)
    sendings = messages_there(world)
    assert len(sendings) == 3
    pass_days(world)
    assert not sendings & messages_there(world)


def test_a_message_waits_for_its_files(world: World) -> None:
    world.network.post("/sim/chaos", {"error_before": 1.0})
    sid = world.network.text(WORKER, "look", media=["picture"])
    world.network.idle()
    world.beat()
    world.pass_time(DAY)
    world.network.post("/sim/chaos", {})
    with world.service.database.write() as connection:
        later = world.rows(tables.Media)[0].due_at + timedelta(days=3)
        connection.execute(update(table(tables.Media)).values(due_at=later))
    world.run()
    assert sid in messages_there(world)
    pass_days(world, timedelta(days=3))
    assert kept(world) == [("image/jpeg", PICTURE)]
    assert sid not in messages_there(world)


def test_a_call_is_deleted_when_it_is_complete_and_not_before(world: World) -> None:
    call = world.network.ring(WORKER, script={"steps": [{"keys": "1"}, {"hangup": True}]})
    world.network.idle()
    world.rest()
    assert [each["sid"] for each in there(world, "Calls.json")["calls"]] == [call]
    pass_days(world)
    assert there(world, "Calls.json")["calls"] == []


def test_what_cannot_be_deleted_yet_is_tried_again_and_told_in_the_end(world: World) -> None:
    write(world, "hello", sender=WORKER)
    world.network.post("/sim/chaos", {"error_before": 1.0})
    world.pass_time(DAY)
    world.beat()
    left = world.rows(tables.Leftover)
    assert [row.tries for row in left] == [1, 1]
    with world.service.database.write() as connection:
        connection.execute(update(table(tables.Leftover)).values(tries=media.MOST_TRIES - 1))
    world.pass_time(HOUR)
    world.beat()
    assert (IncidentKind.LEFTOVER, "sms 20503") in world.incidents()
    assert world.rows(tables.Leftover) == []


def test_nothing_is_deleted_where_the_operator_does_not_want_it(hoarding: World) -> None:
    sid = hoarding.network.text(WORKER, "look", media=["picture"])
    hoarding.network.idle()
    hoarding.run()
    hoarding.network.ring(WORKER, script={"steps": [{"keys": "1"}, {"hangup": True}]})
    hoarding.network.idle()
    hoarding.rest()
    pass_days(hoarding)
    assert kept(hoarding) == [("image/jpeg", PICTURE)]
    assert states(hoarding) == ["kept"]
    assert there(hoarding, f"Messages/{sid}/Media.json")["media_list"]
    assert len(there(hoarding, "Calls.json")["calls"]) == 1
    assert sid in messages_there(hoarding)
    assert hoarding.rows(tables.Leftover) == []

"""Speech on the telephone: recorded with consent only, brought home sealed, and lost in no trouble of the provider's."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, update

from bot import media
from bot.ids import new_id
from bot.incidents import IncidentKind
from bot.storage import tables
from bot.storage.tables import table
from channels import jobs
from channels.voice import Voice
from tests.journeys.test_files import HOUR
from tests.journeys.world import REPORTS_DISMISSAL, Worker, World

EVENING = "2026-03-02T11:10:00+00:00"


@pytest.fixture
def world(sqlite_world: World) -> World:
    """Nothing here depends on the database."""
    return sqlite_world


def speak(world: World, *, fetching: bool = False) -> None:
    """A worker is called and answers in her own words; ``fetching``: the clock goes on after the call."""
    world.interviewed(Worker(script=REPORTS_DISMISSAL))
    world.at(EVENING)
    if fetching:
        world.rest()
        return
    with pytest.MonkeyPatch.context() as meanwhile:
        # The jobs of these beats are lost on their way, as jobs may be.
        meanwhile.setattr(jobs, "fetch", lambda *_: None)
        world.rest()
    world.pass_time(media.LEASE)


def recording(world: World) -> Any:
    """The only recording."""
    (row,) = world.rows(tables.RecordingRow)
    return row


def is_there(world: World) -> bool:
    """Whether the provider still has it."""
    (found,) = world.network.recordings()
    return not found["deleted"]


def answer_consent(world: World, *, given: bool) -> None:
    """Her word on recording, as the flow writes it."""
    (talk,) = world.rows(tables.Conversation)
    row = {
        "id": new_id(),
        "conversation_id": talk.id,
        "scope": "record",
        "given": given,
        "created_at": world.clock.now(),
    }
    with world.service.database.write() as connection:
        connection.execute(insert(table(tables.Consent)).values(row))


def test_a_recording_survives_errors_silence_and_a_wrong_password(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak(world)
    for misfortune in ("error_before", "error", "hang"):
        world.network.post("/sim/chaos", {misfortune: 1.0})
        world.beat()
        assert recording(world).state == "due", misfortune
        world.pass_time(HOUR)
    world.network.post("/sim/chaos", {})
    settings = world.service.settings
    wrong = settings.model_copy(update={"twilio_auth_token": SecretStr("wrong")})
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(jobs, "voice", lambda: Voice(wrong, world.service.catalogs))
        world.beat()
    assert recording(world).state == "due"
    assert ("provider", "voice 401") in world.incidents()
    world.pass_time(HOUR)
    world.run()
    assert recording(world).state == "kept"
    assert not is_there(world)


def test_a_recording_that_never_becomes_ready_is_given_up_after_hours_and_told(world: World) -> None:
    speak(world)
    with world.service.database.write() as connection:
        connection.execute(update(table(tables.RecordingRow)).values(provider_id="RE" + "0" * 32))
    for _ in range(media.MISSING_TRIES - recording(world).tries):
        assert recording(world).state == "due"
        world.beat()
        world.pass_time(2 * HOUR)
    assert recording(world).state == "absent"
    assert world.incidents() == {(IncidentKind.RECORDING, recording(world).id)}


def test_a_deletion_that_fails_is_tried_again_and_the_recording_stays_playable(world: World) -> None:
    speak(world)
    service = world.service
    with service.database.read() as connection:
        item = media.recording(connection, recording(world).id)
    assert item is not None
    brought = jobs.voice().fetch(item.ref)
    assert brought is not None
    with service.database.write() as connection:
        media.store(connection, service.sealer, item, brought, world.clock.now())
    world.network.post("/sim/chaos", {"error_before": 1.0})
    world.beat()
    assert (recording(world).state, recording(world).audio_sealed is not None) == ("fetched", True)
    assert is_there(world)
    world.network.post("/sim/chaos", {"error": 1.0})
    world.pass_time(HOUR)
    world.beat()
    assert not is_there(world), "it was done, although the answer said otherwise"
    world.network.post("/sim/chaos", {})
    world.pass_time(HOUR)
    world.run()
    assert recording(world).state == "kept"


def test_speech_that_was_not_allowed_is_never_fetched_and_deleted_there(world: World) -> None:
    speak(world)
    answer_consent(world, given=False)
    world.run()
    assert (recording(world).state, recording(world).audio_sealed) == ("refused", None)
    assert not is_there(world)


def test_speech_about_which_nobody_was_asked_is_not_kept(world: World) -> None:
    speak(world)
    with world.service.database.write() as connection:
        connection.execute(table(tables.Consent).delete())
    world.run()
    assert (recording(world).state, recording(world).audio_sealed) == ("refused", None)
    assert not is_there(world)


def test_a_consent_that_is_taken_back_destroys_what_was_kept(world: World) -> None:
    speak(world, fetching=True)
    assert recording(world).state == "kept"
    answer_consent(world, given=False)
    with world.service.database.write() as connection:
        media.withdraw(connection, recording(world).conversation_id)
    assert recording(world).audio_sealed is None
    (hit, *_) = world.hits_at("/channels/voice/recording/")
    late = {**hit.form, "RecordingSid": "RE" + "9" * 32}
    assert world.signed(hit.target, late).status_code == 204
    world.run()
    kept = [(row.state, row.audio_sealed) for row in world.rows(tables.RecordingRow)]
    assert kept == [("refused", None), ("refused", None)], "also one that is reported afterwards"

"""What a client's policy says of a call holds on the line: which number calls, and what follows when calls fail."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from bot import contacts
from bot.callbacks import policies, settle
from bot.callbacks.policy import Policy
from bot.callbacks.states import Disposition
from bot.contacts import How
from bot.errors import InputError
from bot.messages import Address, AddressKind, Channel
from bot.storage import tables
from bot.storage.tables import table
from tests.journeys.world import BEGIN, CALLER, CONSENTS, HOTLINE, Worker, World, Worlds

SECOND_LINE = HOTLINE
NUMBER = Worker().number
HANGS_UP = {"steps": [*BEGIN, *CONSENTS, {"hangup": True}]}


@pytest.fixture
def two_lines(worlds: Worlds, sqlite_url: str) -> World:
    """A world with a second number of ours that may call."""
    return worlds(sqlite_url, twilio_voice_from=f"KE={SECOND_LINE}, *={CALLER}")


def test_the_number_that_the_policy_names_calls_her_country(two_lines: World) -> None:
    world = two_lines
    world.interviewed(
        Worker(script="busy"),
        Worker(number="+254700000001", alias="W-2", country="KE", timezone="Africa/Nairobi", script="busy"),
    )
    policies.set_for_client(world.service, "Brand A", Policy(caller_id=(("ID", SECOND_LINE), ("KE", CALLER))))
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    world.at("2026-03-02T18:01:00+03:00")
    world.rest()
    assert {call["to"]: call["from"] for call in world.network.calls()} == {
        NUMBER: SECOND_LINE,
        "+254700000001": CALLER,
    }


def test_a_number_that_is_not_ours_is_refused_and_one_that_is_no_longer_ours_is_left_alone(
    two_lines: World,
) -> None:
    world = two_lines
    world.interviewed(Worker(script="busy"))
    with pytest.raises(InputError, match="the number for ID is not one of ours") as refused:
        policies.set_for_client(world.service, "Brand A", Policy(caller_id=(("ID", "+12025550177"),)))
    assert "2025550177" not in str(refused.value)
    policies.set_for_client(world.service, "Brand A", Policy(caller_id=(("ID", SECOND_LINE),)))
    lines = type(world.service.settings.twilio_voice_from).parse(CALLER)
    object.__setattr__(
        world.service, "settings", world.service.settings.model_copy(update={"twilio_voice_from": lines})
    )
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    assert [call["from"] for call in world.network.calls()] == [CALLER]


# --- when calls fail ---------------------------------------------------------------------------------


def tried(world: World, worker: Worker, *channels: Channel, attempts: int = 1) -> None:
    """One evening of calls under a policy that gives up after ``attempts``."""
    world.interviewed(worker)
    policy = Policy(max_attempts=attempts, channels_when_failing=channels)
    policies.set_for_client(world.service, "Brand A", policy)
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()


def test_one_neutral_opening_follows_in_writing_where_she_allowed_texts(sqlite_world: World) -> None:
    world = sqlite_world
    tried(world, Worker(script=HANGS_UP), Channel.SMS, attempts=2)
    assert world.dispositions() == ["cut_off"]
    assert {row.scope: row.given for row in world.rows(tables.Consent)}["text"] is True
    world.network.script(NUMBER, "busy")
    world.at("2026-03-03T18:10:00+07:00")
    world.rest()
    waiting = world.callback()
    assert (waiting["state"], waiting["channel"]) == ("scheduled", "sms")
    assert waiting["due_at"] == "2026-03-04T11:00:00+00:00", "her next window, a day later"
    world.at("2026-03-04T18:01:00+07:00")
    world.rest()
    (opening,) = world.network.texts_to(NUMBER)
    for telling in ("audit", "factory", "Brand", "Blue", "complain"):
        assert telling not in opening
    *_, written = world.callback()["attempts"]
    with world.service.database.write() as connection:
        settle.settle(connection, written["id"], Disposition.CUT_OFF, world.clock.now())
    assert (world.callback()["state"], world.callback()["give_up_reason"]) == ("given_up", "attempts_used")


def test_nothing_is_written_to_a_phone_for_which_she_did_not_allow_it(sqlite_world: World) -> None:
    world = sqlite_world
    tried(world, Worker(script="busy"), Channel.SMS)
    assert (world.callback()["state"], world.callback()["give_up_reason"]) == ("given_up", "attempts_used")
    assert world.network.texts_to(NUMBER) == []


def test_without_the_policys_word_nothing_is_written(sqlite_world: World) -> None:
    world = sqlite_world
    tried(world, Worker(script="busy"))
    assert world.callback()["state"] == "given_up"


def test_a_number_that_does_not_exist_is_not_texted_but_her_own_other_address_is(sqlite_world: World) -> None:
    world = sqlite_world
    worker = Worker(script="unreachable")
    world.interviewed(worker)
    (row,) = world.rows(tables.Callback)
    with world.service.database.write() as connection:
        chat = contacts.remember(
            connection,
            world.service.sealer,
            Address(AddressKind.TELEGRAM, "4242"),
            world.clock.now(),
        )
        connection.execute(
            insert(table(tables.ContactAddress)).values(
                contact_id=row.contact_id, address_id=chat.id, how=How.CODE, created_at=world.clock.now()
            )
        )
    tried(world, worker, Channel.SMS, Channel.TELEGRAM)
    moved = world.callback()
    assert [each["disposition"] for each in moved["attempts"]] == ["wrong_number"]
    assert (moved["state"], moved["channel"]) == ("scheduled", "telegram")
    assert world.network.texts_to(NUMBER) == []

"""A worker who wants to be written to, not called: the same callback as texts, behind the same gate."""

from __future__ import annotations

from bot.storage import tables
from tests.journeys.test_hotline import write
from tests.journeys.world import Worker, World

SITI = Worker("+6281200000001", language="en", channel="sms")


def begin(world: World) -> str:
    world.interviewed(SITI)
    world.at("2026-03-03T18:01:00+07:00")
    world.run()
    return world.network.texts_to(SITI.number)[-1]


def test_the_opening_is_neutral_and_the_pass_word_opens_the_gate(world: World) -> None:
    assert begin(world) == "Hello. Is this a good time?\n1 Yes\n2 Later"
    assert "code" in write(world, "1", sender=SITI.number)[-1]
    told = write(world, SITI.pass_word, sender=SITI.number)[-1]
    assert "Is it safe to write now" in told
    (conversation,) = world.rows(tables.Conversation)
    assert conversation.contact_id is not None
    assert SITI.pass_word not in [text for _, text in world.transcript()]


def test_two_wrong_codes_in_writing_end_neutrally_and_unverified(sqlite_world: World) -> None:
    world = sqlite_world
    begin(world)
    told = write(world, "1", "0000", "9999", sender=SITI.number)
    assert told[-1] == "Sorry, wrong time. We will try later. Goodbye."
    assert world.dispositions() == ["unverified"]
    assert world.callback()["state"] == "scheduled"


def test_later_in_writing_moves_the_callback(sqlite_world: World) -> None:
    world = sqlite_world
    begin(world)
    write(world, "later", "weekend", sender=SITI.number)
    assert world.dispositions() == ["later"]
    assert (world.callback()["state"], world.callback()["preference"]) == ("scheduled", "weekend")


def test_later_in_her_own_words_moves_the_same_callback_by_her_own_clock(sqlite_world: World) -> None:
    world = sqlite_world
    begin(world)
    told = write(world, "later", "tomorrow after 8", sender=SITI.number)
    assert "Wed, Mar 4, 20:00–21:00" in told[-1]
    write(world, "1", sender=SITI.number)
    assert world.dispositions() == ["later"]
    callback = world.callback()
    assert (callback["state"], callback["preference"]) == ("scheduled", "2026-03-04 after 20:00")
    assert callback["due_at"] is not None

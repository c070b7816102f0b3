"""A worker who wants to be written to, not called: the same callback as texts, behind the same gate."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot import intake
from bot.callbacks import dial, policies
from bot.callbacks.claim import Limits, claim_due
from bot.callbacks.plan import MOST_PUT_OFF
from bot.callbacks.policy import Policy
from bot.clock import wall_time
from bot.messages import Channel
from bot.storage import tables
from channels import jobs
from tests.journeys.test_hotline import write
from tests.journeys.world import STEP, Worker, World

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


def test_who_gave_her_code_may_put_her_callback_off_as_often_as_she_wants(sqlite_world: World) -> None:
    world = sqlite_world
    begin(world)
    policies.set_for_client(world.service, "Brand A", Policy(max_attempts=1))
    for _ in range(MOST_PUT_OFF + 2):
        write(world, "1", SITI.pass_word, "1", "later", "tomorrow evening", "1", sender=SITI.number)
        callback = world.callback()
        assert (callback["state"], callback["give_up_reason"]) == ("scheduled", None)
        world.pass_time(datetime.fromisoformat(callback["due_at"]) + STEP - world.clock.now())
        world.run()
    assert world.dispositions()[:-1] == ["later"] * (MOST_PUT_OFF + 2)


def dies_after(world: World, *, opening: bool) -> None:
    """A worker begins a callback in writing and dies before, or after, the opening is written; leases run out."""
    world.interviewed(SITI)
    world.at("2026-03-02T18:01:05+07:00")
    heart, limits = world.service, Limits(calls_per_second=50, slots=50)
    (attempt,) = claim_due(heart.database, world.clock.now(), wall_time(), limits)
    with heart.database.write() as connection:
        assert dial.begin(connection, heart.sealer, attempt, world.clock.now(), wall_time())
    if opening:
        assert intake.open_text(heart, jobs.doors()[Channel.SMS], attempt)
    for _ in range(3):
        world.pass_time(timedelta(seconds=40))
        world.run()


def test_an_opening_that_was_never_written_is_written_once(sqlite_world: World) -> None:
    dies_after(sqlite_world, opening=False)
    assert len(sqlite_world.network.texts_to(SITI.number)) == 1
    assert sqlite_world.dispositions()[0] == "released"


def test_an_opening_that_was_written_is_not_written_again(sqlite_world: World) -> None:
    dies_after(sqlite_world, opening=True)
    assert len(sqlite_world.network.texts_to(SITI.number)) == 1
    (attempt,) = sqlite_world.rows(tables.Attempt)
    assert attempt.state == "answered"

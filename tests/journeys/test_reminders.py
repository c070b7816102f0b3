"""A worker who agreed to it gets one short text before her call; nobody else does, and nobody twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from bot import metrics, tick
from bot.callbacks import policies, preview, reminders
from bot.callbacks.policy import Policy, from_mapping
from bot.callbacks.states import CallbackState
from bot.storage import tables
from bot.storage.tables import table
from bot.unreadable import LOOK_AGAIN
from tests.journeys.test_callback import add_supervisor, sign_in
from tests.journeys.test_hotline import write
from tests.journeys.test_pickup import telling_words
from tests.journeys.world import BEGIN, Worker, World

SITI = Worker(reminder="yes", language="id")
DAY = "2026-02-26"
"""Of the audit: five days later is 3 March, when she is called at 18:00 in Jakarta."""
NO_TEXTS = ({"keys": "1"}, {"keys": "1"}, {"keys": "1"}, {"keys": "1"}, {"keys": "2"})
"""Call again if cut off, take part, record, write down; and no texts to this phone."""


def told(world: World, worker: Worker = SITI) -> list[str]:
    """What was written to a worker."""
    return world.network.texts_to(worker.number)


def until(world: World, hour: str) -> None:
    """Go to an hour in Jakarta of the day of the call, a beat before it and at it."""
    world.at(f"2026-03-03T{hour}+07:00")
    world.run()


def claimed(world: World) -> tick.Work:
    """The job that is to send the text. The clock puts a text in at one beat, and may hand it out at the next."""
    for _ in range(3):
        if found := list(tick.beat(world.service)):
            (work,) = found
            assert work.job == "deliver"
            return work
    raise AssertionError("nothing is to be sent")


def remind_at(world: World) -> str | None:
    (row,) = world.rows(tables.Callback)
    return row.remind_at.isoformat() if row.remind_at else None


# --- who agreed -------------------------------------------------------------------------------------


def test_one_neutral_text_in_her_language_comes_before_the_call(world: World) -> None:
    world.interviewed(SITI, audit_date=DAY)
    until(world, "15:59:00")
    assert told(world) == []
    until(world, "16:00:00")
    (text,) = told(world)
    assert text.startswith(
        "Kami akan menelepon Anda kira-kira pada waktu ini:\nSel, 3 Mar, 18:00\nTulis NANTI"
    )
    assert telling_words(world, [text], "id") == []
    until(world, "17:59:00")
    assert world.network.calls() == [], "the text does not call"
    until(world, "18:00:00")
    assert len(world.network.calls()) == 1
    assert len(told(world)) == 1
    (shown,) = world.callback()["reminders"]
    assert shown == {
        "call_at": "2026-03-03T11:00:00+00:00",
        "at": "2026-03-03T09:00:00+00:00",
        "state": "sent",
    }
    assert 'voiceback_reminders_total{client="' in metrics.text(world.service).decode()


@pytest.mark.parametrize("said", ["", "no"])
def test_who_did_not_agree_gets_none(sqlite_world: World, said: str) -> None:
    world = sqlite_world
    world.interviewed(Worker(reminder=said), audit_date=DAY)
    until(world, "18:00:00")
    assert told(world) == []
    assert len(world.network.calls()) == 1


def test_phone_that_several_use_gets_none(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, Worker(SITI.number, alias="W-2", reminder="yes"), audit_date=DAY)
    until(world, "18:00:00")
    assert told(world) == []
    assert world.network.calls()


def test_phone_that_somebody_else_uses_by_the_hour_of_the_text_gets_none(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, audit_date=DAY)
    assert remind_at(world)
    world.interviewed(Worker(SITI.number, alias="W-2"), audit_date=DAY, ref="A-2")
    until(world, "18:00:00")
    assert told(world) == []


def test_who_said_that_nobody_may_write_to_this_phone_gets_none(sqlite_world: World) -> None:
    world = sqlite_world
    cut_off = {"steps": [*BEGIN, *NO_TEXTS, {"hangup": True}]}
    world.interviewed(Worker(reminder="yes", script=cut_off), audit_date="2026-02-25")
    world.at("2026-03-02T18:00:00+07:00")
    world.rest()
    assert world.dispositions() == ["cut_off"]
    until(world, "18:00:00")
    assert told(world) == []
    assert len(world.network.calls()) == 2


def test_client_who_wants_no_texts_has_none_sent(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, audit_date=DAY)
    policies.set_for_client(world.service, "Brand A", from_mapping({"reminder_hours": None}))
    assert remind_at(world) is None
    until(world, "18:00:00")
    assert told(world) == []


def test_text_that_waits_for_the_morning_outlives_a_new_plan(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, audit_date=DAY)
    policies.set_for_client(world.service, "Brand A", from_mapping({"reminder_hours": 12}))
    until(world, "06:30:00")
    morning = remind_at(world)
    policies.set_for_client(world.service, "Brand A", from_mapping({"reminder_hours": 12, "attempts": 4}))
    assert remind_at(world) == morning
    assert morning is not None
    until(world, "17:00:00")
    assert len(told(world)) == 1


def test_preview_of_a_policy_says_when_she_would_be_told(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, Worker("+6281200000002", "W-2"), audit_date=DAY)
    (client,) = world.rows(tables.Client)
    now = world.clock.now()
    with world.service.database.read() as connection:
        registered = preview.read(connection, client.id, now)
    compared = preview.compare(registered, Policy(), from_mapping({"reminder_hours": 4}), now)
    first_round = [each.line.as_data() for each in compared.lines if each.line.round == 1]
    assert sorted(str(line["remind_at"]) for line in first_round) == ["2026-03-03T07:00:00+00:00", "None"]


def test_later_upload_may_add_that_she_agreed_and_take_it_back(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(), audit_date=DAY)
    assert remind_at(world) is None
    assert world.interviewed(SITI, audit_date=DAY).updated == 1
    assert remind_at(world) == "2026-03-03T09:00:00+00:00"
    assert world.interviewed(SITI, audit_date=DAY).unchanged == 1
    assert world.interviewed(Worker(reminder="no"), audit_date=DAY).updated == 1
    assert remind_at(world) is None


def test_phone_that_takes_no_texts_is_written_to_once(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(reminder="yes", script="no-answer"), audit_date=DAY)
    world.network.post("/sim/errors", number=SITI.number, message=30006)
    until(world, "16:00:00")
    until(world, "18:00:00")
    world.at("2026-03-04T16:00:00+07:00")
    world.run()
    assert len(world.rows(tables.Reminder)) == 1
    assert world.callback()["due_at"] == "2026-03-04T11:00:00+00:00"


# --- asked on the hotline ---------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "texts"), [("yes", 1), ("no", 0)])
def test_who_asks_for_a_call_is_asked_and_her_word_holds(sqlite_world: World, said: str, texts: int) -> None:
    world = sqlite_world
    number = "+6281200000009"
    world.at("2026-03-02T20:55:00+07:00")
    talk = (
        "hello",
        "English",
        "1",
        "5",
        "1",
        "They sent me home",
        "skip",
        "no",
        "skip",
        "no",
        "1",
        "yes",
        "48213",
    )
    *_, asked = write(world, *talk, "tomorrow 18:00", "1", sender=number)
    assert "May we send a short text message to the phone that we call" in asked
    before = len(write(world, said, sender=number))
    world.at("2026-03-03T16:00:00+07:00")
    world.run()
    assert len(world.network.texts_to(number)) == before + texts
    (consent,) = [row for row in world.rows(tables.Consent) if row.scope == "remind"]
    assert consent.given is (said == "yes")


# --- another time, and none -------------------------------------------------------------------------


def test_answer_later_moves_the_call_and_the_new_time_is_told_once(world: World) -> None:
    world.interviewed(Worker(reminder="yes"), audit_date=DAY)
    until(world, "16:00:00")
    assert len(told(world)) == 1
    *_, last = write(world, "LATER", SITI.pass_word, "tomorrow 18:00", "1", sender=SITI.number)
    assert last == "Thank you. Goodbye."
    assert [each["due_at"] for each in world.rounds()] == ["2026-03-04T11:00:00+00:00"]
    before = len(told(world))
    until(world, "18:30:00")
    assert world.network.calls() == []
    world.at("2026-03-04T16:00:00+07:00")
    world.run()
    (new,) = told(world)[before:]
    assert "Wed, Mar 4, 18:00" in new
    assert len(world.rows(tables.Reminder)) == 2


def test_text_about_a_call_that_was_moved_meanwhile_is_not_sent(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, audit_date=DAY)
    world.at("2026-03-03T16:00:00+07:00")
    claimed(world)  # and lost
    write(world, "NANTI", SITI.pass_word, "besok jam 18:00", "1", sender=SITI.number)
    world.pass_time(timedelta(minutes=5))
    world.run()
    assert not any("Kami akan menelepon Anda kira-kira" in text for text in told(world))
    assert "cancelled" in [row.state for row in world.rows(tables.Outbox)]


def test_text_that_was_held_up_is_not_sent_at_night(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(
        Worker(reminder="yes", language="id", preferred_time="2026-03-03 07:40"), audit_date=DAY
    )
    world.at("2026-03-02T21:15:00+07:00")
    claimed(world)  # and lost
    world.pass_time(timedelta(minutes=20))
    world.run()
    assert told(world) == []
    assert "cancelled" in [row.state for row in world.rows(tables.Outbox)]


def test_text_that_was_held_up_is_not_sent_to_a_phone_that_two_use_by_now(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, audit_date=DAY)
    world.at("2026-03-03T16:00:00+07:00")
    work = claimed(world)
    world.interviewed(Worker(SITI.number, alias="W-2"), audit_date=DAY, ref="A-2")
    world.work(work)
    world.run()
    assert told(world) == []


def test_who_wants_no_text_gets_none_and_is_called_all_the_same(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, audit_date=DAY)
    assert write(world, "tanpa SMS", sender=SITI.number) == [
        "Baik. Kami tidak akan mengirim SMS sebelum menelepon."
    ]
    assert remind_at(world) is None
    until(world, "18:00:00")
    assert len(told(world)) == 1
    assert len(world.network.calls()) == 1
    assert world.interviewed(Worker(reminder="yes", language="id", timezone="Asia/Makassar"), audit_date=DAY)
    assert remind_at(world) is None, "no upload speaks louder than she does"


def test_who_said_stop_gets_neither_text_nor_call(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, audit_date=DAY)
    write(world, "STOP", sender=SITI.number)
    until(world, "16:00:00")
    until(world, "18:00:00")
    assert len(told(world)) == 1, "that it was understood"
    assert world.network.calls() == []


def test_stop_after_the_text_was_claimed_keeps_it_back(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, audit_date=DAY)
    world.at("2026-03-03T16:00:00+07:00")
    work = claimed(world)
    world.network.text(SITI.number, "STOP")
    world.network.idle()
    world.work(work)
    world.run()
    assert not any("Kami akan menelepon Anda kira-kira" in text for text in told(world))


def test_supervisor_sees_that_she_was_told_and_never_where(sqlite_world: World) -> None:
    world = sqlite_world
    secret = add_supervisor(world)
    world.interviewed(SITI, audit_date=DAY)
    visitor = world.app.test_client()
    sign_in(visitor, secret)
    page = f"/console/callbacks/{world.callback()['id']}"
    assert "Text before it" in visitor.get(page).text
    until(world, "16:00:00")
    after = visitor.get(page).text
    assert "Text before it" not in after
    assert "Sent" in after
    assert SITI.number not in after


# --- never twice ------------------------------------------------------------------------------------


def test_crash_at_any_step_tells_her_once(world: World) -> None:
    world.interviewed(SITI, audit_date=DAY)
    world.at("2026-03-03T16:00:00+07:00")
    claimed(world)  # the job is lost with Redis
    for _ in range(3):
        world.pass_time(timedelta(minutes=2))
        world.run()
    with world.service.database.write() as connection:
        # As if the machine had died after the provider took it, and before that was written down.
        connection.execute(update(table(tables.Outbox)).values(state="sending"))
        connection.execute(update(table(tables.Message)).values(provider_id=None, status_rank=-1))
    for _ in range(3):
        world.pass_time(timedelta(minutes=2))
        world.run()
    assert len(told(world)) == 1
    assert [row.state for row in world.rows(tables.Outbox)] == ["sent"]


def test_many_clocks_write_one_text(world: World) -> None:
    world.interviewed(
        *(Worker(f"+62812000001{n:02}", f"W-{n}", reminder="yes") for n in range(20)), audit_date=DAY
    )
    world.at("2026-03-03T16:00:00+07:00")
    now = world.clock.now()
    with ThreadPoolExecutor(4) as clocks:
        done = list(clocks.map(lambda _: reminders.put_in(world.service, now, 50), range(4)))
    assert sum(done) == 20
    assert len(world.rows(tables.Reminder)) == len(world.rows(tables.Outbox)) == 20


def test_call_that_is_planned_for_the_same_instant_again_is_not_told_again(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, audit_date=DAY)
    until(world, "16:00:00")
    world.pass_time(-timedelta(hours=1))
    policies.set_for_client(world.service, "Brand A", from_mapping({"attempts": 3}))
    until(world, "16:30:00")
    assert len(told(world)) == 1


def test_plan_of_a_machine_that_knows_no_reminders_is_told_at_its_own_time(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, audit_date=DAY)
    with world.service.database.write() as connection:
        (row,) = world.rows(tables.Callback)
        day = timedelta(days=1)
        later = {"due_at": row.due_at + day, "window_end": row.window_end + day}
        connection.execute(update(table(tables.Callback)).values(**later))
    until(world, "16:00:00")
    assert told(world) == []
    assert remind_at(world) == "2026-03-04T09:00:00+00:00"


def test_nothing_is_told_in_the_middle_of_a_talk_by_text(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, audit_date=DAY)
    world.at("2026-03-03T15:59:00+07:00")
    before = len(write(world, "halo", sender=SITI.number))
    until(world, "16:00:00")
    assert len(told(world)) == before
    assert world.callback()["state"] == CallbackState.SCHEDULED


def test_a_plan_that_cannot_be_read_keeps_nobody_elses_text_back(sqlite_world: World) -> None:
    world = sqlite_world
    other = Worker("+6281200000002", alias="W-2", reminder="yes", language="id")
    world.interviewed(SITI, other, audit_date=DAY)
    callback = table(tables.Callback)
    first = world.rows(tables.Callback)[0].id
    with world.service.database.write() as connection:
        unreadable = update(callback).where(callback.c.id == first)
        connection.execute(unreadable.values(preference="of a later version"))
    world.at("2026-03-03T16:00:00+07:00")
    world.run()
    assert len(told(world)) + len(told(world, other)) == 1
    with world.service.database.write() as connection:
        connection.execute(update(callback).where(callback.c.id == first).values(preference="evening"))
    world.pass_time(LOOK_AGAIN)
    world.run()
    assert [len(told(world)), len(told(world, other))] == [1, 1], "it is told as soon as it can be"


def test_a_plan_that_cannot_be_read_any_more_holds_up_no_letter(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, audit_date=DAY)
    world.at("2026-03-03T16:00:00+07:00")
    work = claimed(world)
    with world.service.database.write() as connection:
        connection.execute(update(table(tables.Callback)).values(preference="of a later version"))
    world.work(work)
    assert [row.state for row in world.rows(tables.Outbox)] == ["cancelled"]

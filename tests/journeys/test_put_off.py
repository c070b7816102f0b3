"""A worker writes first, and only when she wants to be called: the same callback is moved, and no second one is made."""

from __future__ import annotations

from datetime import date, time, timedelta

import pytest
from sqlalchemy import insert, select, update

from bot import contacts, links, safety
from bot.callbacks import settle
from bot.callbacks.claim import Limits, claim_due
from bot.callbacks.plan import MOST_PUT_OFF
from bot.callbacks.states import Disposition
from bot.clock import wall_time
from bot.contacts import How
from bot.ids import new_id
from bot.messages import Address, AddressKind, Channel
from bot.storage import tables
from bot.storage.tables import table
from tests.channels.telegram import Chat, chatting
from tests.journeys.test_hotline import OPENING, ring, write
from tests.journeys.test_pickup import telling_words
from tests.journeys.world import CALLER, Worker, World, Worlds, heard

SITI = Worker("+6281200000001")
DEWI = Worker("+6281200000001", alias="W-2", pass_word="8822", preferred_time="morning")
"""On the same telephone."""
CODE = "Please write your code. If you do not have a code, write 0."
WRONG_TIME = "Sorry, wrong time. We will try later. Goodbye."
BYE = "Thank you. Goodbye."


def plans(world: World) -> list[tuple[str, str]]:
    """State and wanted time of all callbacks of the first round."""
    return [(each["state"], each["preference"]) for each in world.callbacks()]


def texts(world: World, *said: str, sender: str = SITI.number) -> list[str]:
    """What came back to each of some texts."""
    before = len(world.network.texts_to(sender))
    return write(world, *said, sender=sender)[before:]


# --- the same callback ------------------------------------------------------------------------------


def test_later_moves_the_callback_that_waits_for_her_behind_her_code(world: World) -> None:
    world.interviewed(SITI)
    first, when, again, bye = texts(world, "later", SITI.pass_word, "tomorrow after 8", "1")
    assert CODE in first
    assert when.startswith("When is a better time?")
    assert "Tue, Mar 3, 20:00–21:00" in again
    assert bye == BYE
    assert plans(world) == [("scheduled", "2026-03-03 after 20:00")]
    assert world.callback()["attempts"] == []
    assert world.callback()["due_at"] == "2026-03-03T13:00:00+00:00"


def test_a_time_that_she_names_first_is_said_back_behind_her_code(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI)
    first, again, bye = texts(world, "Sunday evening", SITI.pass_word, "yes")
    assert CODE in first
    assert "Mar" not in first, "nobody is told a time before the code"
    assert "Sun, Mar 8, 18:00–21:00" in again
    assert bye == BYE
    assert plans(world) == [("scheduled", "sun_evening")]


def test_in_her_own_language_and_left_uncontradicted_it_is_moved_too(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(SITI.number, language="id"))
    texts(world, "minggu malam", SITI.pass_word)
    world.pass_time(timedelta(minutes=31))
    world.run()
    ((state, wanted),) = plans(world)
    assert (state, wanted.partition("_")[0]) == ("scheduled", "sun")


def test_not_right_asks_again_on_her_own_clock(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(SITI.number, timezone="Asia/Jayapura"))
    *_, again, _ = texts(world, "Sunday evening", SITI.pass_word, "2", "today after 8", "1")
    assert "Mon, Mar 2, 20:00–21:00" in again
    assert world.callback()["due_at"] == "2026-03-02T11:00:00+00:00"


def test_her_phone_does_not_ring_while_she_says_when(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI)
    world.at("2026-03-02T17:59:50+07:00")
    texts(world, "later", SITI.pass_word)
    world.pass_time(timedelta(minutes=5))
    world.run()
    assert world.network.calls() == []
    world.pass_time(timedelta(minutes=30))
    world.rest()
    assert len(world.network.calls()) == 1, "who says no time is called when she had wished"


def test_a_time_that_she_names_while_it_rings_is_not_lost(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI)
    world.at("2026-03-02T17:59:50+07:00")
    texts(world, "later", SITI.pass_word)
    world.pass_time(timedelta(minutes=31))
    now, database = world.clock.now(), world.service.database
    (attempt,) = claim_due(database, now, wall_time(), Limits(100, 100))
    texts(world, "tomorrow after 8", "1")
    assert world.callback()["state"] == "dialling"
    with database.write() as connection:
        settle.settle(connection, attempt, Disposition.NO_ANSWER, now)
    assert plans(world) == [("scheduled", "2026-03-03 after 20:00")]
    assert world.callback()["due_at"] == "2026-03-03T13:00:00+00:00"


def test_who_said_later_on_the_last_day_and_no_time_is_called_on_another_day(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(SITI.number, preferred_time="2026-03-02 18:00"))
    with world.service.database.write() as connection:
        connection.execute(update(table(tables.Callback)).values(last_day=date(2026, 3, 2)))
    world.at("2026-03-02T17:59:50+07:00")
    texts(world, "later", SITI.pass_word)
    world.at("2026-03-02T18:31:00+07:00")
    world.run()
    assert world.network.calls() == []
    assert world.callback()["state"] == "scheduled"
    assert world.callback()["due_at"] == "2026-03-03T11:00:00+00:00"


def test_a_wish_at_which_nobody_may_be_called_leaves_the_old_one(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI)
    with world.service.database.write() as connection:
        connection.execute(update(table(tables.Client)).values(policy='{"shifts": "always"}'))
        (audit,) = world.rows(tables.Audit)
        connection.execute(
            insert(table(tables.Shift)).values(
                id="s" * 26,
                factory_id=audit.factory_id,
                days="mon tue wed thu fri sat sun",
                begins=time(7),
                ends=time(17),
            )
        )
    texts(world, "morning", SITI.pass_word, "yes")
    assert plans(world) == [("scheduled", "evening")]


# --- who may -----------------------------------------------------------------------------------------


def test_wrong_codes_move_nothing_and_are_limited(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI)
    for _ in range(links.MOST_WRONG_RETURNED // 2):
        assert texts(world, "later", "0001", "0002")[-1] == WRONG_TIME
    assert texts(world, "later", SITI.pass_word, SITI.pass_word)[-1] == WRONG_TIME
    assert plans(world) == [("scheduled", "evening")]
    assert ("pass_word", world.rows(tables.Audit)[0].id) in world.incidents()


def test_nobody_else_who_reads_or_writes_there_learns_anything(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI)
    told = texts(world, "later", "later", "help", "0")
    assert told[-1] == WRONG_TIME
    assert telling_words(world, told, "en") == []
    assert plans(world) == [("scheduled", "evening")]


def test_before_the_code_later_chooses_no_time(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI)
    _, again = texts(world, "later", "later")
    assert again.startswith("Please answer this question first.")


def test_without_a_code_the_one_whom_we_are_to_write_to_may_say_when(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(SITI.number, channel="sms", pass_word=""))
    again, bye = texts(world, "Sunday evening", "1")
    assert "Sun, Mar 8, 18:00–21:00" in again
    assert bye == BYE
    assert plans(world) == [("scheduled", "sun_evening")]


def test_who_has_no_code_cannot_put_a_callback_off_for_ever(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(SITI.number, channel="sms", pass_word=""))
    today = date(2026, 3, 2)
    longer = []
    for wanted in ("tomorrow evening", "Sunday evening", "tomorrow", "Saturday evening", "Friday evening"):
        with world.service.database.write() as connection:
            connection.execute(update(table(tables.Callback)).values(last_day=today))
        texts(world, wanted, "1")
        (row,) = (each for each in world.rows(tables.Callback) if each.round == 1)
        longer.append(row.last_day > today)
    assert longer == [True] * MOST_PUT_OFF + [False]


def test_who_has_no_code_and_names_no_time_cannot_hold_a_callback_up_for_ever(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(SITI.number, channel="sms", pass_word=""))
    world.at("2026-03-02T17:45:00+07:00")
    held_up = []
    for _ in range(MOST_PUT_OFF + 1):
        before = world.rows(tables.Callback)[0].due_at
        assert texts(world, "later", "what", "what", "what")[-1] == WRONG_TIME
        held_up.append(world.rows(tables.Callback)[0].due_at > before)
        world.pass_time(timedelta(minutes=5))
    assert held_up == [True] * MOST_PUT_OFF + [False]


def test_wrong_codes_in_writing_take_no_other_time_from_who_answers_her_call(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(SITI.number, script={"steps": [{"keys": "2"}, {"keys": "1"}], "then": "silent"}))
    for _ in range(MOST_PUT_OFF + 1):
        assert texts(world, "later", "0001", "0002")[-1] == WRONG_TIME
    today = date(2026, 3, 2)
    with world.service.database.write() as connection:
        connection.execute(update(table(tables.Callback)).values(last_day=today))
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    (row,) = (each for each in world.rows(tables.Callback) if each.round == 1)
    assert (world.dispositions(), row.state, row.last_day > today) == (["later"], "scheduled", True)


def test_of_two_on_one_telephone_the_code_tells_whose_callback_is_moved(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, DEWI)
    texts(world, "weekend", SITI.pass_word, "yes")
    assert plans(world) == [("scheduled", "weekend"), ("scheduled", "morning")]


def test_a_code_that_two_on_one_telephone_chose_moves_neither(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, Worker(SITI.number, alias="W-2", preferred_time="morning"))
    assert texts(world, "weekend", SITI.pass_word, SITI.pass_word)[-1] == WRONG_TIME
    assert plans(world) == [("scheduled", "evening"), ("scheduled", "morning")]


# --- what is no wish -----------------------------------------------------------------------------------


REPORTS = ("they hit me on Sunday", "hello", "4711", "5", "Sunday they locked the gate")


def test_whatever_else_she_writes_and_whatever_strangers_write_reaches_the_hotline(
    sqlite_world: World,
) -> None:
    world = sqlite_world
    workers = [Worker(f"+62812000002{n:02d}", alias=f"W-{n}") for n in range(len(REPORTS))]
    world.interviewed(*workers)
    for worker, said in zip(workers, REPORTS, strict=True):
        world.network.text(worker.number, said)
    world.network.text("+6281200000088", "later")
    world.network.idle()
    world.run()
    talks = [row.flow for row in world.rows(tables.Conversation)]
    assert talks == ["hotline"] * (len(REPORTS) + 1)


def test_on_the_stop_list_nothing_is_answered(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI)
    texts(world, "stop")
    assert texts(world, "later") == []
    assert [state for state, _ in plans(world)] == ["stopped"]


# --- from elsewhere --------------------------------------------------------------------------------------


@pytest.fixture
def chat(worlds: Worlds, sqlite_url: str) -> Chat:
    """A world with text messages and Telegram, where the worker has written to us before."""
    made = chatting(worlds, sqlite_url)
    made.starts()
    made.says("hide")
    made.world.run()
    return made


def joined(world: World) -> None:
    """She proves that the account of the app is hers."""
    (row,) = (each for each in world.rows(tables.Callback) if each.round == 1)
    (app,) = (each for each in world.rows(tables.AddressRow) if each.kind == AddressKind.TELEGRAM)
    with world.service.database.write() as connection:
        contacts.join(connection, row.contact_id, app.id, How.CODE, world.clock.now())


def test_from_an_app_that_she_proved_to_be_hers_the_call_to_her_phone_is_moved(chat: Chat) -> None:
    world = chat.world
    world.interviewed(SITI)
    joined(world)
    for said in ("later", SITI.pass_word, "tomorrow after 8", "yes"):
        chat.says(said)
        world.run()
    assert plans(world) == [("scheduled", "2026-03-03 after 20:00")]
    assert world.callback()["due_at"] == "2026-03-03T13:00:00+00:00", "by the clock of the callback"


def test_from_an_app_of_which_nobody_knows_it_is_the_hotlines(chat: Chat) -> None:
    world = chat.world
    world.interviewed(SITI)
    chat.says("later")
    world.run()
    assert {row.flow for row in world.rows(tables.Conversation)} == {"hotline"}


def test_a_callback_that_is_planned_elsewhere_is_found_when_she_calls_back(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI)
    now = world.clock.now()
    with world.service.database.write() as connection:
        app = contacts.remember(connection, world.service.sealer, Address(AddressKind.TELEGRAM, "4242"), now)
        callback = table(tables.Callback)
        connection.execute(update(callback).values(address_id=app.id, channel=Channel.TELEGRAM))
    call = ring(world, {"steps": [{"keys": "1"}, {"keys": "4711#"}, {"keys": "1"}]}, SITI.number, CALLER)
    said = heard(call)
    assert said[1] == OPENING
    assert any("the auditors talked with you" in text for text in said)


# --- in a call -----------------------------------------------------------------------------------------


def test_who_returns_our_call_and_has_no_time_moves_the_same_callback(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI)
    steps = [{"keys": "2"}, {"keys": "4711#"}, {"keys": "6"}]
    call = ring(world, {"steps": steps, "then": "silent"}, SITI.number, CALLER)
    assert heard(call)[-1] == BYE
    assert plans(world) == [("scheduled", "weekend")]


def test_who_returns_it_without_the_code_moves_nothing(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI)
    steps = [{"keys": "2"}, {"keys": "0#"}]
    call = ring(world, {"steps": steps, "then": "silent"}, SITI.number, CALLER)
    assert heard(call)[-1] == WRONG_TIME
    assert plans(world) == [("scheduled", "evening")]


def test_wrong_codes_are_limited_over_all_calls_of_a_telephone(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI)
    guesses = {"steps": [{"keys": "1"}, {"keys": "0001#"}, {"keys": "0002#"}], "then": "silent"}
    for _ in range(links.MOST_WRONG_RETURNED // 2):
        assert heard(ring(world, guesses, SITI.number, CALLER))[-1] == WRONG_TIME
    right = {"steps": [{"keys": "1"}, {"keys": "4711#"}, {"keys": "4711#"}], "then": "silent"}
    assert heard(ring(world, right, SITI.number, CALLER))[-1] == WRONG_TIME
    world.at("2026-03-02T18:01:00+07:00")
    world.network.script(SITI.number, {"steps": [{"keys": "1"}, {"keys": "4711#"}], "then": "silent"})
    world.rest()
    ours = world.network.calls(SITI.number)[-1]
    assert any("Is it safe to talk now" in text for text in heard(ours)), "our own call asks as always"


def test_who_shares_a_telephone_is_asked_what_concerns_her(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(SITI, Worker(SITI.number, alias="W-2", pass_word="8822", role="comparison"))
    steps = [{"keys": "1"}, {"keys": "4711#"}, {"keys": "1"}]
    said = heard(ring(world, {"steps": steps, "then": "silent"}, SITI.number, CALLER))
    assert any("the auditors talked with you" in text for text in said)


def test_a_planned_call_is_not_lost_behind_those_that_are_over(sqlite_world: World) -> None:
    sqlite_world.interviewed(Worker())
    callback = table(tables.Callback)
    with sqlite_world.service.database.write() as connection:
        planned = connection.execute(select(callback)).mappings().one()
        for _ in range(40):
            over = {"id": new_id(), "state": "reached", "kind": "requested", "due_at": None}
            connection.execute(insert(callback).values({**planned, **over, "cohort_member_id": None}))
        expected = safety.expected(connection, planned["address_id"])
    assert expected[-1].callback_id == planned["id"]
    assert [row.callback_id for row in expected] == sorted(
        (row.callback_id for row in expected), reverse=True
    )

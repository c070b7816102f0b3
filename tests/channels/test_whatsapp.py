"""WhatsApp: tapping, the hours of free text, names that hide a number. With the real SDK against a make-believe Twilio."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from bot import contacts, waiting
from bot.messages import Address, AddressKind, Channel, Option, Prompt, Reveal
from bot.settings import Settings, Templates
from bot.steps import Place
from bot.storage import tables
from channels import doctor
from channels.contents import types_of
from channels.whatsapp import WhatsApp
from simulator.records import account_of
from tests.journeys.test_handoff import answer
from tests.journeys.world import ACCOUNT, HOTLINE, NOTICE, TOKEN, Json, World, Worlds, forget_doors
from tests.journeys.world import Worker as Registered

WORKER = "+6281200000031"
FRIEND = "+6281200000032"
LINE = f"whatsapp:{HOTLINE}"
LONG = "They have not paid us since January and nobody in the office wants to talk with us about it"
SAFE = "Is it safe to write here now, and nobody else can see your phone?"
ABOUT = "What is it about?"
OPENING = "Hello. Is this a good time?"
NOTICE_WORDS = "You have a message. Write to us to read it."
A_DAY = timedelta(hours=25)


def whatsapp(worlds: Worlds, database_url: str, notice: str = f"*={NOTICE}") -> World:
    """The service with WhatsApp."""
    return worlds(database_url, twilio_whatsapp_from=HOTLINE, twilio_whatsapp_templates=notice)


@pytest.fixture
def whatsapp_world(worlds: Worlds, database_url: str) -> World:
    """The service with WhatsApp, once on each kind of database."""
    return whatsapp(worlds, database_url)


@pytest.fixture
def sqlite_whatsapp(worlds: Worlds, sqlite_url: str) -> World:
    """The same on SQLite alone, for what does not depend on the database."""
    return whatsapp(worlds, sqlite_url)


@pytest.fixture
def whatsapp_off_hours(worlds: Worlds, sqlite_url: str) -> World:
    """The same without a notice that may be sent to who has been silent."""
    return whatsapp(worlds, sqlite_url, notice="")


def write(world: World, *texts: str, sender: str = WORKER, **extra: str) -> list[str]:
    """Write one message after the other; gives all that came to the handset."""
    for text in texts:
        world.network.text(sender, text, to=LINE, **extra)
        world.network.idle()
        world.run()
    return bodies(world, sender)


def shown(world: World, number: str = WORKER) -> list[Json]:
    """What came to a handset on WhatsApp, oldest first."""
    found = world.network.get("/sim/state", parts="messages")["messages"]
    return [
        each
        for each in found
        if each["direction"] != "inbound" and each["owner"] == number and each["status"] != "failed"
    ]


def bodies(world: World, number: str = WORKER) -> list[str]:
    """The words of it."""
    return [each["body"] for each in shown(world, number)]


def titles(message: Json) -> list[str]:
    """What can be tapped under a message."""
    return [option["title"] for option in message["content"].get("options", [])]


def tap(world: World, title: str, message: Json | None = None) -> list[str]:
    """Tap an option of a message, the newest one if none is named."""
    message = message or shown(world)[-1]
    world.network.post("/sim/tap", message=message["sid"], index=titles(message).index(title))
    world.network.idle()
    world.run()
    return bodies(world)


def contents(world: World) -> list[Any]:
    """The content resources at Twilio that we made."""
    from channels.twilio_api import client_of

    found = client_of(world.service.settings).content.v1.contents.list()
    return [each for each in found if each.sid != NOTICE]


def states(world: World) -> list[str]:
    """How far each row of the outbox came, oldest first."""
    return [row.state for row in world.rows(tables.Outbox)]


def close_window(world: World, number: str = WORKER) -> None:
    """WhatsApp takes no free text to a handset any more, whatever our own clock says."""
    world.network.post("/sim/window", number=number, open=False)


def wants_a_callback(world: World) -> None:
    """Go through the hotline's questions to the end, and ask to be called back in the evening."""
    told = write(world, LONG, "yes")
    answers = {
        "Do you want us to write to you again": "yes",
        "Please choose a code": "4711",
        "When should": "evening",
    }
    for _ in range(20):
        if not [row for row in world.rows(tables.Conversation) if row.state == "open"]:
            return
        wanted = [said for question, said in answers.items() if told[-1].startswith(question)]
        told = write(world, wanted[0] if wanted else "1" if told[-1].startswith(ABOUT) else "skip")
    raise AssertionError("the questions do not end")


# --- tapping --------------------------------------------------------------------------------------


def test_a_question_of_few_answers_has_buttons_and_one_of_many_a_list(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    write(world, LONG)
    asked = shown(world)[-1]
    assert (asked["body"], titles(asked)) == (SAFE, ["Yes", "No"])
    assert asked["content"]["kind"] == "twilio/quick-reply"
    tap(world, "Yes")
    asked = shown(world)[-1]
    assert asked["body"] == ABOUT
    assert asked["content"]["kind"] == "twilio/list-picker"
    assert 3 < len(titles(asked)) <= 10
    tap(world, "Pay")
    assert [code for _, code, _ in world.answers()][1:] == ["yes", "pay"]
    assert world.incidents() == set()


@pytest.mark.parametrize("said", ["1", "Yes", " yes ", "y"])
def test_a_question_with_buttons_is_also_answered_in_words(sqlite_whatsapp: World, said: str) -> None:
    assert write(sqlite_whatsapp, LONG, said)[-1] == ABOUT


def test_a_tap_on_an_old_button_answers_nothing(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    write(world, LONG)
    old = shown(world)[-1]
    tap(world, "Yes")
    before = world.answers()
    assert tap(world, "No", old)[-1] == ABOUT
    assert world.answers() == before


def test_a_resource_is_made_once_for_all_workers_and_over_restarts(whatsapp_world: World) -> None:
    world = whatsapp_world
    write(world, LONG)
    (made,) = contents(world)
    forget_doors()
    write(world, LONG, sender=FRIEND)
    assert titles(shown(world, FRIEND)[-1]) == ["Yes", "No"]
    assert [each.sid for each in contents(world)] == [made.sid]


def test_a_resource_holds_a_question_and_nothing_of_a_worker(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    write(world, LONG)
    tap(world, "Yes")
    (sprint,) = {row.sprint for row in world.rows(tables.Conversation)}
    kept = str([(each.types, each.variables, each.friendly_name) for each in contents(world)])
    for own in (WORKER[1:], "January", sprint):
        assert own not in kept


def test_a_resource_that_was_deleted_is_made_anew(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    write(world, LONG)
    contents(world)[0].delete()
    write(world, LONG, sender=FRIEND)
    assert titles(shown(world, FRIEND)[-1]) == ["Yes", "No"]
    assert len(contents(world)) == 1


def test_when_resources_cannot_be_made_now_the_question_is_asked_later(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    world.network.text(WORKER, LONG, to=LINE)
    world.network.idle()
    world.network.post("/sim/chaos", {"error_before": 1.0})
    world.beat()
    world.network.post("/sim/chaos", {})
    world.rest()
    assert bodies(world)[-1] == SAFE
    assert bodies(world).count(SAFE) == 1


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["Yes", "No", "Not sure"], "twilio/quick-reply"),
        (["Yes", "No", "Not sure", "Skip"], "twilio/list-picker"),
        (["x" * 20], "twilio/quick-reply"),
        (["x" * 21], "twilio/list-picker"),
        (["x" * 72], "twilio/list-picker"),
        ([f"{n}" for n in range(10)], "twilio/list-picker"),
        ([f"{n}" for n in range(11)], None),
        (["x" * 73], None),
        (["{{1}}"], None),
        ([" "], None),
        (["same beginning of a label, one", "same beginning of a label, two"], None),
    ],
)
def test_what_does_not_fit_is_a_numbered_text(labels: list[str], kind: str | None) -> None:
    options = tuple(Option(f"c{n}", label, str(n)) for n, label in enumerate(labels, 1))
    types = types_of("Which?", options)
    assert (next(iter(types)) if types else None) == kind
    door = WhatsApp(Settings.model_validate({"twilio_auth_token": TOKEN, "twilio_account_sid": ACCOUNT}))
    rendered = door.render(Prompt(("Thank you.", "Which?"), "en", options=options), Place("", 1, ended=False))
    if kind:
        assert [(part.text, part.options) for part in rendered] == [("Thank you.", ()), ("Which?", options)]
    else:
        (only,) = rendered
        assert only.text.splitlines() == ["Thank you.", "Which?", *(f"{o.key} {o.label}" for o in options)]
        assert only.options == ()


@pytest.mark.parametrize("letter", ["x", "က", "😀"])
def test_no_body_is_longer_than_twilio_takes(letter: str) -> None:
    door = WhatsApp(Settings.model_validate({"twilio_auth_token": TOKEN, "twilio_account_sid": ACCOUNT}))
    options = (Option("yes", "Yes", "1"), Option("no", "No", "2"))
    prompt = Prompt((letter * 5000, letter * 1100), "my", options=options)
    rendered = door.render(prompt, Place("", 1, ended=False))
    assert all(len(part.text) <= 1600 for part in rendered)
    assert "".join(part.text for part in rendered).count(letter) == 6100


# --- what else comes in -----------------------------------------------------------------------------


def test_a_place_that_is_shared_is_kept_in_words(sqlite_whatsapp: World) -> None:
    where = {"Latitude": "-6.2", "Longitude": "106.8", "Label": "Gate 3", "Address": "Jl. Satu"}
    write(sqlite_whatsapp, "", **where)
    kept = [words for direction, words in sqlite_whatsapp.transcript() if direction == "in"]
    assert kept == ["Gate 3\nJl. Satu\n-6.2, 106.8"]


def test_the_button_of_an_approved_notice_is_taken_as_words(sqlite_whatsapp: World) -> None:
    write(sqlite_whatsapp, "Continue", ButtonPayload="continue", ButtonText="Continue")
    assert ("in", "Continue") in sqlite_whatsapp.transcript()


def test_voice_notes_and_pictures_are_kept(sqlite_whatsapp: World) -> None:
    files = {"NumMedia": "1", "MediaUrl0": "https://api.twilio.com/m/1", "MediaContentType0": "audio/ogg"}
    write(sqlite_whatsapp, "", MessageType="audio", **files)
    kept = " ".join(words for direction, words in sqlite_whatsapp.transcript() if direction == "in")
    assert "audio/ogg" in kept


# --- the hours of free text ---------------------------------------------------------------------------


def after_a_day(world: World) -> None:
    """She asked for a person, a day passes, and the person answers twice."""
    write(world, LONG, "yes", "1", "person")
    world.pass_time(A_DAY)
    close_window(world)
    answer(world, "We read you. Are you safe?")


def test_after_a_day_only_a_neutral_notice_goes_out_and_the_text_waits(whatsapp_world: World) -> None:
    world = whatsapp_world
    after_a_day(world)
    assert bodies(world)[-1] == NOTICE_WORDS
    assert states(world)[-2:] == ["waiting", "sent"]
    assert write(world, "yes it is me")[-1] == "We read you. Are you safe?"
    assert "waiting" not in states(world)
    assert world.incidents() == set()


def test_however_many_texts_wait_one_notice_asks(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    after_a_day(world)
    answer(world, "Please write when you can.")
    assert bodies(world).count(NOTICE_WORDS) == 1
    told = write(world, "here I am")
    assert told[-2:] == ["We read you. Are you safe?", "Please write when you can."]


def test_a_notice_that_was_not_answered_for_most_of_a_day_is_repeated_for_a_new_text(
    sqlite_whatsapp: World,
) -> None:
    world = sqlite_whatsapp
    after_a_day(world)
    world.pass_time(waiting.ASK_AGAIN + timedelta(minutes=1))
    answer(world, "Please write when you can.")
    assert bodies(world).count(NOTICE_WORDS) == 2


def test_the_hours_are_ours_to_count(sqlite_whatsapp: World) -> None:
    """WhatsApp still takes free text, by its own clock; ours says that it is too late, and asks first."""
    world = sqlite_whatsapp
    write(world, LONG, "yes", "1", "person")
    world.pass_time(timedelta(hours=23, minutes=59))
    answer(world, "Within the hours.")
    assert bodies(world)[-1] == "Within the hours."
    world.pass_time(timedelta(minutes=2))
    answer(world, "After them.")
    assert bodies(world)[-1] == NOTICE_WORDS


def test_a_refusal_that_comes_later_by_report_is_handled_the_same_way(whatsapp_world: World) -> None:
    world = whatsapp_world
    write(world, LONG, "yes", "1", "person")
    close_window(world)
    answer(world, "We read you. Are you safe?")
    assert bodies(world)[-1] == NOTICE_WORDS
    assert states(world)[-2:] == ["waiting", "sent"]
    assert write(world, "it is me")[-1] == "We read you. Are you safe?"
    assert world.incidents() == set()
    statuses = [row.status for row in world.rows(tables.Message) if row.direction == "out"]
    assert set(statuses) == {"delivered"}


def test_a_text_that_is_refused_a_second_time_is_not_tried_in_a_circle(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    write(world, LONG, "yes", "1", "person")
    close_window(world)
    answer(world, "We read you. Are you safe?")
    world.network.post("/sim/errors", number=WORKER, message=63016)
    sent = len(_outbound(world))
    write(world, "it is me")
    world.rest()
    assert len(_outbound(world)) == sent + 1
    assert ("delivery", "whatsapp 63016") in world.incidents()
    assert "waiting" not in states(world)
    assert "queued" not in states(world)


def _outbound(world: World) -> list[Json]:
    found = world.network.get("/sim/state", parts="messages")["messages"]
    return [each for each in found if each["direction"] != "inbound"]


def test_an_old_refusal_told_again_changes_nothing(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    write(world, LONG, "yes", "1", "person")
    close_window(world)
    answer(world, "We read you. Are you safe?")
    refusals = [hit for hit in world.hits_at("/channels/whatsapp/status") if "63016" in hit.form.values()]
    assert refusals
    before = states(world)
    for hit in refusals:
        assert world.again(hit).ok
    world.run()
    assert states(world) == before
    assert write(world, "it is me")[-1] == "We read you. Are you safe?"
    for hit in refusals:
        assert world.again(hit).ok
    assert states(world)[-2:] == ["sent", "sent"]
    assert world.incidents() == set()


def test_a_notice_that_fails_is_told_to_the_operator_and_the_text_still_waits(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    write(world, LONG, "yes", "1", "person")
    world.pass_time(A_DAY)
    world.network.post("/sim/errors", number=WORKER, message=63027)
    answer(world, "We read you. Are you safe?")
    assert ("provider", "whatsapp 63027") in world.incidents()
    assert states(world)[-2] == "waiting"
    world.network.post("/sim/errors", number=WORKER)
    assert write(world, "hello?")[-1] == "We read you. Are you safe?"


def test_without_a_notice_the_text_fails_and_the_operator_is_told(whatsapp_off_hours: World) -> None:
    world = whatsapp_off_hours
    write(world, LONG, "yes", "1", "person")
    world.pass_time(A_DAY)
    answer(world, "We read you. Are you safe?")
    assert states(world)[-1] == "failed"
    assert ("provider", "whatsapp no_template") in world.incidents()


def test_without_a_notice_a_refusal_by_report_is_told_to_the_operator(whatsapp_off_hours: World) -> None:
    world = whatsapp_off_hours
    write(world, LONG, "yes", "1", "person")
    close_window(world)
    answer(world, "We read you. Are you safe?")
    assert ("provider", "whatsapp 63016") in world.incidents()
    (failed,) = (row for row in world.rows(tables.Message) if row.status == "failed")
    assert failed.error_code == "63016"


def test_stop_also_ends_what_waits(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    after_a_day(world)
    told = write(world, "stop")
    assert told[-1] == "OK. You will get no more messages or calls from us."
    assert "We read you. Are you safe?" not in told
    assert "waiting" not in states(world)


@pytest.mark.parametrize("said", ["hello?", "ok", "who is this"])
def test_a_callback_begins_with_a_notice_and_what_is_answered_to_that_answers_no_question(
    sqlite_whatsapp: World, said: str
) -> None:
    world = sqlite_whatsapp
    called_back(world)
    assert bodies(world)[-1] == NOTICE_WORDS
    answers = world.answers()
    assert write(world, said)[-1] == OPENING
    assert world.answers() == answers
    assert tap(world, "Yes")[-1].startswith("Please write your code.")
    assert write(world, "4711")[-1].endswith("nobody else can see your phone?")
    assert world.incidents() == set()


def called_back(world: World) -> None:
    """She asked to be called back, and the evening after next comes: a callback in writing is due."""
    wants_a_callback(world)
    world.pass_time(A_DAY)
    close_window(world)
    for _ in range(3 * 24):
        world.run()
        if len(world.rows(tables.Conversation)) > 1:
            return
        world.pass_time(timedelta(hours=1))
    raise AssertionError("no callback came")


def test_global_words_are_obeyed_before_the_question_was_seen(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    called_back(world)
    told = write(world, "stop")
    assert OPENING not in told
    assert len(world.rows(tables.Stop)) >= 1


def test_a_question_that_waits_to_be_seen_is_not_doubled_by_its_reminder(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    called_back(world)
    world.pass_time(timedelta(hours=20, minutes=5))
    world.run()
    assert bodies(world).count(NOTICE_WORDS) == 1
    told = write(world, "hello?")
    assert told.count(OPENING) == 1
    assert tap(world, "Yes")[-1].startswith("Please write your code.")


def test_a_question_whose_talk_expired_is_not_asked_any_more(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    called_back(world)
    for hours in (21, 29):
        world.pass_time(timedelta(hours=hours))
        world.run()
    first = world.rows(tables.Conversation)[1]
    assert (first.state, first.outcome) == ("ended", "expired")
    asked = {row.id for row in world.rows(tables.Message) if row.conversation_id == first.id}
    left = {row.state for row in world.rows(tables.Outbox) if row.message_id in asked}
    assert left == {"cancelled", "sent"}


# --- stop, and what WhatsApp tells ----------------------------------------------------------------------


@pytest.mark.parametrize("word", ["STOP", "berhenti", "stop"])
def test_stop_is_obeyed_by_us_because_whatsapp_does_not(sqlite_whatsapp: World, word: str) -> None:
    world = sqlite_whatsapp
    told = write(world, LONG, word)
    assert write(world, LONG) == told
    assert world.rows(tables.Stop)


def test_a_worker_who_blocked_us_is_on_the_stop_list(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    world.network.post("/sim/errors", number=WORKER, message=63014)
    write(world, LONG)
    assert world.rows(tables.Stop)


def test_a_message_that_meta_holds_back_is_tried_again_a_day_later(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    world.network.post("/sim/errors", number=WORKER, message=63049)
    write(world, LONG)
    tried = len(_outbound(world))
    world.network.post("/sim/errors", number=WORKER)
    world.pass_time(timedelta(hours=23))
    world.run()
    assert len(_outbound(world)) == tried
    world.pass_time(timedelta(hours=2))
    world.run()
    # A day later free text is not allowed any more, so a notice asks first.
    assert bodies(world)[-1] == NOTICE_WORDS
    assert write(world, "yes")[-1] != NOTICE_WORDS


def test_a_lost_answer_of_twilio_is_asked_about_and_nothing_is_sent_twice(whatsapp_world: World) -> None:
    world = whatsapp_world
    world.network.text(WORKER, LONG, to=LINE)
    world.network.idle()
    world.network.post("/sim/chaos", {"error": 1.0})
    world.beat()
    world.network.post("/sim/chaos", {})
    world.network.idle()
    world.rest()
    told = bodies(world)
    assert len(told) == len(set(told))
    assert told[-1] == SAFE


def test_a_notice_in_doubt_is_asked_about_too(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    write(world, LONG, "yes", "1", "person")
    world.pass_time(A_DAY)
    world.network.post("/sim/chaos", {"error": 1.0})
    answer(world, "We read you. Are you safe?")
    world.network.post("/sim/chaos", {})
    world.rest()
    assert bodies(world).count(NOTICE_WORDS) == 1
    assert states(world)[-2:] == ["waiting", "sent"]


# --- names that hide a number -----------------------------------------------------------------------------


def hide(world: World, *, hidden: bool = True) -> None:
    """The worker begins to hide her number, or ends it."""
    url = f"{world.network.url}/sim/handsets/{WORKER}"
    assert requests.patch(url, json={"hides_number": hidden}, timeout=30).ok


def inbound(world: World) -> list[Json]:
    """What the worker's handset sent, with the webhook's fields."""
    found = world.network.get("/sim/state", parts="messages")["messages"]
    return [each for each in found if each["direction"] == "inbound"]


def known(world: World) -> list[tables.AddressRow]:
    """All addresses of WhatsApp accounts."""
    return [row for row in world.rows(tables.AddressRow) if row.kind == "whatsapp"]


def test_a_worker_without_a_number_is_answered_by_her_account(whatsapp_world: World) -> None:
    world = whatsapp_world
    world.network.post("/sim/handsets", [{"number": WORKER, "hides_number": True}])
    assert write(world, LONG, "yes")[-1] == ABOUT
    (row,) = known(world)
    address = world.service.sealer.open_address(row.id, row.kind, row.sealed)
    assert address.reveal(Reveal.SEND) == account_of(WORKER)
    assert WORKER[1:] not in str(inbound(world)[0]["inbound"])


def test_a_talk_goes_on_when_the_number_is_hidden_in_its_midst(whatsapp_world: World) -> None:
    world = whatsapp_world
    write(world, LONG)
    hide(world)
    assert write(world, "yes")[-1] == ABOUT
    assert len(world.rows(tables.Conversation)) == 1


def test_a_talk_goes_on_when_the_number_is_shown_in_its_midst(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    world.network.post("/sim/handsets", [{"number": WORKER, "hides_number": True}])
    write(world, LONG)
    hide(world, hidden=False)
    assert write(world, "yes")[-1] == ABOUT
    assert len(world.rows(tables.Conversation)) == 1


@pytest.mark.parametrize("first_hidden", [True, False])
def test_a_stop_holds_under_both_names(sqlite_whatsapp: World, first_hidden: bool) -> None:
    world = sqlite_whatsapp
    world.network.post("/sim/handsets", [{"number": WORKER}])
    write(world, LONG)
    hide(world, hidden=first_hidden)
    told = write(world, "stop")
    hide(world, hidden=not first_hidden)
    assert write(world, LONG) == told
    assert len(world.rows(tables.Stop)) == 2


def test_start_lifts_a_stop_under_both_names(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    world.network.post("/sim/handsets", [{"number": WORKER}])
    write(world, LONG, "stop")
    hide(world)
    told = write(world, "start")
    assert world.rows(tables.Stop) == []
    hide(world, hidden=False)
    assert len(write(world, "yes")) > len(told)


def test_a_number_that_changed_hands_meets_nobody_else_s_talk(whatsapp_world: World) -> None:
    world = whatsapp_world
    write(world, LONG)
    stranger = {"ExternalUserId": "whatsapp:ID.4566546130240823"}
    write(world, "hello, who is this", **stranger)
    assert len(world.rows(tables.Conversation)) == 2
    assert [code for _, code, _ in world.answers() if code] == []


# --- kept in confidence ------------------------------------------------------------------------------------


def test_no_number_and_no_word_is_logged(sqlite_whatsapp: World, caplog: pytest.LogCaptureFixture) -> None:
    world = sqlite_whatsapp
    with capture_logs() as lines, caplog.at_level("DEBUG", "twilio"):
        write(world, LONG, "yes")
        world.network.post("/sim/errors", number=WORKER, create=63024)
        write(world, "1")
    assert any(line["event"] == "not_sent" for line in lines)
    logged = str(lines) + "".join(
        each.getMessage() for each in caplog.records if each.name.startswith("twilio")
    )
    for secret in (WORKER[1:], "January", account_of(WORKER)):
        assert secret not in logged


# --- settings and doctor ------------------------------------------------------------------------------------


def test_notices_are_set_by_language() -> None:
    one, two = "HX" + "a" * 32, "HX" + "b" * 32
    set_ = Templates.parse(f"id={one}, *={two}")
    assert (set_.for_language("id"), set_.for_language("my")) == (one, two)
    assert Templates.parse(one).for_language("th") == one
    assert not Templates.parse("")


@pytest.mark.parametrize("wrong", ["HX1", "id=HX" + "a" * 32, "?=HX" + "a" * 32, "*=SM" + "a" * 32])
def test_a_notice_that_cannot_be_is_refused_with_its_place(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"part 1|add \*"):
        Templates.parse(wrong)


def findings(world: World, **changes: Any) -> dict[str, str]:
    """What doctor finds of WhatsApp: level and message."""
    settings = world.service.settings.model_copy(update=changes)
    return {each.level: each.message for each in doctor._twilio(settings) if each.subject == "WhatsApp"}


def test_doctor_finds_everything_right(sqlite_whatsapp: World) -> None:
    assert list(findings(sqlite_whatsapp)) == ["ok"]


def test_doctor_names_what_is_wrong(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    assert "TWILIO_WHATSAPP_TEMPLATES" in findings(world, twilio_whatsapp_templates=Templates({}))["warning"]
    assert "set the webhook" in findings(world, public_base_url="https://elsewhere.example")["warning"]
    write(world, LONG)
    (made,) = contents(world)
    assert "not approved" in findings(world, twilio_whatsapp_templates=Templates({"*": made.sid}))["warning"]


def test_the_channel_is_off_without_its_setting(sqlite_world: World) -> None:
    answered = sqlite_world.signed("/channels/whatsapp", {"MessageSid": "SM1"})
    assert answered.status_code == 404
    assert Channel.WHATSAPP not in {row.channel for row in sqlite_world.rows(tables.Message)}


def test_later_in_the_app_moves_the_call_that_waits_for_her(sqlite_whatsapp: World) -> None:
    world = sqlite_whatsapp
    world.interviewed(Registered(WORKER))
    (callback,) = world.rows(tables.Callback)
    app, now = Address(AddressKind.WHATSAPP, WORKER), world.clock.now()
    with world.service.database.write() as connection:
        known = contacts.remember(connection, world.service.sealer, app, now)
        contacts.join(connection, callback.contact_id, known.id, contacts.How.CODE, now)
    told = write(world, "later", "4711", "Sunday evening", "1")
    assert told[-1] == "Thank you. Goodbye."
    assert [(each["preference"], each["channel"]) for each in world.callbacks()] == [("sun_evening", "voice")]
    assert {row.flow for row in world.rows(tables.Conversation)} == {"callback"}
